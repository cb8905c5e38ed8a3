/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Between the files that boot kernels: not for callers outside kvm/linux.
 */
#ifndef EMBER_KVM_LINUX_BOOT_PARTS_H
#define EMBER_KVM_LINUX_BOOT_PARTS_H

#include <stdint.h>

#include "kvm/linux/boot.h"

#define BOOT_INFO_GPA       UINT64_C(0x8000)
#define BOOT_INFO_END       UINT64_C(0xa000)
#define BOOT_SETUP_DATA_GPA UINT64_C(0x10000)
#define BOOT_CMDLINE_GPA    UINT64_C(0x20000)

/* What has been placed, for those who describe it to the kernel. */
struct boot_placed {
	uint64_t initrd_gpa;
	uint64_t initrd_size; /* bytes; 0: none */
	uint64_t load_gpa;    /* of a bzImage's code */
};

/* Write the zero page, and the setup_data that it leads to, at BOOT_INFO_GPA. */
int boot_write_zero_page(struct guest_memory *memory, const struct linux_boot *boot, const struct boot_placed *placed,
			 struct error_detail *detail);

/* Write the start info, its list of modules and its memory map at BOOT_INFO_GPA. */
int boot_write_start_info(struct guest_memory *memory, const struct linux_boot *boot, const struct boot_placed *placed,
			  struct error_detail *detail);

#endif
