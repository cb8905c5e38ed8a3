/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The TSCs of a VM's vCPUs: one clock.
 *
 * A vCPU's TSC is the host's, scaled, plus an offset. KVM makes all vCPUs of a VM with one offset. Only their guest makes
 * them differ, and then IA32_TSC_ADJUST says by how much: KVM adds to it whatever a guest's write of the TSC, or of
 * IA32_TSC_ADJUST itself, moves the TSC by. So the TSC of the first vCPU and each one's IA32_TSC_ADJUST say all of them, and
 * nothing here depends on how long this thread is off the CPU between one vCPU and the next.
 *
 * Out: the first vCPU's TSC is read once, and each state gets that, moved by what its IA32_TSC_ADJUST differs from the
 * first one's. What each had read itself is of another instant and is dropped.
 *
 * In: the offset that makes the first vCPU's TSC go on from its saved value is given to all, moved likewise.
 *
 *   - Where there is KVM_VCPU_TSC_OFFSET (Linux 5.16), the offset itself is set. The host's TSC as the guest would see
 *     it without an offset comes from the vCPU: the TSC that it reads less the offset that it has.
 *
 *   - Where there is not, values are written. KVM takes a value that is within a second of what the TSC of the vCPU that was
 *     written last has reached for an attempt to synchronise with that, and gives it the same offset. Before Linux 6.8
 *     it takes a new vCPU's creation for such a write, so that a clone of a young guest in a young shell would go on from
 *     the shell's TSC. A value that is 2^40 cycles away, minutes, comes first and makes the saved one the beginning of a new
 *     clock, on the first vCPU alone: the others are then to be synchronised. They are, if they are written within a
 *     second: else all are written again. Those that their guest has moved come after them, each with a clock of its own.
 *
 * Where the host cannot set the TSC (kvm_host.tsc_settable), the guest reads the host's, and each deadline is moved by as
 * much as the TSC is off, so that the time that remained, remains.
 */
#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>

#include "kvm/monotonic.h"
#include "kvm/msr.h"
#include "kvm/vcpu_internal.h"

/* Half of the second within which KVM synchronises. */
#define TOGETHER_NS UINT64_C(500000000)
#define TRIES_MAX   16

static uint64_t saved_adjustment(const struct vcpu_state *state)
{
	const struct kvm_msr_entry *adjust = msr_find(&state->msrs, MSR_INDEX_TSC_ADJUST);

	return adjust ? adjust->data : 0;
}

/* How far the guest has moved the TSC of that vCPU from the first one's; modulo 2^64, as all that follows. */
static uint64_t difference(const struct vcpu_state *states, uint32_t i)
{
	return saved_adjustment(&states[i]) - saved_adjustment(&states[0]);
}

static int read_tsc(const struct vcpu *vcpu, uint64_t *ret_tsc, struct error_detail *detail)
{
	struct msr_table now = { .count = 1, .entries = { { .index = MSR_INDEX_TSC } } };
	int result = msr_get(vcpu->fd, &now, detail);

	if (result == 0)
		*ret_tsc = now.entries[0].data;
	return result;
}

int vcpu_get_tscs(struct vcpu *const *vcpus, uint32_t count, struct vcpu_state *states, struct error_detail *detail)
{
	bool is_own = vcpus[0]->vm->host->tsc_settable;
	uint64_t now = 0;
	int result;

	result = read_tsc(vcpus[0], &now, detail);
	if (result < 0)
		return result;

	for (uint32_t i = 0; i < count; i++) {
		struct msr_table *msrs = &states[i].msrs;

		for (uint32_t entry = 0; entry < msrs->count; entry++)
			if (msrs->entries[entry].index == MSR_INDEX_TSC)
				msrs->entries[entry].data = now + (is_own ? difference(states, i) : 0);
	}

	return 0;
}

static int offset_ioctl(const struct vcpu *vcpu, unsigned long request, uint64_t *offset, struct error_detail *detail)
{
	struct kvm_device_attr attribute = {
		.group = KVM_VCPU_TSC_CTRL,
		.attr = KVM_VCPU_TSC_OFFSET,
		.addr = (uint64_t)(uintptr_t)offset,
	};
	int error;

	if (ioctl(vcpu->fd, request, &attribute) == 0)
		return 0;

	error = errno;
	error_detail_set(detail, "vCPU %u: KVM_VCPU_TSC_OFFSET: %s", vcpu->index, strerror(error));
	return -error;
}

