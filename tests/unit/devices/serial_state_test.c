/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The serial port's saved state: whatever a guest could notice survives, and what no port could have saved is refused.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "serial_port.h"

static struct serial_port port, copy;

static void set_up(void)
{
	serial_port_open(&port, SERIAL_DROP_OLDEST);
	serial_port_open(&copy, SERIAL_DROP_OLDEST);
}

static void tear_down(void)
{
	serial_port_close(&port);
	serial_port_close(&copy);
}

TestSuite(serial_state, .init = set_up, .fini = tear_down);

static uint64_t random_state = UINT64_C(0x9e3779b97f4a7c15);

static uint8_t next_random(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return (uint8_t)(random_state >> 32);
}

/* One step of a guest or host that does anything at all, on one port. */
static uint8_t step(struct serial_port *target, uint8_t action, uint8_t value)
{
	uint8_t data[8];

	if (action < 120)
		return serial_port_get(target, action % 8);
	if (action < 240) {
		serial_port_put(target, action % 8, value);
		return 0;
	}
	memset(data, value, sizeof(data));
	return (uint8_t)serial_write_input(target->serial, data, sizeof(data));
}

/* Where the line must be: high when the IIR names a cause and OUT2 is set. Looking disturbs the port. */
static bool expected_line(struct serial_port *target)
{
	bool gate = serial_port_get(target, MCR) & MCR_OUT2;

	return gate && !(serial_port_get(target, IIR) & 0x01);
}

/* Two ports, one restored from the other again and again, must answer alike for ever, line included. */
Test(serial_state, a_restored_port_cannot_be_told_from_the_one_that_was_saved)
{
	for (int round = 0; round < 4000; round++) {
		serial_port_clone(&port, &copy);
		cr_assert_eq(copy.line, port.line, "round %d", round);
		for (int i = 0; i < 25; i++) {
			uint8_t action = next_random(), value = next_random();

			cr_assert_eq(step(&port, action, value), step(&copy, action, value), "round %d", round);
			cr_assert_eq(copy.line, port.line, "round %d", round);
		}
	}
}

Test(serial_state, the_line_always_follows_the_iir)
{
	for (int i = 0; i < 20000; i++) {
		bool line;

		(void)step(&port, next_random(), next_random());
		line = port.line;
		serial_port_clone(&port, &copy);
		cr_assert_eq(copy.line, line);
		cr_assert_eq(expected_line(&copy), line, "step %d", i);
	}
}

Test(serial_state, restore_drives_the_line_even_to_the_level_that_it_seems_to_have)
{
	unsigned int sets = copy.sets;

	serial_port_clone(&port, &copy);
	cr_assert_eq(copy.sets, sets + 1);
	cr_assert_not(copy.line);

	serial_port_put(&port, MCR, MCR_OUT2);
	serial_port_put(&port, IER, 0x02);
	serial_port_clone(&port, &copy);
	serial_port_clone(&port, &copy);
	cr_assert_eq(copy.sets, sets + 3);
	cr_assert(copy.line);
}

Test(serial_state, input_that_the_guest_has_not_read_survives)
{
	uint8_t data[SERIAL_INPUT_SIZE];

	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(i * 7);
	serial_port_put(&port, FCR, 0xc1);
	cr_assert_eq(serial_write_input(port.serial, data, sizeof(data)), sizeof(data));
	serial_port_clone(&port, &copy);
	for (size_t i = 0; i < sizeof(data); i++)
		cr_assert_eq(serial_port_get(&copy, RBR), data[i], "byte %zu", i);
	cr_assert_eq(serial_port_get(&copy, LSR), 0x60);
}

