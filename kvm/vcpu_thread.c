/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A vCPU's thread: prime, park, run, park.
 *
 * The thread goes round two loops. The outer one waits, parked, until it is let go or ended. The inner one calls
 * KVM_RUN and answers its exits until the phase says that a pause is wanted, or until an exit ends the run by itself.
 * vcpu.c shows why no request for a pause can slip through between the two.
 *
 * Between a port or MMIO exit and the next KVM_RUN the guest's instruction is half done: KVM has left it, and the
 * answer lies in kvm_run, where no getter sees it. So before it parks, the thread enters KVM once more with
 * immediate_exit set. KVM first finishes the instruction and then returns -EINTR. Finishing may bring another exit (an
 * MMIO access is split in parts, a repeated string instruction has elements left): that is answered too, until -EINTR
 * comes. Source: Linux Documentation/virt/kvm/api.rst, section 5, the note under KVM_EXIT_MMIO.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "kvm/monotonic.h"
#include "kvm/vcpu_internal.h"

/* Linux 6.8; older than that in Debian 12's header. KVM_RUN returns -EFAULT with it, and tells the address. */
#ifndef KVM_EXIT_MEMORY_FAULT
#define KVM_EXIT_MEMORY_FAULT 39
#endif

struct memory_fault_exit {
	uint64_t flags;
	uint64_t gpa;
	uint64_t size;
};

/* What an exit means for the run. */
enum exit_result {
	EXIT_DONE,     /* nothing is left to do */
	EXIT_ANSWERED, /* answered, but KVM finishes the instruction only when it is entered again */
};

/* A run that ends by itself remembers the first reason. */
static void stop_with(struct vcpu *vcpu, enum vcpu_stop stop, uint64_t code)
{
	if (vcpu->stop.stop != VCPU_STOP_PAUSED)
		return;

	vcpu->stop = (struct vcpu_stop_info){ .stop = stop, .code = code };
}

/*
 * Memory that is gone under a guest's code or page tables shows as an instruction that cannot be fetched, or as faults
 * up to the third: name the cause and not the effect.
 */
static void stop_with_failure(struct vcpu *vcpu, enum vcpu_stop stop, uint64_t code)
{
	if (guest_memory_is_whole(&vcpu->vm->memory))
		stop_with(vcpu, stop, code);
	else
		stop_with(vcpu, VCPU_STOP_MEMORY_FAULT, 0);
}

static void note_handler(struct vcpu *vcpu, enum vcpu_handler_result result)
{
	if (result == VCPU_HANDLER_STOP)
		stop_with(vcpu, VCPU_STOP_HANDLER, 0);
}

/*
 * count elements of size bytes, one after the other at data_offset in kvm_run: more than one for INS and OUTS with REP.
 */
static void handle_port(struct vcpu *vcpu)
{
	const struct vcpu_handlers *handlers = &vcpu->handlers;
	struct kvm_run *run = vcpu->run;
	uint8_t *data = (uint8_t *)run + run->io.data_offset;
	size_t size = run->io.size;

	for (uint32_t i = 0; i < run->io.count; i++, data += size) {
		enum vcpu_handler_result result;

		if (run->io.direction == KVM_EXIT_IO_IN)
			result = handlers->port_read(handlers->opaque, run->io.port, data, size);
		else
			result = handlers->port_write(handlers->opaque, run->io.port, data, size);
		note_handler(vcpu, result);
	}
}

static void handle_mmio(struct vcpu *vcpu)
{
	const struct vcpu_handlers *handlers = &vcpu->handlers;
	struct kvm_run *run = vcpu->run;
	size_t length = run->mmio.len < sizeof(run->mmio.data) ? run->mmio.len : sizeof(run->mmio.data);
	enum vcpu_handler_result result;

	/*
	 * An address that has memory is no device's. KVM's instruction emulator takes memory that it cannot reach (the
	 * file behind it was cut short) for MMIO, where the processor's own access would have made KVM_RUN fail.
	 */
	if (guest_memory_contains(&vcpu->vm->memory, run->mmio.phys_addr, 1)) {
		memset(run->mmio.data, 0xff, sizeof(run->mmio.data));
		stop_with(vcpu, VCPU_STOP_MEMORY_FAULT, run->mmio.phys_addr);
		return;
	}

	if (run->mmio.is_write)
		result = handlers->mmio_write(handlers->opaque, run->mmio.phys_addr, run->mmio.data, length);
	else
		result = handlers->mmio_read(handlers->opaque, run->mmio.phys_addr, run->mmio.data, length);
	note_handler(vcpu, result);
}

static enum exit_result handle_exit(struct vcpu *vcpu)
{
	const struct kvm_run *run = vcpu->run;

