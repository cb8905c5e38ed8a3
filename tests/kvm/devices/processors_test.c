/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Machines of several processors: started by INIT and SIPI, at the devices all at once, paused together, and ended
 * once.
 */
#include <criterion/criterion.h>
#include <errno.h>

#include "fixture.h"

#define PROCESSORS 4
#define LETTERS    200
#define GO         UINT64_C(0x20804)

static struct fixture fixture;

static void tear_down(void)
{
	if (fixture.machine)
		fixture_end(&fixture);
}

TestSuite(machine_processors, .fini = tear_down);

/* Every processor has signalled its start and its end once, and all its letters are in the output. */
static void assert_all_came(void)
{
	static uint8_t data[PROCESSORS * LETTERS];
	unsigned int letters[256] = { 0 };

	fixture_read_output(&fixture, data, sizeof(data));
	for (size_t i = 0; i < sizeof(data); i++)
		letters[data[i]]++;
	for (uint8_t i = 0; i < PROCESSORS; i++) {
		cr_assert_eq(letters['a' + i], LETTERS);
		cr_assert_eq(fixture_signals(&fixture, 10 + i), 1);
		cr_assert_eq(fixture_signals(&fixture, 20 + i), 1);
	}
}

Test(machine_processors, all_start_and_share_the_devices)
{
	fixture_start_guest(&fixture, PROCESSORS, ENTRY_LONG, processors);
	fixture_wait_signal(&fixture, 1, 1);
	assert_all_came();
}

Test(machine_processors, pauses_stop_all_and_lose_nothing)
{
	unsigned int pauses = 0;

	fixture_start_guest(&fixture, PROCESSORS, ENTRY_LONG, processors);
	while (fixture_signals(&fixture, 1) == 0) {
		machine_pause(fixture.machine);
		for (size_t i = 0; i < PROCESSORS; i++)
			cr_assert(vcpu_is_parked(fixture.machine->vcpus[i]));
		pauses++;
		cr_assert_eq(machine_run(fixture.machine), 0);
	}
	assert_all_came();
	cr_assert_gt(pauses, 1);
}

/* All pull the reset line at the same time: one end is told, by one of them, and all can be parked. */
Test(machine_processors, an_end_that_all_bring_about_is_told_once)
{
	const uint32_t go = 1;
	struct machine_exit_info info;

	fixture_start_guest(&fixture, PROCESSORS, ENTRY_LONG, processors);
	fixture_wait_signal(&fixture, 1, 1);
	cr_assert_eq(guest_memory_write(&fixture.machine->vm.memory, GO, &go, sizeof(go)), 0);
	fixture_wait_exit(&fixture, &info);
	cr_assert_eq(info.reason, MACHINE_EXIT_RESET);
	cr_assert_lt(info.vcpu, PROCESSORS);

	machine_pause(fixture.machine);
	for (size_t i = 0; i < PROCESSORS; i++)
		cr_assert(vcpu_is_parked(fixture.machine->vcpus[i]));
	cr_assert_eq(fixture.observer.exits, 1);
	cr_assert_eq(machine_run(fixture.machine), -ESHUTDOWN);
}

/* A machine may be freed while it runs, whatever its processors are doing. */
Test(machine_processors, freed_at_any_moment)
{
	for (int i = 0; i < 10; i++) {
		const uint32_t go = 1;

		fixture_start_guest(&fixture, PROCESSORS, ENTRY_LONG, processors);
		if (i % 2) {
			fixture_wait_signal(&fixture, 1, 1);
			cr_assert_eq(guest_memory_write(&fixture.machine->vm.memory, GO, &go, sizeof(go)), 0);
		}
		fixture_end(&fixture);
		cr_assert_leq(fixture.observer.exits, 1);
	}
	fixture.machine = NULL;
}
