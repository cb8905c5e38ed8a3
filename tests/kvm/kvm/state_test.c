/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every item of a vCPU's state survives a move to another VM.
 *
 * What KVM's setters take is put into one vCPU by ioctls of the test's own, moved with vcpu_get_state() and
 * vcpu_set_state(), and read from the other vCPU by ioctls again. Each item is moved into a fresh vCPU, which takes the
 * short way, and into one that has run and holds other values, which does not.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "kvm/msr.h"
#include "support.h"

/* A shell that holds the values, a fresh one, and one that has run something else. */
struct trio {
	struct shell *from;
	struct shell *fresh;
	struct shell *used;
	struct vcpu_state *state;
};

static void get(struct trio *trio)
{
	struct error_detail detail = { 0 };

	cr_assert_eq(vcpu_get_state(trio->from->vcpus[0], trio->state, &detail), 0, "%s", detail.text);
}

static void set(struct trio *trio)
{
	struct error_detail detail = { 0 };

	cr_assert_eq(vcpu_set_state(trio->fresh->vcpus[0], trio->state, &detail), 0, "fresh: %s", detail.text);
	cr_assert_eq(vcpu_set_state(trio->used->vcpus[0], trio->state, &detail), 0, "used: %s", detail.text);
}

static void move(struct trio *trio)
{
	get(trio);
	set(trio);
}

static struct trio trio_new(void)
{
	struct trio trio = {
		.from = shell_new(1, TEST_MEMORY_SIZE),
		.fresh = shell_new(1, TEST_MEMORY_SIZE),
		.used = shell_new(1, TEST_MEMORY_SIZE),
		.state = calloc(1, sizeof(struct vcpu_state)),
	};

	cr_assert_not_null(trio.state);
	/* The used one gets values of its own everywhere: those of the guest that writes all it can. */
	trio.used->recorder.pause_at_report = trio.used->vcpus[0];
	shell_load(trio.used, GUEST_CODE(state_inside), ENTRY_LONG);
	cr_assert_eq(vcpu_run(trio.used->vcpus[0]), 0);
	while (!vcpu_is_parked(trio.used->vcpus[0]))
		usleep(10);
	cr_assert_eq(shell_report_count(trio.used), 1);
	return trio;
}

static void trio_free(struct trio *trio)
{
	shell_free(trio->from);
	shell_free(trio->fresh);
	shell_free(trio->used);
	free(trio->state);
}

static int from_fd(const struct trio *trio)
{
	return vcpu_fd(trio->from->vcpus[0]);
}

/* Read an item from both targets and compare it with what was put in. */
static void assert_both(const struct trio *trio, unsigned long request, const void *expected, size_t size,
			const char *name)
{
	struct shell *shells[] = { trio->fresh, trio->used };
	static uint8_t seen[VCPU_XSAVE_MAX];

	cr_assert_leq(size, sizeof(seen));
	for (size_t i = 0; i < 2; i++) {
		memset(seen, 0, sizeof(seen));
		cr_assert_geq(ioctl(vcpu_fd(shells[i]->vcpus[0]), request, seen), 0, "%s", name);
		cr_assert_arr_eq(seen, expected, size, "%s in the %s vCPU", name, i == 0 ? "fresh" : "used");
	}
}

Test(state, general_registers)
{
	struct trio trio = trio_new();
	struct kvm_regs regs = {
		.rax = 0x0101010101010101,
		.rbx = 0x0202020202020202,
		.rcx = 0x0303030303030303,
		.rdx = 0x0404040404040404,
		.rsi = 0x0505050505050505,
		.rdi = 0x0606060606060606,
		.rsp = 0x0707070707070707,
		.rbp = 0x0808080808080808,
		.r8 = 0x0909090909090909,
		.r9 = 0x0a0a0a0a0a0a0a0a,
		.r10 = 0x0b0b0b0b0b0b0b0b,
		.r11 = 0x0c0c0c0c0c0c0c0c,
		.r12 = 0x0d0d0d0d0d0d0d0d,
		.r13 = 0x0e0e0e0e0e0e0e0e,
		.r14 = 0x0f0f0f0f0f0f0f0f,
		.r15 = 0x1010101010101010,
		.rip = 0x1111111111111111,
		.rflags = 0x40ad7,
	};

	cr_assert_eq(ioctl(from_fd(&trio), KVM_SET_REGS, &regs), 0);
	move(&trio);
	assert_both(&trio, KVM_GET_REGS, &regs, sizeof(regs), "regs");
	trio_free(&trio);
}

