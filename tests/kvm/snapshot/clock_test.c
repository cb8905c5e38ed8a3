/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kvmclock goes on from where it stood, whatever the host's clocks say; or moves on with the host's wall clock, if that
 * is asked for. Either way, and after a pause, the guest is told that it stood still.
 */
#include <string.h>

#include <criterion/criterion.h>

#include "fixture.h"
#include "kvm/monotonic.h"
#include "snapshot/time_text.h"

#define DISTINCTIVE_NS UINT64_C(0x00aabbccddeeff00) /* about 556 days: no fresh VM's clock stands there */
#define HOUR_NS        UINT64_C(3600000000000)
#define GUEST_STOPPED  2 /* a flag of the guest's pvclock */

TestSuite(clock, .init = fixture_setup, .fini = fixture_teardown);

/* When a snapshot says that it was taken, by either of the times in it: nanoseconds before now, or after. */
struct age {
	bool has_realtime; /* KVM gave one */
	int64_t realtime;
	int64_t created;
};

static void source(void *opaque)
{
	const struct age *age = opaque;
	struct kvm_clock_data clock = { .clock = DISTINCTIVE_NS };
	struct vm_life life;

	FIXTURE_BOOT(&life, 1, clock);
	CHECK_EQ(vm_set_clock(&life.machine->vm, &clock), 0);
	fixture_run_until_ready(&life);
	CHECK(fixture_report(&life)->before[0] >= DISTINCTIVE_NS);
	fixture_save(&life, "clock");
	CHECK(life.state->clock.clock >= fixture_report(&life)->before[0]);

	life.state->clock.flags &= ~(uint32_t)KVM_CLOCK_REALTIME;
	if (age->has_realtime)
		life.state->clock.flags |= KVM_CLOCK_REALTIME;
	life.state->clock.realtime = time_now() - (uint64_t)age->realtime;
	life.state->created_unix_ns = time_now() - (uint64_t)age->created;
	fixture_publish(&life, "clock");
	fixture_end(&life);
}

/* The time that passed for the guest is at least this, and more by no more than passed meanwhile. */
static void check_elapsed(uint64_t elapsed, uint64_t least, uint64_t begun)
{
	CHECK(elapsed >= least);
	CHECK(elapsed - least < monotonic_ns() - begun + HOUR_NS / 2);
}

static void restore(enum inject_clock policy, uint64_t jump)
{
	const struct inject_options options = { .clock = policy };
	uint64_t begun = monotonic_ns();
	struct kvm_clock_data now;
	struct vm_life life;
	const struct report *report;
	uint64_t saved;

	fixture_restore_with(&life, "clock", &options);
	saved = life.state->clock.clock;
	CHECK_EQ(vm_get_clock(&life.machine->vm, &now), 0);
	check_elapsed(now.clock - saved, jump, begun);

	fixture_finish(&life);
	report = fixture_report(&life);
	check_elapsed(report->values[0] - saved, jump, begun);
	CHECK(report->values[2] > report->before[2]);
	CHECK_EQ(report->values[3], 0x300001);
	CHECK_EQ(report->before[1] & GUEST_STOPPED, 0);
	CHECK_EQ(report->values[1] & GUEST_STOPPED, GUEST_STOPPED);
	fixture_end(&life);
}

static void goes_on(void *opaque)
{
	(void)opaque;
	restore(INJECT_CLOCK_CONTINUE, 0);
}

static void moves_on(void *opaque)
{
	(void)opaque;
	restore(INJECT_CLOCK_HOST, HOUR_NS);
}

static void does_not_move_on(void *opaque)
{
	(void)opaque;
	restore(INJECT_CLOCK_HOST, 0);
}

/* An hour on disk. */
static struct age hour_by_kvm = { .has_realtime = true, .realtime = (int64_t)HOUR_NS };
static struct age hour_by_us = { .realtime = -(int64_t)HOUR_NS, .created = (int64_t)HOUR_NS };
/* The host's clock was set back since. */
static struct age from_the_future = { .has_realtime = true, .realtime = -(int64_t)HOUR_NS };

Test(clock, a_guest_sees_it_go_on)
{
	fixture_in_process("source", source, &hour_by_kvm);
	fixture_in_process("target", goes_on, NULL);
}

Test(clock, a_guest_sees_it_move_on_with_the_host)
{
	fixture_in_process("source", source, &hour_by_kvm);
	fixture_in_process("target", moves_on, NULL);
	fixture_in_process("source", source, &hour_by_us);
	fixture_in_process("target", moves_on, NULL);
}

Test(clock, it_never_moves_back)
{
	fixture_in_process("source", source, &from_the_future);
	fixture_in_process("target", does_not_move_on, NULL);
}

/* Numbers that no clock shows, from a state of anybody's. */
static void wrap(void *opaque)
{
	const struct inject_options options = { .clock = INJECT_CLOCK_HOST };
	struct kvm_clock_data now;
	struct machine_shape shape;
	struct vm_state *state;
	struct vm_life life;
	int memory;

	(void)opaque;
	fixture_load("clock", &state, &memory);
	vm_state_shape(state, &shape);
	fixture_build(&life, &shape);
	state->clock.clock = UINT64_MAX - HOUR_NS;
	state->clock.realtime = 0;
	CHECK_OK(snapshot_inject(life.machine, state, memory, &options, NULL, &detail));
	CHECK_EQ(vm_get_clock(&life.machine->vm, &now), 0);
	CHECK(now.clock >= UINT64_MAX - HOUR_NS);
	fixture_end(&life);
}

Test(clock, a_sum_that_wraps_is_not_made)
{
	fixture_in_process("source", source, &hour_by_kvm);
	fixture_in_process("wrap", wrap, NULL);
}

static void pause_and_resume(void *opaque)
{
	struct vm_life life;

	(void)opaque;
	FIXTURE_BOOT(&life, 1, clock);
	fixture_run_until_ready(&life);
	CHECK_EQ(fixture_report(&life)->before[1] & GUEST_STOPPED, 0);
	fixture_report(&life)->go = 1;
	CHECK_EQ(machine_resume(life.machine), 0);
	fixture_wait(&life, EVENT_DONE, 1);
	machine_pause(life.machine);
	CHECK_EQ(fixture_report(&life)->values[1] & GUEST_STOPPED, GUEST_STOPPED);
	fixture_end(&life);
}

Test(clock, a_guest_is_told_of_a_pause)
{
	fixture_in_process("pause", pause_and_resume, NULL);
}
