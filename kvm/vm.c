/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A VM shell: what can be built before it is known what will run.
 *
 * vm_create() pays for all that the kernel does slowly: KVM_CREATE_VM, the one memslot, which covers a reserved range of
 * host addresses, the interrupt chips (whose routing set-up waits for an SRCU grace period before Linux 6.11), and the
 * PIT. None of these is touched again on a request's path: see memory.c for how a snapshot's memory comes in.
 *
 * The order of creation is KVM's: the TSS and identity-map pages before the first vCPU; the irqchip before any vCPU, so
 * that each gets an in-kernel LAPIC; the PIT after the irqchip, which it raises its line on.
 */
#include "kvm/vm.h"

#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "kvm/monotonic.h"

/*
 * Three pages for the TSS and one for the identity map, which KVM uses on Intel hosts without unrestricted guest.
 * They lie below the BIOS area at the top of 4 GiB, far above the greatest guest memory.
 */
#define VM_IDENTITY_MAP_ADDRESS UINT64_C(0xfffbc000)
#define VM_TSS_ADDRESS          0xfffbd000UL

#define VM_MEMSLOT 0

/* An ioctl that detail names when it fails. */
static int vm_ioctl(int fd, unsigned long request, const void *argument, const char *name, struct error_detail *detail)
{
	int error;

	if (ioctl(fd, request, argument) >= 0)
		return 0;

	error = errno;
	error_detail_set(detail, "%s: %s", name, strerror(error));
	return -error;
}

static int vm_register_memory(const struct vm *vm, uint32_t flags)
{
	struct kvm_userspace_memory_region region = {
		.slot = VM_MEMSLOT,
		.flags = flags,
		.guest_phys_addr = 0,
		.memory_size = vm->memory.size,
		.userspace_addr = (uint64_t)(uintptr_t)vm->memory.host,
	};

	return ioctl(vm->fd, KVM_SET_USER_MEMORY_REGION, &region) < 0 ? -errno : 0;
}

/* Turn on a VM capability where the host has it; what it changes is said beside each call. */
static int vm_enable_capability(const struct vm *vm, int capability, uint64_t argument, const char *name,
				struct error_detail *detail)
{
	struct kvm_enable_cap enable = { .cap = (uint32_t)capability, .args = { argument } };

	if (host_capability_value(vm->host, capability) == 0)
		return 0;

	return vm_ioctl(vm->fd, KVM_ENABLE_CAP, &enable, name, detail);
}

static int vm_create_fd(const struct kvm_host *host, struct vm *vm, struct error_detail *detail)
{
	uint64_t identity_map = VM_IDENTITY_MAP_ADDRESS;
	int result;

	/* Registering the MMU notifier gives up when a signal is pending; there is nothing to undo. */
	do {
		vm->fd = ioctl(host->fd, KVM_CREATE_VM, 0);
	} while (vm->fd < 0 && errno == EINTR);
	if (vm->fd < 0) {
		result = -errno;
		error_detail_set(detail, "KVM_CREATE_VM: %s", strerror(-result));
		return result;
	}

	result = vm_ioctl(vm->fd, KVM_SET_IDENTITY_MAP_ADDR, &identity_map, "KVM_SET_IDENTITY_MAP_ADDR", detail);
	if (result < 0)
		return result;
	result = vm_ioctl(vm->fd, KVM_SET_TSS_ADDR, (const void *)VM_TSS_ADDRESS, "KVM_SET_TSS_ADDR", detail);
	if (result < 0)
		return result;

	/*
	 * A pending exception is told apart from an injected one, with its payload (CR2, DR6), so that it survives a
	 * save.
	 */
	result = vm_enable_capability(vm, KVM_CAP_EXCEPTION_PAYLOAD, 1, "KVM_CAP_EXCEPTION_PAYLOAD", detail);
	if (result < 0)
		return result;
	/* So does a triple fault that has not become an exit yet. */
	result = vm_enable_capability(vm, KVM_CAP_X86_TRIPLE_FAULT_EVENT, 1, "KVM_CAP_X86_TRIPLE_FAULT_EVENT", detail);
	if (result < 0)
		return result;
	/* No performance counters: their MSRs differ from host to host, and the CPU templates hide them. */
	return vm_enable_capability(vm, KVM_CAP_PMU_CAPABILITY, KVM_PMU_CAP_DISABLE, "KVM_CAP_PMU_CAPABILITY", detail);
}

static int vm_create_memory(struct vm *vm, uint64_t memory_size, struct error_detail *detail)
{
	int result;

	result = guest_memory_reserve(memory_size, &vm->memory);
	if (result < 0) {
		error_detail_set(detail, "guest memory of %llu bytes: %s", (unsigned long long)memory_size,
				 strerror(-result));
		return result;
	}

	result = vm_register_memory(vm, 0);
	if (result < 0)
		error_detail_set(detail, "KVM_SET_USER_MEMORY_REGION: %s", strerror(-result));
	return result;
}

