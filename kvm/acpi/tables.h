/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ACPI tables of a machine: what a stock kernel needs to find its processors, its interrupts and its devices.
 */
#ifndef EMBER_KVM_ACPI_TABLES_H
#define EMBER_KVM_ACPI_TABLES_H

#include <stddef.h>
#include <stdint.h>

#include "kvm/error_detail.h"
#include "kvm/memory.h"

#define ACPI_VCPUS_MAX  8
#define ACPI_VIRTIO_MAX 16
#define ACPI_GSI_MAX    23 /* the IOAPIC of KVM has 24 pins */

/*
 * What a guest writes to the sleep control register to power off (S5): ACPI 6.4, 4.8.3.7. Other values ask for nothing
 * that we have.
 */
#define ACPI_SLEEP_CONTROL_OFF 0x34

struct acpi_virtio_mmio {
	uint32_t gpa;
	uint32_t size; /* bytes */
	uint32_t gsi;
};

/* What there is. A member of 0 is a thing that there is not, but for what has to be. */
struct acpi_machine {
	uint64_t tables_gpa;  /* where the RSDP stands, on 16 bytes; the other tables follow it. Below 4 GiB */
	uint64_t tables_size; /* bytes that they may take */
	uint32_t vcpus;       /* 1 .. ACPI_VCPUS_MAX; the index of each is its APIC id */
	uint16_t sleep_port;  /* sleep control, and after it sleep status; has to be */
	uint16_t reset_port;  /* where reset_value resets the machine; has to be */
	uint8_t reset_value;
	uint16_t com1_port;
	uint32_t com1_gsi;
	uint16_t panic_port;  /* a pvpanic device: one byte, an event a bit */
	uint16_t fw_cfg_port; /* a QEMU firmware configuration device: selector, and after it data */
	uint32_t power_button_gsi;
	uint32_t generation_id_gsi; /* raised when what stands at generation_id_gpa has changed */
	uint64_t generation_id_gpa; /* 16 bytes */
	uint32_t virtio_count;      /* at most ACPI_VIRTIO_MAX */
	struct acpi_virtio_mmio virtio[ACPI_VIRTIO_MAX];
};

/*
 * Make the tables: the bytes that belong at machine->tables_gpa.
 *
 * ret_bytes  machine->tables_size bytes
 * ret_size   bytes that the tables take
 *
 * Returns 0; -EINVAL (detail names the member); or -ENOSPC (tables_size is too small).
 */
int acpi_build_tables(const struct acpi_machine *machine, uint8_t *ret_bytes, size_t *ret_size,
		      struct error_detail *detail);

/* The same, into guest memory. Returns as above, or -EFAULT, or -ENOMEM. The RSDP stands at machine->tables_gpa. */
int acpi_write_tables(struct guest_memory *memory, const struct acpi_machine *machine, struct error_detail *detail);

#endif
