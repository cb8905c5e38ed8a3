/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The whole state of a vCPU, out and in.
 *
 * Out, in this order:
 *
 *   1. MP state    Reading it makes KVM act on a pending INIT or SIPI, which changes registers: so before them.
 *   2. regs, sregs, XSAVE (or FPU), XCRs, debug registers: independent of each other.
 *   3. MSRs        A TSC deadline that has expired becomes an interrupt in the LAPIC, and is 0 from then on. That
 *                  happens in KVM_RUN, but not only there: any ioctl that finds its thread on another CPU than the
 *                  vCPU's last one may do it, as KVM then starts the timer anew. Read before the LAPIC, the deadline is
 *                  seen in the MSR, or as an interrupt in the LAPIC, or as both; read after it, it could be in neither,
 *                  and a guest that has no other timer would sleep for ever. A guest that sees it twice takes one
 *                  interrupt for nothing.
 *   4. LAPIC       Its timer's remaining count is worked out when it is read.
 *   5. events      Exceptions, NMIs, SMIs and interrupts under way. KVM_CAP_EXCEPTION_PAYLOAD is on (vm.c), so that
 *                  no getter delivers a pending exception on its way.
 *   6. TSC         Of all vCPUs at once, when all else has been read: see vcpu_tsc.c.
 *
 * In, in this order:
 *
 *   1. CPUID       KVM checks all the rest against it. Skipped when the vCPU has it, as a warm shell's has.
 *   2. TSC rate    Before any value of the TSC.
 *   3. sregs       CR0, CR4 and EFER, which decide what else is legal; APIC_BASE, which decides whether there is a
 *                  LAPIC to set and in which mode. Setting sregs makes a boot processor at its reset vector runnable.
 *   4. regs        After sregs: how KVM keeps RFLAGS depends on the mode (Intel without unrestricted guest runs real
 *                  mode as virtual-8086 mode). Clears pending exceptions: so before events.
 *   5. MP state    After sregs, which may change it (see 3).
 *   6. XCRs        After CR4.OSXSAVE.
 *   7. XSAVE       (or FPU, on a host without.) After XCR0, which says which parts the guest uses.
 *   8. debug registers
 *   9. MSRs        All but the TSC and its deadline; see vcpu_msrs.c. One ioctl.
 *  10. TSC         Of all vCPUs, once each has had 1 to 9: see vcpu_tsc.c. After TSC_ADJUST, whose write by the host
 *                  moved the TSC before Linux 5.10. Before the LAPIC, whose timer counts in cycles of the guest's TSC
 *                  in any mode where the processor has a timer for that: it would keep the distance that it had.
 *  11. LAPIC       After APIC_BASE. Starts its timer: a one-shot or periodic count goes on from what remained.
 *  12. deadline    After the LAPIC, because KVM only takes a TSC deadline when the LVT timer is in deadline mode, and
 *                  after the TSC that it is measured against.
 *  13. kvmclock    If the guest uses it, it is told that it was paused, so that its watchdogs do not bark.
 *  14. events      Last: setting regs drops exceptions, setting sregs queues an interrupt, and the LAPIC has an opinion
 *                  on interrupts too. What was under way stands at the end.
 *
 * What is left out. Each of these ioctls costs as much as any other (6 us on a software backend), whatever it carries.
 * As long as no vCPU of the VM has run and this one has not been written, it holds what was read from it when it was
 * made (struct vcpu_fresh): an item that equals that needs no setting. Not so the TSC, which runs, and the LAPIC,
 * which devices' interrupts reach even now; regs and sregs always differ. The steps that are taken leave those that
 * are skipped as they are: of the side effects named above, regs drop no exception where there is none, and sregs
 * queue an interrupt only where events are not fresh.
 *
 * A vCPU that has run takes no other CPUID, and no other value of the MSRs that say what the processor is
 * (IA32_ARCH_CAPABILITIES, MSR_PLATFORM_INFO): setting a state that differs there fails and names the item.
 */
#include "kvm/vcpu_state.h"

#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>

#include "kvm/cpuid.h"
#include "kvm/msr.h"
#include "kvm/vcpu_internal.h"

#define MSR_INDEX_KVM_SYSTEM_TIME     0x00000012U
#define MSR_INDEX_KVM_SYSTEM_TIME_NEW 0x4b564d01U

_Static_assert(VCPU_XSAVE_MAX >= sizeof(struct kvm_xsave), "room for the smallest XSAVE area");

static int item_fail(const struct vcpu *vcpu, int error, const char *name, struct error_detail *detail)
{
	error_detail_set(detail, "vCPU %u: %s: %s", vcpu->index, name, strerror(error));
	return -error;
}

