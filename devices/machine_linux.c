/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Booting a machine into a Linux kernel.
 *
 * kvm/linux/ knows how a kernel is loaded and entered, kvm/acpi/ how a machine is described; what is known here is
 * which devices there are and where. A kernel's file and an initrd's are somebody else's, who may go on writing to them
 * and cutting them while we read: they are never mapped, and what was read of a header is checked and not read again.
 */
#include "devices/machine_linux.h"

#include <errno.h>
#include <string.h>

#include "devices/entropy.h"
#include "devices/fw_cfg.h"
#include "devices/generation_id.h"
#include "devices/i8042.h"
#include "devices/panic_port.h"
#include "devices/power.h"
#include "devices/virtio/mmio.h"
#include "devices/virtio/virtio.h"
#include "kvm/acpi/tables.h"
#include "kvm/linux/boot.h"

#define SEED_SIZE 32 /* bytes */

/* A virtio device that nobody has configured is not there. */
static void describe_virtio(const struct machine *machine, struct acpi_machine *acpi)
{
	for (uint32_t i = 0; i < machine->window_count; i++) {
		const struct machine_window *window = &machine->windows[i];

		if (window->device->present)
			acpi->virtio[acpi->virtio_count++] = (struct acpi_virtio_mmio){
				.gpa = (uint32_t)window->base,
				.size = VIRTIO_MMIO_WINDOW,
				.gsi = window->gsi,
			};
	}
}

static int write_acpi(struct machine *machine, struct error_detail *detail)
{
	struct acpi_machine acpi = {
		.tables_gpa = LINUX_ACPI_GPA,
		.tables_size = LINUX_ACPI_SIZE,
		.vcpus = machine->shape.vcpus,
		.sleep_port = POWER_PORT,
		.reset_port = I8042_PORT_COMMAND,
		.reset_value = I8042_COMMAND_RESET,
		.com1_port = SERIAL_PORT_COM1,
		.com1_gsi = SERIAL_IRQ_COM1,
		.panic_port = PANIC_PORT,
		.fw_cfg_port = FW_CFG_PORT,
		.power_button_gsi = POWER_BUTTON_GSI,
		.generation_id_gsi = GENERATION_ID_GSI,
		.generation_id_gpa = LINUX_GENERATION_ID_GPA,
	};

	describe_virtio(machine, &acpi);
	return acpi_write_tables(&machine->vm.memory, &acpi, detail);
}

/* The kernel with its command line, initrd and seed, into memory that is fresh. */
static int load(struct guest_memory *memory, struct linux_boot *boot, struct linux_start *ret_start,
		struct error_detail *detail)
{
	uint8_t seed[SEED_SIZE];
	const struct linux_setup_data setup_data = { SETUP_RNG_SEED, sizeof(seed), seed };
	int r;

	r = entropy_fill(seed, sizeof(seed));
	if (r < 0) {
		error_detail_set(detail, "seed: getrandom: %s", strerrordesc_np(-r));
		return r;
	}

	boot->setup_data = &setup_data;
	boot->setup_data_count = boot->entry != KERNEL_ENTRY_PVH;
	r = linux_boot_load(memory, boot, ret_start, detail);
	boot->setup_data = NULL;
	boot->setup_data_count = 0;
	explicit_bzero(seed, sizeof(seed));
	return r;
}

/* Everything that the kernel finds in memory, and the registers that it starts with. */
static int fill(struct machine *machine, struct linux_boot *boot, struct error_detail *detail)
{
	struct guest_memory *memory = &machine->vm.memory;
	struct linux_start start;
	int r;

	r = guest_memory_lay_anonymous(memory);
	if (r < 0) {
		error_detail_set(detail, "memory: %s", strerrordesc_np(-r));
		return r;
	}

	r = load(memory, boot, &start, detail);
	if (r == 0)
		r = write_acpi(machine, detail);
	if (r == 0)
		r = generation_id_place(machine->generation_id, LINUX_GENERATION_ID_GPA, detail);
	if (r == 0)
		r = linux_boot_enter(memory, machine->vcpus[0], &start, detail);
	return r;
}

int machine_boot_linux(struct machine *machine, const struct machine_linux_options *options,
		       struct error_detail *detail)
{
	struct kernel_image image;
	struct image_source kernel;
	struct image_source initrd;
	struct linux_boot boot = {
		.kernel = &kernel,
		.image = &image,
		.entry = options->entry,
		.initrd = options->initrd >= 0 ? &initrd : NULL,
		.cmdline = options->cmdline,
		.rsdp_gpa = LINUX_ACPI_GPA,
		.reset_port = I8042_PORT_COMMAND,
		.reset_value = I8042_COMMAND_RESET,
	};
	int r;

	if (machine->started) {
		error_detail_set(detail, "the machine has run");
		return -EBUSY;
	}
	if (!kernel_entry_name(options->entry)) {
		error_detail_set(detail, "entry: %u is none", (unsigned int)options->entry);
		return -EINVAL;
	}

	r = image_source_from_file(options->kernel, "kernel", &kernel, detail);
	if (r == 0)
		r = kernel_image_parse(&kernel, &image, detail);
	if (r == 0 && boot.initrd)
		r = image_source_from_file(options->initrd, "initrd", &initrd, detail);
	return r < 0 ? r : fill(machine, &boot, detail);
}
