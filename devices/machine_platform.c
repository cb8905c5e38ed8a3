/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The devices that every machine has, on their ports and interrupt lines.
 *
 * A guest ends its machine by an access: it resets it, turns it off, or says that its kernel has panicked. The device
 * that serves the access calls one of the functions below, on the thread of the vCPU that made it, which is to stop as
 * soon as the access is done. So the wish is left with the thread, for the machine's handler to find when the bus
 * returns.
 */
#include "devices/machine_platform.h"

#include <string.h>

#include "devices/fw_cfg.h"
#include "devices/generation_id.h"
#include "devices/i8042.h"
#include "devices/panic_port.h"
#include "devices/power.h"

/* Set by a vCPU's thread, for itself, while a device serves its access. */
static _Thread_local struct {
	bool wanted;
	enum machine_exit how;
} end;

static void want_end(enum machine_exit how)
{
	end.wanted = true;
	end.how = how;
}

bool machine_take_end(enum machine_exit *ret_end)
{
	if (!end.wanted)
		return false;

	end.wanted = false;
	*ret_end = end.how;
	return true;
}

static void on_reset(void *opaque)
{
	(void)opaque;
	want_end(MACHINE_EXIT_RESET);
}

static void on_power_off(void *opaque)
{
	(void)opaque;
	want_end(MACHINE_EXIT_POWER_OFF);
}

static void on_panic(void *opaque)
{
	(void)opaque;
	want_end(MACHINE_EXIT_PANIC);
}

static void set_line(const struct machine *machine, uint32_t gsi, bool level)
{
	/* Fails for a line that does not exist only. */
	(void)vm_irq_line(&machine->vm, gsi, level);
}

static void set_serial_line(void *opaque, bool level)
{
	set_line(opaque, SERIAL_IRQ_COM1, level);
}

static void set_button_line(void *opaque, bool level)
{
	set_line(opaque, POWER_BUTTON_GSI, level);
}

static void set_generation_line(void *opaque, bool level)
{
	set_line(opaque, GENERATION_ID_GSI, level);
}

/* Give a new device to the bus; it is freed where the bus does not take it. */
static int adopt(struct machine *machine, struct device *device)
{
	int r = bus_add_device(&machine->bus, device);

	if (r < 0)
		device->ops->free(device);
	return r;
}

/* The same, and let it answer at ports, which it sees from offset 0 on. */
static int adopt_at(struct machine *machine, struct device *device, uint16_t port, uint64_t count)
{
	int r = adopt(machine, device);

	return r < 0 ? r : bus_add_region(&machine->bus, BUS_PORT, port, count, 0, device);
}

static int add_serial(struct machine *machine)
{
	const struct serial_options options = {
		.irq = { .opaque = machine, .set = set_serial_line },
		.overflow = SERIAL_DROP_OLDEST,
		.output_ready = machine->callbacks.output_ready,
		.opaque = machine->callbacks.opaque,
	};
	int r = serial_new(&options, &machine->serial);

	return r < 0 ? r : adopt_at(machine, serial_device(machine->serial), SERIAL_PORT_COM1, SERIAL_PORT_COUNT);
}

static int add_i8042(struct machine *machine)
{
	struct device *device;
	int r;

	r = i8042_new(on_reset, NULL, &device);
	if (r < 0)
		return r;
	r = adopt_at(machine, device, I8042_PORT_DATA, 1);
	if (r < 0)
		return r;

	return bus_add_region(&machine->bus, BUS_PORT, I8042_PORT_COMMAND, 1, I8042_PORT_COMMAND - I8042_PORT_DATA,
			      device);
}

static int add_signal_port(struct machine *machine)
{
	int r = signal_port_new(machine->callbacks.signalled, machine->callbacks.opaque, &machine->signal_port);

	return r < 0 ? r : adopt_at(machine, signal_port_device(machine->signal_port), SIGNAL_PORT, 1);
}

static int add_power(struct machine *machine)
{
	const struct power_options options = {
		.power_off = on_power_off,
		.button = { .opaque = machine, .set = set_button_line },
	};
	int r = power_new(&options, &machine->power);

	return r < 0 ? r : adopt_at(machine, power_device(machine->power), POWER_PORT, POWER_PORT_COUNT);
}

static int add_panic_port(struct machine *machine)
{
	struct device *device;
	int r = panic_port_new(on_panic, NULL, &device);

	return r < 0 ? r : adopt_at(machine, device, PANIC_PORT, 1);
}

static int add_generation_id(struct machine *machine)
{
	const struct irq_line changed = { .opaque = machine, .set = set_generation_line };
	int r = generation_id_new(&machine->vm.memory, &changed, &machine->generation_id);

	return r < 0 ? r : adopt(machine, generation_id_device(machine->generation_id));
}

static int add_fw_cfg(struct machine *machine)
{
	int r = fw_cfg_new(machine->generation_id, &machine->fw_cfg);

	return r < 0 ? r : adopt_at(machine, fw_cfg_device(machine->fw_cfg), FW_CFG_PORT, FW_CFG_PORT_COUNT);
}

/* The order here is the order of devices in a snapshot. */
static const struct {
	const char *name;
	int (*add)(struct machine *machine);
} device_makers[] = {
	{ "serial", add_serial }, { "i8042", add_i8042 },           { "signal_port", add_signal_port },
	{ "power", add_power },   { "panic_port", add_panic_port }, { "generation_id", add_generation_id },
	{ "fw_cfg", add_fw_cfg },
};

int machine_add_platform(struct machine *machine, struct error_detail *detail)
{
	int r;

	for (size_t i = 0; i < sizeof(device_makers) / sizeof(device_makers[0]); i++) {
		r = device_makers[i].add(machine);
		if (r < 0) {
			error_detail_set(detail, "device %s: %s", device_makers[i].name, strerrordesc_np(-r));
			return r;
		}
	}

	return 0;
}
