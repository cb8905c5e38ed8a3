/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the serial port's tests share. The line's callback holds the device to its promise: a level is set only when
 * it changes, but for restores.
 */
#include "serial_port.h"

#include <criterion/criterion.h>
#include <string.h>

static void set_line(void *opaque, bool level)
{
	struct serial_port *port = opaque;

	port->rises += level && !port->line;
	port->sets++;
	port->line = level;
}

static void announce(void *opaque)
{
	struct serial_port *port = opaque;
	uint64_t offset, dropped;

	/* No lock is held: reading from here must not hang. Nothing is taken, so that the end is not reached. */
	(void)serial_read_output(port->serial, 0, NULL, 0, &offset, &dropped);
	port->announcements++;
}

void serial_port_open(struct serial_port *port, enum serial_overflow overflow)
{
	const struct serial_options options = {
		.irq = { .opaque = port, .set = set_line },
		.overflow = overflow,
		.output_ready = announce,
		.opaque = port,
	};

	memset(port, 0, sizeof(*port));
	cr_assert_eq(serial_new(&options, &port->serial), 0);
}

void serial_port_close(struct serial_port *port)
{
	struct device *device = serial_device(port->serial);

	device->ops->free(device);
}

uint8_t serial_port_get(struct serial_port *port, uint64_t offset)
{
	struct device *device = serial_device(port->serial);
	unsigned int sets = port->sets;
	bool line = port->line;
	uint8_t value = 0xff;

	device->ops->read(device, offset, &value, 1);
	cr_assert((port->sets - sets) % 2 == (port->line != line), "the line was set to a level that it had");
	return value;
}

void serial_port_put(struct serial_port *port, uint64_t offset, uint8_t value)
{
	struct device *device = serial_device(port->serial);
	unsigned int sets = port->sets;
	bool line = port->line;

	device->ops->write(device, offset, &value, 1);
	cr_assert((port->sets - sets) % 2 == (port->line != line), "the line was set to a level that it had");
}

size_t serial_port_type(struct serial_port *port, const char *text)
{
	return serial_write_input(port->serial, (const uint8_t *)text, strlen(text));
}

unsigned int serial_port_new_rises(struct serial_port *port)
{
	unsigned int rises = port->rises;

	port->rises = 0;
	return rises;
}

void serial_port_clone(struct serial_port *from, struct serial_port *to)
{
	struct device *source = serial_device(from->serial), *target = serial_device(to->serial);
	static uint8_t state[DEVICE_STATE_MAX];
	struct error_detail detail = { 0 };

	memset(state, 0, sizeof(state));
	source->ops->save(source, state);
	cr_assert_eq(state_fields_check(source->ops->state_fields, state, "serial", &detail), 0, "%s", detail.text);
	cr_assert_eq(target->ops->restore(target, state, &detail), 0, "%s", detail.text);
}
