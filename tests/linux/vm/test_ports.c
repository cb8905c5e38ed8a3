/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sleep control (ACPI 6.4, 4.8.3.7) and pvpanic (QEMU, docs/specs/pvpanic.rst), one device for both.
 */
#include "test_ports.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "kvm/acpi/tables.h"

#define SLEEP_PORTS    2
#define OFFSET_CONTROL 0
#define OFFSET_STATUS  1
#define OFFSET_PANIC   2
#define PANIC_PANICKED 0x01 /* the one event that is offered */

struct test_ports {
	struct device device;
	struct test_ports_events events;
};

static void read_port(struct device *device, uint64_t offset, uint8_t *data, size_t length)
{
	(void)device;
	memset(data, 0, length);
	if (offset == OFFSET_PANIC)
		data[0] = PANIC_PANICKED;
}

static void write_port(struct device *device, uint64_t offset, const uint8_t *data, size_t length)
{
	const struct test_ports *ports = (const struct test_ports *)device;

	(void)length;
	if (offset == OFFSET_CONTROL && data[0] == ACPI_SLEEP_CONTROL_OFF)
		ports->events.powered_off(ports->events.opaque);
	else if (offset == OFFSET_PANIC && (data[0] & PANIC_PANICKED))
		ports->events.panicked(ports->events.opaque);
}

static void save(struct device *device, void *ret_state)
{
	(void)device;
	(void)ret_state;
}

static int restore(struct device *device, const void *state, struct error_detail *detail)
{
	(void)device;
	(void)state;
	(void)detail;
	return 0;
}

static void reset(struct device *device)
{
	(void)device;
}

static void free_ports(struct device *device)
{
	free(device);
}

static const struct state_field no_fields[] = { STATE_FIELDS_END };

static const struct device_ops test_ports_ops = {
	.name = "test_ports",
	.state_fields = no_fields,
	.read = read_port,
	.write = write_port,
	.save = save,
	.restore = restore,
	.reset = reset,
	.free = free_ports,
};

int test_ports_add(struct bus *bus, const struct test_ports_events *events)
{
	struct test_ports *ports = calloc(1, sizeof(*ports));
	int result;

	if (!ports)
		return -ENOMEM;
	ports->device.ops = &test_ports_ops;
	ports->events = *events;
	result = bus_add_device(bus, &ports->device);
	if (result < 0) {
		free(ports);
		return result;
	}

	result = bus_add_region(bus, BUS_PORT, TEST_PORT_SLEEP, SLEEP_PORTS, OFFSET_CONTROL, &ports->device);
	if (result == 0)
		result = bus_add_region(bus, BUS_PORT, TEST_PORT_PANIC, 1, OFFSET_PANIC, &ports->device);
	return result;
}
