/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Protected and long mode, as loaders leave them to kernels.
 *
 * Segments are flat. Long mode finds itself on page tables that map the first 4 GiB to themselves by 2 MiB pages, so
 * that a guest reaches its RAM and the interrupt chips above it.
 *
 * Sources: Intel SDM volume 3A, 3.4.5 (segment descriptors), 4.5 (4-level paging), 9.8.5 (entering IA-32e mode).
 */
#include "kvm/cpu_mode.h"

#include <errno.h>
#include <stdbool.h>

#define GDT_GPA  CPU_MODE_TABLES_GPA
#define PML4_GPA UINT64_C(0x2000)
#define PDPT_GPA UINT64_C(0x3000)
#define PD_GPA   UINT64_C(0x4000) /* four of them, one a GiB, up to CPU_MODE_TABLES_END */

#define GDT_SLOTS     5U
#define SELECTOR_STEP 8U /* bytes of a descriptor */

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

static int set_flat_segments(struct guest_memory *memory, uint16_t code_selector, bool is_long, struct kvm_sregs *sregs)
{
	const uint16_t data_selector = (uint16_t)(code_selector + SELECTOR_STEP);
	struct kvm_segment code = flat_segment(code_selector, 0xb, is_long); /* execute, read, accessed */
	struct kvm_segment data = flat_segment(data_selector, 0x3, false);   /* read, write, accessed */
	uint64_t gdt[GDT_SLOTS] = { 0 };

	if (code_selector == 0 || code_selector % SELECTOR_STEP != 0 || data_selector >= sizeof(gdt))
		return -EINVAL;

	gdt[code_selector / SELECTOR_STEP] = segment_descriptor(&code);
	gdt[data_selector / SELECTOR_STEP] = segment_descriptor(&data);
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

int cpu_mode_set_protected(struct guest_memory *memory, uint16_t code_selector, struct kvm_sregs *sregs)
{
	sregs->cr0 = CR0_PE | CR0_ET | CR0_NE;
	return set_flat_segments(memory, code_selector, false, sregs);
}

int cpu_mode_set_long(struct guest_memory *memory, uint16_t code_selector, struct kvm_sregs *sregs)
{
	int result = set_flat_segments(memory, code_selector, true, sregs);

	if (result < 0)
		return result;

	sregs->cr3 = PML4_GPA;
	sregs->cr4 = CR4_PAE;
	sregs->efer = EFER_LME | EFER_LMA;
	sregs->cr0 = CR0_PG | CR0_PE | CR0_ET | CR0_NE;
	return write_page_tables(memory);
}
