/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Interrupt chips, timer and devices: set by a guest in one process, seen by it in another.
 */
#include <string.h>

#include <criterion/criterion.h>

#include "fixture.h"

#define PINS     24
#define FINDINGS (1 + 1 + PINS + 1 + 12 + 3 + 8)

TestSuite(chips, .init = fixture_setup, .fini = fixture_teardown);

static void type(struct vm_life *life, const char *text)
{
	CHECK_EQ(serial_write_input(life->machine->serial, (const uint8_t *)text, strlen(text)), strlen(text));
}

static void source(void *opaque)
{
	struct vm_life life;

	(void)opaque;
	FIXTURE_BOOT(&life, 1, chips);
	fixture_run_until_ready(&life);
	/* More than the FIFO of 16 holds: the rest waits in the host's queue, and both are part of the state. */
	type(&life, "typed before the snapshot, ");
	fixture_save(&life, "chips");
	fixture_end(&life);
}

static void target(void *opaque)
{
	static const char expected[] = "typed before the snapshot, and after it.";
	const struct report *report;
	struct vm_life life;

	(void)opaque;
	fixture_restore(&life, "chips");
	type(&life, "and after it.");
	fixture_finish(&life);
	report = fixture_report(&life);
	for (unsigned i = 0; i < FINDINGS; i++)
		if (report->values[i] != report->before[i])
			fixture_fail(__FILE__, __LINE__, "finding %u: %#jx became %#jx", i,
				     (uintmax_t)report->before[i], (uintmax_t)report->values[i]);

	/* And what was found is what was put there. */
	CHECK_EQ(report->values[0], 0x0c20);
	CHECK_EQ(report->values[1], 0x5aa5);
	CHECK_EQ(report->values[2 + 5] & 0x1ffff, 0x12000 | (5 % 3) << 8 | 0xa5);
	CHECK_EQ(report->values[2 + PINS] >> 24, 9);
	CHECK_EQ(report->values[3 + PINS], 0x1f5);
	CHECK_EQ(report->values[4 + PINS], 0x30);
	CHECK_EQ(report->values[15 + PINS], 0x3a);
	CHECK_EQ(report->values[16 + PINS], 0x36);
	CHECK_EQ(report->values[17 + PINS], 0x03);
	CHECK_EQ(report->values[18 + PINS], 0x0d);
	CHECK_EQ(report->values[19 + PINS], 0x1f);
	CHECK_EQ(report->values[22 + PINS], 0x5a);
	CHECK_EQ(report->values[24 + PINS], 0x1234);
	CHECK_EQ(report->values[25 + PINS], 0x47);
	CHECK(memcmp(report->msrs, expected, strlen(expected)) == 0);

	/* The PIT's latch was read half way: its second half is what KVM kept. */
	CHECK_EQ(report->before[REPORT_VALUES_MAX - 1], life.state->irqchip.pit.channels[1].latched_count & 0xff);
	CHECK_EQ(report->values[REPORT_VALUES_MAX - 1], life.state->irqchip.pit.channels[1].latched_count >> 8);
	fixture_end(&life);
}

Test(chips, a_guest_finds_them_as_it_left_them)
{
	fixture_in_process("source", source, NULL);
	fixture_in_process("target", target, NULL);
}