/* An ioctl that detail names when it fails. */
static int item_ioctl(const struct vcpu *vcpu, unsigned long request, const void *argument, const char *name,
		      struct error_detail *detail)
{
	return ioctl(vcpu->fd, request, argument) < 0 ? item_fail(vcpu, errno, name, detail) : 0;
}

static bool host_has(const struct vcpu *vcpu, int capability)
{
	return host_capability_value(vcpu->vm->host, capability) != 0;
}

static int get_xsave(const struct vcpu *vcpu, uint8_t xsave[static VCPU_XSAVE_MAX], struct error_detail *detail)
{
	if (host_has(vcpu, KVM_CAP_XSAVE2))
		return item_ioctl(vcpu, KVM_GET_XSAVE2, xsave, "KVM_GET_XSAVE2", detail);

	return item_ioctl(vcpu, KVM_GET_XSAVE, xsave, "KVM_GET_XSAVE", detail);
}

static int get_xcrs(const struct vcpu *vcpu, struct kvm_xcrs *ret_xcrs, struct error_detail *detail)
{
	if (!host_has(vcpu, KVM_CAP_XCRS))
		return 0;

	return item_ioctl(vcpu, KVM_GET_XCRS, ret_xcrs, "KVM_GET_XCRS", detail);
}

int vcpu_read_fresh(struct vcpu *vcpu, struct error_detail *detail)
{
	int result;

	result = vcpu_read_fresh_msrs(vcpu, detail);
	if (result < 0)
		return result;
	result = item_ioctl(vcpu, KVM_GET_MP_STATE, &vcpu->fresh.mp_state, "KVM_GET_MP_STATE", detail);
	if (result < 0)
		return result;
	result = item_ioctl(vcpu, KVM_GET_VCPU_EVENTS, &vcpu->fresh.events, "KVM_GET_VCPU_EVENTS", detail);
	if (result < 0)
		return result;
	result = get_xcrs(vcpu, &vcpu->fresh.xcrs, detail);
	if (result < 0)
		return result;
	result = item_ioctl(vcpu, KVM_GET_DEBUGREGS, &vcpu->fresh.debugregs, "KVM_GET_DEBUGREGS", detail);
	if (result < 0)
		return result;
	if (vcpu->vm->host->xsave_size > 0)
		return get_xsave(vcpu, vcpu->fresh.xsave, detail);

	return 0;
}

static int get_extended(struct vcpu *vcpu, struct vcpu_state *state, struct error_detail *detail)
{
	int result;

	state->xsave_size = vcpu->vm->host->xsave_size;
	if (state->xsave_size > 0)
		result = get_xsave(vcpu, state->xsave, detail);
	else
		result = item_ioctl(vcpu, KVM_GET_FPU, &state->fpu, "KVM_GET_FPU", detail);
	if (result < 0)
		return result;
	result = get_xcrs(vcpu, &state->xcrs, detail);
	if (result < 0)
		return result;

	return item_ioctl(vcpu, KVM_GET_DEBUGREGS, &state->debugregs, "KVM_GET_DEBUGREGS", detail);
}

/* All of one parked vCPU; its TSC is read again afterwards, together with the others'. */
static int get_state(struct vcpu *vcpu, struct vcpu_state *state, struct error_detail *detail)
{
	int result;

	/* Filled in place, as it is large: zero first, for the padding and for what this host does not have. */
	memset(state, 0, sizeof(*state));
	result = item_ioctl(vcpu, KVM_GET_MP_STATE, &state->mp_state, "KVM_GET_MP_STATE", detail);
	if (result < 0)
		return result;
	result = item_ioctl(vcpu, KVM_GET_REGS, &state->regs, "KVM_GET_REGS", detail);
	if (result < 0)
		return result;
	result = item_ioctl(vcpu, KVM_GET_SREGS, &state->sregs, "KVM_GET_SREGS", detail);
	if (result < 0)
		return result;
	result = get_extended(vcpu, state, detail);
	if (result < 0)
		return result;
	result = vcpu_get_msrs(vcpu, &state->msrs, detail);
	if (result < 0)
		return result;
	result = item_ioctl(vcpu, KVM_GET_LAPIC, &state->lapic, "KVM_GET_LAPIC", detail);
	if (result < 0)
		return result;
	result = item_ioctl(vcpu, KVM_GET_VCPU_EVENTS, &state->events, "KVM_GET_VCPU_EVENTS", detail);
	if (result < 0)
		return result;

	/* As they were set. What KVM changes in the CPUID at run time, it changes again when that is set. */
	state->tsc_khz = vcpu->tsc_khz;
	state->cpuid = vcpu->cpuid;
	return 0;
}

