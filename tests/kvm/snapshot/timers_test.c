/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Timers that are armed in one process and fire in another.
 */
#include "guests/timers.h"

#include <string.h>

#include <criterion/criterion.h>

#include "fixture.h"
#include "kvm/msr.h"

#define ONE_SHOT_NS UINT64_C(2000000000) /* time enough to save the VM before it fires */
#define PERIOD_NS   UINT64_C(20000000)
#define LAPIC_IRR   0x200
#define LAPIC_COUNT 0x390

TestSuite(timers, .init = fixture_setup, .fini = fixture_teardown);

static uint32_t lapic_register(const struct vm_state *state, unsigned reg)
{
	uint32_t value;

	memcpy(&value, state->vcpus[0].lapic.regs + reg, sizeof(value));
	return value;
}

static bool is_in_lapic(const struct vm_state *state, unsigned vector)
{
	return lapic_register(state, LAPIC_IRR + vector / 32 * 16) >> vector % 32 & 1;
}

static void source(void *opaque)
{
	enum timer_kind kind = *(const enum timer_kind *)opaque;
	uint64_t ahead = kind == TIMER_LAPIC_PERIODIC ? PERIOD_NS : ONE_SHOT_NS; /* KVM's APIC bus runs at 1 GHz */
	struct vm_life life;

	FIXTURE_BOOT(&life, 1, timers);
	if (kind == TIMER_TSC_DEADLINE)
		ahead = fixture_host()->tsc_khz * (ONE_SHOT_NS / 1000000);
	fixture_report(&life)->mode = kind;
	fixture_report(&life)->before[0] = ahead;
	fixture_run_until_ready(&life);
	fixture_save(&life, "timer");

	/* It was armed, and had not fired yet: what fires later is the timer, and not an interrupt that was pending. */
	if (kind == TIMER_LAPIC_ONE_SHOT || kind == TIMER_TSC_DEADLINE)
		CHECK(!is_in_lapic(life.state, VECTOR_TIMER));
	if (kind == TIMER_LAPIC_ONE_SHOT)
		CHECK(lapic_register(life.state, LAPIC_COUNT) > 0);
	if (kind == TIMER_TSC_DEADLINE)
		CHECK(msr_find(&life.state->vcpus[0].msrs, MSR_INDEX_TSC_DEADLINE)->data > 0);
	fixture_end(&life);
}

static void target(void *opaque)
{
	enum timer_kind kind = *(const enum timer_kind *)opaque;
	unsigned vector = kind <= TIMER_PIT_ONE_SHOT ? VECTOR_PIC : VECTOR_TIMER;
	bool periodic = kind == TIMER_PIT_PERIODIC || kind == TIMER_LAPIC_PERIODIC;
	struct vm_life life;

	fixture_restore(&life, "timer");
	CHECK_EQ(fixture_report(&life)->interrupts[vector], 0);
	fixture_finish(&life);
	if (periodic)
		CHECK(fixture_report(&life)->interrupts[vector] >= 4);
	else
		CHECK_EQ(fixture_report(&life)->interrupts[vector], 1);
	fixture_end(&life);
}

static void arm_save_restore(enum timer_kind kind)
{
	fixture_in_process("source", source, &kind);
	fixture_in_process("target", target, &kind);
}

Test(timers, pit_periodic)
{
	arm_save_restore(TIMER_PIT_PERIODIC);
}

Test(timers, pit_one_shot)
{
	arm_save_restore(TIMER_PIT_ONE_SHOT);
}

Test(timers, lapic_periodic)
{
	arm_save_restore(TIMER_LAPIC_PERIODIC);
}

Test(timers, lapic_one_shot)
{
	arm_save_restore(TIMER_LAPIC_ONE_SHOT);
}

static void has_deadline(void *opaque)
{
	*(bool *)opaque = msr_find(&fixture_host()->msrs, MSR_INDEX_TSC_DEADLINE) != NULL;
}

Test(timers, tsc_deadline)
{
	bool *available = fixture_share(sizeof(*available));

	fixture_in_process("probe", has_deadline, available);
	if (!*available)
		cr_skip_test("this host's KVM has no TSC deadline timer");
	arm_save_restore(TIMER_TSC_DEADLINE);
}