static int set_offsets(struct vcpu *const *vcpus, uint32_t count, const struct vcpu_state *states, uint64_t saved,
		       struct error_detail *detail)
{
	uint64_t now = 0, offset = 0;
	int result;

	result = read_tsc(vcpus[0], &now, detail);
	if (result < 0)
		return result;
	result = offset_ioctl(vcpus[0], KVM_GET_DEVICE_ATTR, &offset, detail);
	if (result < 0)
		return result;

	offset += saved - now;
	for (uint32_t i = 0; i < count; i++) {
		uint64_t own = offset + difference(states, i);

		result = offset_ioctl(vcpus[i], KVM_SET_DEVICE_ATTR, &own, detail);
		if (result < 0)
			return result;
	}

	return 0;
}

/* is_new: a clock of its own. */
static int write_tsc(const struct vcpu *vcpu, uint64_t value, bool is_new, struct error_detail *detail)
{
	struct msr_table msrs = { 0 };

	if (is_new)
		msrs.entries[msrs.count++] =
			(struct kvm_msr_entry){ .index = MSR_INDEX_TSC, .data = value + (UINT64_C(1) << 40) };
	msrs.entries[msrs.count++] = (struct kvm_msr_entry){ .index = MSR_INDEX_TSC, .data = value };
	return msr_set(vcpu->fd, &msrs, detail);
}

/* Those that are to share the first one's clock, or those that are not. */
static int write_some(struct vcpu *const *vcpus, uint32_t count, const struct vcpu_state *states, uint64_t saved,
		      bool sharing, struct error_detail *detail)
{
	int result = 0;

	for (uint32_t i = 0; i < count && result == 0; i++) {
		uint64_t moved = difference(states, i);

		if ((moved == 0) == sharing)
			result = write_tsc(vcpus[i], saved + moved, i == 0 || !sharing, detail);
	}

	return result;
}

static int write_values(struct vcpu *const *vcpus, uint32_t count, const struct vcpu_state *states, uint64_t saved,
			struct error_detail *detail)
{
	for (int tries = 0; tries < TRIES_MAX; tries++) {
		uint64_t begun = monotonic_ns();
		int result = write_some(vcpus, count, states, saved, true, detail);

		if (result == 0)
			result = write_some(vcpus, count, states, saved, false, detail);
		if (result < 0)
			return result;
		if (monotonic_ns() - begun < TOGETHER_NS)
			return 0;
	}

	error_detail_set(detail, "TSC: the host is too busy to write those of %u vCPUs within a second", count);
	return -EAGAIN;
}

static bool any_deadline(const struct vcpu_state *states, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		const struct kvm_msr_entry *deadline = msr_find(&states[i].msrs, MSR_INDEX_TSC_DEADLINE);

		if (deadline && deadline->data != 0)
			return true;
	}

	return false;
}

int vcpu_set_tscs(struct vcpu *const *vcpus, uint32_t count, const struct vcpu_state *states, uint64_t *ret_drift,
		  struct error_detail *detail)
{
	const struct kvm_host *host = vcpus[0]->vm->host;
	const struct kvm_msr_entry *saved = msr_find(&states[0].msrs, MSR_INDEX_TSC);
	uint64_t now = 0;
	int result;

	*ret_drift = 0;
	if (!saved)
		return 0;
	if (host->tsc_settable && host->tsc_offset)
		return set_offsets(vcpus, count, states, saved->data, detail);
	if (host->tsc_settable)
		return write_values(vcpus, count, states, saved->data, detail);

	if (!any_deadline(states, count))
		return 0;
	result = read_tsc(vcpus[0], &now, detail);
	if (result == 0)
		*ret_drift = now - saved->data;
	return result;
}

int vcpu_set_tsc_deadline(struct vcpu *vcpu, const struct vcpu_state *state, uint64_t tsc_drift,
			  struct error_detail *detail)
{
	const struct kvm_msr_entry *saved = msr_find(&state->msrs, MSR_INDEX_TSC_DEADLINE);
	struct msr_table msrs = { .count = 1, .entries = { { .index = MSR_INDEX_TSC_DEADLINE } } };

	/* A LAPIC in another mode ignores the deadline, and setting the LAPIC has disarmed an earlier one. */
	if (!saved || saved->data == 0)
		return 0;

	msrs.entries[0].data = saved->data + tsc_drift;
	return msr_set(vcpu->fd, &msrs, detail);
}