int vcpu_get_states(struct vcpu *const *vcpus, uint32_t count, struct vcpu_state *ret_states,
		    struct error_detail *detail)
{
	for (uint32_t i = 0; i < count; i++) {
		int result;

		if (!vcpu_is_parked(vcpus[i]))
			return item_fail(vcpus[i], EBUSY, "it runs", detail);
		result = get_state(vcpus[i], &ret_states[i], detail);
		if (result < 0)
			return result;
	}

	return vcpu_get_tscs(vcpus, count, ret_states, detail);
}

int vcpu_get_state(struct vcpu *vcpu, struct vcpu_state *ret_state, struct error_detail *detail)
{
	return vcpu_get_states(&vcpu, 1, ret_state, detail);
}

static int set_cpuid(struct vcpu *vcpu, const struct cpuid_table *cpuid, struct error_detail *detail)
{
	int result;

	if (cpuid_equal(&vcpu->cpuid, cpuid))
		return 0;
	if (cpuid->count > CPUID_ENTRIES_MAX)
		return item_fail(vcpu, EINVAL, "CPUID table", detail);

	result = item_ioctl(vcpu, KVM_SET_CPUID2, cpuid, "KVM_SET_CPUID2", detail);
	if (result < 0)
		return result;

	vcpu->cpuid = *cpuid;
	return 0;
}

static int set_tsc_khz(struct vcpu *vcpu, uint32_t khz, struct error_detail *detail)
{
	if (khz == vcpu->tsc_khz)
		return 0;
	if (ioctl(vcpu->fd, KVM_SET_TSC_KHZ, (unsigned long)khz) < 0)
		return item_fail(vcpu, errno, "KVM_SET_TSC_KHZ", detail);

	vcpu->tsc_khz = khz;
	return 0;
}

static int set_mp_state(const struct vcpu *vcpu, const struct vcpu_state *state, struct error_detail *detail)
{
	if (vcpu_is_fresh(vcpu) && state->mp_state.mp_state == vcpu->fresh.mp_state.mp_state)
		return 0;

	return item_ioctl(vcpu, KVM_SET_MP_STATE, &state->mp_state, "KVM_SET_MP_STATE", detail);
}

static int set_events(const struct vcpu *vcpu, const struct vcpu_state *state, struct error_detail *detail)
{
	if (vcpu_is_fresh(vcpu) && memcmp(&state->events, &vcpu->fresh.events, sizeof(state->events)) == 0)
		return 0;

	return item_ioctl(vcpu, KVM_SET_VCPU_EVENTS, &state->events, "KVM_SET_VCPU_EVENTS", detail);
}

static int set_xcrs(const struct vcpu *vcpu, const struct vcpu_state *state, struct error_detail *detail)
{
	if (state->xcrs.nr_xcrs == 0)
		return 0;
	if (vcpu_is_fresh(vcpu) && memcmp(&state->xcrs, &vcpu->fresh.xcrs, sizeof(state->xcrs)) == 0)
		return 0;

	return item_ioctl(vcpu, KVM_SET_XCRS, &state->xcrs, "KVM_SET_XCRS", detail);
}

static int set_xsave(const struct vcpu *vcpu, const struct vcpu_state *state, struct error_detail *detail)
{
	uint32_t host_size = vcpu->vm->host->xsave_size;

	if (state->xsave_size > host_size) {
		error_detail_set(detail, "vCPU %u: XSAVE area of %u bytes, this host has %u", vcpu->index,
				 state->xsave_size, host_size);
		return -EOPNOTSUPP;
	}
	if (state->xsave_size == 0)
		return item_ioctl(vcpu, KVM_SET_FPU, &state->fpu, "KVM_SET_FPU", detail);
	if (vcpu_is_fresh(vcpu) && state->xsave_size == host_size &&
	    memcmp(state->xsave, vcpu->fresh.xsave, state->xsave_size) == 0)
		return 0;

	/* KVM reads as many bytes as the host's area has; past the state's own they are zero. */
	return item_ioctl(vcpu, KVM_SET_XSAVE, state->xsave, "KVM_SET_XSAVE", detail);
}

static int set_debugregs(const struct vcpu *vcpu, const struct vcpu_state *state, struct error_detail *detail)
{
	if (vcpu_is_fresh(vcpu) && memcmp(&state->debugregs, &vcpu->fresh.debugregs, sizeof(state->debugregs)) == 0)
		return 0;

	return item_ioctl(vcpu, KVM_SET_DEBUGREGS, &state->debugregs, "KVM_SET_DEBUGREGS", detail);
}

