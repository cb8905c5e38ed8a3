/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Interrupts of the guests: an IDT (Intel SDM volume 3A, 6.14) and the two 8259As (their data sheet: ICW1 to ICW4,
 * OCW1, OCW2).
 */
#include "base.h"

#define CODE_SELECTOR 0x08 /* as the entry mode leaves it */
#define VECTOR_NMI    2
#define VECTOR_UD     6

struct gate {
	uint16_t offset_low;
	uint16_t selector;
	uint16_t attributes;
	uint16_t offset_middle;
	uint32_t offset_high;
	uint32_t reserved;
};

extern char vector_entries[];
void base_interrupt(uint64_t vector, uint64_t where);

static struct gate gates[VECTOR_COUNT];

void base_interrupt(uint64_t vector, uint64_t where)
{
	report()->interrupts[vector]++;

	if (vector < VECTOR_PIC && vector != VECTOR_NMI && vector != VECTOR_UD) {
		report()->values[0] = vector;
		report()->values[1] = where;
		signal_host(EVENT_FAULT);
		for (;;)
			__asm__ volatile("cli; hlt");
	}
	if (vector >= VECTOR_PIC && vector < VECTOR_PIC + 16) {
		if (vector >= VECTOR_PIC + 8)
			out8(PIC_SLAVE, 0x20);
		out8(PIC_MASTER, 0x20);
	}
	if (vector >= VECTOR_LAST)
		lapic_write(LAPIC_EOI, 0);
}

static void set_up_pics(void)
{
	out8(PIC_MASTER, 0x11);
	out8(PIC_SLAVE, 0x11);
	out8(PIC_MASTER + 1, VECTOR_PIC);
	out8(PIC_SLAVE + 1, VECTOR_PIC + 8);
	out8(PIC_MASTER + 1, 0x04);
	out8(PIC_SLAVE + 1, 0x02);
	out8(PIC_MASTER + 1, 0x01);
	out8(PIC_SLAVE + 1, 0x01);
	out8(PIC_MASTER + 1, 0xff);
	out8(PIC_SLAVE + 1, 0xff);
}

void base_set_up_interrupts(void)
{
	struct table_register idt = { .limit = sizeof(gates) - 1, .base = (uint64_t)gates };

	for (unsigned vector = 0; vector < VECTOR_COUNT; vector++) {
		uint64_t entry = (uint64_t)vector_entries + 16 * vector;

		gates[vector] = (struct gate){
			.offset_low = (uint16_t)entry,
			.selector = CODE_SELECTOR,
			.attributes = 0x8e00, /* present, 64-bit interrupt gate */
			.offset_middle = (uint16_t)(entry >> 16),
			.offset_high = (uint32_t)(entry >> 32),
		};
	}
	__asm__ volatile("lidt %0" : : "m"(idt));
	set_up_pics();
}
