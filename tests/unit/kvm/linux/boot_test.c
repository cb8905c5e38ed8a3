/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A kernel finds itself, its initrd, its command line and its description of the machine where the boot protocols say;
 * what does not fit is refused before anything is written.
 */
#include "kvm/linux/boot.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "image_builder.h"
#include "kvm/linux/start_info.h"

#define MIB UINT64_C(0x100000)

struct fixture {
	struct guest_memory memory;
	struct built_image built;
	struct image_source kernel;
	struct kernel_image image;
	struct image_source initrd;
	struct linux_boot boot;
	struct linux_start start;
	struct error_detail detail;
};

static struct fixture *set_up(struct built_image built, enum kernel_entry entry, uint64_t memory_size)
{
	struct fixture *f = calloc(1, sizeof(*f));

	cr_assert_not_null(f);
	f->built = built;
	f->kernel = built_source(&f->built);
	cr_assert_eq(kernel_image_parse(&f->kernel, &f->image, &f->detail), 0, "%s", f->detail.text);
	cr_assert_eq(guest_memory_reserve(memory_size, &f->memory), 0);
	cr_assert_eq(guest_memory_lay_anonymous(&f->memory), 0);
	f->boot = (struct linux_boot){
		.kernel = &f->kernel, .image = &f->image, .entry = entry, .cmdline = "console=ttyS0 quiet"
	};
	return f;
}

static void tear_down(struct fixture *f)
{
	guest_memory_release(&f->memory);
	built_free(&f->built);
	free(f);
}

static struct built_image bzimage(void)
{
	return build_bzimage("payload", 7);
}

static void load(struct fixture *f)
{
	cr_assert_eq(linux_boot_load(&f->memory, &f->boot, &f->start, &f->detail), 0, "%s", f->detail.text);
}

static void expect_refusal(struct fixture *f, int error, const char *word)
{
	static const uint8_t zero[4096];

	cr_assert_eq(linux_boot_load(&f->memory, &f->boot, &f->start, &f->detail), error, "%s", f->detail.text);
	cr_assert_not_null(strstr(f->detail.text, word), "'%s' does not say '%s'", f->detail.text, word);
	cr_assert_eq(f->start.instruction_gpa, 0);
	cr_assert_arr_eq(f->memory.host + BUILT_ELF_GPA, zero, sizeof(zero));
}

static const struct boot_params *zero_page(const struct fixture *f)
{
	return (const struct boot_params *)(f->memory.host + f->start.argument_gpa);
}

static void expect_memory_map(const struct boot_params *params, uint64_t memory_size)
{
	cr_assert_eq(params->e820_entries, 3);
	cr_assert_eq(params->e820_table[0].addr, 0);
	cr_assert_eq(params->e820_table[0].type, 1);
	cr_assert_eq(params->e820_table[1].addr, params->e820_table[0].size);
	cr_assert_eq(params->e820_table[1].type, 2);
	cr_assert_leq(params->e820_table[1].addr, LINUX_ACPI_GPA);
	cr_assert_eq(params->e820_table[1].addr + params->e820_table[1].size, MIB);
	cr_assert_eq(params->e820_table[2].addr, MIB);
	cr_assert_eq(params->e820_table[2].size, memory_size - MIB);
	cr_assert_eq(params->e820_table[2].type, 1);
}

