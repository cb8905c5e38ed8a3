/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Putting a Linux kernel into guest memory.
 *
 * The kernel comes first, where it wants to be: a bzImage at pref_address (a relocatable one would move itself there
 * from anywhere lower, and no higher place needs less memory), an ELF where its segments say. What it uses before it
 * has read the memory map (init_size; the end of the last segment) must be memory, and stay clear of the initrd, which
 * goes as high as the kernel can take it. Files are read straight into guest memory.
 *
 * The order of checks is: everything that can be known from headers, before the first byte is written.
 */
#include "kvm/linux/boot.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "kvm/cpu_mode.h"
#include "kvm/linux/boot_parts.h"

#define MIB               (UINT64_C(1) << 20)
#define ENTRY64_OFFSET    UINT64_C(0x200) /* boot.rst, "64-bit Boot Protocol": from the start of the loaded code */
#define BOOT_CS           0x10            /* __BOOT_CS; __BOOT_DS follows it */
#define PVH_CS            0x08            /* any flat segment will do */
#define RFLAGS_FIXED      UINT64_C(0x2)
#define CR0_PE            UINT64_C(0x1)
#define CR0_ET            UINT64_C(0x10) /* reads as 1 whatever is written */
#define TSS_LIMIT         0x67
#define TSS_BUSY_32       0xb
#define PVH_INITRD_LAST   UINT32_MAX
#define ELF64_INITRD_LAST UINT32_MAX

static_assert(CPU_MODE_TABLES_END <= BOOT_INFO_GPA, "tables and boot information do not overlap");
static_assert(LINUX_ACPI_GPA + LINUX_ACPI_SIZE <= LINUX_GENERATION_ID_GPA, "the tables end before the generation ID");

/* The guest-physical range that the kernel takes, from its headers. */
struct kernel_range {
	uint64_t gpa;
	uint64_t end;
};

uint32_t linux_memory_ranges(uint64_t memory_size, struct linux_memory_range ret_ranges[LINUX_MEMORY_RANGES_MAX])
{
	ret_ranges[0] = (struct linux_memory_range){ 0, LINUX_RESERVED_GPA, LINUX_MEMORY_RAM };
	ret_ranges[1] = (struct linux_memory_range){ LINUX_RESERVED_GPA, KERNEL_GPA_MIN - LINUX_RESERVED_GPA,
						     LINUX_MEMORY_RESERVED };
	ret_ranges[2] = (struct linux_memory_range){ KERNEL_GPA_MIN, memory_size - KERNEL_GPA_MIN, LINUX_MEMORY_RAM };
	return LINUX_MEMORY_RANGES_MAX;
}

static uint64_t mib_rounded_up(uint64_t bytes)
{
	return bytes / MIB + (bytes % MIB != 0);
}

/* Where the kernel goes; it must be inside memory. */
static int range_of_kernel(const struct guest_memory *memory, const struct kernel_image *image,
			   struct kernel_range *ret_range, struct error_detail *detail)
{
	struct kernel_range range;

	if (image->format == KERNEL_BZIMAGE)
		range = (struct kernel_range){ image->bzimage.load_gpa,
					       image->bzimage.load_gpa + image->bzimage.run_size };
	else
		range = (struct kernel_range){ image->elf.memory_low, image->elf.memory_end };

	if (!guest_memory_contains(memory, range.gpa, range.end - range.gpa)) {
		error_detail_set(detail,
				 "kernel: it needs memory up to %" PRIu64
				 " MiB before it starts; the guest has %" PRIu64,
				 mib_rounded_up(range.end), memory->size / MIB);
		return -EFBIG;
	}

	*ret_range = range;
	return 0;
}

static uint64_t initrd_last_of(const struct linux_boot *boot)
{
	switch (boot->entry) {
	case KERNEL_ENTRY_BZIMAGE:
		return boot->image->bzimage.initrd_last;
	case KERNEL_ENTRY_ELF64:
		return ELF64_INITRD_LAST;
	case KERNEL_ENTRY_PVH:
	case KERNEL_ENTRY_COUNT:
		break;
	}

	return PVH_INITRD_LAST;
}

