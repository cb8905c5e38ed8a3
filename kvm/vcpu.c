/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A vCPU as its owner sees it: made, let go, stopped, closed.
 *
 * Each vCPU has a thread of its own from the beginning, and that thread alone calls KVM_RUN: KVM binds a vCPU to the
 * thread that runs it, and before Linux 6.13 a change of thread waits for an RCU grace period. The thread primes the
 * vCPU and parks on the phase word, a futex. Letting it go is one compare-and-swap and one futex wake.
 *
 * A pause that cannot be lost
 *
 * Whoever wants a pause moves the phase from RUNNING to PAUSING, then stores kvm_run->immediate_exit = 1, then sends
 * the kick signal. The thread, before every KVM_RUN, stores immediate_exit = 0 and only then looks at the phase. All
 * of these are sequentially consistent. So:
 *
 *   - If the thread still sees RUNNING, its store of 0 came before the requester's move to PAUSING and hence before the
 *     store of 1: the 1 stands.
 *   - If KVM_RUN reads immediate_exit as 1, it returns -EINTR without entering the guest.
 *   - If it reads 0, the store of 1 came later, and the signal later still: it finds the thread inside KVM_RUN, which
 *     checks for pending signals after it has read immediate_exit and before and while the guest runs.
 *
 * The signal's handler does nothing; that the thread is interrupted is all. One request is enough. One whose store and
 * signal come late, after the vCPU has parked for another reason and has been let go again, does no harm: KVM_RUN
 * returns, the thread clears immediate_exit, still sees RUNNING, and goes on.
 *
 * Sources: Linux Documentation/virt/kvm/api.rst, section 5 (immediate_exit); vcpu-requests.rst.
 */
#include "kvm/vcpu.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "kvm/monotonic.h"
#include "kvm/msr.h"
#include "kvm/vcpu_internal.h"

/*
 * The kick. A real-time signal, so that it means nothing to anybody else; installed without SA_RESTART, so that it ends
 * KVM_RUN and a futex wait.
 */
#define VCPU_KICK_SIGNAL SIGRTMIN

/* Handlers of exits run on this stack; devices keep nothing big on it. The sanitizers need more. */
#define VCPU_STACK_SIZE (512UL * 1024)

static const char *const stop_names[] = {
	[VCPU_STOP_PAUSED] = "paused",
	[VCPU_STOP_HANDLER] = "handler",
	[VCPU_STOP_SHUTDOWN] = "shutdown",
	[VCPU_STOP_SYSTEM_EVENT] = "system_event",
	[VCPU_STOP_INTERNAL_ERROR] = "internal_error",
	[VCPU_STOP_ENTRY_FAILED] = "entry_failed",
	[VCPU_STOP_MEMORY_FAULT] = "memory_fault",
	[VCPU_STOP_RUN_ERROR] = "run_error",
	[VCPU_STOP_UNKNOWN_EXIT] = "unknown_exit",
};

const char *vcpu_stop_name(enum vcpu_stop stop)
{
	return (size_t)stop < sizeof(stop_names) / sizeof(stop_names[0]) ? stop_names[stop] : NULL;
}

void vcpu_phase_wait(struct vcpu *vcpu, uint32_t phase)
{
	(void)syscall(SYS_futex, &vcpu->phase, FUTEX_WAIT_PRIVATE, phase, NULL, NULL, 0);
}

