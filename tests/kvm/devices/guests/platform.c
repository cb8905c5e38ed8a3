/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Interrupts of the long-mode guests: an IDT with the gates that are wanted, and the two 8259As (Intel 8259A data sheet: ICW1 to ICW4).
 */
#include "platform.h"

#define IRQ_BASE      0x20
#define CODE_SELECTOR 0x08 /* as the entry mode leaves it */

struct gate {
	uint16_t offset_low;
	uint16_t selector;
	uint16_t attributes;
	uint16_t offset_middle;
	uint32_t offset_high;
	uint32_t reserved;
};

struct __attribute__((packed)) table_register {
	uint16_t limit;
	uint64_t base;
};

extern char irq4_entry[];

static struct gate gates[IRQ_BASE + 16];

void set_up_irqs(uint8_t lines)
{
	uint64_t entry = (uint64_t)irq4_entry;
	struct table_register idt = { .limit = sizeof(gates) - 1, .base = (uint64_t)gates };

	for (unsigned int i = 0; i < 8; i++) {
		if (!(lines & 1 << i))
			continue;
		gates[IRQ_BASE + i] = (struct gate){
			.offset_low = (uint16_t)entry,
			.selector = CODE_SELECTOR,
			.attributes = 0x8e00, /* present, 64-bit interrupt gate */
			.offset_middle = (uint16_t)(entry >> 16),
			.offset_high = (uint32_t)(entry >> 32),
		};
	}
	__asm__ volatile("lidt %0" : : "m"(idt));

	out8(0x20, 0x11);
	out8(0xa0, 0x11);
	out8(0x21, IRQ_BASE);
	out8(0xa1, IRQ_BASE + 8);
	out8(0x21, 0x04);
	out8(0xa1, 0x02);
	out8(0x21, 0x01);
	out8(0xa1, 0x01);
	out8(0x21, (uint8_t)~lines);
	out8(0xa1, 0xff);
}

void set_up_irq4(void)
{
	set_up_irqs(1 << 4);
}