Test(linux_boot, bzimage_with_zero_page)
{
	struct fixture *f = set_up(bzimage(), KERNEL_ENTRY_BZIMAGE, 64 * MIB);
	const struct boot_params *params;

	f->boot.rsdp_gpa = LINUX_ACPI_GPA;
	load(f);
	params = zero_page(f);
	cr_assert_eq(f->start.instruction_gpa, BUILT_LOAD_GPA + 0x200);
	cr_assert_eq(f->start.initrd_gpa, 0);
	cr_assert_arr_eq(f->memory.host + BUILT_LOAD_GPA, f->built.bytes + BUILT_CODE_OFFSET,
			 f->built.size - BUILT_CODE_OFFSET);
	cr_assert_eq(params->hdr.header, 0x53726448);
	cr_assert_eq(params->hdr.version, 0x020f);
	cr_assert_eq(params->hdr.init_size, BUILT_RUN_SIZE);
	cr_assert_eq(params->hdr.type_of_loader, 0xff);
	cr_assert_eq(params->hdr.code32_start, BUILT_LOAD_GPA);
	cr_assert_eq(params->hdr.setup_data, 0);
	cr_assert_eq(params->hdr.ramdisk_size, 0);
	cr_assert_eq(params->sentinel, 0);
	cr_assert_eq(params->acpi_rsdp_addr, LINUX_ACPI_GPA);
	cr_assert_str_eq((const char *)f->memory.host + params->hdr.cmd_line_ptr, "console=ttyS0 quiet");
	expect_memory_map(params, 64 * MIB);
	tear_down(f);
}

Test(linux_boot, elf_with_zero_page)
{
	struct fixture *f = set_up(build_elf(), KERNEL_ENTRY_ELF64, 64 * MIB);

	load(f);
	cr_assert_eq(f->start.instruction_gpa, BUILT_ELF_ENTRY);
	cr_assert_eq(zero_page(f)->hdr.header, 0x53726448);
	cr_assert_eq(zero_page(f)->hdr.boot_flag, 0xaa55);
	cr_assert_eq(zero_page(f)->hdr.type_of_loader, 0xff);
	expect_memory_map(zero_page(f), 64 * MIB);
	for (uint8_t i = 0; i < BUILT_ELF_CODE; i++)
		cr_assert_eq(f->memory.host[BUILT_ELF_GPA + i], i + 1);
	cr_assert_eq(f->memory.host[BUILT_ELF_GPA + BUILT_ELF_CODE], 0);
	cr_assert_eq(f->memory.host[BUILT_SECOND_GPA + 15], 16);
	tear_down(f);
}

Test(linux_boot, pvh_with_start_info)
{
	struct fixture *f = set_up(build_elf(), KERNEL_ENTRY_PVH, 3072 * MIB);
	const struct start_info *info;
	const struct start_info_module *module;
	const struct start_info_memory *map;

	f->boot.rsdp_gpa = LINUX_ACPI_GPA;
	f->initrd = image_source_from_bytes("initrd!", 7);
	f->boot.initrd = &f->initrd;
	load(f);
	info = (const struct start_info *)(f->memory.host + f->start.argument_gpa);
	cr_assert_eq(f->start.instruction_gpa, BUILT_PVH_ENTRY);
	cr_assert_eq(info->magic, 0x336ec578);
	cr_assert_eq(info->version, 1);
	cr_assert_eq(info->flags, 0);
	cr_assert_eq(info->rsdp_gpa, LINUX_ACPI_GPA);
	cr_assert_str_eq((const char *)f->memory.host + info->cmdline_gpa, "console=ttyS0 quiet");
	cr_assert_eq(info->module_count, 1);
	module = (const struct start_info_module *)(f->memory.host + info->modules_gpa);
	cr_assert_eq(module->gpa, f->start.initrd_gpa);
	cr_assert_eq(module->size, 7);
	cr_assert_arr_eq(f->memory.host + module->gpa, "initrd!", 7);
	cr_assert_eq(info->memory_map_count, 3);
	map = (const struct start_info_memory *)(f->memory.host + info->memory_map_gpa);
	cr_assert_eq(map[2].gpa + map[2].size, 3072 * MIB);
	cr_assert_eq(map[2].type, 1);
	tear_down(f);
}

Test(linux_boot, pvh_without_initrd_has_no_module)
{
	struct fixture *f = set_up(build_elf(), KERNEL_ENTRY_PVH, 64 * MIB);
	const struct start_info *info;

	load(f);
	info = (const struct start_info *)(f->memory.host + f->start.argument_gpa);
	cr_assert_eq(info->module_count, 0);
	cr_assert_eq(info->modules_gpa, 0);
	tear_down(f);
}

