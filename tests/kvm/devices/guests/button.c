/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Takes the power button's line, pin 22 of the IOAPIC, as an edge, and signals its number each time that it comes.
 */
#include "platform.h"

#define LAPIC  UINT64_C(0xfee00000)
#define IOAPIC UINT64_C(0xfec00000)

#define LAPIC_EOI      0x0b0
#define LAPIC_SPURIOUS 0x0f0

#define PIN          22
#define PIN_REGISTER (0x10 + 2 * PIN)

/* The gate that set_up_irqs() has for the first PIC's line 6, which nothing else raises. */
#define LINES  0x40
#define VECTOR 0x26

static void ioapic_write(uint32_t reg, uint32_t value)
{
	*(volatile uint32_t *)IOAPIC = reg;
	*(volatile uint32_t *)(IOAPIC + 0x10) = value;
}

void guest_irq4(void)
{
	signal_host(PIN);
	*(volatile uint32_t *)(LAPIC + LAPIC_EOI) = 0;
}

void guest_main(uint64_t memory_size, uint64_t vcpus)
{
	(void)memory_size;
	(void)vcpus;

	set_up_irqs(LINES);
	*(volatile uint32_t *)(LAPIC + LAPIC_SPURIOUS) = 0x1ff;
	ioapic_write(PIN_REGISTER + 1, 0);
	ioapic_write(PIN_REGISTER, VECTOR);
	signal_host(0);
	for (;;)
		wait_for_interrupt();
}