/* Stale bytes of FIFO and queue must not reach a file. */
Test(serial_state, what_was_read_is_not_saved)
{
	struct device *device = serial_device(port.serial);
	uint8_t state[DEVICE_STATE_MAX] = { 0 };

	serial_port_put(&port, FCR, 0xc1);
	cr_assert_eq(serial_port_type(&port, "the password is swordfish"), 25);
	while (serial_port_get(&port, LSR) & 0x01)
		(void)serial_port_get(&port, RBR);
	device->ops->save(device, state);
	cr_assert_null(memmem(state, sizeof(state), "word", 4));
}

static const struct state_field *field_of(const char *name)
{
	const struct state_field *field = serial_ops.state_fields;

	while (field->name && strcmp(field->name, name) != 0)
		field++;
	cr_assert_not_null(field->name, "%s", name);
	return field;
}

/*
 * What restore() itself must refuse, having nothing but its own eyes: each names the field and leaves the port as it
 * was.
 */
static void assert_refused(const char *field, uint32_t offset, const void *value, size_t size)
{
	struct device *device = serial_device(port.serial);
	uint8_t before[DEVICE_STATE_MAX] = { 0 }, after[DEVICE_STATE_MAX] = { 0 }, bad[DEVICE_STATE_MAX];
	struct error_detail detail = { 0 };
	char path[64];

	device->ops->save(device, before);
	memcpy(bad, before, sizeof(bad));
	memcpy(bad + offset, value, size);
	cr_assert_eq(device->ops->restore(device, bad, &detail), -EINVAL, "%s", field);
	(void)snprintf(path, sizeof(path), "serial.%s:", field);
	cr_assert(strncmp(detail.text, path, strlen(path)) == 0, "%s: %s", field, detail.text);
	device->ops->save(device, after);
	cr_assert_eq(memcmp(before, after, sizeof(before)), 0, "%s", field);
}

Test(serial_state, states_that_no_port_has_are_refused)
{
	static const uint32_t two = 2, seventeen = 17, input_more = SERIAL_INPUT_SIZE + 1, wild = UINT32_MAX;
	static const uint8_t reserved_fcr = 0x03, fcr_without_enable = 0x80, fcr_on = 0x01, one = 1;

	assert_refused("fcr", field_of("fcr")->offset, &reserved_fcr, 1);
	assert_refused("fcr", field_of("fcr")->offset, &fcr_without_enable, 1);
	assert_refused("fifo", field_of("fifo")->length_offset, &two, sizeof(two));
	assert_refused("fifo", field_of("fifo")->length_offset, &wild, sizeof(wild));
	assert_refused("input", field_of("input")->length_offset, &input_more, sizeof(input_more));
	assert_refused("input", field_of("input")->length_offset, &wild, sizeof(wild));
	assert_refused("thre_pending", field_of("thre_pending")->offset, &one, 1);

	serial_port_put(&port, FCR, fcr_on);
	assert_refused("fifo", field_of("fifo")->length_offset, &seventeen, sizeof(seventeen));
}

/* Any bytes at all: refused, or harmless to a guest that goes on (the sanitizers watch). */
Test(serial_state, arbitrary_states_are_refused_or_harmless)
{
	struct device *device = serial_device(port.serial);
	unsigned int accepted = 0;

	for (int round = 0; round < 3000; round++) {
		uint8_t state[DEVICE_STATE_MAX];

		for (size_t i = 0; i < sizeof(state); i++)
			state[i] = next_random();
		/* Mostly plausible, or nothing would get past the lengths. */
		memset(state + field_of("fifo")->length_offset, 0, 4);
		memset(state + field_of("input")->length_offset, 0, 4);
		state[field_of("fifo")->length_offset] = next_random() % 20;
		state[field_of("input")->length_offset] = next_random();
		state[field_of("input")->length_offset + 1] = next_random() % 6;
		state[field_of("fcr")->offset] &= 0xc1;
		if (device->ops->restore(device, state, NULL) == 0)
			accepted++;
		for (int i = 0; i < 40; i++)
			(void)step(&port, next_random(), next_random());
	}
	cr_assert_gt(accepted, 100);
}