/* As high as memory and the kernel allow, on a page. */
static int place_initrd(const struct guest_memory *memory, const struct linux_boot *boot,
			const struct kernel_range *kernel, struct boot_placed *placed, struct error_detail *detail)
{
	uint64_t size = boot->initrd ? boot->initrd->size : 0;
	uint64_t end = memory->size;
	uint64_t gpa;

	if (size == 0)
		return 0;
	if (end > initrd_last_of(boot))
		end = initrd_last_of(boot) + 1;
	gpa = size <= end ? (end - size) / GUEST_MEMORY_PAGE * GUEST_MEMORY_PAGE : 0;
	if (gpa < kernel->end) {
		error_detail_set(detail,
				 "initrd: its %" PRIu64 " MiB do not fit between the end of the kernel at %" PRIu64
				 " MiB and the last MiB that it can use, %" PRIu64,
				 mib_rounded_up(size), mib_rounded_up(kernel->end), end / MIB);
		return -EFBIG;
	}

	placed->initrd_gpa = gpa;
	placed->initrd_size = size;
	return 0;
}

static int read_into(struct guest_memory *memory, uint64_t gpa, const struct image_source *source, uint64_t offset,
		     uint64_t size, const char *what, struct error_detail *detail)
{
	uint8_t *host;
	int result;

	result = guest_memory_range(memory, gpa, size, &host);
	if (result == 0)
		result = image_source_read(source, offset, host, size);
	if (result == -ENODATA)
		error_detail_set(detail, "%s: the file has become shorter while it was read", what);
	else if (result < 0)
		error_detail_set(detail, "%s: %s", what, strerrordesc_np(-result));
	return result;
}

static int load_kernel(struct guest_memory *memory, const struct linux_boot *boot, struct error_detail *detail)
{
	const struct kernel_image *image = boot->image;

	if (image->format == KERNEL_BZIMAGE)
		return read_into(memory, image->bzimage.load_gpa, boot->kernel, image->bzimage.code_offset,
				 image->bzimage.code_size, "kernel", detail);

	for (uint32_t i = 0; i < image->elf.segment_count; i++) {
		const struct kernel_segment *segment = &image->elf.segments[i];
		int result = read_into(memory, segment->gpa, boot->kernel, segment->offset, segment->file_size,
				       "kernel", detail);

		if (result < 0)
			return result;
	}

	return 0;
}

static int check_cmdline(const struct linux_boot *boot, size_t length, struct error_detail *detail)
{
	size_t limit = boot->image->format == KERNEL_ELF ? LINUX_ELF_CMDLINE_MAX : LINUX_CMDLINE_MAX;

	if (boot->image->format == KERNEL_BZIMAGE && boot->image->bzimage.cmdline_max < limit)
		limit = boot->image->bzimage.cmdline_max;
	if (length > limit) {
		error_detail_set(detail, "cmdline: %zu bytes, but this kernel takes at most %zu", length, limit);
		return -EFBIG;
	}

	return 0;
}

static int write_boot_information(struct guest_memory *memory, const struct linux_boot *boot,
				  const struct boot_placed *placed, size_t cmdline_size, struct error_detail *detail)
{
	int result = guest_memory_write(memory, BOOT_CMDLINE_GPA, boot->cmdline, cmdline_size);

	if (result < 0)
		return result;
	return boot->entry == KERNEL_ENTRY_PVH ? boot_write_start_info(memory, boot, placed, detail)
					       : boot_write_zero_page(memory, boot, placed, detail);
}

/*
 * Linux restarts a machine of reduced hardware (ACPI 6.4, 4.1) by EFI, and one without EFI by a jump in real mode to
 * where a BIOS would begin (arch/x86/kernel/reboot.c): without code there, a "reboot" would never end.
 */
static int write_reset_code(struct guest_memory *memory, const struct linux_boot *boot)
{
	const uint8_t code[] = {
		0xb0, boot->reset_value, /* mov $reset_value, %al */
		0xe6, boot->reset_port,  /* out %al, $reset_port */
		0xfa,                    /* cli */
		0xf4,                    /* hlt */
	};

	return guest_memory_write(memory, LINUX_RESET_GPA, code, sizeof(code));
}

