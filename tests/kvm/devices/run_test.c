/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Running and pausing: a guest that is stopped again and again notices nothing, and loses nothing.
 */
#include <criterion/criterion.h>
#include <errno.h>

#include "fixture.h"

#define COUNT 3000

static struct fixture fixture;

static void tear_down(void)
{
	if (fixture.machine)
		fixture_end(&fixture);
}

TestSuite(machine_run, .fini = tear_down);

/*
 * Every access to a device is a place where a pause may fall: half-done instructions must be finished before the vCPU
 * parks.
 */
Test(machine_run, pauses_lose_nothing)
{
	static uint8_t data[2 * COUNT];
	unsigned int pauses = 0;

	fixture_start_guest(&fixture, 1, ENTRY_LONG, count);
	while (fixture_signals(&fixture, 1) == 0) {
		machine_pause(fixture.machine);
		cr_assert(vcpu_is_parked(fixture.machine->vcpus[0]));
		pauses++;
		cr_assert_eq(machine_run(fixture.machine), 0);
	}

	fixture_read_output(&fixture, data, sizeof(data));
	for (size_t i = 0; i < sizeof(data); i++)
		cr_assert_eq(data[i], (uint8_t)(i / 2), "byte %zu", i);
	cr_assert_gt(pauses, 1);
}

Test(machine_run, what_is_typed_while_the_machine_is_paused_is_served_afterwards)
{
	static const uint8_t typed[] = "typed while nobody ran";
	uint8_t answer[sizeof(typed)];

	fixture_start_guest(&fixture, 1, ENTRY_LONG, echo_fifo);
	fixture_wait_signal(&fixture, SIGNAL_READY, 1);
	machine_pause(fixture.machine);
	cr_assert_eq(serial_write_input(fixture.machine->serial, typed, sizeof(typed)), sizeof(typed));
	cr_assert_eq(machine_run(fixture.machine), 0);
	fixture_read_output(&fixture, answer, sizeof(answer));
	cr_assert_arr_eq(answer, typed, sizeof(typed));
}

Test(machine_run, running_twice_is_refused_and_pausing_twice_is_nothing)
{
	fixture_start_guest(&fixture, 2, ENTRY_LONG, echo_fifo);
	cr_assert_eq(machine_run(fixture.machine), -EBUSY);
	machine_pause(fixture.machine);
	machine_pause(fixture.machine);
	cr_assert_eq(machine_run(fixture.machine), 0);
	cr_assert_eq(machine_run(fixture.machine), -EBUSY);
}

Test(machine_run, signals_are_stamped)
{
	struct signal_record ready, never;

	fixture_start_guest(&fixture, 1, ENTRY_LONG, echo_fifo);
	fixture_wait_signal(&fixture, SIGNAL_READY, 1);
	signal_port_record(fixture.machine->signal_port, SIGNAL_READY, &ready);
	signal_port_record(fixture.machine->signal_port, 77, &never);
	cr_assert_eq(ready.count, 1);
	cr_assert_geq(ready.first_ns, vcpu_entered_ns(fixture.machine->vcpus[0]));
	cr_assert_eq(never.count, 0);
}
