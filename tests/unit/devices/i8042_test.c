/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The keyboard controller: what resets the machine and what does not, and the answers that an operating system's
 * probe waits for.
 */
#include "devices/i8042.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#define DATA    0
#define COMMAND 4

#define OUTPUT_FULL 0x01
#define INPUT_FULL  0x02
#define SYSTEM      0x04
#define COMMAND_BIT 0x08
#define UNLOCKED    0x10
#define AUXILIARY   0x20

static struct device *controller;
static unsigned int resets;

static void count_reset(void *opaque)
{
	cr_assert_eq(opaque, &resets);
	resets++;
}

static void set_up(void)
{
	cr_assert_eq(i8042_new(count_reset, &resets, &controller), 0);
}

static void tear_down(void)
{
	controller->ops->free(controller);
}

TestSuite(i8042, .init = set_up, .fini = tear_down);

static uint8_t get(uint64_t offset)
{
	uint8_t byte = 0xff;

	controller->ops->read(controller, offset, &byte, 1);
	return byte;
}

static void put(uint64_t offset, uint8_t byte)
{
	controller->ops->write(controller, offset, &byte, 1);
}

/* The answer to a command, which must be there at once. */
static uint8_t ask(uint8_t command)
{
	put(COMMAND, command);
	cr_assert(get(COMMAND) & OUTPUT_FULL, "command 0x%02x", command);
	return get(DATA);
}

Test(i8042, exactly_the_pulses_of_bit_0_reset)
{
	for (unsigned int command = 0; command <= 0xff; command++) {
		unsigned int before = resets;

		put(COMMAND, (uint8_t)command);
		cr_assert_eq(resets - before, command >= 0xf0 && command % 2 == 0, "command 0x%02x", command);
	}
	cr_assert_eq(resets, 8);
}

Test(i8042, the_output_port_resets_when_its_bit_0_is_written_low)
{
	put(COMMAND, 0xd1);
	put(DATA, 0xdf); /* as an operating system opens the A20 gate */
	cr_assert_eq(resets, 0);
	cr_assert_eq(ask(0xd0), 0xdf);

	put(DATA, 0x00);
	cr_assert_eq(resets, 0, "a byte that no command takes");

	put(COMMAND, 0xd1);
	put(COMMAND, 0x20);
	put(DATA, 0xfe);
	cr_assert_eq(resets, 0, "another command came between");

	put(COMMAND, 0xd1);
	put(DATA, 0xfe);
	cr_assert_eq(resets, 1);
}

/* drivers/input/serio/i8042.c: i8042_controller_check(), _selftest(), _init(), i8042_check_aux(). */
Test(i8042, answers_what_linux_asks_in_a_probe)
{
	uint8_t command_byte;

	cr_assert_eq(get(COMMAND) & (OUTPUT_FULL | INPUT_FULL), 0, "flushed, and ready for a command");
	cr_assert(get(COMMAND) & UNLOCKED);
	cr_assert_eq(ask(0xaa), 0x55, "self test");
	cr_assert(get(COMMAND) & SYSTEM);

	command_byte = ask(0x20);
	cr_assert_eq(ask(0x20), command_byte, "the same twice");
	put(COMMAND, 0x60);
	put(DATA, command_byte ^ 0x43);
	cr_assert_eq(ask(0x20), command_byte ^ 0x43);

	put(COMMAND, 0xd3);
	put(DATA, 0x5a);
	cr_assert_eq(get(COMMAND) & (OUTPUT_FULL | AUXILIARY), OUTPUT_FULL, "looped, but not by an auxiliary port");
	cr_assert_eq(get(DATA), 0x5a);
	cr_assert_eq(ask(0xa9), 0x01, "no auxiliary port");
	cr_assert_eq(ask(0xab), 0x01, "no keyboard");

	put(DATA, 0xf2); /* to a keyboard: nobody answers */
	cr_assert_eq(get(COMMAND) & OUTPUT_FULL, 0);
	cr_assert_eq(resets, 0);
}