Test(state, system_registers)
{
	struct trio trio = trio_new();
	struct kvm_sregs sregs;
	struct kvm_segment *segments[] = { &sregs.cs, &sregs.ds, &sregs.es, &sregs.fs,
					   &sregs.gs, &sregs.ss, &sregs.tr, &sregs.ldt };

	shell_load(trio.from, GUEST_CODE(spin), ENTRY_LONG);
	cr_assert_eq(ioctl(from_fd(&trio), KVM_GET_SREGS, &sregs), 0);
	for (unsigned int i = 0; i < 8; i++) {
		segments[i]->selector = (uint16_t)(0x100 + 8 * i);
		segments[i]->base = UINT64_C(0x10000) * (i + 1);
		segments[i]->limit = 0xfff + i * 0x1000;
		segments[i]->g = 0;
	}
	sregs.tr.type = 11;
	sregs.tr.s = 0;
	sregs.tr.present = 1;
	sregs.ldt.type = 2;
	sregs.ldt.s = 0;
	sregs.ldt.present = 1;
	sregs.gdt = (struct kvm_dtable){ .base = 0x21000, .limit = 0x7f };
	sregs.idt = (struct kvm_dtable){ .base = 0x22000, .limit = 0xfff };
	sregs.cr2 = 0xabcdef000;
	sregs.cr8 = 5;
	sregs.efer |= 1;    /* SCE */
	sregs.cr4 |= 0x200; /* OSFXSR */
	cr_assert_eq(ioctl(from_fd(&trio), KVM_SET_SREGS, &sregs), 0);
	cr_assert_eq(ioctl(from_fd(&trio), KVM_GET_SREGS, &sregs), 0);
	cr_assert(sregs.cr2 == 0xabcdef000 && sregs.cr8 == 5 && (sregs.efer & 1) && (sregs.cr4 & 0x200));
	cr_assert(sregs.fs.base == 0x40000 && sregs.gs.base == 0x50000 && sregs.tr.base == 0x70000);
	move(&trio);
	assert_both(&trio, KVM_GET_SREGS, &sregs, sizeof(sregs), "sregs");
	trio_free(&trio);
}

Test(state, apic_base_in_x2apic_mode)
{
	struct trio trio = trio_new();
	struct kvm_lapic_state lapic;
	struct kvm_sregs sregs;

	cr_assert_eq(ioctl(from_fd(&trio), KVM_GET_SREGS, &sregs), 0);
	sregs.apic_base |= 0xc00; /* enabled, and in x2APIC mode */
	cr_assert_eq(ioctl(from_fd(&trio), KVM_SET_SREGS, &sregs), 0);
	cr_assert_eq(ioctl(from_fd(&trio), KVM_GET_LAPIC, &lapic), 0);
	*(uint32_t *)(void *)&lapic.regs[0xf0] = 0x1fe;
	cr_assert_eq(ioctl(from_fd(&trio), KVM_SET_LAPIC, &lapic), 0);
	cr_assert_eq(ioctl(from_fd(&trio), KVM_GET_LAPIC, &lapic), 0);
	move(&trio);
	cr_assert_eq(trio.state->sregs.apic_base & 0xc00, 0xc00);
	assert_both(&trio, KVM_GET_SREGS, &sregs, sizeof(sregs), "sregs");
	assert_both(&trio, KVM_GET_LAPIC, &lapic, sizeof(lapic), "LAPIC");
	trio_free(&trio);
}