int vm_create(const struct kvm_host *host, uint64_t memory_size, struct vm *ret_vm, struct vm_create_times *ret_times,
	      struct error_detail *detail)
{
	struct kvm_pit_config pit = { .flags = KVM_PIT_SPEAKER_DUMMY };
	struct vm vm = { .fd = -1, .host = host };
	uint64_t start, created, memory, irqchip;
	int result;

	start = monotonic_ns();
	result = vm_create_fd(host, &vm, detail);
	if (result < 0)
		goto fail;
	created = monotonic_ns();
	result = vm_create_memory(&vm, memory_size, detail);
	if (result < 0)
		goto fail;
	memory = monotonic_ns();
	result = vm_ioctl(vm.fd, KVM_CREATE_IRQCHIP, NULL, "KVM_CREATE_IRQCHIP", detail);
	if (result < 0)
		goto fail;
	irqchip = monotonic_ns();
	result = vm_ioctl(vm.fd, KVM_CREATE_PIT2, &pit, "KVM_CREATE_PIT2", detail);
	if (result < 0)
		goto fail;

	if (ret_times)
		*ret_times = (struct vm_create_times){
			.vm_create_ns = created - start,
			.memory_register_ns = memory - created,
			.irqchip_ns = irqchip - memory,
			.pit_ns = monotonic_ns() - irqchip,
		};
	*ret_vm = vm;
	return 0;

fail:
	vm_close(&vm);
	return result;
}

void vm_close(struct vm *vm)
{
	/* The VM first: its memslot must not outlive the range that it names. */
	if (vm->fd >= 0 && vm->host)
		(void)close(vm->fd);
	guest_memory_release(&vm->memory);
	*vm = (struct vm){ .fd = -1 };
}

int vm_irq_line(const struct vm *vm, uint32_t gsi, bool level)
{
	struct kvm_irq_level line = { .irq = gsi, .level = level };

	return ioctl(vm->fd, KVM_IRQ_LINE, &line) < 0 ? -errno : 0;
}

int vm_irqfd_add(const struct vm *vm, int eventfd, int resample, uint32_t gsi)
{
	struct kvm_irqfd irqfd = { .fd = (uint32_t)eventfd, .gsi = gsi };

	if (resample >= 0) {
		irqfd.flags |= KVM_IRQFD_FLAG_RESAMPLE;
		irqfd.resamplefd = (uint32_t)resample;
	}

	return ioctl(vm->fd, KVM_IRQFD, &irqfd) < 0 ? -errno : 0;
}

int vm_irqfd_remove(const struct vm *vm, int eventfd, uint32_t gsi)
{
	struct kvm_irqfd irqfd = { .fd = (uint32_t)eventfd, .gsi = gsi, .flags = KVM_IRQFD_FLAG_DEASSIGN };

	return ioctl(vm->fd, KVM_IRQFD, &irqfd) < 0 ? -errno : 0;
}

static int vm_ioeventfd(const struct vm *vm, const struct vm_ioeventfd *ioeventfd, uint32_t flags)
{
	struct kvm_ioeventfd request = {
		.datamatch = ioeventfd->value,
		.addr = ioeventfd->address,
		.len = ioeventfd->length,
		.fd = ioeventfd->eventfd,
		.flags = flags,
	};

	if (ioeventfd->is_port)
		request.flags |= KVM_IOEVENTFD_FLAG_PIO;
	if (ioeventfd->match_value)
		request.flags |= KVM_IOEVENTFD_FLAG_DATAMATCH;

	return ioctl(vm->fd, KVM_IOEVENTFD, &request) < 0 ? -errno : 0;
}

int vm_ioeventfd_add(const struct vm *vm, const struct vm_ioeventfd *ioeventfd)
{
	return vm_ioeventfd(vm, ioeventfd, 0);
}

int vm_ioeventfd_remove(const struct vm *vm, const struct vm_ioeventfd *ioeventfd)
{
	return vm_ioeventfd(vm, ioeventfd, KVM_IOEVENTFD_FLAG_DEASSIGN);
}

int vm_get_irqchip(const struct vm *vm, struct irqchip_state *ret_state, struct error_detail *detail)
{
	struct irqchip_state state = {
		.pic_master.chip_id = KVM_IRQCHIP_PIC_MASTER,
		.pic_slave.chip_id = KVM_IRQCHIP_PIC_SLAVE,
		.ioapic.chip_id = KVM_IRQCHIP_IOAPIC,
	};
	int result;

	result = vm_ioctl(vm->fd, KVM_GET_IRQCHIP, &state.pic_master, "KVM_GET_IRQCHIP (PIC master)", detail);
	if (result < 0)
		return result;
	result = vm_ioctl(vm->fd, KVM_GET_IRQCHIP, &state.pic_slave, "KVM_GET_IRQCHIP (PIC slave)", detail);
	if (result < 0)
		return result;
	result = vm_ioctl(vm->fd, KVM_GET_IRQCHIP, &state.ioapic, "KVM_GET_IRQCHIP (IOAPIC)", detail);
	if (result < 0)
		return result;
	result = vm_ioctl(vm->fd, KVM_GET_PIT2, &state.pit, "KVM_GET_PIT2", detail);
	if (result < 0)
		return result;

	*ret_state = state;
	return 0;
}

