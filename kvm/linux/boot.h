/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Putting a Linux kernel into guest memory, with what it expects to find at its entry.
 *
 * Below 1 MiB (the guest's map of memory says what of it is the kernel's to use):
 *
 *     0x001000  GDT and page tables of the entry (cpu_mode.h)
 *     0x008000  the zero page; or the start info and its lists
 *     0x010000  setup_data nodes
 *     0x020000  command line
 *     0x09f000  reserved from here on
 *     0x0e0000  ACPI tables
 *     0x0ff000  VM generation ID
 *     0x0ffff0  where a PC's firmware begins: code that resets the machine
 *     0x100000  memory again
 */
#ifndef EMBER_KVM_LINUX_BOOT_H
#define EMBER_KVM_LINUX_BOOT_H

#include <stdint.h>

#include "kvm/error_detail.h"
#include "kvm/linux/image_source.h"
#include "kvm/linux/kernel_image.h"
#include "kvm/memory.h"
#include "kvm/vcpu.h"

#define LINUX_RESERVED_GPA      UINT64_C(0x9f000)
#define LINUX_ACPI_GPA          UINT64_C(0xe0000)
#define LINUX_ACPI_SIZE         UINT64_C(0x1f000) /* bytes */
#define LINUX_GENERATION_ID_GPA UINT64_C(0xff000)
#define LINUX_RESET_GPA         UINT64_C(0xffff0)
#define LINUX_CMDLINE_MAX       4095 /* bytes without the terminating NUL; a kernel's own limit may be lower */
#define LINUX_ELF_CMDLINE_MAX \
	2047 /* of an ELF, which does not say: x86's COMMAND_LINE_SIZE is 2048, and the rest would be cut */
#define LINUX_SETUP_DATA_MAX 65536 /* bytes of all nodes, with their headers */

/* One node of setup_data (Documentation/arch/x86/boot.rst): for kernels that are entered with a zero page. */
struct linux_setup_data {
	uint32_t type; /* SETUP_RNG_SEED, ...: <asm/bootparam.h> */
	uint32_t size; /* bytes */
	const void *data;
};

struct linux_boot {
	const struct image_source *kernel;
	const struct kernel_image *image; /* of that source */
	enum kernel_entry entry;
	const struct image_source *initrd; /* NULL: none */
	const char *cmdline;
	uint64_t rsdp_gpa; /* 0: no ACPI tables */
	/* The write to a port that resets the machine, for kernels that restart by jumping into firmware. */
	uint8_t reset_port;
	uint8_t reset_value;
	const struct linux_setup_data *setup_data;
	uint32_t setup_data_count;
};

/* Where the loaded kernel starts, and what it gets in RSI (zero page) or EBX (start info). */
struct linux_start {
	enum kernel_entry entry;
	uint64_t instruction_gpa;
	uint64_t argument_gpa;
	uint64_t initrd_gpa; /* 0: none */
};

/*
 * Load a kernel and its initrd, and write everything that it expects in memory.
 *
 * memory     fresh and zeroed (guest_memory_lay_anonymous()): what is zero in the image is not written
 * boot       the kernel's file may change while it is read; then the guest gets what was read
 * ret_start  filled on success
 *
 * Returns 0; -EOPNOTSUPP (the image has no such entry); -EFBIG (the kernel, its initrd, its command line or its setup
 * data does not fit, in memory or in what the kernel can take); -EINVAL (setup data for a PVH entry, which has no place
 * for it); -ENODATA (a file has become shorter); or -errno of reading. detail says which, and how much memory would do.
 */
int linux_boot_load(struct guest_memory *memory, const struct linux_boot *boot, struct linux_start *ret_start,
		    struct error_detail *detail);

/*
 * The registers of the boot vCPU at that entry; the tables of its mode go to guest memory.
 *
 * sregs  as a fresh vCPU has them
 *
 * Returns 0 or -EFAULT.
 */
int linux_boot_registers(struct guest_memory *memory, const struct linux_start *start, struct kvm_regs *ret_regs,
			 struct kvm_sregs *sregs);

/* The same, set on a fresh, parked boot vCPU. Other vCPUs wait for INIT and SIPI as they are. Returns 0 or -errno. */
int linux_boot_enter(struct guest_memory *memory, struct vcpu *boot_vcpu, const struct linux_start *start,
		     struct error_detail *detail);

/* What a guest with this much memory finds where, for both kinds of memory map. */
#define LINUX_MEMORY_RANGES_MAX 3

enum linux_memory_type { /* the numbers of E820 and of PVH are the same */
			 LINUX_MEMORY_RAM = 1,
			 LINUX_MEMORY_RESERVED = 2,
};

struct linux_memory_range {
	uint64_t gpa;
	uint64_t size; /* bytes */
	enum linux_memory_type type;
};

/* Fill ret_ranges, ordered by address; returns how many there are. memory_size is more than KERNEL_GPA_MIN. */
uint32_t linux_memory_ranges(uint64_t memory_size, struct linux_memory_range ret_ranges[LINUX_MEMORY_RANGES_MAX]);

#endif