Test(state, xsave_area)
{
	struct trio trio = trio_new();
	static uint8_t area[VCPU_XSAVE_MAX];
	const uint16_t control = 0x027f;
	const uint32_t mxcsr = 0x1fa0;
	const uint64_t components = 3; /* x87 and SSE */

	cr_assert_gt(test_host()->xsave_size, 0);
	cr_assert_eq(ioctl(from_fd(&trio), KVM_GET_XSAVE, area), 0);
	/* Intel SDM volume 1, table 10-2: FCW, MXCSR, ST0-7 at 32, XMM0-15 at 160; XSTATE_BV at 512. */
	memcpy(&area[0], &control, sizeof(control));
	memcpy(&area[24], &mxcsr, sizeof(mxcsr));
	for (size_t i = 0; i < 8; i++) {
		for (size_t byte = 0; byte < 10; byte++)
			area[32 + 16 * i + byte] = (uint8_t)(0x10 * i + byte + 1);
	}
	for (size_t i = 0; i < 256; i++)
		area[160 + i] = (uint8_t)(i ^ 0x5a);
	memcpy(&area[512], &components, sizeof(components));
	cr_assert_eq(ioctl(from_fd(&trio), KVM_SET_XSAVE, area), 0);
	cr_assert_eq(ioctl(from_fd(&trio), KVM_GET_XSAVE, area), 0);
	cr_assert_eq(area[160 + 100], 100 ^ 0x5a);
	move(&trio);
	cr_assert_eq(trio.state->xsave_size, test_host()->xsave_size);
	assert_both(&trio, KVM_GET_XSAVE, area, sizeof(struct kvm_xsave), "XSAVE area");
	trio_free(&trio);
}

Test(state, extended_control_registers)
{
	struct trio trio = trio_new();
	struct kvm_xcrs xcrs = { 0 };

	cr_assert_eq(ioctl(from_fd(&trio), KVM_GET_XCRS, &xcrs), 0);
	/*
	 * The widest value that the CPUID of this host's guests allows: often x87, SSE and AVX, here perhaps x87 alone.
	 */
	for (uint64_t wanted = 7; wanted > 0 && xcrs.nr_xcrs > 0; wanted >>= 1) {
		xcrs.xcrs[0].value = wanted;
		if (ioctl(from_fd(&trio), KVM_SET_XCRS, &xcrs) == 0)
			break;
	}
	memset(&xcrs, 0, sizeof(xcrs));
	cr_assert_eq(ioctl(from_fd(&trio), KVM_GET_XCRS, &xcrs), 0);
	move(&trio);
	cr_assert_arr_eq(&trio.state->xcrs, &xcrs, sizeof(xcrs));
	assert_both(&trio, KVM_GET_XCRS, &xcrs, sizeof(xcrs), "XCRs");
	trio_free(&trio);
}

Test(state, debug_registers)
{
	struct trio trio = trio_new();
	struct kvm_debugregs debugregs = {
		.db = { 0x100000, 0x200000, 0x300000, 0x400000 },
		.dr6 = 0xffff0ff1,
		.dr7 = 0x402,
	};

	cr_assert_eq(ioctl(from_fd(&trio), KVM_SET_DEBUGREGS, &debugregs), 0);
	move(&trio);
	assert_both(&trio, KVM_GET_DEBUGREGS, &debugregs, sizeof(debugregs), "debug registers");
	trio_free(&trio);
}