	switch (run->exit_reason) {
	case KVM_EXIT_IO:
		handle_port(vcpu);
		return EXIT_ANSWERED;
	case KVM_EXIT_MMIO:
		handle_mmio(vcpu);
		return EXIT_ANSWERED;
	case KVM_EXIT_INTR:
		break;
	case KVM_EXIT_SHUTDOWN:
		stop_with_failure(vcpu, VCPU_STOP_SHUTDOWN, 0);
		break;
	case KVM_EXIT_SYSTEM_EVENT:
		stop_with(vcpu, VCPU_STOP_SYSTEM_EVENT, run->system_event.type);
		break;
	case KVM_EXIT_INTERNAL_ERROR:
		stop_with_failure(vcpu, VCPU_STOP_INTERNAL_ERROR, run->internal.suberror);
		break;
	case KVM_EXIT_FAIL_ENTRY:
		stop_with(vcpu, VCPU_STOP_ENTRY_FAILED, run->fail_entry.hardware_entry_failure_reason);
		break;
	default:
		stop_with(vcpu, VCPU_STOP_UNKNOWN_EXIT, run->exit_reason);
		break;
	}

	return EXIT_DONE;
}

static void handle_run_error(struct vcpu *vcpu, int error)
{
	struct memory_fault_exit fault = { 0 };

	switch (error) {
	case EINTR:  /* the kick, or immediate_exit */
	case EAGAIN: /* an application processor has got its SIPI: Linux returns so that it is entered anew */
		break;
	case EFAULT:
	case EHWPOISON:
		if (vcpu->run->exit_reason == KVM_EXIT_MEMORY_FAULT)
			memcpy(&fault, &vcpu->run->hw, sizeof(fault));
		stop_with(vcpu, VCPU_STOP_MEMORY_FAULT, fault.gpa);
		break;
	default:
		stop_with(vcpu, VCPU_STOP_RUN_ERROR, (uint64_t)error);
		break;
	}
}

/* Enter KVM once. Returns 0 after an exit, or the error number of KVM_RUN. */
static int enter(const struct vcpu *vcpu)
{
	return ioctl(vcpu->fd, KVM_RUN, 0) == 0 ? 0 : errno;
}

/* Have KVM finish the instruction that the last exit left, without executing another. */
static void finish_instruction(struct vcpu *vcpu)
{
	enum exit_result result = EXIT_ANSWERED;
	int error;

	__atomic_store_n(&vcpu->run->immediate_exit, 1, __ATOMIC_SEQ_CST);
	while (result == EXIT_ANSWERED) {
		error = enter(vcpu);
		if (error == EINTR)
			return;
		if (error != 0) {
			handle_run_error(vcpu, error);
			return;
		}
		result = handle_exit(vcpu);
	}
}

static void run_until_stopped(struct vcpu *vcpu)
{
	enum exit_result result = EXIT_DONE;
	int error;

	vcpu->stop = (struct vcpu_stop_info){ .stop = VCPU_STOP_PAUSED };
	atomic_store(&vcpu->entered_ns, monotonic_ns());

	for (;;) {
		/*
		 * Cleared before the phase is looked at (see vcpu.c), and cleared each time: the requester of an
		 * earlier pause may have been slow to store its 1, which would otherwise end every later KVM_RUN at
		 * once.
		 */
		__atomic_store_n(&vcpu->run->immediate_exit, 0, __ATOMIC_SEQ_CST);
		if (atomic_load(&vcpu->phase) != VCPU_RUNNING || vcpu->stop.stop != VCPU_STOP_PAUSED)
			break;

		error = enter(vcpu);
		if (error == 0) {
			result = handle_exit(vcpu);
		} else {
			result = EXIT_DONE;
			handle_run_error(vcpu, error);
		}
	}

	if (result == EXIT_ANSWERED)
		finish_instruction(vcpu);
}

/* Tell why, unless somebody asked for it. */
static void report_stop(struct vcpu *vcpu)
{
	const struct vcpu_handlers *handlers = &vcpu->handlers;
	struct kvm_regs regs;

	if (vcpu->stop.stop == VCPU_STOP_PAUSED)
		return;

	if (ioctl(vcpu->fd, KVM_GET_REGS, &regs) == 0)
		vcpu->stop.rip = regs.rip;
	if (handlers->stopped)
		handlers->stopped(handlers->opaque, vcpu->index, &vcpu->stop);
}

static void park(struct vcpu *vcpu)
{
	atomic_store(&vcpu->phase, VCPU_PARKED);
	vcpu_phase_wake(vcpu);
}

/*
 * The first KVM_RUN of a vCPU, with immediate_exit: the kernel binds the vCPU to this thread, and kernels of the 6.14
 * era create the VM's worker thread now. The guest executes nothing.
 */
static int prime(struct vcpu *vcpu)
{
	int error;

	vcpu->run->immediate_exit = 1;
	error = enter(vcpu);
	return error == EINTR ? 0 : -(error != 0 ? error : EPROTO);
}

void *vcpu_thread(void *opaque)
{
	struct vcpu *vcpu = opaque;
	char name[16]; /* what the kernel keeps */
	uint32_t phase;

	(void)snprintf(name, sizeof(name), "vcpu %u", vcpu->index);
	(void)prctl(PR_SET_NAME, name);
	vcpu->tid = gettid();
	vcpu->prime_result = prime(vcpu);
	park(vcpu);

	for (;;) {
		while ((phase = atomic_load(&vcpu->phase)) == VCPU_PARKED)
			vcpu_phase_wait(vcpu, VCPU_PARKED);
		if (phase == VCPU_ENDING)
			return NULL;
		run_until_stopped(vcpu);
		report_stop(vcpu);
		park(vcpu);
	}
}
