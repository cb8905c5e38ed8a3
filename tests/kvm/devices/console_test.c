/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guests that talk on the serial port by interrupts through the in-kernel PIC: the input is longer than all queues,
 * and every byte must come back, whatever kind of handler the guest has.
 */
#include <criterion/criterion.h>
#include <string.h>

#include "fixture.h"

#define CONVERSATION 1500

static struct fixture fixture;

static void tear_down(void)
{
	if (fixture.machine)
		fixture_end(&fixture);
}

TestSuite(machine_console, .fini = tear_down);

static void converse(void)
{
	static uint8_t typed[CONVERSATION], answer[CONVERSATION];

	for (size_t i = 0; i < CONVERSATION; i++)
		typed[i] = (uint8_t)(i * 7 + i / 256);
	fixture_wait_signal(&fixture, SIGNAL_READY, 1);
	fixture_converse(&fixture, typed, answer, CONVERSATION);
	cr_assert_eq(memcmp(typed, answer, CONVERSATION), 0);
	cr_assert_eq(fixture_signals(&fixture, 255), 0, "an interrupt of the wrong kind");
	cr_assert_eq(fixture.observer.exits, 0);
}

Test(machine_console, echo_in_real_mode)
{
	fixture_start_guest(&fixture, 1, ENTRY_REAL, echo_real);
	converse();
}

Test(machine_console, echo_in_long_mode_with_fifos)
{
	fixture_start_guest(&fixture, 1, ENTRY_LONG, echo_fifo);
	converse();
}

Test(machine_console, echo_of_one_character_an_interrupt_without_fifos)
{
	fixture_start_guest(&fixture, 1, ENTRY_LONG, echo_naive_buffer);
	converse();
}

Test(machine_console, echo_of_one_character_an_interrupt_at_trigger_level_1)
{
	fixture_start_guest(&fixture, 1, ENTRY_LONG, echo_naive_trigger_1);
	converse();
}

Test(machine_console, echo_of_one_character_an_interrupt_at_trigger_level_14)
{
	fixture_start_guest(&fixture, 1, ENTRY_LONG, echo_naive_trigger_14);
	converse();
}

Test(machine_console, transmission_by_interrupts)
{
	static uint8_t data[2000];

	fixture_start_guest(&fixture, 1, ENTRY_LONG, transmit);
	fixture_wait_signal(&fixture, 1, 1);
	fixture_read_output(&fixture, data, sizeof(data));
	for (size_t i = 0; i < sizeof(data); i++)
		cr_assert_eq(data[i], (uint8_t)i);
	cr_assert_eq(fixture_signals(&fixture, 3), 0, "an interrupt of the wrong kind");
}

/* The number signalled says which step of the guest's self test failed. */
static void assert_self_test_passes(void)
{
	pthread_mutex_lock(&fixture.observer.lock);
	for (;;) {
		for (unsigned int number = 100; number < 200; number++)
			cr_assert_eq(fixture.observer.signals[number], 0, "step %u failed", number - 100);
		if (fixture.observer.signals[1] > 0)
			break;
		cr_assert_eq(fixture.observer.exits, 0, "%s, code %llu, rip 0x%llx",
			     machine_exit_name(fixture.observer.exit.reason),
			     (unsigned long long)fixture.observer.exit.stop.code,
			     (unsigned long long)fixture.observer.exit.stop.rip);
		pthread_cond_wait(&fixture.observer.changed, &fixture.observer.lock);
	}
	pthread_mutex_unlock(&fixture.observer.lock);
}

Test(machine_console, loopback_self_test_with_interrupts)
{
	fixture_start_guest(&fixture, 1, ENTRY_LONG, loopback);
	assert_self_test_passes();
}

Test(machine_console, unclaimed_ports_and_addresses_in_every_size)
{
	uint64_t offset, dropped;
	uint8_t data[8];

	fixture_start_guest(&fixture, 1, ENTRY_LONG, hammer);
	assert_self_test_passes();
	cr_assert_eq(serial_read_output(fixture.machine->serial, 0, data, sizeof(data), &offset, &dropped), 0,
		     "an access across a region's edge reached the device");
	cr_assert_eq(fixture_signals(&fixture, 5), 0, "a wide write to the signal port");
	cr_assert_eq(fixture.observer.exits, 0);
}
