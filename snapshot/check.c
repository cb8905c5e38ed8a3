/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Host compatibility, found out when a snapshot is registered and not when a client waits for a restore.
 *
 * The host must offer at least what the guest has seen: CPUID features that the guest may rely on, MSRs that can be
 * written back, room for its XSAVE area, and a TSC that runs as fast, or can be scaled to. More is no harm: the guest
 * keeps its own CPUID.
 */
#include "snapshot/check.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "kvm/msr.h"

/* Say on which vCPU it is that something differs. */
static int differs(uint32_t vcpu, const struct error_detail *what, struct error_detail *detail)
{
	error_detail_set(detail, "vCPU %" PRIu32 ": %.230s", vcpu, what->text);
	return -EOPNOTSUPP;
}

static int check_xsave(const struct kvm_host *host, const struct vcpu_state *vcpu, struct error_detail *detail)
{
	if (vcpu->xsave_size <= host->xsave_size)
		return 0;

	error_detail_set(detail, "its XSAVE area has %" PRIu32 " bytes, this host's %" PRIu32, vcpu->xsave_size,
			 host->xsave_size);
	return -EOPNOTSUPP;
}

static int check_tsc(const struct kvm_host *host, const struct vcpu_state *vcpu, struct error_detail *detail)
{
	uint64_t apart = (uint64_t)llabs((long long)vcpu->tsc_khz - (long long)host->tsc_khz);

	if (apart * 1000000 <= (uint64_t)host->tsc_khz * SNAPSHOT_TSC_TOLERANCE_PPM)
		return 0;
	if (host->tsc_control && vcpu->tsc_khz > 0)
		return 0;

	error_detail_set(detail, "its TSC runs at %" PRIu32 " kHz, this host's at %" PRIu32 " kHz and cannot be scaled",
			 vcpu->tsc_khz, host->tsc_khz);
	return -EOPNOTSUPP;
}

int snapshot_check_host(const struct kvm_host *host, const struct vm_state *state, struct error_detail *detail)
{
	struct error_detail what = { "" };

	if (state->vcpu_count > host->max_vcpus) {
		error_detail_set(detail, "it has %" PRIu32 " vCPUs, this host allows %" PRIu32, state->vcpu_count,
				 host->max_vcpus);
		return -EOPNOTSUPP;
	}

	for (uint32_t i = 0; i < state->vcpu_count; i++) {
		const struct vcpu_state *vcpu = &state->vcpus[i];

		if (cpuid_check(&host->supported_cpuid, &vcpu->cpuid, &what) < 0 ||
		    msr_check(&host->msrs, &vcpu->msrs, &what) < 0 || check_xsave(host, vcpu, &what) < 0 ||
		    check_tsc(host, vcpu, &what) < 0)
			return differs(i, &what, detail);
	}

	return 0;
}