Test(state, local_apic)
{
	struct trio trio = trio_new();
	struct kvm_lapic_state lapic;
	const struct {
		unsigned int offset;
		uint32_t value;
	} registers[] = {
		{ 0x80, 0x40 },                                                   /* TPR */
		{ 0xd0, 0x02000000 },                                             /* LDR */
		{ 0xe0, 0xffffffff },                                             /* DFR */
		{ 0xf0, 0x1fe },                                                  /* SVR: enabled, vector 0xfe */
		{ 0x110, 0x00000001 },                                            /* ISR, vector 0x20 */
		{ 0x220, 0x00020000 },                                            /* IRR, vector 0x51 */
		{ 0x190, 0x00000000 },                                            /* TMR */
		{ 0x280, 0x00000040 },                                            /* ESR */
		{ 0x300, 0x000c4050 },                                            /* ICR */
		{ 0x310, 0x03000000 }, { 0x320, 0x10052 },                        /* LVT timer, masked */
		{ 0x340, 0x10053 },    { 0x350, 0x10054 }, { 0x360, 0x00000400 }, /* LINT1: NMI */
		{ 0x370, 0x10055 },    { 0x3e0, 0x3 },                            /* divide by 16 */
	};

	cr_assert_eq(ioctl(from_fd(&trio), KVM_GET_LAPIC, &lapic), 0);
	for (size_t i = 0; i < sizeof(registers) / sizeof(registers[0]); i++)
		memcpy(&lapic.regs[registers[i].offset], &registers[i].value, sizeof(uint32_t));
	cr_assert_eq(ioctl(from_fd(&trio), KVM_SET_LAPIC, &lapic), 0);
	cr_assert_eq(ioctl(from_fd(&trio), KVM_GET_LAPIC, &lapic), 0);
	for (size_t i = 0; i < sizeof(registers) / sizeof(registers[0]); i++)
		cr_assert_arr_eq(&lapic.regs[registers[i].offset], &registers[i].value, sizeof(uint32_t),
				 "KVM takes register 0x%x", registers[i].offset);
	move(&trio);
	assert_both(&trio, KVM_GET_LAPIC, &lapic, sizeof(lapic), "LAPIC");
	trio_free(&trio);
}

Test(state, multiprocessing_states)
{
	const uint32_t states[] = { KVM_MP_STATE_RUNNABLE, KVM_MP_STATE_HALTED, KVM_MP_STATE_UNINITIALIZED };

	for (size_t i = 0; i < sizeof(states) / sizeof(states[0]); i++) {
		struct trio trio = trio_new();
		struct kvm_mp_state mp_state = { .mp_state = states[i] };

		cr_assert_eq(ioctl(from_fd(&trio), KVM_SET_MP_STATE, &mp_state), 0);
		move(&trio);
		assert_both(&trio, KVM_GET_MP_STATE, &mp_state, sizeof(mp_state), "MP state");
		trio_free(&trio);
	}
}

/* A halted boot processor at its reset vector: setting sregs makes it runnable, so that MP state must come after. */
Test(state, halted_at_the_reset_vector)
{
	struct trio trio = trio_new();
	struct kvm_mp_state mp_state = { .mp_state = KVM_MP_STATE_HALTED };

	cr_assert_eq(ioctl(from_fd(&trio), KVM_SET_MP_STATE, &mp_state), 0);
	get(&trio);
	cr_assert_eq(trio.state->regs.rip, 0xfff0);
	set(&trio);
	assert_both(&trio, KVM_GET_MP_STATE, &mp_state, sizeof(mp_state), "MP state");
	trio_free(&trio);
}

static void check_events(void (*change)(struct kvm_vcpu_events *events), const char *name)
{
	struct trio trio = trio_new();
	struct kvm_vcpu_events events;

	cr_assert_eq(ioctl(from_fd(&trio), KVM_GET_VCPU_EVENTS, &events), 0);
	change(&events);
	cr_assert_eq(ioctl(from_fd(&trio), KVM_SET_VCPU_EVENTS, &events), 0, "%s", name);
	memset(&events, 0, sizeof(events));
	cr_assert_eq(ioctl(from_fd(&trio), KVM_GET_VCPU_EVENTS, &events), 0);
	move(&trio);
	assert_both(&trio, KVM_GET_VCPU_EVENTS, &events, sizeof(events), name);
	trio_free(&trio);
}

