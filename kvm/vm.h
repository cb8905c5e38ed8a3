/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A VM shell: the VM, its in-kernel interrupt chips and timer, and its memslot; everything but vCPUs.
 */
#ifndef EMBER_KVM_VM_H
#define EMBER_KVM_VM_H

#include <stdbool.h>
#include <stdint.h>

#include "kvm/error_detail.h"
#include "kvm/host.h"
#include "kvm/memory.h"
#include "kvm/vcpu_state.h"

struct vm {
	int fd; /* -1 when closed */
	const struct kvm_host *host;
	struct guest_memory memory;
	bool dirty_log;    /* the memslot logs dirty pages */
	bool vcpu_has_run; /* a vCPU of it has been let go; set atomically by vcpu_run() and vcpu_fd() */
};

/* How long each step of vm_create() took, in nanoseconds of CLOCK_MONOTONIC. */
struct vm_create_times {
	uint64_t vm_create_ns;
	uint64_t memory_register_ns;
	uint64_t irqchip_ns;
	uint64_t pit_ns;
};

/*
 * Make a VM: KVM_CREATE_VM, TSS and identity map addresses, memory of memory_size bytes reserved and registered as
 * memslot 0, irqchip, and PIT2 (speaker port as a dummy). What the kernel does slowly is all here; see times.
 *
 * host         must outlive the VM
 * memory_size  bytes; as for guest_memory_reserve()
 * ret_vm       filled on success; the caller ends it with vm_close()
 * ret_times    may be NULL
 *
 * Returns 0 or -errno of the step that detail names.
 */
int vm_create(const struct kvm_host *host, uint64_t memory_size, struct vm *ret_vm, struct vm_create_times *ret_times,
	      struct error_detail *detail);

/* Close the VM (10 to 20 ms in the kernel) and release its memory. Every vCPU must be closed first. */
void vm_close(struct vm *vm);

/* Set the level of an interrupt line (KVM_IRQ_LINE). gsi 0 .. 23. Returns 0 or -errno. */
int vm_irq_line(const struct vm *vm, uint32_t gsi, bool level);

/*
 * Bind an eventfd to an interrupt line (KVM_IRQFD): a write to it raises the line.
 *
 * eventfd   from eventfd(2); stays the caller's
 * resample  -1, or an eventfd that KVM signals at the guest's EOI (level-triggered lines)
 *
 * Returns 0 or -errno.
 */
int vm_irqfd_add(const struct vm *vm, int eventfd, int resample, uint32_t gsi);
int vm_irqfd_remove(const struct vm *vm, int eventfd, uint32_t gsi);

/*
 * A guest's write of `length` (0: any, 1, 2, 4, 8) bytes to an address signals an eventfd instead of exiting
 * (KVM_IOEVENTFD).
 */
struct vm_ioeventfd {
	uint64_t address;
	uint32_t length;
	bool is_port;     /* port I/O, else MMIO */
	bool match_value; /* only this value */
	uint64_t value;
	int eventfd;
};
int vm_ioeventfd_add(const struct vm *vm, const struct vm_ioeventfd *ioeventfd);
int vm_ioeventfd_remove(const struct vm *vm, const struct vm_ioeventfd *ioeventfd);

/*
 * The PICs, the IOAPIC and the PIT. To be set after the vCPUs' state: setting the IOAPIC delivers its pending
 * interrupts to the LAPICs, and a LAPIC that is set later would lose them.
 *
 * Returns 0, -EINVAL (a chip_id is not its chip's), or -errno of the ioctl that detail names.
 */
int vm_get_irqchip(const struct vm *vm, struct irqchip_state *ret_state, struct error_detail *detail);
int vm_set_irqchip(const struct vm *vm, const struct irqchip_state *state, struct error_detail *detail);

/*
 * Let the PIT drop the ticks that its guest has not taken, from now on, instead of raising them again until it has
 * (KVM_REINJECT_CONTROL). A guest that counts ticks loses time where it is late. KVM watches each tick's acknowledgement to
 * raise one again, and gives up AVIC, AMD's interrupts without exits, for that.
 *
 * Returns 0, -EOPNOTSUPP (the host has no such switch), or -errno.
 */
int vm_drop_missed_ticks(const struct vm *vm, struct error_detail *detail);

/*
 * Forget the ticks of the PIT that came while no vCPU ran: KVM counts those of a periodic channel 0 that the guest has not taken, and
 * would deliver them in a burst, one at each acknowledgement. Its period begins anew. A count that runs once is left
 * alone: setting it would start it again.
 *
 * Returns 0, or -errno of the ioctl.
 */
int vm_forget_missed_ticks(const struct vm *vm);

/*
 * kvmclock (KVM_GET_CLOCK, KVM_SET_CLOCK). Get gives flags as KVM does; set takes the time and no flags: the guest's
 * clock goes on from where it was. Returns 0 or -errno.
 */
int vm_get_clock(const struct vm *vm, struct kvm_clock_data *ret_clock);
int vm_set_clock(const struct vm *vm, const struct kvm_clock_data *clock);

/*
 * The dirty log (KVM_GET_DIRTY_LOG) of the memslot.
 *
 * ret_bitmap   one bit a page, memory size / 4096 bits rounded up to 64; the log is cleared by reading it
 * bitmap_size  bytes of ret_bitmap; -EINVAL if too small
 *
 * Dirty logs miss what the host writes: devices that write guest memory must be accounted for apart.
 */
int vm_dirty_log_enable(struct vm *vm, bool enable);
int vm_dirty_log_read(const struct vm *vm, uint64_t *ret_bitmap, size_t bitmap_size);

/*
 * Run-time self description, for a syscall filter: what kvm/ asks of the kernel once a VM and its vCPUs are built (run,
 * pause, state, dirty log, interrupts, laying memory, close). System calls by number (SYS_* of <sys/syscall.h>), and
 * the requests of ioctl(2) among them. See runtime.c.
 */
extern const int kvm_runtime_syscalls[];
extern const size_t kvm_runtime_syscall_count;
extern const unsigned long kvm_runtime_ioctls[];
extern const size_t kvm_runtime_ioctl_count;

#endif
