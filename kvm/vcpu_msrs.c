/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The MSRs of a vCPU: which of them belong to its state, out and in.
 *
 * Out. A save must hold all that its guest can have changed, and should ask for nothing else: what it names, the host
 * of a restore must be able to give back. KVM does not say which MSRs a guest has. It lets the host read nearly all of
 * them whatever the vCPU's CPUID says, and the CPUID is the state's, not the shell's, once a state has been put in. So
 * every MSR that this host can give back is read, and kept if
 *
 *   - its value is not the one of a new vCPU: it is somebody's; or
 *   - the vCPU's CPUID has its feature (msr.c); and, where a state has been put in, that state named it. Hence a
 *     snapshot of a restored VM names no MSR that the first one did not, unless the guest has written it since.
 *
 * In. As vcpu_state.c says, what equals a fresh vCPU's is left out. A vCPU that has run may hold MSRs that the state
 * does not name: these go back to what they were when it was made.
 */
#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>

#include "kvm/msr.h"
#include "kvm/vcpu_internal.h"

static void remove_entry(struct msr_table *msrs, uint32_t place)
{
	memmove(&msrs->entries[place], &msrs->entries[place + 1], (msrs->count - place - 1) * sizeof(msrs->entries[0]));
	msrs->count--;
}

/* Read a table. KVM stops at an MSR that it lets nobody read: it is taken out, unless a state has brought it. */
static int read_msrs(const struct vcpu *vcpu, struct msr_table *msrs, struct error_detail *detail)
{
	for (;;) {
		int done = ioctl(vcpu->fd, KVM_GET_MSRS, msrs);
		uint32_t index;

		if (done < 0) {
			int error = errno;

			error_detail_set(detail, "vCPU %u: KVM_GET_MSRS: %s", vcpu->index, strerror(error));
			return -error;
		}
		if ((uint32_t)done >= msrs->count)
			return 0;
		index = msrs->entries[done].index;
		if (vcpu->is_restored && msr_find(&vcpu->named, index)) {
			error_detail_set(detail, "vCPU %u: KVM_GET_MSRS: KVM refused MSR 0x%x (%s)", vcpu->index, index,
					 msr_name(index) ? msr_name(index) : "unknown");
			return -EIO;
		}
		remove_entry(msrs, (uint32_t)done);
	}
}

int vcpu_read_fresh_msrs(struct vcpu *vcpu, struct error_detail *detail)
{
	vcpu->fresh.msrs = vcpu->vm->host->msrs;
	return read_msrs(vcpu, &vcpu->fresh.msrs, detail);
}

static bool belongs_to_state(const struct vcpu *vcpu, const struct kvm_msr_entry *entry)
{
	const struct kvm_msr_entry *fresh = msr_find(&vcpu->fresh.msrs, entry->index);

	if (!fresh || fresh->data != entry->data)
		return true;
	if (vcpu->is_restored && !msr_find(&vcpu->named, entry->index))
		return false;
	return msr_has_feature(entry->index, &vcpu->cpuid);
}

int vcpu_get_msrs(struct vcpu *vcpu, struct msr_table *ret_msrs, struct error_detail *detail)
{
	struct msr_table *msrs = ret_msrs;
	uint32_t kept = 0;
	int result;

	*msrs = vcpu->vm->host->msrs;
	result = read_msrs(vcpu, msrs, detail);
	if (result < 0)
		return result;

	for (uint32_t i = 0; i < msrs->count; i++)
		if (belongs_to_state(vcpu, &msrs->entries[i]))
			msrs->entries[kept++] = msrs->entries[i];
	/* The rest is not part of a state: the same vCPU gives the same bytes each time. */
	memset(&msrs->entries[kept], 0, (VCPU_MSRS_MAX - kept) * sizeof(msrs->entries[0]));
	msrs->count = kept;
	return 0;
}

/* The fresh value of an MSR: in a state of this host's at the same place, else searched for. */
static const struct kvm_msr_entry *fresh_msr(const struct vcpu *vcpu, uint32_t place, uint32_t index)
{
	const struct msr_table *fresh = &vcpu->fresh.msrs;

	if (place < fresh->count && fresh->entries[place].index == index)
		return &fresh->entries[place];

	return msr_find(fresh, index);
}

/* Which of a state's MSRs to write; the TSC and its deadline have their own time. */
static void select_msrs(const struct vcpu *vcpu, const struct msr_table *wanted, struct msr_table *ret_selected)
{
	bool is_fresh = vcpu_is_fresh(vcpu);

	ret_selected->count = 0;
	for (uint32_t i = 0; i < wanted->count; i++) {
		const struct kvm_msr_entry *entry = &wanted->entries[i];
		const struct kvm_msr_entry *fresh;

		if (entry->index == MSR_INDEX_TSC || entry->index == MSR_INDEX_TSC_DEADLINE)
			continue;
		fresh = fresh_msr(vcpu, i, entry->index);
		if (is_fresh && fresh && fresh->data == entry->data)
			continue;
		ret_selected->entries[ret_selected->count++] = *entry;
	}
}

/* A vCPU that has run may hold MSRs that the state does not name: back to fresh. */
static void select_unnamed_msrs(const struct vcpu *vcpu, const struct msr_table *wanted, struct msr_table *selected)
{
	const struct msr_table *fresh = &vcpu->fresh.msrs;

	for (uint32_t i = 0; i < fresh->count && selected->count < VCPU_MSRS_MAX; i++) {
		uint32_t index = fresh->entries[i].index;

		if (index != MSR_INDEX_TSC && index != MSR_INDEX_TSC_DEADLINE && !msr_find(wanted, index))
			selected->entries[selected->count++] = fresh->entries[i];
	}
}

int vcpu_set_msrs(struct vcpu *vcpu, const struct msr_table *msrs, struct error_detail *detail)
{
	struct msr_table selected;
	int result;

	if (msrs->count > VCPU_MSRS_MAX) {
		error_detail_set(detail, "vCPU %u: MSR table: %s", vcpu->index, strerror(EINVAL));
		return -EINVAL;
	}

	selected.padding = 0;
	select_msrs(vcpu, msrs, &selected);
	if (!vcpu_is_fresh(vcpu))
		select_unnamed_msrs(vcpu, msrs, &selected);
	if (selected.count > 0) {
		result = msr_set(vcpu->fd, &selected, detail);
		if (result < 0)
			return result;
	}

	vcpu->named = *msrs;
	vcpu->is_restored = true;
	return 0;
}
