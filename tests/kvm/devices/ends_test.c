/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How machines end by themselves: each end is told once, with its reason, and a machine that has ended does not run
 * again.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <sys/mman.h>

#include "fixture.h"

static struct fixture fixture;

static void tear_down(void)
{
	if (fixture.machine)
		fixture_end(&fixture);
}

TestSuite(machine_ends, .fini = tear_down);

/* Start the guest, ask it for an end, and see that it is the one that was asked for, and final. */
static void end_by(uint8_t command, enum machine_exit expected, struct machine_exit_info *ret_info)
{
	fixture_start_guest(&fixture, 1, ENTRY_LONG, ends);
	fixture_wait_signal(&fixture, SIGNAL_READY, 1);
	cr_assert_eq(mprotect(fixture.machine->vm.memory.host + 0x200000, 4096, PROT_NONE), 0);
	cr_assert_not(machine_has_exited(fixture.machine));

	cr_assert_eq(serial_write_input(fixture.machine->serial, &command, 1), 1);
	fixture_wait_exit(&fixture, ret_info);
	cr_assert_str_eq(machine_exit_name(ret_info->reason), machine_exit_name(expected));
	cr_assert_eq(ret_info->vcpu, 0);
	cr_assert(machine_has_exited(fixture.machine));

	cr_assert_eq(machine_run(fixture.machine), -ESHUTDOWN);
	machine_pause(fixture.machine);
	cr_assert_eq(machine_run(fixture.machine), -ESHUTDOWN);
	cr_assert_eq(fixture.observer.exits, 1);
	cr_assert_eq(fixture_signals(&fixture, 200), 0, "the guest went on");
}

Test(machine_ends, by_a_pulse_of_the_reset_line)
{
	struct machine_exit_info info;

	end_by('p', MACHINE_EXIT_RESET, &info);
	cr_assert_eq(info.stop.stop, VCPU_STOP_HANDLER);
	cr_assert_geq(info.stop.rip, 0x100000);
}

Test(machine_ends, by_the_controllers_output_port)
{
	struct machine_exit_info info;

	end_by('w', MACHINE_EXIT_RESET, &info);
}

Test(machine_ends, by_power_off)
{
	struct machine_exit_info info;

	end_by('o', MACHINE_EXIT_POWER_OFF, &info);
	cr_assert_eq(info.stop.stop, VCPU_STOP_HANDLER);
	cr_assert_geq(info.stop.rip, 0x100000);
}

Test(machine_ends, by_a_panic)
{
	struct machine_exit_info info;

	end_by('n', MACHINE_EXIT_PANIC, &info);
	cr_assert_eq(info.stop.stop, VCPU_STOP_HANDLER);
}

Test(machine_ends, by_a_triple_fault)
{
	struct machine_exit_info info;

	end_by('t', MACHINE_EXIT_SHUTDOWN, &info);
	cr_assert_eq(info.stop.stop, VCPU_STOP_SHUTDOWN);
}

Test(machine_ends, by_memory_that_is_not_there)
{
	struct machine_exit_info info;

	end_by('m', MACHINE_EXIT_MEMORY_FAULT, &info);
}

Test(machine_ends, every_reason_has_a_name_and_no_other_has)
{
	static const char *const names[] = { "reset",        "shutdown",  "system_event", "internal_error",
					     "memory_fault", "power_off", "panic" };

	for (unsigned int i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		cr_assert_str_eq(machine_exit_name((enum machine_exit)i), names[i]);
	cr_assert_null(machine_exit_name((enum machine_exit)7));
	cr_assert_null(machine_exit_name((enum machine_exit) - 1));
}