/* A kernel that restarts by jumping to where firmware would begin resets the machine there. */
Test(linux_boot, firmwares_entry_resets_the_machine)
{
	static const uint8_t code[] = { 0xb0, 0x5a, 0xe6, 0x64, 0xfa, 0xf4 };
	struct fixture *f = set_up(bzimage(), KERNEL_ENTRY_BZIMAGE, 64 * MIB);

	f->boot.reset_port = 0x64;
	f->boot.reset_value = 0x5a;
	load(f);
	cr_assert_arr_eq(f->memory.host + LINUX_RESET_GPA, code, sizeof(code));
	tear_down(f);
}

Test(linux_boot, an_image_is_entered_only_as_it_can_be)
{
	struct fixture *f = set_up(bzimage(), KERNEL_ENTRY_PVH, 64 * MIB);

	expect_refusal(f, -EOPNOTSUPP, "no pvh entry");
	f->boot.entry = KERNEL_ENTRY_ELF64;
	expect_refusal(f, -EOPNOTSUPP, "no elf64 entry");
	f->boot.entry = KERNEL_ENTRY_COUNT;
	expect_refusal(f, -EOPNOTSUPP, "no such entry");
	tear_down(f);

	f = set_up(build_elf(), KERNEL_ENTRY_BZIMAGE, 64 * MIB);
	expect_refusal(f, -EOPNOTSUPP, "no bzimage entry");
	tear_down(f);
}

Test(linux_boot, kernel_needs_all_its_memory)
{
	/* pref_address 16 MiB, init_size 2 MiB: 18 MiB will do, one page less will not. */
	struct fixture *f = set_up(bzimage(), KERNEL_ENTRY_BZIMAGE, 18 * MIB - 4096);

	expect_refusal(f, -EFBIG, "up to 18 MiB");
	tear_down(f);
	f = set_up(bzimage(), KERNEL_ENTRY_BZIMAGE, 18 * MIB);
	load(f);
	tear_down(f);

	struct built_image built = build_elf();
	built_elf_segments(&built)[1].p_memsz = UINT64_C(1) << 40;
	f = set_up(built, KERNEL_ENTRY_ELF64, 64 * MIB);
	expect_refusal(f, -EFBIG, "the guest has 64");
	tear_down(f);
}

Test(linux_boot, initrd_goes_as_high_as_memory_and_kernel_allow)
{
	static uint8_t initrd[10000];
	struct fixture *f = set_up(bzimage(), KERNEL_ENTRY_BZIMAGE, 64 * MIB);

	memset(initrd, 0xa5, sizeof(initrd));
	f->initrd = image_source_from_bytes(initrd, sizeof(initrd));
	f->boot.initrd = &f->initrd;
	load(f);
	cr_assert_eq(f->start.initrd_gpa, 64 * MIB - 3 * 4096);
	cr_assert_eq(zero_page(f)->hdr.ramdisk_image, f->start.initrd_gpa);
	cr_assert_eq(zero_page(f)->hdr.ramdisk_size, sizeof(initrd));
	cr_assert_eq(zero_page(f)->ext_ramdisk_image, 0);
	cr_assert_arr_eq(f->memory.host + f->start.initrd_gpa, initrd, sizeof(initrd));
	tear_down(f);

	f = set_up(bzimage(), KERNEL_ENTRY_BZIMAGE, 64 * MIB);
	f->image.bzimage.initrd_last = 32 * MIB - 1;
	f->initrd = image_source_from_bytes(initrd, sizeof(initrd));
	f->boot.initrd = &f->initrd;
	load(f);
	cr_assert_eq(f->start.initrd_gpa, 32 * MIB - 3 * 4096);
	tear_down(f);

	/* Past 2 GiB where the kernel takes it. */
	f = set_up(build_elf(), KERNEL_ENTRY_ELF64, 3072 * MIB);
	f->initrd = image_source_from_bytes(initrd, sizeof(initrd));
	f->boot.initrd = &f->initrd;
	load(f);
	cr_assert_eq(f->start.initrd_gpa, 3072 * MIB - 3 * 4096);
	tear_down(f);
}

