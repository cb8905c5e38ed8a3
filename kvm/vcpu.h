/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A vCPU and the thread that runs it.
 *
 * The thread is made with the vCPU, primes it (one KVM_RUN with immediate_exit, so that what the kernel does at a
 * vCPU's first run is paid early), and parks. vcpu_run() lets it go, vcpu_pause() stops it at an instruction boundary
 * with no exit half done. State may be read and written from any thread while the vCPU is parked.
 */
#ifndef EMBER_KVM_VCPU_H
#define EMBER_KVM_VCPU_H

#include <stdbool.h>
#include <stdint.h>

#include "kvm/error_detail.h"
#include "kvm/vcpu_state.h"
#include "kvm/vm.h"

/* Why a vCPU's thread went from running to parked. */
enum vcpu_stop {
	VCPU_STOP_PAUSED = 0,     /* vcpu_pause() */
	VCPU_STOP_HANDLER,        /* an exit handler returned VCPU_HANDLER_STOP */
	VCPU_STOP_SHUTDOWN,       /* KVM_EXIT_SHUTDOWN: triple fault */
	VCPU_STOP_SYSTEM_EVENT,   /* KVM_EXIT_SYSTEM_EVENT: code holds its type */
	VCPU_STOP_INTERNAL_ERROR, /* KVM_EXIT_INTERNAL_ERROR: code holds the suberror */
	VCPU_STOP_ENTRY_FAILED,   /* KVM_EXIT_FAIL_ENTRY: code holds the hardware's reason */
	VCPU_STOP_MEMORY_FAULT,   /* no memory behind a guest address: code holds it, or 0 where KVM does not tell */
	VCPU_STOP_RUN_ERROR,      /* KVM_RUN failed otherwise: code holds errno */
	VCPU_STOP_UNKNOWN_EXIT,   /* an exit that Ember does not know: code holds exit_reason */
};

/* The stop's name as users read it ("shutdown"), or NULL. */
const char *vcpu_stop_name(enum vcpu_stop stop);

struct vcpu_stop_info {
	enum vcpu_stop stop;
	uint64_t code; /* as said beside the stop; else 0 */
	uint64_t rip;  /* where the guest stood, if it could be read; else 0 */
};

enum vcpu_handler_result {
	VCPU_HANDLER_CONTINUE = 0,
	VCPU_HANDLER_STOP, /* finish this exit, then park the vCPU with VCPU_STOP_HANDLER */
};

/*
 * Called on the vCPU's own thread. data points into kvm_run: length bytes, 1, 2, 4 (ports) or 1 .. 8 (MMIO), host byte
 * order.
 */
struct vcpu_handlers {
	void *opaque;
	enum vcpu_handler_result (*port_read)(void *opaque, uint16_t port, uint8_t *data, size_t length);
	enum vcpu_handler_result (*port_write)(void *opaque, uint16_t port, const uint8_t *data, size_t length);
	enum vcpu_handler_result (*mmio_read)(void *opaque, uint64_t gpa, uint8_t *data, size_t length);
	enum vcpu_handler_result (*mmio_write)(void *opaque, uint64_t gpa, const uint8_t *data, size_t length);
	/*
	 * The vCPU stops by itself (anything but VCPU_STOP_PAUSED). Called just before it counts as parked: once
	 * vcpu_pause() has returned, so has this. It must not wait for anybody who may be in vcpu_pause(), and may call
	 * vcpu_request_pause() of other vCPUs, but nothing of this one. May be NULL.
	 */
	void (*stopped)(void *opaque, uint32_t index, const struct vcpu_stop_info *info);
};

struct vcpu; /* opaque */

struct vcpu_create_times {
	uint64_t vcpu_create_ns; /* KVM_CREATE_VCPU, kvm_run mapping, KVM_SET_CPUID2 */
	uint64_t prime_ns;       /* thread start and the immediate-exit run on it */
};

/*
 * Make a vCPU with its CPUID, start its thread, prime it, and park it.
 *
 * vm        must outlive the vCPU
 * index     0 .. vcpus - 1; also its APIC id
 * cpuid     what the guest will see (from cpuid_for_vcpu())
 * handlers  copied
 *
 * Returns 0 or -errno of the step that detail names. The caller ends it with vcpu_close().
 */
int vcpu_create(struct vm *vm, uint32_t index, const struct cpuid_table *cpuid, const struct vcpu_handlers *handlers,
		struct vcpu **ret_vcpu, struct vcpu_create_times *ret_times, struct error_detail *detail);

/* Let the parked vCPU run; its entry is not waited for: see vcpu_entered_ns(). Returns 0, or -EBUSY if it runs. */
int vcpu_run(struct vcpu *vcpu);

/* CLOCK_MONOTONIC at the last passage from parked to KVM_RUN, in nanoseconds; 0 before the first. */
uint64_t vcpu_entered_ns(const struct vcpu *vcpu);

/*
 * Ask for a pause, and wait until the vCPU has parked: signal and immediate_exit, so that the kick cannot be lost,
 * then any pending PIO or MMIO is completed by re-entering with immediate_exit (Documentation/virt/kvm/api.rst,
 * section 5, kvm_run). A vCPU that is parked already stays so. Not to be called from its own thread.
 *
 * vcpu_request_pause() only asks, from any thread: call it on every vCPU of a VM, then vcpu_pause() on each, to stop
 * them together.
 */
void vcpu_request_pause(struct vcpu *vcpu);
void vcpu_pause(struct vcpu *vcpu);

bool vcpu_is_parked(const struct vcpu *vcpu);

/* Why the last run ended (VCPU_STOP_PAUSED before the first). Returns 0, or -EBUSY if it runs. */
int vcpu_get_stop(const struct vcpu *vcpu, struct vcpu_stop_info *ret_info);

/*
 * The whole state of all vCPUs of a VM, which are parked. Their TSCs are of one instant, however long reading took.
 *
 * vcpus       all of the VM, by their index
 * ret_states  count of them
 *
 * Returns 0, -EBUSY (one runs), or -errno of the item that detail names. The vCPUs are unharmed.
 */
int vcpu_get_states(struct vcpu *const *vcpus, uint32_t count, struct vcpu_state *ret_states,
		    struct error_detail *detail);

/*
 * Put whole states into all vCPUs of a VM, which are parked; the order and its reasons are in vcpu_state.c. CPUID is
 * set only where it differs from what a vCPU has; all but regs, sregs and LAPIC only where it differs from a fresh
 * vCPU, if this vCPU has not been written and no vCPU of its VM has run since it was made. Where the host can set the
 * TSC, it goes on from the first vCPU's saved value, and the others' differ from it only by what their guest made them
 * differ (vcpu_tsc.c).
 *
 * Returns 0, -EBUSY, -EAGAIN (the host is too busy to set the TSCs together), or -errno of the item that detail names;
 * on failure the vCPUs' state is undefined and they must not run.
 */
int vcpu_set_states(struct vcpu *const *vcpus, uint32_t count, const struct vcpu_state *states,
		    struct error_detail *detail);

/* The same for a VM's only vCPU. */
int vcpu_get_state(struct vcpu *vcpu, struct vcpu_state *ret_state, struct error_detail *detail);
int vcpu_set_state(struct vcpu *vcpu, const struct vcpu_state *state, struct error_detail *detail);

/*
 * Tell a guest that uses kvmclock that this parked vCPU has stood still (KVM_KVMCLOCK_CTRL), so that its watchdogs do
 * not take that for a lock-up. One that does not use it is told nothing. vcpu_set_state() does it, too.
 */
void vcpu_tell_of_pause(struct vcpu *vcpu);

/* Registers alone, for entry modes and tests. Same conditions. */
int vcpu_get_registers(struct vcpu *vcpu, struct kvm_regs *ret_regs, struct kvm_sregs *ret_sregs);
int vcpu_set_registers(struct vcpu *vcpu, const struct kvm_regs *regs, const struct kvm_sregs *sregs);

/*
 * The file descriptor, for tests and MSR access. Stays the vCPU's. Since anything may be done through it, no vCPU of
 * the VM counts as fresh any more: the next vcpu_set_state() sets everything.
 */
int vcpu_fd(struct vcpu *vcpu);

/* Pause, end the thread, close. Takes NULL; returns NULL. */
struct vcpu *vcpu_close(struct vcpu *vcpu);

#endif
