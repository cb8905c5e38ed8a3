/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The start info: what a kernel that is entered by its PVH note knows of its machine. The initrd is its first module.
 *
 * Source: Xen's docs/misc/pvh.pandoc.
 */
#include <assert.h>
#include <errno.h>
#include <stddef.h>

#include "kvm/linux/boot_parts.h"
#include "kvm/linux/start_info.h"

/* All that is written, in one piece. */
struct start_info_page {
	struct start_info info;
	struct start_info_module module;
	struct start_info_memory memory[LINUX_MEMORY_RANGES_MAX];
};
static_assert(sizeof(struct start_info_page) <= BOOT_INFO_END - BOOT_INFO_GPA, "the start info has room");

int boot_write_start_info(struct guest_memory *memory, const struct linux_boot *boot, const struct boot_placed *placed,
			  struct error_detail *detail)
{
	struct linux_memory_range ranges[LINUX_MEMORY_RANGES_MAX];
	struct start_info_page page = {
		.info = {
			.magic = START_INFO_MAGIC,
			.version = START_INFO_VERSION,
			.cmdline_gpa = BOOT_CMDLINE_GPA,
			.rsdp_gpa = boot->rsdp_gpa,
			.memory_map_gpa = BOOT_INFO_GPA + offsetof(struct start_info_page, memory),
		},
		.module = { .gpa = placed->initrd_gpa, .size = placed->initrd_size },
	};

	if (boot->setup_data_count > 0) {
		error_detail_set(detail, "setup data: a PVH entry has no place for it");
		return -EINVAL;
	}

	if (placed->initrd_size > 0) {
		page.info.module_count = 1;
		page.info.modules_gpa = BOOT_INFO_GPA + offsetof(struct start_info_page, module);
	}
	page.info.memory_map_count = linux_memory_ranges(memory->size, ranges);
	for (uint32_t i = 0; i < page.info.memory_map_count; i++)
		page.memory[i] = (struct start_info_memory){
			.gpa = ranges[i].gpa,
			.size = ranges[i].size,
			.type = ranges[i].type,
		};

	return guest_memory_write(memory, BOOT_INFO_GPA, &page, sizeof(page));
}
