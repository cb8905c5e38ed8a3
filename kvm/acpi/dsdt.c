/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The DSDT: which devices there are, where, and what happens when one of them calls.
 *
 * A hardware-reduced machine has no fixed events. Its events are interrupts of a Generic Event Device
 * (ACPI 6.4, 5.6.9), whose method _EVT is told which interrupt it was, and notifies the device that it belongs to: one
 * interrupt an event, edge-triggered, so that raising it is a write to an eventfd and there is no register to read.
 *
 * Virtio devices are LNRO0005, as Linux's virtio_mmio driver knows them. The generation ID device is the one of
 * Microsoft's "Virtual Machine Generation ID" paper: ADDR gives the address of the ID in two halves, and 0x80 says that
 * it has changed.
 */
#include <stdio.h>

#include "kvm/acpi/acpi_parts.h"

#define SLEEP_TYPE_OFF 5
#define NOTIFY_CHANGED 0x80 /* a button: pressed; a generation ID: changed */
#define COM_PORTS      8
#define PANIC_PORTS    1
#define FW_CFG_PORTS   2
#define STATUS_PRESENT 0xf /* ACPI 6.4, 6.3.7: present, enabled, shown, working */
#define NAME_SIZE      5

static bool has_events(const struct acpi_machine *machine)
{
	return machine->power_button_gsi != 0 || machine->generation_id_gsi != 0;
}

static void write_sleep_states(struct aml *aml)
{
	aml_name(aml, "\\_S5");
	aml_package_begin(aml, 4);
	aml_integer(aml, SLEEP_TYPE_OFF);
	aml_integer(aml, SLEEP_TYPE_OFF);
	aml_integer(aml, 0);
	aml_integer(aml, 0);
	aml_end(aml);
}

static void write_serial(struct aml *aml, const struct acpi_machine *machine)
{
	aml_device_begin(aml, "COM1");
	aml_name(aml, "_HID");
	aml_eisa_id(aml, "PNP0501");
	aml_name(aml, "_UID");
	aml_integer(aml, 1);
	aml_name(aml, "_CRS");
	aml_resources_begin(aml);
	aml_resource_ports(aml, machine->com1_port, COM_PORTS);
	aml_resource_interrupt(aml, machine->com1_gsi);
	aml_end(aml);
	aml_end(aml);
}

/* A device of QEMU's, whose driver needs nothing but its ports. */
static void write_ports(struct aml *aml, const char *name, const char *id, uint16_t port, uint8_t count)
{
	aml_device_begin(aml, name);
	aml_name(aml, "_HID");
	aml_string(aml, id);
	aml_name(aml, "_STA");
	aml_integer(aml, STATUS_PRESENT);
	aml_name(aml, "_CRS");
	aml_resources_begin(aml);
	aml_resource_ports(aml, port, count);
	aml_end(aml);
	aml_end(aml);
}

static void write_power_button(struct aml *aml)
{
	aml_device_begin(aml, "PWRB");
	aml_name(aml, "_HID");
	aml_eisa_id(aml, "PNP0C0C");
	aml_end(aml);
}

static void write_generation_id(struct aml *aml, const struct acpi_machine *machine)
{
	aml_device_begin(aml, "VGEN");
	aml_name(aml, "_HID");
	aml_string(aml, "EMBR0001");
	aml_name(aml, "_CID");
	aml_string(aml, "VM_Gen_Counter");
	aml_name(aml, "_DDN");
	aml_string(aml, "VM_Gen_Counter");
	aml_name(aml, "ADDR");
	aml_package_begin(aml, 2);
	aml_integer(aml, machine->generation_id_gpa & UINT32_MAX);
	aml_integer(aml, machine->generation_id_gpa >> 32);
	aml_end(aml);
	aml_end(aml);
}

static void write_event(struct aml *aml, uint32_t gsi, const char *device)
{
	aml_if_argument_is_begin(aml, 0, gsi);
	aml_notify(aml, device, NOTIFY_CHANGED);
	aml_end(aml);
}

static void write_events(struct aml *aml, const struct acpi_machine *machine)
{
	aml_device_begin(aml, "GED0");
	aml_name(aml, "_HID");
	aml_string(aml, "ACPI0013");
	aml_name(aml, "_UID");
	aml_integer(aml, 0);
	aml_name(aml, "_CRS");
	aml_resources_begin(aml);
	if (machine->power_button_gsi != 0)
		aml_resource_interrupt(aml, machine->power_button_gsi);
	if (machine->generation_id_gsi != 0)
		aml_resource_interrupt(aml, machine->generation_id_gsi);
	aml_end(aml);
	aml_method_begin(aml, "_EVT", 1);
	if (machine->power_button_gsi != 0)
		write_event(aml, machine->power_button_gsi, "\\_SB.PWRB");
	if (machine->generation_id_gsi != 0)
		write_event(aml, machine->generation_id_gsi, "\\_SB.VGEN");
	aml_end(aml);
	aml_end(aml);
}

static void write_virtio(struct aml *aml, uint32_t index, const struct acpi_virtio_mmio *virtio)
{
	char name[NAME_SIZE];

	(void)snprintf(name, sizeof(name), "VR%02u", index % 100);
	aml_device_begin(aml, name);
	aml_name(aml, "_HID");
	aml_string(aml, "LNRO0005");
	aml_name(aml, "_UID");
	aml_integer(aml, index);
	aml_name(aml, "_CCA");
	aml_integer(aml, 1);
	aml_name(aml, "_CRS");
	aml_resources_begin(aml);
	aml_resource_memory(aml, virtio->gpa, virtio->size);
	aml_resource_interrupt(aml, virtio->gsi);
	aml_end(aml);
	aml_end(aml);
}

void acpi_write_dsdt(struct aml *aml, const struct acpi_machine *machine)
{
	write_sleep_states(aml);
	aml_scope_begin(aml, "\\_SB");
	if (machine->com1_port != 0)
		write_serial(aml, machine);
	if (machine->panic_port != 0)
		write_ports(aml, "PEVT", "QEMU0001", machine->panic_port, PANIC_PORTS);
	if (machine->fw_cfg_port != 0)
		write_ports(aml, "FWCF", "QEMU0002", machine->fw_cfg_port, FW_CFG_PORTS);
	if (machine->power_button_gsi != 0)
		write_power_button(aml);
	if (machine->generation_id_gsi != 0)
		write_generation_id(aml, machine);
	if (has_events(machine))
		write_events(aml, machine);
	for (uint32_t i = 0; i < machine->virtio_count; i++)
		write_virtio(aml, i, &machine->virtio[i]);
	aml_end(aml);
}
