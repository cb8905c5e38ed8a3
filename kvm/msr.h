/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which model-specific registers belong to a vCPU's state.
 */
#ifndef EMBER_KVM_MSR_H
#define EMBER_KVM_MSR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kvm/error_detail.h"
#include "kvm/vcpu_state.h"

#define MSR_INDEX_TSC          0x00000010U
#define MSR_INDEX_TSC_ADJUST   0x0000003bU
#define MSR_INDEX_TSC_DEADLINE 0x000006e0U

/* Bits of CPUID, any one of which gives a guest the MSR. */
struct msr_feature {
	uint32_t leaf;
	uint32_t subleaf;
	uint32_t which; /* enum cpuid_register */
	uint32_t bits;  /* 0: no feature */
};

struct msr_description {
	const char *name; /* as the Intel SDM volume 4 or the AMD APM names it: "IA32_SYSENTER_CS" */
	uint32_t index;
	bool mandatory; /* a host that lists it but cannot give it back cannot hold snapshots */
	bool unlisted;  /* KVM_GET_MSR_INDEX_LIST does not name it where KVM has it: tried in any case */
	struct msr_feature features[2]; /* none: no bit of CPUID tells, or every processor has it */
};

/* The MSRs that Ember saves, in the order in which they are restored; msr.c says where the order matters. */
extern const struct msr_description msr_descriptions[];
extern const size_t msr_description_count;

/* The entry of that MSR in a table, or NULL. */
const struct kvm_msr_entry *msr_find(const struct msr_table *msrs, uint32_t index);

/* Has a guest with this CPUID the MSR? Yes, too, where CPUID does not tell. */
bool msr_has_feature(uint32_t index, const struct cpuid_table *cpuid);

/* The MSR's name, or NULL for one that is not in the table. */
const char *msr_name(uint32_t index);

/*
 * Give a new vCPU its machine-check banks (KVM_X86_SETUP_MCE): ten of them, with IA32_MCG_CTL, and not as many as the
 * host's kernel would choose, so that a guest finds the same ones after it has moved. Only where KVM_CAP_MCE is
 * present.
 *
 * Returns 0 or -errno.
 */
int msr_setup_machine_check(int vcpu_fd, struct error_detail *detail);

/*
 * Probe which MSRs of msr_descriptions[] that `listed` names, or that are tried in any case, can be read and written
 * back on this vCPU. Each is written with the value just read, so that the vCPU is left as it was, but for its TSC.
 *
 * vcpu_fd    a fresh vCPU
 * listed     indices from KVM_GET_MSR_INDEX_LIST
 * ret_msrs   those that can, with their values on a fresh vCPU
 *
 * Returns 0, or -EOPNOTSUPP (detail names a mandatory one that cannot).
 */
int msr_probe(int vcpu_fd, const uint32_t *listed, size_t listed_count, struct msr_table *ret_msrs,
	      struct error_detail *detail);

/*
 * Can a host that has `available` hold every MSR of `wanted`?
 * Returns 0, or -EOPNOTSUPP with the first one missing in detail.
 */
int msr_check(const struct msr_table *available, const struct msr_table *wanted, struct error_detail *detail);

/*
 * Read or write a whole table in one ioctl, in its order. KVM_SET_MSRS returns how many it did: fewer than all is -EIO
 * here, with the MSR and its value in detail.
 */
int msr_get(int vcpu_fd, struct msr_table *msrs, struct error_detail *detail);
int msr_set(int vcpu_fd, const struct msr_table *msrs, struct error_detail *detail);

#endif