Test(linux_boot, initrd_that_does_not_fit_is_refused)
{
	const size_t size = 14 * MIB;
	uint8_t *initrd = calloc(1, size + 1);
	struct fixture *f = set_up(bzimage(), KERNEL_ENTRY_BZIMAGE, 32 * MIB);

	cr_assert_not_null(initrd);
	/* From 18 MiB, where the kernel ends, to 32 MiB: all of it, and not a byte more. */
	f->boot.initrd = &f->initrd;
	f->initrd = image_source_from_bytes(initrd, size + 1);
	expect_refusal(f, -EFBIG, "initrd");
	f->initrd = (struct image_source){ .fd = -1, .bytes = initrd, .size = UINT64_MAX };
	expect_refusal(f, -EFBIG, "initrd");
	f->initrd = image_source_from_bytes(initrd, size);
	load(f);
	cr_assert_eq(f->start.initrd_gpa, 18 * MIB);
	tear_down(f);
	free(initrd);
}

Test(linux_boot, command_line_keeps_to_the_kernels_limit)
{
	static char cmdline[LINUX_CMDLINE_MAX + 2];
	struct fixture *f = set_up(bzimage(), KERNEL_ENTRY_BZIMAGE, 64 * MIB);

	memset(cmdline, 'c', sizeof(cmdline) - 1);
	f->boot.cmdline = cmdline + sizeof(cmdline) - 1 - 2048;
	expect_refusal(f, -EFBIG, "at most 2047");
	f->boot.cmdline++;
	load(f);
	tear_down(f);

	/* An ELF does not say; x86 kernels cut what is longer without a word. */
	f = set_up(build_elf(), KERNEL_ENTRY_PVH, 64 * MIB);
	f->boot.cmdline = cmdline + sizeof(cmdline) - 1 - 2048;
	expect_refusal(f, -EFBIG, "at most 2047");
	f->boot.cmdline++;
	load(f);
	tear_down(f);
}

Test(linux_boot, setup_data_is_a_chain)
{
	static uint8_t large[LINUX_SETUP_DATA_MAX];
	struct linux_setup_data nodes[] = {
		{ .type = SETUP_RNG_SEED, .size = 5, .data = "seed!" },
		{ .type = SETUP_NONE, .size = 0, .data = NULL },
		{ .type = SETUP_DTB, .size = 8, .data = "12345678" },
	};
	struct fixture *f = set_up(build_elf(), KERNEL_ENTRY_ELF64, 64 * MIB);
	uint64_t gpa;

	f->boot.setup_data = nodes;
	f->boot.setup_data_count = 3;
	load(f);
	gpa = zero_page(f)->hdr.setup_data;
	for (size_t i = 0; i < 3; i++) {
		const struct setup_data *node = (const struct setup_data *)(f->memory.host + gpa);

		cr_assert_neq(gpa, 0);
		cr_assert_eq(gpa % 8, 0);
		cr_assert_eq(node->type, nodes[i].type);
		cr_assert_eq(node->len, nodes[i].size);
		if (nodes[i].size > 0)
			cr_assert_arr_eq(node->data, nodes[i].data, nodes[i].size);
		gpa = node->next;
	}
	cr_assert_eq(gpa, 0);
	tear_down(f);

	f = set_up(build_elf(), KERNEL_ENTRY_ELF64, 64 * MIB);
	f->boot.setup_data = &(struct linux_setup_data){ .size = sizeof(large) - 15, .data = large };
	f->boot.setup_data_count = 1;
	expect_refusal(f, -EFBIG, "setup data");
	f->boot.setup_data = &(struct linux_setup_data){ .size = UINT32_MAX, .data = large };
	expect_refusal(f, -EFBIG, "setup data");
	f->boot.setup_data = &(struct linux_setup_data){ .size = sizeof(large) - 16, .data = large };
	load(f);
	tear_down(f);

	f = set_up(build_elf(), KERNEL_ENTRY_PVH, 64 * MIB);
	f->boot.setup_data = nodes;
	f->boot.setup_data_count = 1;
	expect_refusal(f, -EINVAL, "setup data");
	tear_down(f);
}