static void injected_exception(struct kvm_vcpu_events *events)
{
	events->exception.injected = 1;
	events->exception.nr = 14;
	events->exception.has_error_code = 1;
	events->exception.error_code = 2;
}

static void pending_exception(struct kvm_vcpu_events *events)
{
	events->exception.pending = 1;
	events->exception.nr = 14;
	events->exception.has_error_code = 1;
	events->exception.error_code = 6;
	events->exception_has_payload = 1;
	events->exception_payload = 0x12345000;
}

static void interrupt_and_shadow(struct kvm_vcpu_events *events)
{
	events->interrupt.injected = 1;
	events->interrupt.nr = 0x33;
	events->interrupt.shadow = KVM_X86_SHADOW_INT_STI;
}

static void pending_nmi(struct kvm_vcpu_events *events)
{
	events->nmi.pending = 1;
	events->nmi.masked = 1;
}

Test(state, events_injected_exception)
{
	check_events(injected_exception, "injected exception");
}

Test(state, events_pending_exception_with_payload)
{
	check_events(pending_exception, "pending exception");
}

Test(state, events_interrupt_with_shadow)
{
	check_events(interrupt_and_shadow, "interrupt");
}

Test(state, events_nmi)
{
	check_events(pending_nmi, "NMI");
}

/* Values that the MSR takes and that differ from a fresh vCPU's. */
static uint64_t distinctive(uint32_t index, uint64_t fresh)
{
	if (index >= 0x200 && index <= 0x20f) /* MTRR pairs: a base and a mask within 36 bits */
		return (index & 1) ? UINT64_C(0xf80000800)
				   : UINT64_C(0x40000006) + (index - 0x200) * UINT64_C(0x100000);
	if (index >= 0x250 && index <= 0x26f) /* fixed MTRRs: eight memory types */
		return 0x0606050405060400 + (index & 1);
	if (index >= 0x400 && index <= 0x4ff) /* machine-check banks: controls are all or nothing */
		return (index & 3) == 0 ? ~fresh : UINT64_C(0x1111000000000000) + index;

	switch (index) {
	case 0x000000ce: /* what the processor is: a vCPU that has run takes no other, see below */
	case 0x0000010a:
		return fresh;
	case 0x0000003b: /* TSC_ADJUST */
		return 0x1000;
	case 0x000001a0: /* MISC_ENABLE: fast strings, and MWAIT as it was */
		return fresh ^ 1;
	case 0x00000277: /* PAT */
		return 0x0007010600070406;
	case 0x000002ff: /* MTRR_DEF_TYPE: enabled, fixed enabled, write-back */
		return 0xc06;
	case 0x0000017a: /* MCG_STATUS */
		return 0x5;
	case 0x0000017b: /* MCG_CTL */
		return ~fresh;
	case 0x4b564d00: /* wall clocks: a page of guest memory */
	case 0x00000011:
		return 0x30000;
	case 0x4b564d01: /* system times: likewise, and enabled */
	case 0x00000012:
		return 0x31001;
	case 0x4b564d02: /* async page faults: 64-byte aligned, enabled, by interrupt */
		return 0x32000 | 9;
	case 0x4b564d06:
		return 0xf3;
	case 0x4b564d03: /* steal time */
		return 0x33001;
	case 0x4b564d04: /* end of interrupt */
		return 0x34001;
	case 0x4b564d05: /* poll control: one bit */
		return fresh ^ 1;
	case 0xc0000081: /* STAR */
		return 0x0023001000000000;
	default:
		return 0x12340;
	}
}

/* Moved whatever they hold, but not comparable: they run (TSC), or depend on another item. */
static bool runs_or_depends(uint32_t index)
{
	return index == MSR_INDEX_TSC || index == MSR_INDEX_TSC_DEADLINE;
}

