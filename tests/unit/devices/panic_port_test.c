/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The panic port: what it offers, and which writes say that a kernel has panicked.
 */
#include "devices/panic_port.h"

#include <criterion/criterion.h>

static struct device *device;
static unsigned int panics;

static void count_panic(void *opaque)
{
	cr_assert_eq(opaque, &panics);
	panics++;
}

static void set_up(void)
{
	cr_assert_eq(panic_port_new(count_panic, &panics, &device), 0);
}

static void tear_down(void)
{
	device->ops->free(device);
}

TestSuite(panic_port, .init = set_up, .fini = tear_down);

Test(panic_port, offers_one_event)
{
	uint8_t data[2] = { 0xff, 0xff };

	device->ops->read(device, 0, data, 2);
	cr_assert_eq(data[0], 0xff);
	device->ops->read(device, 0, data, 1);
	cr_assert_eq(data[0], 0x01);
	cr_assert_eq(data[1], 0xff);
}

Test(panic_port, only_that_event_counts)
{
	for (unsigned int byte = 0; byte <= 0xff; byte++) {
		const uint8_t data[2] = { (uint8_t)byte, 0xff };
		unsigned int before = panics;

		device->ops->write(device, 0, data, 2);
		cr_assert_eq(panics, before);
		device->ops->write(device, 0, data, 1);
		cr_assert_eq(panics - before, byte & 1, "0x%02x", byte);
	}
}

Test(panic_port, has_no_state)
{
	cr_assert_eq(device->ops->state_size, 0);
	cr_assert_null(device->ops->state_fields[0].name);
	cr_assert_eq(device->ops->restore(device, "", NULL), 0);
	cr_assert_eq(panics, 0);
}