Test(linux_boot, registers_are_those_of_the_64_bit_protocol)
{
	struct fixture *f = set_up(bzimage(), KERNEL_ENTRY_BZIMAGE, 64 * MIB);
	struct kvm_sregs sregs = { 0 };
	struct kvm_regs regs;
	uint64_t gdt[4], pml4, pdpt, pde;

	load(f);
	cr_assert_eq(linux_boot_registers(&f->memory, &f->start, &regs, &sregs), 0);
	cr_assert_eq(regs.rip, BUILT_LOAD_GPA + 0x200);
	cr_assert_eq(regs.rsi, f->start.argument_gpa);
	cr_assert_eq(regs.rflags, 2, "interrupts are off");
	cr_assert_eq(sregs.cs.selector, 0x10);
	cr_assert_eq(sregs.ds.selector, 0x18);
	cr_assert_eq(sregs.ss.selector, 0x18);
	cr_assert(sregs.cs.l && !sregs.cs.db && sregs.cs.present && sregs.cs.type == 0xb);
	cr_assert_eq(sregs.cr0, 0x80000031);
	cr_assert_eq(sregs.cr4, 0x20);
	cr_assert_eq(sregs.efer, 0x500);

	cr_assert_eq(sregs.gdt.limit, 39);
	cr_assert_eq(guest_memory_read(&f->memory, sregs.gdt.base, gdt, sizeof(gdt)), 0);
	cr_assert_eq(gdt[0], 0);
	cr_assert_eq(gdt[2], 0x00af9b000000ffff);
	cr_assert_eq(gdt[3], 0x00cf93000000ffff);

	cr_assert_eq(guest_memory_read(&f->memory, sregs.cr3, &pml4, 8), 0);
	cr_assert_eq(guest_memory_read(&f->memory, pml4 & ~UINT64_C(0xfff), &pdpt, 8), 0);
	for (uint64_t page = 0; page < 512; page++) {
		cr_assert_eq(guest_memory_read(&f->memory, (pdpt & ~UINT64_C(0xfff)) + page * 8, &pde, 8), 0);
		cr_assert_eq(pde, (page << 21) | 0x83);
	}
	tear_down(f);
}

Test(linux_boot, registers_are_those_of_pvh)
{
	struct fixture *f = set_up(build_elf(), KERNEL_ENTRY_PVH, 64 * MIB);
	struct kvm_sregs sregs = { .cr4 = 0x40, .efer = 0 };
	struct kvm_regs regs;

	load(f);
	cr_assert_eq(linux_boot_registers(&f->memory, &f->start, &regs, &sregs), 0);
	cr_assert_eq(regs.rip, BUILT_PVH_ENTRY);
	cr_assert_eq(regs.rbx, f->start.argument_gpa);
	cr_assert_eq(regs.rflags, 2);
	cr_assert_eq(sregs.cr0, 0x11);
	cr_assert_eq(sregs.cr4, 0);
	cr_assert_eq(sregs.efer, 0);
	cr_assert(!sregs.cs.l && sregs.cs.db && sregs.cs.limit == UINT32_MAX);
	cr_assert(sregs.ds.limit == UINT32_MAX && sregs.es.base == 0);
	cr_assert_eq(sregs.tr.limit, 0x67);
	tear_down(f);
}