Test(state, every_msr)
{
	struct trio trio = trio_new();
	const struct msr_table *msrs = &test_host()->msrs;
	unsigned int distinct = 0;

	for (uint32_t i = 0; i < msrs->count; i++) {
		struct msr_table one = { .count = 1, .entries = { msrs->entries[i] } };
		uint32_t index = msrs->entries[i].index;

		if (runs_or_depends(index))
			continue;
		one.entries[0].data = distinctive(index, msrs->entries[i].data);
		/* A host may refuse a value of our choice, or drop it; what it holds then is what must move. */
		if (msr_set(from_fd(&trio), &one, NULL) < 0)
			continue;
		cr_assert_eq(msr_get(from_fd(&trio), &one, NULL), 0);
		distinct += one.entries[0].data != msrs->entries[i].data;
	}
	cr_assert_geq(distinct, 37, "%u MSRs hold a value that is not a fresh vCPU's", distinct);

	move(&trio);
	for (uint32_t i = 0; i < msrs->count; i++) {
		struct shell *shells[] = { trio.fresh, trio.used };
		uint32_t index = msrs->entries[i].index;
		const struct kvm_msr_entry *saved = msr_find(&trio.state->msrs, index);
		uint64_t expected = saved ? saved->data : msrs->entries[i].data;

		cr_assert(saved || !msr_has_feature(index, &trio.state->cpuid), "%s is not saved", msr_name(index));

		for (size_t s = 0; s < 2 && !runs_or_depends(index); s++) {
			struct msr_table one = { .count = 1, .entries = { { .index = index } } };

			cr_assert_eq(msr_get(vcpu_fd(shells[s]->vcpus[0]), &one, NULL), 0);
			cr_assert_eq(one.entries[0].data, expected, "%s", msr_name(index));
		}
	}
	trio_free(&trio);
}

/*
 * KVM lets these be written before a vCPU runs, and then no more: a fresh vCPU takes them, a used one says which it
 * refuses.
 */
Test(state, msrs_that_say_what_the_processor_is)
{
	struct trio trio = trio_new();
	struct msr_table msr = { .count = 1, .entries = { { .index = 0x10a } } };
	struct error_detail detail = { 0 };
	uint64_t other;

	if (!msr_find(&test_host()->msrs, 0x10a))
		cr_skip_test("this host has no IA32_ARCH_CAPABILITIES");
	cr_assert_eq(msr_get(from_fd(&trio), &msr, NULL), 0);
	/* KVM takes what the host has, or less: the lowest bit less. */
	if (msr.entries[0].data == 0) {
		trio_free(&trio);
		cr_skip_test("this host's IA32_ARCH_CAPABILITIES has no bit that could be taken away");
	}
	other = msr.entries[0].data & (msr.entries[0].data - 1);
	msr.entries[0].data = other;
	cr_assert_eq(msr_set(from_fd(&trio), &msr, &detail), 0, "%s", detail.text);
	get(&trio);
	cr_assert_eq(vcpu_set_state(trio.fresh->vcpus[0], trio.state, &detail), 0, "%s", detail.text);
	msr.entries[0].data = 0;
	cr_assert_eq(msr_get(vcpu_fd(trio.fresh->vcpus[0]), &msr, NULL), 0);
	cr_assert_eq(msr.entries[0].data, other);
	if (vcpu_set_state(trio.used->vcpus[0], trio.state, &detail) < 0)
		cr_assert_not_null(strstr(detail.text, "IA32_ARCH_CAPABILITIES"), "%s", detail.text);
	trio_free(&trio);
}

/* A vCPU that has run goes all the way back to what a fresh one holds. */
Test(state, a_used_vcpu_becomes_fresh_again)
{
	struct trio trio = trio_new();
	struct vcpu_state *seen = calloc(1, sizeof(*seen));
	struct error_detail detail = { 0 };

	cr_assert_not_null(seen);
	move(&trio);
	cr_assert_eq(vcpu_get_state(trio.used->vcpus[0], seen, &detail), 0, "%s", detail.text);
	cr_assert_eq(seen->msrs.count, trio.state->msrs.count);
	for (uint32_t i = 0; i < seen->msrs.count; i++) {
		if (seen->msrs.entries[i].index == MSR_INDEX_TSC)
			seen->msrs.entries[i].data = trio.state->msrs.entries[i].data;
	}
	cr_assert_arr_eq(seen, trio.state, sizeof(*seen));
	free(seen);
	trio_free(&trio);
}

