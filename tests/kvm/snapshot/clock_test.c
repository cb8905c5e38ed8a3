/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kvmclock goes on from where it stood, whatever the host's clocks say.
 */
#include <string.h>

#include <criterion/criterion.h>

#include "fixture.h"
#include "kvm/monotonic.h"

#define DISTINCTIVE_NS UINT64_C(0x00aabbccddeeff00) /* about 556 days: no fresh VM's clock stands there */
#define HOUR_NS        UINT64_C(3600000000000)

TestSuite(clock, .init = fixture_setup, .fini = fixture_teardown);

static void source(void *opaque)
{
	struct kvm_clock_data clock = { .clock = DISTINCTIVE_NS };
	struct vm_life life;

	(void)opaque;
	FIXTURE_BOOT(&life, 1, clock);
	CHECK_EQ(vm_set_clock(&life.machine->vm, &clock), 0);
	fixture_run_until_ready(&life);
	CHECK(fixture_report(&life)->before[0] >= DISTINCTIVE_NS);
	fixture_save(&life, "clock");
	CHECK(life.state->clock.clock >= fixture_report(&life)->before[0]);

	/* As if it had lain on disk for an hour: who believed the host's wall clock would move the guest's on. */
	life.state->clock.realtime -= HOUR_NS;
	fixture_publish(&life, "clock");
	fixture_end(&life);
}

static void target(void *opaque)
{
	uint64_t begun = monotonic_ns();
	struct kvm_clock_data now;
	struct vm_life life;
	const struct report *report;
	uint64_t saved;

	(void)opaque;
	fixture_restore(&life, "clock");
	saved = life.state->clock.clock;
	CHECK_EQ(vm_get_clock(&life.machine->vm, &now), 0);
	CHECK(now.clock >= saved);
	CHECK(now.clock - saved < monotonic_ns() - begun + HOUR_NS / 2);

	fixture_finish(&life);
	report = fixture_report(&life);
	CHECK(report->values[0] >= saved);
	CHECK(report->values[0] - saved < monotonic_ns() - begun + HOUR_NS / 2);
	CHECK(report->values[2] > report->before[2]);
	CHECK_EQ(report->values[3], 0x300001);
	fixture_end(&life);
}

Test(clock, a_guest_sees_it_go_on)
{
	fixture_in_process("source", source, NULL);
	fixture_in_process("target", target, NULL);
}
