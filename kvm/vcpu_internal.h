/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a vCPU is made of. Private to the vcpu_*.c files; everyone else has kvm/vcpu.h.
 */
#ifndef EMBER_KVM_VCPU_INTERNAL_H
#define EMBER_KVM_VCPU_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include <linux/kvm.h>

#include "kvm/vcpu.h"

/*
 * Where the thread is. One word, which both sides wait on as a futex:
 *
 *   PRIMING --thread--> PARKED --vcpu_run()--> RUNNING --vcpu_request_pause()--> PAUSING --thread--> PARKED
 *                         |                       `----------thread stops by itself---------------> PARKED
 *                         `--vcpu_close()--> ENDING --thread--> gone
 */
enum vcpu_phase {
	VCPU_PRIMING = 0,
	VCPU_PARKED,
	VCPU_RUNNING,
	VCPU_PAUSING,
	VCPU_ENDING,
};

/*
 * What the vCPU held when it was made. Read from the vCPU itself, so that what equals it need not be set: see
 * vcpu_is_fresh().
 */
struct vcpu_fresh {
	struct msr_table msrs; /* those of kvm_host.msrs that this vCPU's CPUID lets KVM read */
	struct kvm_mp_state mp_state;
	struct kvm_vcpu_events events;
	struct kvm_xcrs xcrs;
	struct kvm_debugregs debugregs;
	uint8_t xsave[VCPU_XSAVE_MAX];
};

struct vcpu {
	struct vm *vm;
	uint32_t index;
	int fd; /* -1 before KVM_CREATE_VCPU */
	struct kvm_run *run;
	struct vcpu_handlers handlers;

	pthread_t thread;
	bool thread_started;
	pid_t pid;
	pid_t tid;              /* set by the thread before it first parks */
	int prime_result;       /* likewise: 0 or -errno */
	_Atomic uint32_t phase; /* enum vcpu_phase; a futex */
	_Atomic uint64_t entered_ns;

	/* Owned by the thread while it runs, by everyone while it is parked. */
	struct vcpu_stop_info stop;

	bool is_written;          /* its state has been written since `fresh` was read */
	uint32_t tsc_khz;         /* as last set; a new vCPU's is the host's */
	struct cpuid_table cpuid; /* likewise */
	bool is_restored;         /* a state has been put in, */
	struct msr_table named;   /* and these are the MSRs that it named */
	struct vcpu_fresh fresh;
};

/* The thread's function; its argument is the struct vcpu. In vcpu_thread.c. */
void *vcpu_thread(void *opaque);

/*
 * Does the vCPU still hold what vcpu->fresh says? Its own run would change it, a write would, and so could an
 * interrupt that another vCPU of the VM sends: so none may have run.
 */
static inline bool vcpu_is_fresh(const struct vcpu *vcpu)
{
	return !vcpu->is_written && !__atomic_load_n(&vcpu->vm->vcpu_has_run, __ATOMIC_SEQ_CST);
}

/* Read vcpu->fresh from a new vCPU. In vcpu_state.c. Returns 0 or -errno. */
int vcpu_read_fresh(struct vcpu *vcpu, struct error_detail *detail);

/*
 * The MSRs, in vcpu_msrs.c: what a new vCPU holds; what a save contains; and a state's, all but the TSC and its
 * deadline. Each returns 0, -EIO (KVM refuses one that detail names), or -errno.
 */
int vcpu_read_fresh_msrs(struct vcpu *vcpu, struct error_detail *detail);
int vcpu_get_msrs(struct vcpu *vcpu, struct msr_table *ret_msrs, struct error_detail *detail);
int vcpu_set_msrs(struct vcpu *vcpu, const struct msr_table *msrs, struct error_detail *detail);

/*
 * The TSCs of all vCPUs of a VM, in vcpu_tsc.c.
 *
 * vcpu_get_tscs()          write one reading of the TSC into states that are complete but for that
 * vcpu_set_tscs()          let the TSCs go on from the states' values; ret_drift: by how much the guest's TSC is off
 *                          these all the same, in cycles: 0, but where the host cannot set it
 * vcpu_set_tsc_deadline()  arm the deadline of a vCPU that has its TSC and its LAPIC, tsc_drift cycles later
 *
 * Each returns 0, -EAGAIN (the host is too busy to set the TSCs together), or -errno.
 */
int vcpu_get_tscs(struct vcpu *const *vcpus, uint32_t count, struct vcpu_state *states, struct error_detail *detail);
int vcpu_set_tscs(struct vcpu *const *vcpus, uint32_t count, const struct vcpu_state *states, uint64_t *ret_drift,
		  struct error_detail *detail);
int vcpu_set_tsc_deadline(struct vcpu *vcpu, const struct vcpu_state *state, uint64_t tsc_drift,
			  struct error_detail *detail);

/* Wait while the phase is `phase`; may return early. Wake all who wait. */
void vcpu_phase_wait(struct vcpu *vcpu, uint32_t phase);
void vcpu_phase_wake(struct vcpu *vcpu);

#endif
