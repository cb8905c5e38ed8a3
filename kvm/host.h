/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What this host's KVM offers: probed once, before anything is forked, and inherited by every worker.
 */
#ifndef EMBER_KVM_HOST_H
#define EMBER_KVM_HOST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kvm/cpuid.h"
#include "kvm/error_detail.h"
#include "kvm/vcpu_state.h"

/* The capabilities that Ember looks at, in the order of host_capabilities[]. */
#define HOST_CAPABILITIES_MAX 64

struct host_capability {
	const char *name; /* as in linux/kvm.h without KVM_CAP_: "IRQCHIP" */
	int number;       /* KVM_CAP_IRQCHIP */
	bool required;    /* Ember does not start without it */
};

extern const struct host_capability host_capabilities[];
extern const size_t host_capability_count;

struct kvm_host {
	int fd;                                       /* /dev/kvm */
	int api_version;                              /* 12 */
	size_t run_size;                              /* bytes of a vCPU's shared kvm_run area */
	uint32_t xsave_size;                          /* bytes of a vCPU's XSAVE area; 0 without KVM_CAP_XSAVE */
	uint32_t tsc_khz;                             /* what a new vCPU's TSC runs at */
	bool tsc_control;                             /* may a vCPU run at another rate? */
	bool tsc_settable;                            /* does a vCPU's TSC take a value, or is it the host's own? */
	bool tsc_offset;                              /* by KVM_VCPU_TSC_OFFSET; else by a write of the MSR */
	bool tsc_advances;                            /* a vCPU's TSC counts */
	bool tsc_rate_wrong;                          /* tsc_khz is not its rate: see host_tsc.c */
	uint32_t tsc_measured_khz;                    /* its rate, by the kernel's clock */
	uint32_t max_vcpus;                           /* KVM_CAP_MAX_VCPUS */
	int capability_values[HOST_CAPABILITIES_MAX]; /* by index into host_capabilities[]; 0: absent */
	struct cpuid_table supported_cpuid;
	struct msr_table msrs; /* the MSRs that can be read and written back here, with a fresh vCPU's values */
};

/*
 * Open /dev/kvm and probe it. Makes a VM with one vCPU for a moment, to try which MSRs can be both read and written.
 *
 * ret_host  on success owns a file descriptor; the caller ends it with host_close()
 *
 * Returns 0; -ENOENT or -EACCES (no /dev/kvm, or no permission: detail names the remedy); -ENOSYS (API version or a
 * required capability: detail names it); else -errno of the ioctl that detail names.
 */
int host_probe(struct kvm_host *ret_host, struct error_detail *detail);

/* The value of a capability by its number (0: absent, or not among host_capabilities[]). */
int host_capability_value(const struct kvm_host *host, int number);

/* Close the file descriptor. Takes a zeroed struct. */
void host_close(struct kvm_host *host);

#endif