static bool uses_kvmclock(const struct vcpu_state *state)
{
	const struct kvm_msr_entry *old_clock = msr_find(&state->msrs, MSR_INDEX_KVM_SYSTEM_TIME);
	const struct kvm_msr_entry *new_clock = msr_find(&state->msrs, MSR_INDEX_KVM_SYSTEM_TIME_NEW);

	/* Bit 0: enabled. */
	return (old_clock && (old_clock->data & 1)) || (new_clock && (new_clock->data & 1));
}

static int set_core(struct vcpu *vcpu, const struct vcpu_state *state, struct error_detail *detail)
{
	int result;

	result = set_cpuid(vcpu, &state->cpuid, detail);
	if (result < 0)
		return result;
	result = set_tsc_khz(vcpu, state->tsc_khz, detail);
	if (result < 0)
		return result;
	result = item_ioctl(vcpu, KVM_SET_SREGS, &state->sregs, "KVM_SET_SREGS", detail);
	if (result < 0)
		return result;
	result = item_ioctl(vcpu, KVM_SET_REGS, &state->regs, "KVM_SET_REGS", detail);
	if (result < 0)
		return result;
	result = set_mp_state(vcpu, state, detail);
	if (result < 0)
		return result;
	result = set_xcrs(vcpu, state, detail);
	if (result < 0)
		return result;
	result = set_xsave(vcpu, state, detail);
	if (result < 0)
		return result;
	return set_debugregs(vcpu, state, detail);
}

void vcpu_tell_of_pause(struct vcpu *vcpu)
{
	/* -EINVAL says that the guest does not use the clock, or has switched it off: there is nobody to tell. */
	if (host_has(vcpu, KVM_CAP_KVMCLOCK_CTRL))
		(void)ioctl(vcpu->fd, KVM_KVMCLOCK_CTRL, 0);
}

/* What comes after the TSC. */
static int set_interrupts(struct vcpu *vcpu, const struct vcpu_state *state, uint64_t tsc_drift,
			  struct error_detail *detail)
{
	int result;

	result = item_ioctl(vcpu, KVM_SET_LAPIC, &state->lapic, "KVM_SET_LAPIC", detail);
	if (result < 0)
		return result;
	result = vcpu_set_tsc_deadline(vcpu, state, tsc_drift, detail);
	if (result < 0)
		return result;
	if (uses_kvmclock(state))
		vcpu_tell_of_pause(vcpu);
	return set_events(vcpu, state, detail);
}

static int set_states(struct vcpu *const *vcpus, uint32_t count, const struct vcpu_state *states,
		      struct error_detail *detail)
{
	uint64_t drift;
	int result = 0;

	for (uint32_t i = 0; i < count && result == 0; i++) {
		result = set_core(vcpus[i], &states[i], detail);
		if (result == 0)
			result = vcpu_set_msrs(vcpus[i], &states[i].msrs, detail);
	}
	if (result == 0)
		result = vcpu_set_tscs(vcpus, count, states, &drift, detail);
	for (uint32_t i = 0; i < count && result == 0; i++)
		result = set_interrupts(vcpus[i], &states[i], drift, detail);

	return result;
}

int vcpu_set_states(struct vcpu *const *vcpus, uint32_t count, const struct vcpu_state *states,
		    struct error_detail *detail)
{
	int result;

	for (uint32_t i = 0; i < count; i++)
		if (!vcpu_is_parked(vcpus[i]))
			return item_fail(vcpus[i], EBUSY, "it runs", detail);

	result = set_states(vcpus, count, states, detail);
	/* Not before: what a vCPU holds fresh need not be set. */
	for (uint32_t i = 0; i < count; i++)
		vcpus[i]->is_written = true;
	return result;
}

int vcpu_set_state(struct vcpu *vcpu, const struct vcpu_state *state, struct error_detail *detail)
{
	return vcpu_set_states(&vcpu, 1, state, detail);
}

int vcpu_get_registers(struct vcpu *vcpu, struct kvm_regs *ret_regs, struct kvm_sregs *ret_sregs)
{
	struct kvm_regs regs;
	struct kvm_sregs sregs;

	if (!vcpu_is_parked(vcpu))
		return -EBUSY;
	if (ioctl(vcpu->fd, KVM_GET_REGS, &regs) < 0 || ioctl(vcpu->fd, KVM_GET_SREGS, &sregs) < 0)
		return -errno;

	*ret_regs = regs;
	*ret_sregs = sregs;
	return 0;
}

int vcpu_set_registers(struct vcpu *vcpu, const struct kvm_regs *regs, const struct kvm_sregs *sregs)
{
	if (!vcpu_is_parked(vcpu))
		return -EBUSY;

	vcpu->is_written = true;
	if (ioctl(vcpu->fd, KVM_SET_SREGS, sregs) < 0 || ioctl(vcpu->fd, KVM_SET_REGS, regs) < 0)
		return -errno;

	return 0;
}
