/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where a flat image starts: real, protected or long mode.
 */
#ifndef EMBER_KVM_ENTRY_H
#define EMBER_KVM_ENTRY_H

#include <stdint.h>

#include "kvm/error_detail.h"
#include "kvm/memory.h"
#include "kvm/vcpu.h"

enum entry_mode {
	/* CS:IP = 0:0x1000, the image at 0x1000, SP = 0x1000 */
	ENTRY_REAL = 0,
	/* flat 32-bit segments, the image at 0x100000, EIP there, ESP = 0x90000 */
	ENTRY_PROTECTED,
	/* 64-bit, the first 4 GiB mapped to themselves by 2 MiB pages, the image at 0x100000, RIP there, RSP = 0x90000 */
	ENTRY_LONG,
	ENTRY_MODE_COUNT,
};

/* "real", "protected", "long", or NULL. */
const char *entry_mode_name(enum entry_mode mode);
int entry_mode_parse(const char *name, enum entry_mode *ret_mode); /* 0 or -ENOENT */

/* Where an image of that mode is loaded: a gpa in bytes. */
uint64_t entry_image_gpa(enum entry_mode mode);

/*
 * Write the tables that the mode needs (GDT, page tables: below 0x10000) into guest memory and set the boot vCPU's
 * registers. Interrupts are off; RDI (EDI) holds the memory size in bytes, RSI (ESI) the vCPU count. Other vCPUs wait
 * for INIT/SIPI. The image itself is the caller's to write.
 *
 * Returns 0, -EFAULT (the memory is too small), or -errno.
 */
int entry_prepare(struct guest_memory *memory, struct vcpu *boot_vcpu, enum entry_mode mode, uint32_t vcpus,
		  struct error_detail *detail);

#endif
