/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The start of a test machine: a kernel, an initrd, and ACPI tables in its memory.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/random.h>

#include "devices/i8042.h"
#include "devices/virtio/mmio.h"
#include "kvm/acpi/tables.h"
#include "kvm/linux/unpack.h"
#include "linux_vm.h"
#include "test_ports.h"

#define RESET_COMMAND 0xfe
#define SEED_SIZE     32

static struct image_source open_source(const char *path, const char *what)
{
	struct error_detail detail = { 0 };
	struct image_source source;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	int result = fd < 0 ? -errno : image_source_from_file(fd, what, &source, &detail);

	if (result < 0)
		fail(path, result, &detail);
	return source;
}

/* The kernel as it will be entered: unpacked first, where a bzImage is to be entered as an ELF. */
static struct image_source open_kernel(const struct options *options, struct kernel_image *ret_image)
{
	struct image_source source = open_source(options->kernel, "kernel");
	struct error_detail detail = { 0 };
	struct unpack_sink sink;
	static int elf;
	uint64_t size;
	int result;

	result = kernel_image_parse(&source, ret_image, &detail);
	if (result < 0)
		fail(options->kernel, result, &detail);
	printf("linux_vm: %s %s\n", kernel_format_name(ret_image->format), ret_image->version);
	if (kernel_image_has_entry(ret_image, options->entry) || ret_image->format != KERNEL_BZIMAGE)
		return source;

	elf = memfd_create("vmlinux", MFD_CLOEXEC);
	sink = unpack_sink_to_file(&elf);
	result = kernel_unpack(&source, &ret_image->bzimage, KERNEL_UNPACKED_MAX, &sink, &size, &detail);
	if (result == 0)
		result = image_source_from_file(elf, "kernel", &source, &detail);
	if (result == 0)
		result = kernel_image_parse(&source, ret_image, &detail);
	if (result < 0)
		fail("unpacking", result, &detail);
	return source;
}

static void write_acpi(struct machine *machine, uint32_t vcpus)
{
	struct acpi_machine acpi = {
		.tables_gpa = LINUX_ACPI_GPA,
		.tables_size = LINUX_ACPI_SIZE,
		.vcpus = vcpus,
		.sleep_port = TEST_PORT_SLEEP,
		.reset_port = I8042_PORT_COMMAND,
		.reset_value = RESET_COMMAND,
		.com1_port = SERIAL_PORT_COM1,
		.com1_gsi = SERIAL_IRQ_COM1,
		.panic_port = TEST_PORT_PANIC,
		.power_button_gsi = POWER_BUTTON_GSI,
		.generation_id_gsi = GENERATION_ID_GSI,
		.generation_id_gpa = LINUX_GENERATION_ID_GPA,
	};
	struct error_detail detail = { 0 };
	int result;

	for (uint32_t i = 0; i < machine->window_count; i++)
		acpi.virtio[acpi.virtio_count++] = (struct acpi_virtio_mmio){
			.gpa = (uint32_t)machine->windows[i].base,
			.size = VIRTIO_MMIO_WINDOW,
			.gsi = machine->windows[i].gsi,
		};
	result = acpi_write_tables(&machine->vm.memory, &acpi, &detail);
	if (result < 0)
		fail("ACPI", result, &detail);
}

void linux_vm_boot(struct machine *machine, const struct options *options)
{
	struct kernel_image image;
	struct image_source kernel = open_kernel(options, &image);
	uint8_t seed[SEED_SIZE];
	const struct linux_setup_data setup_data = { SETUP_RNG_SEED, sizeof(seed), seed };
	struct linux_boot boot = {
		.kernel = &kernel,
		.image = &image,
		.entry = options->entry,
		.cmdline = options->cmdline,
		.rsdp_gpa = LINUX_ACPI_GPA,
		.reset_port = I8042_PORT_COMMAND,
		.reset_value = RESET_COMMAND,
		.setup_data = &setup_data,
		.setup_data_count = options->entry != KERNEL_ENTRY_PVH,
	};
	struct error_detail detail = { 0 };
	struct image_source initrd;
	struct linux_start start;
	int result;

	if (options->initrd) {
		initrd = open_source(options->initrd, "initrd");
		boot.initrd = &initrd;
	}
	if (getrandom(seed, sizeof(seed), 0) != (ssize_t)sizeof(seed))
		fail("getrandom", -errno, NULL);

	result = guest_memory_lay_anonymous(&machine->vm.memory);
	if (result == 0)
		result = linux_boot_load(&machine->vm.memory, &boot, &start, &detail);
	if (result == 0)
		result = linux_boot_enter(&machine->vm.memory, machine->vcpus[0], &start, &detail);
	if (result < 0)
		fail("boot", result, &detail);
	write_acpi(machine, options->vcpus);
}
