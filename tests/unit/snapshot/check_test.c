/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Hosts that cannot give a snapshot back what it had.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <criterion/criterion.h>

#include "kvm/msr.h"
#include "sample.h"
#include "snapshot/check.h"

static struct vm_state *state;
static struct kvm_host *host;
static struct error_detail detail;

/* Two vCPUs with leaf 7 and two MSRs, and a host that has just that. */
static void setup(void)
{
	static const struct kvm_cpuid_entry2 leaf = { .function = 7, .flags = 1, .ebx = 0x1f };

	state = calloc(1, sizeof(*state));
	host = calloc(1, sizeof(*host));
	cr_assert(state && host);
	state->vcpu_count = 2;
	for (size_t i = 0; i < 2; i++) {
		struct vcpu_state *vcpu = &state->vcpus[i];

		vcpu->cpuid.count = 1;
		vcpu->cpuid.entries[0] = leaf;
		vcpu->msrs.count = 2;
		vcpu->msrs.entries[0].index = msr_descriptions[0].index;
		vcpu->msrs.entries[1].index = msr_descriptions[1].index;
		vcpu->xsave_size = 4096;
		vcpu->tsc_khz = 2000000;
	}
	host->max_vcpus = 2;
	host->supported_cpuid = state->vcpus[0].cpuid;
	host->msrs = state->vcpus[0].msrs;
	host->xsave_size = 4096;
	host->tsc_khz = 2000000;
	cr_assert_eq(snapshot_check_host(host, state, &detail), 0, "%s", detail.text);
}

static void teardown(void)
{
	free(state);
	free(host);
}

TestSuite(check, .init = setup, .fini = teardown);

static void expect(const char *first, const char *second)
{
	cr_assert_eq(snapshot_check_host(host, state, &detail), -EOPNOTSUPP);
	cr_assert(strstr(detail.text, first) && strstr(detail.text, second), "%s", detail.text);
}

Test(check, vcpus)
{
	host->max_vcpus = 1;
	expect("2 vCPUs", "allows 1");
}

Test(check, cpuid)
{
	state->vcpus[1].cpuid.entries[0].ebx |= 1U << 30;
	expect("vCPU 1: ", "40000000");
	host->supported_cpuid.entries[0].ebx |= 3U << 30;
	cr_assert_eq(snapshot_check_host(host, state, &detail), 0, "more than the guest has is no harm: %s",
		     detail.text);
}

Test(check, msrs)
{
	host->msrs.count = 1;
	expect("vCPU 0: ", msr_descriptions[1].name);
}

Test(check, xsave)
{
	state->vcpus[1].xsave_size = 8192;
	expect("vCPU 1: ", "8192 bytes, this host's 4096");
	host->xsave_size = 11008;
	cr_assert_eq(snapshot_check_host(host, state, &detail), 0, "%s", detail.text);
}

Test(check, tsc)
{
	state->vcpus[0].tsc_khz = 2000500;
	state->vcpus[1].tsc_khz = 1999500;
	cr_assert_eq(snapshot_check_host(host, state, &detail), 0, "250 ppm: %s", detail.text);
	state->vcpus[0].tsc_khz = 2000501;
	expect("vCPU 0: ", "2000501 kHz");
	state->vcpus[0].tsc_khz = 2000000;
	state->vcpus[1].tsc_khz = 1999499;
	expect("vCPU 1: ", "1999499 kHz");
	state->vcpus[1].tsc_khz = 0;
	expect("vCPU 1: ", "at 0 kHz");

	host->tsc_control = true;
	expect("vCPU 1: ", "at 0 kHz");
	state->vcpus[1].tsc_khz = 3000000;
	cr_assert_eq(snapshot_check_host(host, state, &detail), 0, "%s", detail.text);
}
