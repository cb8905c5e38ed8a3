/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The zero page: what a kernel that is entered in 64-bit mode knows of its machine.
 *
 * Documentation/arch/x86/zero-page.rst and boot.rst, "64-bit Boot Protocol". A bzImage's own setup header is copied in
 * and the loader's fields filled; an ELF has no header of its own, so one is made that says what such a loader
 * says. Everything else is zero, the sentinel included, which tells the kernel that the page is clean.
 */
#include <asm/bootparam.h>
#include <assert.h>
#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "kvm/linux/boot_parts.h"

#define BOOT_FLAG           0xaa55
#define HEADER_MAGIC        0x53726448 /* "HdrS" */
#define PROTOCOL            0x020f
#define LOADER_UNDEFINED    0xff /* type_of_loader: none that has a number */
#define HIGH_HALF_SHIFT     32
#define SETUP_DATA_ALIGN    8U
#define ELF_ALIGNMENT       0x1000000U
#define ELF_INITRD_ADDR_MAX 0x7fffffffU

static_assert(sizeof(struct boot_params) == 4096, "the zero page is a page");
static_assert(offsetof(struct boot_params, hdr) == 0x1f1, "the setup header has its place");

static struct setup_header header_of_elf(void)
{
	return (struct setup_header){
		.boot_flag = BOOT_FLAG,
		.header = HEADER_MAGIC,
		.version = PROTOCOL,
		.loadflags = LOADED_HIGH,
		.kernel_alignment = ELF_ALIGNMENT,
		.initrd_addr_max = ELF_INITRD_ADDR_MAX,
		.cmdline_size = LINUX_CMDLINE_MAX,
	};
}

/* The nodes one after another, each aligned, each with the address of the next. */
static int write_setup_data(struct guest_memory *memory, const struct linux_boot *boot, uint64_t *ret_first,
			    struct error_detail *detail)
{
	uint64_t gpa = BOOT_SETUP_DATA_GPA;
	uint64_t end = BOOT_SETUP_DATA_GPA + LINUX_SETUP_DATA_MAX;

	*ret_first = 0;
	for (uint32_t i = 0; i < boot->setup_data_count; i++) {
		const struct linux_setup_data *from = &boot->setup_data[i];
		uint64_t padded = ((uint64_t)from->size + SETUP_DATA_ALIGN - 1) / SETUP_DATA_ALIGN * SETUP_DATA_ALIGN;
		struct setup_data node = { .type = from->type, .len = from->size };
		int result;

		if (end - gpa < sizeof(node) || padded > end - gpa - sizeof(node)) {
			error_detail_set(detail, "setup data: more than %d bytes", LINUX_SETUP_DATA_MAX);
			return -EFBIG;
		}
		if (i + 1 < boot->setup_data_count)
			node.next = gpa + sizeof(node) + padded;
		result = guest_memory_write(memory, gpa, &node, sizeof(node));
		if (result == 0)
			result = guest_memory_write(memory, gpa + sizeof(node), from->data, from->size);
		if (result < 0)
			return result;
		*ret_first = BOOT_SETUP_DATA_GPA;
		gpa += sizeof(node) + padded;
	}

	return 0;
}

static void fill_memory_map(const struct guest_memory *memory, struct boot_params *params)
{
	struct linux_memory_range ranges[LINUX_MEMORY_RANGES_MAX];
	uint32_t count = linux_memory_ranges(memory->size, ranges);

	for (uint32_t i = 0; i < count; i++)
		params->e820_table[i] = (struct boot_e820_entry){
			.addr = ranges[i].gpa,
			.size = ranges[i].size,
			.type = ranges[i].type,
		};
	params->e820_entries = (uint8_t)count;
}

int boot_write_zero_page(struct guest_memory *memory, const struct linux_boot *boot, const struct boot_placed *placed,
			 struct error_detail *detail)
{
	struct boot_params params = { .acpi_rsdp_addr = boot->rsdp_gpa };
	uint64_t setup_data;
	int result;

	result = write_setup_data(memory, boot, &setup_data, detail);
	if (result < 0)
		return result;

	params.hdr = boot->image->format == KERNEL_BZIMAGE ? boot->image->bzimage.header : header_of_elf();
	params.hdr.type_of_loader = LOADER_UNDEFINED;
	params.hdr.code32_start = (uint32_t)placed->load_gpa;
	params.hdr.setup_data = setup_data;
	params.hdr.cmd_line_ptr = BOOT_CMDLINE_GPA;
	params.hdr.ramdisk_image = (uint32_t)placed->initrd_gpa;
	params.hdr.ramdisk_size = (uint32_t)placed->initrd_size;
	params.ext_ramdisk_image = (uint32_t)(placed->initrd_gpa >> HIGH_HALF_SHIFT);
	params.ext_ramdisk_size = (uint32_t)(placed->initrd_size >> HIGH_HALF_SHIFT);
	fill_memory_map(memory, &params);

	return guest_memory_write(memory, BOOT_INFO_GPA, &params, sizeof(params));
}