Test(i8042, status_follows_the_ports)
{
	put(COMMAND, 0xd0);
	cr_assert_eq(get(COMMAND), UNLOCKED | SYSTEM | COMMAND_BIT | OUTPUT_FULL);
	cr_assert_eq(get(DATA), 0x03);
	cr_assert_eq(get(COMMAND), UNLOCKED | SYSTEM | COMMAND_BIT);
	cr_assert_eq(get(DATA), 0x03, "an empty buffer gives the last byte");
	put(DATA, 0x12);
	cr_assert_eq(get(COMMAND), UNLOCKED | SYSTEM);

	put(COMMAND, 0x60);
	put(DATA, 0x00);
	cr_assert_eq(get(COMMAND), UNLOCKED, "the system flag is a bit of the command byte");
}

Test(i8042, interfaces_are_turned_on_and_off_in_the_command_byte)
{
	put(COMMAND, 0x60);
	put(DATA, 0x47);
	put(COMMAND, 0xad);
	put(COMMAND, 0xa7);
	cr_assert_eq(ask(0x20), 0x77);
	put(COMMAND, 0xae);
	put(COMMAND, 0xa8);
	cr_assert_eq(ask(0x20), 0x47);
}

Test(i8042, other_sizes_and_offsets_are_nobodys)
{
	uint8_t data[4] = { 0xfe, 0xfe, 0xfe, 0xfe };

	controller->ops->write(controller, COMMAND, data, 4);
	controller->ops->write(controller, COMMAND, data, 2);
	put(1, 0xfe);
	cr_assert_eq(resets, 0);

	memset(data, 0xff, sizeof(data));
	controller->ops->read(controller, DATA, data, 2);
	cr_assert_eq(data[0], 0xff);
	cr_assert_eq(get(2), 0xff);
}

/* Saved at any point of a conversation, another controller goes on with it. */
Test(i8042, state_survives)
{
	uint8_t state[DEVICE_STATE_MAX] = { 0 };

	put(COMMAND, 0x60);
	put(DATA, 0x65);
	put(COMMAND, 0xd0);
	put(COMMAND, 0xd3); /* with an answer unread and a command that waits for its byte */
	controller->ops->save(controller, state);
	cr_assert_eq(state_fields_check(controller->ops->state_fields, state, "i8042", NULL), 0);

	controller->ops->reset(controller);
	cr_assert_eq(get(COMMAND), UNLOCKED | SYSTEM);

	cr_assert_eq(controller->ops->restore(controller, state, NULL), 0);
	cr_assert_eq(get(COMMAND), UNLOCKED | SYSTEM | COMMAND_BIT | OUTPUT_FULL);
	cr_assert_eq(get(DATA), 0x03);
	put(DATA, 0x99);
	cr_assert_eq(get(DATA), 0x99);
	cr_assert_eq(ask(0x20), 0x65);
}

/* The offset of a field in the saved structure. */
static uint32_t offset_of(const char *name)
{
	const struct state_field *field = controller->ops->state_fields;

	while (field->name && strcmp(field->name, name) != 0)
		field++;
	cr_assert_not_null(field->name, "%s", name);
	return field->offset;
}

Test(i8042, a_command_that_takes_no_byte_cannot_wait_for_one)
{
	struct error_detail detail;
	uint8_t state[DEVICE_STATE_MAX] = { 0 };
	unsigned int accepted = 0;

	controller->ops->save(controller, state);
	for (unsigned int command = 0; command <= 0xff; command++) {
		int r;

		state[offset_of("pending_command")] = (uint8_t)command;
		detail.text[0] = '\0';
		r = controller->ops->restore(controller, state, &detail);
		accepted += r == 0;
		cr_assert(r == 0 || r == -EINVAL);
		cr_assert_eq(r == 0, detail.text[0] == '\0');
		if (r < 0)
			cr_assert_not_null(strstr(detail.text, "i8042.pending_command"), "%s", detail.text);
	}
	cr_assert_eq(accepted, 5, "none, 0x60, 0xd1, 0xd2 and 0xd3");
}