/* MSRs that the state does not name do not keep what the previous guest left. */
Test(state, an_msr_that_the_state_lacks_becomes_fresh)
{
	struct trio trio = trio_new();
	struct msr_table lstar = { .count = 1, .entries = { { .index = 0xc0000082 } } };
	struct msr_table *msrs;

	get(&trio);
	msrs = &trio.state->msrs;
	for (uint32_t i = 0; i < msrs->count; i++) {
		if (msrs->entries[i].index == 0xc0000082)
			msrs->entries[i] = msrs->entries[--msrs->count];
	}
	cr_assert_eq(msr_get(vcpu_fd(trio.used->vcpus[0]), &lstar, NULL), 0);
	cr_assert_eq(lstar.entries[0].data, 0x90082);
	set(&trio);
	cr_assert_eq(msr_get(vcpu_fd(trio.used->vcpus[0]), &lstar, NULL), 0);
	cr_assert_eq(lstar.entries[0].data, 0);
	trio_free(&trio);
}

/* What the guest in this shell's vCPU is told by CPUID leaf 1, ECX. */
static uint64_t features_seen(struct shell *shell)
{
	cr_assert_eq(shell_run_to_stop(shell).stop, VCPU_STOP_HANDLER);
	cr_assert_eq(shell_report(shell, 0), 0, "APIC id");
	cr_assert_eq(shell_report(shell, 3), 0x4b4d564b, "KVMK");
	return shell_report(shell, 1);
}

/*
 * The CPUID moves as part of the state. A software backend shows guests more of the host than KVM was told to, so that
 * guests are compared with each other.
 */
Test(state, cpuid_of_another_template)
{
	struct shell *from = shell_new_with_template(1, TEST_MEMORY_SIZE, CPU_TEMPLATE_PORTABLE);
	struct shell *to = shell_new(1, TEST_MEMORY_SIZE);
	struct shell *host = shell_new(1, TEST_MEMORY_SIZE);
	uint64_t portable_features;

	cr_assert_not(cpuid_equal(&from->cpuid[0], &to->cpuid[0]));
	shell_load(from, GUEST_CODE(cpuid), ENTRY_LONG);
	shell_load(host, GUEST_CODE(cpuid), ENTRY_LONG);
	shell_copy(from, to);
	portable_features = features_seen(from);
	cr_assert_neq(portable_features, features_seen(host));
	cr_assert_eq(features_seen(to), portable_features);
	shell_free(from);
	shell_free(to);
	shell_free(host);
}

static void assert_same_msrs(const struct msr_table *one, const struct msr_table *other)
{
	cr_assert_eq(one->count, other->count);
	for (uint32_t i = 0; i < one->count; i++)
		cr_assert_eq(one->entries[i].index, other->entries[i].index, "%s, %s", msr_name(one->entries[i].index),
			     msr_name(other->entries[i].index));
}

/*
 * A state of a lesser host in a shell of this one: what is saved of it names no more MSRs than it did, and neither does
 * a save of that.
 */
