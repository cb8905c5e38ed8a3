/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The panic port: one byte, an event a bit.
 *
 * Reading it gives the events that the host understands, which a driver asks before it offers itself to its kernel;
 * writing it says what has happened. There is nothing to remember, and so nothing in a snapshot.
 */
#include "devices/panic_port.h"

#include <errno.h>
#include <stdlib.h>

static const struct state_field panic_port_state_fields[] = {
	STATE_FIELDS_END,
};

struct panic_port {
	struct device device;
	void (*panicked)(void *opaque);
	void *opaque;
};

static void panic_port_read(struct device *device, uint64_t offset, uint8_t *data, size_t length)
{
	(void)device;
	(void)offset;

	if (length == 1)
		data[0] = PANIC_PORT_PANICKED;
}

static void panic_port_write(struct device *device, uint64_t offset, const uint8_t *data, size_t length)
{
	const struct panic_port *port = (const struct panic_port *)device;

	(void)offset;

	if (length == 1 && (data[0] & PANIC_PORT_PANICKED))
		port->panicked(port->opaque);
}

static void panic_port_save(struct device *device, void *ret_state)
{
	(void)device;
	(void)ret_state;
}

static int panic_port_restore(struct device *device, const void *saved, struct error_detail *detail)
{
	(void)device;
	(void)saved;
	(void)detail;
	return 0;
}

static void panic_port_reset(struct device *device)
{
	(void)device;
}

static void panic_port_free(struct device *device)
{
	free(device);
}

const struct device_ops panic_port_ops = {
	.name = "panic_port",
	.state_fields = panic_port_state_fields,
	.may_be_missing = true,
	.read = panic_port_read,
	.write = panic_port_write,
	.save = panic_port_save,
	.restore = panic_port_restore,
	.reset = panic_port_reset,
	.free = panic_port_free,
};

int panic_port_new(void (*panicked)(void *opaque), void *opaque, struct device **ret_device)
{
	struct panic_port *port = calloc(1, sizeof(*port));

	if (!port)
		return -ENOMEM;

	port->device.ops = &panic_port_ops;
	port->panicked = panicked;
	port->opaque = opaque;

	*ret_device = &port->device;
	return 0;
}
