/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The sleep registers and the power button: what turns the machine off and what does not.
 */
#include "devices/power.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <pthread.h>
#include <string.h>

#define CONTROL 0
#define STATUS  1

static struct power *power;
static struct device *device;
static unsigned int power_offs;
static unsigned int rises;
static bool line;

static void count_power_off(void *opaque)
{
	cr_assert_eq(opaque, &power_offs);
	power_offs++;
}

static void set_line(void *opaque, bool level)
{
	cr_assert_eq(opaque, &line);
	rises += level && !line;
	line = level;
}

static void set_up(void)
{
	const struct power_options options = {
		.opaque = &power_offs,
		.power_off = count_power_off,
		.button = { .opaque = &line, .set = set_line },
	};

	cr_assert_eq(power_new(&options, &power), 0);
	device = power_device(power);
}

static void tear_down(void)
{
	device->ops->free(device);
}

TestSuite(power, .init = set_up, .fini = tear_down);

static void put(uint64_t offset, uint8_t byte)
{
	device->ops->write(device, offset, &byte, 1);
}

static uint8_t get(uint64_t offset)
{
	uint8_t byte = 0xff;

	device->ops->read(device, offset, &byte, 1);
	return byte;
}

Test(power, only_the_off_state_turns_the_machine_off)
{
	for (unsigned int byte = 0; byte <= 0xff; byte++) {
		unsigned int before = power_offs;

		put(CONTROL, (uint8_t)byte);
		/* ACPI 6.4, table 4.22: bits 2 to 4 are the type, bit 5 goes to sleep, the others are reserved. */
		cr_assert_eq(power_offs - before, (byte & 0x3c) == 0x34, "0x%02x", byte);
		cr_assert_eq(get(CONTROL), byte & 0x1c, "0x%02x", byte);
	}
}

Test(power, status_never_wakes_up)
{
	put(STATUS, 0xff);
	put(STATUS, 0x34);
	cr_assert_eq(get(STATUS), 0);
	cr_assert_eq(power_offs, 0);
}

Test(power, wider_accesses_do_nothing)
{
	const uint8_t data[4] = { 0x34, 0, 0, 0 };
	uint8_t read[4] = { 0xff, 0xff, 0xff, 0xff };

	device->ops->write(device, CONTROL, data, 2);
	device->ops->write(device, CONTROL, data, 4);
	cr_assert_eq(power_offs, 0);
	device->ops->read(device, CONTROL, read, 2);
	cr_assert_eq(read[0], 0xff);
	cr_assert_eq(read[1], 0xff);
}

Test(power, a_press_is_one_edge)
{
	power_press(power);
	cr_assert_eq(rises, 1);
	cr_assert_not(line);
	power_press(power);
	cr_assert_eq(rises, 2);
	cr_assert_not(line);
}

static void *press_often(void *opaque)
{
	for (int i = 0; i < 10000; i++)
		power_press(opaque);
	return NULL;
}

Test(power, presses_of_several_threads_do_not_mix)
{
	pthread_t threads[4];

	for (size_t i = 0; i < 4; i++)
		cr_assert_eq(pthread_create(&threads[i], NULL, press_often, power), 0);
	for (size_t i = 0; i < 4; i++)
		cr_assert_eq(pthread_join(threads[i], NULL), 0);
	cr_assert_eq(rises, 40000);
	cr_assert_not(line);
}

Test(power, the_sleep_type_survives)
{
	uint8_t state[DEVICE_STATE_MAX + 1] = { 0 };

	put(CONTROL, 0x14);
	device->ops->save(device, state + 1);
	device->ops->reset(device);
	cr_assert_eq(get(CONTROL), 0);
	cr_assert_eq(state_fields_check(device->ops->state_fields, state + 1, "power", NULL), 0);
	cr_assert_eq(device->ops->restore(device, state + 1, NULL), 0);
	cr_assert_eq(get(CONTROL), 0x14);
	cr_assert_eq(power_offs, 0);
}

Test(power, a_state_that_cannot_be_is_refused)
{
	struct error_detail detail = { 0 };
	uint8_t state[DEVICE_STATE_MAX] = { 0x03 };

	put(CONTROL, 0x10);
	cr_assert_eq(device->ops->restore(device, state, &detail), -EINVAL);
	cr_assert_not_null(strstr(detail.text, "power.control"), "%s", detail.text);
	cr_assert_eq(get(CONTROL), 0x10);
	state[0] = 0x34;
	cr_assert_eq(state_fields_check(device->ops->state_fields, state, "power", &detail), -EINVAL);
}
