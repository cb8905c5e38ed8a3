/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where a flat image starts.
 *
 * Real mode starts at the page after the vector table; nothing but segment bases is set. Protected and long mode start
 * at 1 MiB, as kernels do, in the mode that cpu_mode.c sets. The stack grows down from 0x90000: an image may reuse it,
 * and the tables below 0x10000, once it has its own.
 */
#include "kvm/entry.h"

#include <errno.h>
#include <string.h>

#include "kvm/cpu_mode.h"

#define REAL_IMAGE_GPA UINT64_C(0x1000)
#define REAL_STACK     UINT64_C(0x1000)
#define HIGH_IMAGE_GPA UINT64_C(0x100000)
#define HIGH_STACK     UINT64_C(0x90000)

#define RFLAGS_FIXED UINT64_C(0x2) /* bit 1 is always set; IF is clear */

#define CODE_SELECTOR 0x08

static const char *const mode_names[ENTRY_MODE_COUNT] = {
	[ENTRY_REAL] = "real",
	[ENTRY_PROTECTED] = "protected",
	[ENTRY_LONG] = "long",
};

const char *entry_mode_name(enum entry_mode mode)
{
	return (unsigned int)mode < ENTRY_MODE_COUNT ? mode_names[mode] : NULL;
}

int entry_mode_parse(const char *name, enum entry_mode *ret_mode)
{
	for (unsigned int i = 0; i < ENTRY_MODE_COUNT; i++) {
		if (strcmp(name, mode_names[i]) == 0) {
			*ret_mode = (enum entry_mode)i;
			return 0;
		}
	}

	return -ENOENT;
}

uint64_t entry_image_gpa(enum entry_mode mode)
{
	return mode == ENTRY_REAL ? REAL_IMAGE_GPA : HIGH_IMAGE_GPA;
}

static void set_real_segments(struct kvm_sregs *sregs)
{
	/* Reset leaves the data segments at base 0 and CS at the top of memory. */
	sregs->cs.base = 0;
	sregs->cs.selector = 0;
}

static int set_mode(struct guest_memory *memory, enum entry_mode mode, struct kvm_sregs *sregs)
{
	switch (mode) {
	case ENTRY_REAL:
		set_real_segments(sregs);
		return 0;
	case ENTRY_PROTECTED:
		return cpu_mode_set_protected(memory, CODE_SELECTOR, sregs);
	case ENTRY_LONG:
		return cpu_mode_set_long(memory, CODE_SELECTOR, sregs);
	case ENTRY_MODE_COUNT:
		break;
	}

	return -EINVAL;
}

int entry_prepare(struct guest_memory *memory, struct vcpu *boot_vcpu, enum entry_mode mode, uint32_t vcpus,
		  struct error_detail *detail)
{
	struct kvm_regs regs;
	struct kvm_sregs sregs;
	int result;

	if (!guest_memory_contains(memory, entry_image_gpa(mode), 1)) {
		error_detail_set(detail, "%llu bytes of memory are too few for a guest that starts at 0x%llx",
				 (unsigned long long)memory->size, (unsigned long long)entry_image_gpa(mode));
		return -EFAULT;
	}

	result = vcpu_get_registers(boot_vcpu, &regs, &sregs);
	if (result < 0)
		goto fail;
	result = set_mode(memory, mode, &sregs);
	if (result < 0)
		goto fail;

	regs = (struct kvm_regs){
		.rip = entry_image_gpa(mode),
		.rsp = mode == ENTRY_REAL ? REAL_STACK : HIGH_STACK,
		.rdi = memory->size,
		.rsi = vcpus,
		.rflags = RFLAGS_FIXED,
	};
	result = vcpu_set_registers(boot_vcpu, &regs, &sregs);
	if (result < 0)
		goto fail;

	return 0;

fail:
	error_detail_set(detail, "entry in %s mode: %s", entry_mode_name(mode) ? entry_mode_name(mode) : "unknown",
			 strerror(-result));
	return result;
}
