/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where a flat image starts.
 *
 * Real mode starts at the page after the vector table; nothing but segment bases is set. Protected and long mode start at
 * 1 MiB, as kernels do, and find flat segments loaded; long mode also finds itself on page tables that map the first
 * 4 GiB to themselves, so that a guest reaches its RAM and the interrupt chips above it. The tables lie below 0x10000,
 * the stack grows down from 0x90000: an image may reuse both once it has its own.
 *
 * Sources: Intel SDM volume 3A, 3.4.5 (segment descriptors), 4.5 (4-level paging), 9.8.5 (entering IA-32e mode).
 */
#include "kvm/entry.h"

#include <errno.h>
#include <string.h>

#define REAL_IMAGE_GPA UINT64_C(0x1000)
#define REAL_STACK     UINT64_C(0x1000)
#define HIGH_IMAGE_GPA UINT64_C(0x100000)
#define HIGH_STACK     UINT64_C(0x90000)

#define GDT_GPA  UINT64_C(0x1000)
#define PML4_GPA UINT64_C(0x2000)
#define PDPT_GPA UINT64_C(0x3000)
#define PD_GPA   UINT64_C(0x4000) /* four of them, one a GiB */

#define GIB_MAPPED   4U
#define TABLE_SLOTS  512U
#define PTE_PRESENT  UINT64_C(0x001)
#define PTE_WRITABLE UINT64_C(0x002)
#define PDE_LARGE    UINT64_C(0x080)
#define LARGE_PAGE   (UINT64_C(2) << 20)

#define CR0_PE   UINT64_C(0x00000001)
#define CR0_ET   UINT64_C(0x00000010)
#define CR0_NE   UINT64_C(0x00000020)
#define CR0_PG   UINT64_C(0x80000000)
#define CR4_PAE  UINT64_C(0x00000020)
#define EFER_LME UINT64_C(0x00000100)
#define EFER_LMA UINT64_C(0x00000400)

#define RFLAGS_FIXED UINT64_C(0x2) /* bit 1 is always set; IF is clear */

#define CODE_SELECTOR 0x08
#define DATA_SELECTOR 0x10

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

/* A code or data segment from 0 to the end of 4 GiB. */
static struct kvm_segment flat_segment(uint16_t selector, uint8_t type, bool is_long)
{
	return (struct kvm_segment){
		.base = 0,
		.limit = 0xffffffff,
		.selector = selector,
		.type = type,
		.present = 1,
		.s = 1, /* code or data */
		.db = !is_long,
		.l = is_long,
		.g = 1,
	};
}

/* The descriptor that, loaded, gives that segment: Intel SDM volume 3A, figure 3-8. */
static uint64_t segment_descriptor(const struct kvm_segment *segment)
{
	uint64_t limit = segment->g ? segment->limit >> 12 : segment->limit;

	return (limit & 0xffff) | ((segment->base & 0xffffff) << 16) | ((uint64_t)segment->type << 40) |
	       ((uint64_t)segment->s << 44) | ((uint64_t)segment->dpl << 45) | ((uint64_t)segment->present << 47) |
	       (((limit >> 16) & 0xf) << 48) | ((uint64_t)segment->l << 53) | ((uint64_t)segment->db << 54) |
	       ((uint64_t)segment->g << 55) | (((segment->base >> 24) & 0xff) << 56);
}

static int set_flat_segments(struct guest_memory *memory, struct kvm_sregs *sregs, bool is_long)
{
	struct kvm_segment code = flat_segment(CODE_SELECTOR, 0xb, is_long); /* execute, read, accessed */
	struct kvm_segment data = flat_segment(DATA_SELECTOR, 0x3, false);   /* read, write, accessed */
	const uint64_t gdt[] = { 0, segment_descriptor(&code), segment_descriptor(&data) };

	sregs->cs = code;
	sregs->ds = data;
	sregs->es = data;
	sregs->fs = data;
	sregs->gs = data;
	sregs->ss = data;
	sregs->gdt.base = GDT_GPA;
	sregs->gdt.limit = sizeof(gdt) - 1;
	return guest_memory_write(memory, GDT_GPA, gdt, sizeof(gdt));
}

/* The first 4 GiB mapped to themselves by 2 MiB pages. */
static int write_page_tables(struct guest_memory *memory)
{
	const uint64_t pml4 = PDPT_GPA | PTE_PRESENT | PTE_WRITABLE;
	uint64_t pdpt[GIB_MAPPED];
	uint64_t pd[TABLE_SLOTS];
	int result;

	for (unsigned int gib = 0; gib < GIB_MAPPED; gib++) {
		uint64_t pd_gpa = PD_GPA + gib * sizeof(pd);

		pdpt[gib] = pd_gpa | PTE_PRESENT | PTE_WRITABLE;
		for (unsigned int slot = 0; slot < TABLE_SLOTS; slot++)
			pd[slot] = (gib * TABLE_SLOTS + slot) * LARGE_PAGE | PTE_PRESENT | PTE_WRITABLE | PDE_LARGE;
		result = guest_memory_write(memory, pd_gpa, pd, sizeof(pd));
		if (result < 0)
			return result;
	}

	result = guest_memory_write(memory, PDPT_GPA, pdpt, sizeof(pdpt));
	if (result < 0)
		return result;
	return guest_memory_write(memory, PML4_GPA, &pml4, sizeof(pml4));
}

static int set_long_mode(struct guest_memory *memory, struct kvm_sregs *sregs)
{
	sregs->cr3 = PML4_GPA;
	sregs->cr4 = CR4_PAE;
	sregs->efer = EFER_LME | EFER_LMA;
	sregs->cr0 = CR0_PG | CR0_PE | CR0_ET | CR0_NE;
	return write_page_tables(memory);
}

static void set_real_segments(struct kvm_sregs *sregs)
{
	/* Reset leaves the data segments at base 0 and CS at the top of memory. */
	sregs->cs.base = 0;
	sregs->cs.selector = 0;
}

static int set_mode(struct guest_memory *memory, enum entry_mode mode, struct kvm_sregs *sregs)
{
	int result;

	switch (mode) {
	case ENTRY_REAL:
		set_real_segments(sregs);
		return 0;
	case ENTRY_PROTECTED:
		sregs->cr0 = CR0_PE | CR0_ET | CR0_NE;
		return set_flat_segments(memory, sregs, false);
	case ENTRY_LONG:
		result = set_flat_segments(memory, sregs, true);
		return result < 0 ? result : set_long_mode(memory, sregs);
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