int vm_set_irqchip(const struct vm *vm, const struct irqchip_state *state, struct error_detail *detail)
{
	int result;

	/* The kernel takes the chip from chip_id: a state that names another one must not land there. */
	if (state->pic_master.chip_id != KVM_IRQCHIP_PIC_MASTER || state->pic_slave.chip_id != KVM_IRQCHIP_PIC_SLAVE ||
	    state->ioapic.chip_id != KVM_IRQCHIP_IOAPIC) {
		error_detail_set(detail, "irqchip state with chip_id %u, %u, %u", state->pic_master.chip_id,
				 state->pic_slave.chip_id, state->ioapic.chip_id);
		return -EINVAL;
	}

	result = vm_ioctl(vm->fd, KVM_SET_IRQCHIP, &state->pic_master, "KVM_SET_IRQCHIP (PIC master)", detail);
	if (result < 0)
		return result;
	result = vm_ioctl(vm->fd, KVM_SET_IRQCHIP, &state->pic_slave, "KVM_SET_IRQCHIP (PIC slave)", detail);
	if (result < 0)
		return result;
	result = vm_ioctl(vm->fd, KVM_SET_IRQCHIP, &state->ioapic, "KVM_SET_IRQCHIP (IOAPIC)", detail);
	if (result < 0)
		return result;
	/* Last: it starts channel 0, whose ticks go through the chips above. */
	return vm_ioctl(vm->fd, KVM_SET_PIT2, &state->pit, "KVM_SET_PIT2", detail);
}

int vm_drop_missed_ticks(const struct vm *vm, struct error_detail *detail)
{
	struct kvm_reinject_control control = { .pit_reinject = 0 };

	if (host_capability_value(vm->host, KVM_CAP_REINJECT_CONTROL) == 0) {
		error_detail_set(detail, "pit_reinject: this host's KVM cannot switch it off");
		return -EOPNOTSUPP;
	}

	return vm_ioctl(vm->fd, KVM_REINJECT_CONTROL, &control, "KVM_REINJECT_CONTROL", detail);
}

int vm_forget_missed_ticks(const struct vm *vm)
{
	struct kvm_pit_state2 pit = { 0 };
	int result;

	result = vm_ioctl(vm->fd, KVM_GET_PIT2, &pit, "KVM_GET_PIT2", NULL);
	if (result < 0)
		return result;
	/* Rate generator and square wave; KVM does nothing periodic in others. */
	if (pit.channels[0].mode != 2 && pit.channels[0].mode != 3)
		return 0;
	return vm_ioctl(vm->fd, KVM_SET_PIT2, &pit, "KVM_SET_PIT2", NULL);
}

int vm_get_clock(const struct vm *vm, struct kvm_clock_data *ret_clock)
{
	struct kvm_clock_data clock = { 0 };

	if (ioctl(vm->fd, KVM_GET_CLOCK, &clock) < 0)
		return -errno;

	*ret_clock = clock;
	return 0;
}

int vm_set_clock(const struct vm *vm, const struct kvm_clock_data *clock)
{
	/*
	 * No flag goes back. KVM_CLOCK_REALTIME would move the clock on by the time that the snapshot lay on disk,
	 * while the TSC goes on from where it was; KVM_CLOCK_TSC_STABLE and KVM_CLOCK_HOST_TSC only report.
	 */
	struct kvm_clock_data set = { .clock = clock->clock };

	return ioctl(vm->fd, KVM_SET_CLOCK, &set) < 0 ? -errno : 0;
}

int vm_dirty_log_enable(struct vm *vm, bool enable)
{
	int result;

	if (vm->dirty_log == enable)
		return 0;

	result = vm_register_memory(vm, enable ? KVM_MEM_LOG_DIRTY_PAGES : 0);
	if (result < 0)
		return result;

	vm->dirty_log = enable;
	return 0;
}

int vm_dirty_log_read(const struct vm *vm, uint64_t *ret_bitmap, size_t bitmap_size)
{
	uint64_t words = (vm->memory.size / GUEST_MEMORY_PAGE + 63) / 64;
	struct kvm_dirty_log log = { .slot = VM_MEMSLOT, .dirty_bitmap = ret_bitmap };

	if (bitmap_size < words * sizeof(uint64_t))
		return -EINVAL;

	return ioctl(vm->fd, KVM_GET_DIRTY_LOG, &log) < 0 ? -errno : 0;
}