Test(state, a_second_generation_names_no_more_msrs)
{
	struct vcpu_state *first = calloc(1, sizeof(*first));
	struct vcpu_state *second = calloc(1, sizeof(*second));
	struct shell *from = shell_new_with_template(1, TEST_MEMORY_SIZE, CPU_TEMPLATE_PORTABLE);
	struct shell *to = shell_new(1, TEST_MEMORY_SIZE);
	struct error_detail detail = { 0 };
	uint32_t kept = 0;

	cr_assert(first && second);
	cr_assert_eq(vcpu_get_state(from->vcpus[0], first, &detail), 0, "%s", detail.text);
	/* What has no bit of CPUID can be missing on that host, too: it has fewer machine-check banks. */
	for (uint32_t i = 0; i < first->msrs.count; i++)
		if (first->msrs.entries[i].index < 0x410 || first->msrs.entries[i].index > 0x427)
			first->msrs.entries[kept++] = first->msrs.entries[i];
	cr_assert_lt(kept, first->msrs.count);
	first->msrs.count = kept;

	cr_assert_eq(vcpu_set_state(to->vcpus[0], first, &detail), 0, "%s", detail.text);
	cr_assert_eq(vcpu_get_state(to->vcpus[0], second, &detail), 0, "%s", detail.text);
	assert_same_msrs(&first->msrs, &second->msrs);
	shell_free(from);
	shell_free(to);
	free(first);
	free(second);
}

/* But for one that the guest has written since: that is not lost. */
Test(state, a_second_generation_names_what_was_written)
{
	struct trio trio = trio_new();
	struct msr_table lstar = { .count = 1, .entries = { { .index = 0xc0000082, .data = 0x90082 } } };
	struct error_detail detail = { 0 };
	struct msr_table *msrs;

	get(&trio);
	msrs = &trio.state->msrs;
	for (uint32_t i = 0; i < msrs->count; i++)
		if (msrs->entries[i].index == 0xc0000082)
			msrs->entries[i] = msrs->entries[--msrs->count];
	cr_assert_eq(vcpu_set_state(trio.fresh->vcpus[0], trio.state, &detail), 0, "%s", detail.text);
	cr_assert_eq(vcpu_get_state(trio.fresh->vcpus[0], trio.state, &detail), 0, "%s", detail.text);
	cr_assert_null(msr_find(&trio.state->msrs, 0xc0000082));
	cr_assert_eq(msr_set(vcpu_fd(trio.fresh->vcpus[0]), &lstar, NULL), 0);
	cr_assert_eq(vcpu_get_state(trio.fresh->vcpus[0], trio.state, &detail), 0, "%s", detail.text);
	cr_assert_not_null(msr_find(&trio.state->msrs, 0xc0000082));
	trio_free(&trio);
}

/* The same, seen by the guest itself. */
Test(state, from_inside_the_guest)
{
	const uint64_t expected[] = {
		0x08,       0,          0x90175,    0,          0x90176,    0,          0x81,       0x230010,
		0x90082,    0,          0x47700,    0,          0x90100,    0,          0x90101,    0,
		0x90102,    0,          0x70106,    0x70406,    0x1234500,  0,          0x1234501,  0,
		0x1234502,  0,          0x1234503,  0,          0x5a000,    0,          0x9,        0,
		0x08080808, 0x08080808, 0x09090909, 0x09090909, 0x10101010, 0x10101010, 0x11111111, 0x11111111,
		0x12121212, 0x12121212, 0x13131313, 0x13131313, 0x14141414, 0x14141414, 0x15151515, 0x15151515,
		0xb9b9b9b9, 0xb9b9b9b9,
	};
	const size_t count = sizeof(expected) / sizeof(expected[0]);
	struct shell *from = shell_new(1, TEST_MEMORY_SIZE);
	struct shell *to = shell_new(1, TEST_MEMORY_SIZE);

	from->recorder.pause_at_report = from->vcpus[0];
	shell_load(from, GUEST_CODE(state_inside), ENTRY_LONG);
	cr_assert_eq(vcpu_run(from->vcpus[0]), 0);
	while (!vcpu_is_parked(from->vcpus[0]))
		usleep(10);
	shell_copy(from, to);
	shell_free(from);
	cr_assert_eq(shell_run_to_stop(to).stop, VCPU_STOP_HANDLER);
	cr_assert_eq(shell_report_count(to), count);
	for (size_t i = 0; i < count; i++)
		cr_assert_eq(shell_report(to, i), expected[i], "value %zu is 0x%llx, expected 0x%llx", i,
			     (unsigned long long)shell_report(to, i), (unsigned long long)expected[i]);
	shell_free(to);
}