void vcpu_phase_wake(struct vcpu *vcpu)
{
	(void)syscall(SYS_futex, &vcpu->phase, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
}

static int vcpu_fail(int error, struct error_detail *detail, const char *step, uint32_t index)
{
	error_detail_set(detail, "vCPU %u: %s: %s", index, step, strerror(error));
	return -error;
}

static void kicked(int signal_number)
{
	(void)signal_number;
}

/* Once a process would do; setting it again for each vCPU is as good and needs no lock. */
static int install_kick(void)
{
	struct sigaction action = { .sa_handler = kicked };

	(void)sigemptyset(&action.sa_mask);
	return sigaction(VCPU_KICK_SIGNAL, &action, NULL) < 0 ? -errno : 0;
}

static int vcpu_open(struct vcpu *vcpu, const struct cpuid_table *cpuid, struct error_detail *detail)
{
	const struct kvm_host *host = vcpu->vm->host;
	void *run;

	vcpu->fd = ioctl(vcpu->vm->fd, KVM_CREATE_VCPU, vcpu->index);
	if (vcpu->fd < 0)
		return vcpu_fail(errno, detail, "KVM_CREATE_VCPU", vcpu->index);

	run = mmap(NULL, host->run_size, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu->fd, 0);
	if (run == MAP_FAILED)
		return vcpu_fail(errno, detail, "mmap of kvm_run", vcpu->index);
	vcpu->run = run;

	if (ioctl(vcpu->fd, KVM_SET_CPUID2, cpuid) < 0)
		return vcpu_fail(errno, detail, "KVM_SET_CPUID2", vcpu->index);
	vcpu->cpuid = *cpuid;

	if (host_capability_value(host, KVM_CAP_MCE) != 0)
		return msr_setup_machine_check(vcpu->fd, detail);
	return 0;
}

/*
 * Start the thread and wait until it has primed the vCPU. It takes the kick and the signals that its own faults raise;
 * every other signal is for the process's other threads.
 */
static int vcpu_start_thread(struct vcpu *vcpu)
{
	static const int taken[] = { SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP, SIGSYS, SIGABRT };
	pthread_attr_t attributes;
	sigset_t blocked;
	int result;

	result = install_kick();
	if (result < 0)
		return result;

	(void)sigfillset(&blocked);
	(void)sigdelset(&blocked, VCPU_KICK_SIGNAL);
	for (size_t i = 0; i < sizeof(taken) / sizeof(taken[0]); i++)
		(void)sigdelset(&blocked, taken[i]);

	result = pthread_attr_init(&attributes);
	if (result != 0)
		return -result;
	result = pthread_attr_setstacksize(&attributes, VCPU_STACK_SIZE);
	if (result == 0)
		result = pthread_attr_setsigmask_np(&attributes, &blocked);
	if (result == 0)
		result = pthread_create(&vcpu->thread, &attributes, vcpu_thread, vcpu);
	(void)pthread_attr_destroy(&attributes);
	if (result != 0)
		return -result;
	vcpu->thread_started = true;

	while (atomic_load(&vcpu->phase) == VCPU_PRIMING)
		vcpu_phase_wait(vcpu, VCPU_PRIMING);
	return vcpu->prime_result;
}

int vcpu_create(struct vm *vm, uint32_t index, const struct cpuid_table *cpuid, const struct vcpu_handlers *handlers,
		struct vcpu **ret_vcpu, struct vcpu_create_times *ret_times, struct error_detail *detail)
{
	struct vcpu *vcpu;
	uint64_t start, opened;
	int result;

	vcpu = calloc(1, sizeof(*vcpu));
	if (!vcpu)
		return vcpu_fail(ENOMEM, detail, "memory", index);
	vcpu->vm = vm;
	vcpu->index = index;
	vcpu->fd = -1;
	vcpu->handlers = *handlers;
	vcpu->pid = getpid();
	vcpu->tsc_khz = vm->host->tsc_khz;

	start = monotonic_ns();
	result = vcpu_open(vcpu, cpuid, detail);
	if (result < 0)
		goto fail;
	result = vcpu_read_fresh(vcpu, detail);
	if (result < 0)
		goto fail;
	opened = monotonic_ns();
	result = vcpu_start_thread(vcpu);
	if (result < 0) {
		(void)vcpu_fail(-result, detail, "thread and first run", index);
		goto fail;
	}

	if (ret_times)
		*ret_times = (struct vcpu_create_times){
			.vcpu_create_ns = opened - start,
			.prime_ns = monotonic_ns() - opened,
		};
	*ret_vcpu = vcpu;
	return 0;

fail:
	(void)vcpu_close(vcpu);
	return result;
}

int vcpu_run(struct vcpu *vcpu)
{
	uint32_t parked = VCPU_PARKED;

	if (!vcpu_is_parked(vcpu))
		return -EBUSY;

	/*
	 * From the moment that it may enter the guest, not from when it does: a pause in between must not hide the run.
	 */
	__atomic_store_n(&vcpu->vm->vcpu_has_run, true, __ATOMIC_SEQ_CST);
	if (!atomic_compare_exchange_strong(&vcpu->phase, &parked, VCPU_RUNNING))
		return -EBUSY;

	vcpu_phase_wake(vcpu);
	return 0;
}

uint64_t vcpu_entered_ns(const struct vcpu *vcpu)
{
	return atomic_load(&vcpu->entered_ns);
}

void vcpu_request_pause(struct vcpu *vcpu)
{
	uint32_t running = VCPU_RUNNING;

	if (!atomic_compare_exchange_strong(&vcpu->phase, &running, VCPU_PAUSING))
		return;

	__atomic_store_n(&vcpu->run->immediate_exit, 1, __ATOMIC_SEQ_CST);
	/* The thread lives until vcpu_close() joins it, so its id is its own. */
	(void)syscall(SYS_tgkill, vcpu->pid, vcpu->tid, VCPU_KICK_SIGNAL);
}

void vcpu_pause(struct vcpu *vcpu)
{
	uint32_t phase;

	vcpu_request_pause(vcpu);
	while ((phase = atomic_load(&vcpu->phase)) == VCPU_PAUSING)
		vcpu_phase_wait(vcpu, phase);
}

bool vcpu_is_parked(const struct vcpu *vcpu)
{
	return atomic_load(&vcpu->phase) == VCPU_PARKED;
}

int vcpu_get_stop(const struct vcpu *vcpu, struct vcpu_stop_info *ret_info)
{
	if (!vcpu_is_parked(vcpu))
		return -EBUSY;

	*ret_info = vcpu->stop;
	return 0;
}

int vcpu_fd(struct vcpu *vcpu)
{
	/* Whoever holds it may run the vCPU, too. */
	__atomic_store_n(&vcpu->vm->vcpu_has_run, true, __ATOMIC_SEQ_CST);
	return vcpu->fd;
}

struct vcpu *vcpu_close(struct vcpu *vcpu)
{
	if (!vcpu)
		return NULL;

	if (vcpu->thread_started) {
		vcpu_pause(vcpu);
		atomic_store(&vcpu->phase, VCPU_ENDING);
		vcpu_phase_wake(vcpu);
		(void)pthread_join(vcpu->thread, NULL);
	}
	if (vcpu->run)
		(void)munmap(vcpu->run, vcpu->vm->host->run_size);
	if (vcpu->fd >= 0)
		(void)close(vcpu->fd);
	free(vcpu);
	return NULL;
}