static uint64_t start_of(const struct kernel_image *image, enum kernel_entry entry)
{
	switch (entry) {
	case KERNEL_ENTRY_BZIMAGE:
		return image->bzimage.load_gpa + ENTRY64_OFFSET;
	case KERNEL_ENTRY_ELF64:
		return image->elf.entry64;
	case KERNEL_ENTRY_PVH:
		return image->elf.pvh_entry;
	case KERNEL_ENTRY_COUNT:
		break;
	}

	return 0;
}

int linux_boot_load(struct guest_memory *memory, const struct linux_boot *boot, struct linux_start *ret_start,
		    struct error_detail *detail)
{
	struct boot_placed placed = { 0 };
	size_t cmdline_length = strlen(boot->cmdline);
	struct kernel_range kernel;
	int result;

	if (!kernel_image_has_entry(boot->image, boot->entry)) {
		error_detail_set(detail, "kernel: this %s has no %s entry", kernel_format_name(boot->image->format),
				 kernel_entry_name(boot->entry) ? kernel_entry_name(boot->entry) : "such");
		return -EOPNOTSUPP;
	}

	result = range_of_kernel(memory, boot->image, &kernel, detail);
	if (result == 0)
		result = check_cmdline(boot, cmdline_length, detail);
	if (result == 0)
		result = place_initrd(memory, boot, &kernel, &placed, detail);
	if (result < 0)
		return result;

	if (boot->image->format == KERNEL_BZIMAGE)
		placed.load_gpa = boot->image->bzimage.load_gpa;
	result = write_boot_information(memory, boot, &placed, cmdline_length + 1, detail);
	if (result == 0)
		result = write_reset_code(memory, boot);
	if (result == 0)
		result = load_kernel(memory, boot, detail);
	if (result == 0 && placed.initrd_size > 0)
		result = read_into(memory, placed.initrd_gpa, boot->initrd, 0, placed.initrd_size, "initrd", detail);
	if (result < 0)
		return result;

	*ret_start = (struct linux_start){
		.entry = boot->entry,
		.instruction_gpa = start_of(boot->image, boot->entry),
		.argument_gpa = BOOT_INFO_GPA,
		.initrd_gpa = placed.initrd_gpa,
	};
	return 0;
}

/* docs/misc/pvh.pandoc: CR0 has nothing but PE, and TR a 32-bit TSS at 0 of 0x67 bytes. */
static int set_pvh_mode(struct guest_memory *memory, struct kvm_sregs *sregs)
{
	int result = cpu_mode_set_protected(memory, PVH_CS, sregs);

	if (result < 0)
		return result;

	sregs->cr0 = CR0_PE | CR0_ET;
	sregs->cr4 = 0;
	sregs->tr = (struct kvm_segment){ .limit = TSS_LIMIT, .type = TSS_BUSY_32, .present = 1 };
	return 0;
}

int linux_boot_registers(struct guest_memory *memory, const struct linux_start *start, struct kvm_regs *ret_regs,
			 struct kvm_sregs *sregs)
{
	struct kvm_regs regs = { .rip = start->instruction_gpa, .rflags = RFLAGS_FIXED };
	int result;

	if (start->entry == KERNEL_ENTRY_PVH) {
		regs.rbx = start->argument_gpa;
		result = set_pvh_mode(memory, sregs);
	} else {
		regs.rsi = start->argument_gpa;
		result = cpu_mode_set_long(memory, BOOT_CS, sregs);
	}
	if (result < 0)
		return result;

	*ret_regs = regs;
	return 0;
}

int linux_boot_enter(struct guest_memory *memory, struct vcpu *boot_vcpu, const struct linux_start *start,
		     struct error_detail *detail)
{
	struct kvm_regs regs;
	struct kvm_sregs sregs;
	int result;

	result = vcpu_get_registers(boot_vcpu, &regs, &sregs);
	if (result == 0)
		result = linux_boot_registers(memory, start, &regs, &sregs);
	if (result == 0)
		result = vcpu_set_registers(boot_vcpu, &regs, &sregs);
	if (result < 0)
		error_detail_set(detail, "%s entry: %s", kernel_entry_name(start->entry), strerrordesc_np(-result));
	return result;
}
