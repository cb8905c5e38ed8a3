/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A state that KVM does not take is refused with the name of the item at fault.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "support.h"

Test(refusal, a_refused_msr_is_named)
{
	struct shell *shell = shell_new(1, TEST_MEMORY_SIZE);
	struct vcpu_state *state = calloc(1, sizeof(*state));
	struct error_detail detail = { 0 };

	cr_assert_not_null(state);
	cr_assert_eq(vcpu_get_state(shell->vcpus[0], state, &detail), 0);
	for (uint32_t i = 0; i < state->msrs.count; i++) {
		if (state->msrs.entries[i].index == 0x2ff)
			state->msrs.entries[i].data = 0xff; /* no such memory type */
	}
	cr_assert_eq(vcpu_set_state(shell->vcpus[0], state, &detail), -EIO);
	cr_assert_not_null(strstr(detail.text, "0x2ff"), "%s", detail.text);
	cr_assert_not_null(strstr(detail.text, "IA32_MTRR_DEF_TYPE"), "%s", detail.text);
	cr_assert_not_null(strstr(detail.text, "0xff"), "%s", detail.text);

	state->msrs.count = 1;
	state->msrs.entries[0] = (struct kvm_msr_entry){ .index = 0x12345678, .data = 1 };
	cr_assert_eq(vcpu_set_state(shell->vcpus[0], state, &detail), -EIO);
	cr_assert_not_null(strstr(detail.text, "0x12345678"), "%s", detail.text);
	free(state);
	shell_free(shell);
}

static void check_refusal(void (*spoil)(struct vcpu_state *state), int error, const char *named)
{
	struct shell *shell = shell_new(1, TEST_MEMORY_SIZE);
	struct vcpu_state *state = calloc(1, sizeof(*state));
	struct error_detail detail = { 0 };

	cr_assert_not_null(state);
	cr_assert_eq(vcpu_get_state(shell->vcpus[0], state, &detail), 0);
	spoil(state);
	cr_assert_eq(vcpu_set_state(shell->vcpus[0], state, &detail), error, "%s: %s", named, detail.text);
	cr_assert_not_null(strstr(detail.text, named), "%s", detail.text);
	free(state);
	shell_free(shell);
}

static void spoil_sregs(struct vcpu_state *state)
{
	state->sregs.cr4 = UINT64_MAX;
}

static void spoil_mp_state(struct vcpu_state *state)
{
	state->mp_state.mp_state = 77;
}

static void spoil_xsave_size(struct vcpu_state *state)
{
	state->xsave_size = VCPU_XSAVE_MAX;
}

static void spoil_xsave(struct vcpu_state *state)
{
	memset(&state->xsave[512], 0xff, 8); /* XSTATE_BV: components that no processor has */
}

static void spoil_debugregs(struct vcpu_state *state)
{
	state->debugregs.dr7 = UINT64_MAX;
}

static void spoil_events(struct vcpu_state *state)
{
	state->events.flags = UINT32_MAX;
}

static void spoil_msr_count(struct vcpu_state *state)
{
	state->msrs.count = VCPU_MSRS_MAX + 1;
}

static void spoil_cpuid_count(struct vcpu_state *state)
{
	state->cpuid.count = CPUID_ENTRIES_MAX + 1;
}

Test(refusal, each_item_is_named)
{
	check_refusal(spoil_sregs, -EINVAL, "KVM_SET_SREGS");
	check_refusal(spoil_mp_state, -EINVAL, "KVM_SET_MP_STATE");
	check_refusal(spoil_xsave_size, -EOPNOTSUPP, "XSAVE area");
	check_refusal(spoil_xsave, -EINVAL, "KVM_SET_XSAVE");
	check_refusal(spoil_debugregs, -EINVAL, "KVM_SET_DEBUGREGS");
	check_refusal(spoil_events, -EINVAL, "KVM_SET_VCPU_EVENTS");
	check_refusal(spoil_msr_count, -EINVAL, "MSR table");
	check_refusal(spoil_cpuid_count, -EINVAL, "CPUID table");
}
