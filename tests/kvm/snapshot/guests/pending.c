/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Interrupts that are under way when the snapshot is taken. values[0] is how many were taken when a window was opened
 * after the restore, values[1] how many after another byte was typed.
 */
#include "pending.h"

#include "base.h"

#define IRQ_SERIAL 4

static unsigned set_up_serial(bool ioapic)
{
	out8(COM1 + 3, 0x03);
	out8(COM1 + 4, 0x0b);
	out8(COM1 + 1, 0x01); /* interrupt on received data */
	if (!ioapic) {
		out8(PIC_MASTER + 1, 0xff & ~(1U << IRQ_SERIAL));
		return VECTOR_PIC + IRQ_SERIAL;
	}
	lapic_write(LAPIC_SPURIOUS, 0x1ff);
	ioapic_write(0x10 + 2 * IRQ_SERIAL + 1, 0);
	ioapic_write(0x10 + 2 * IRQ_SERIAL, VECTOR_IOAPIC + IRQ_SERIAL); /* edge, fixed, physical, unmasked */
	return VECTOR_IOAPIC + IRQ_SERIAL;
}

static void look(unsigned vector)
{
	open_window();
	report()->values[0] = report()->interrupts[vector];
}

/* Drop the line, and see that it can rise again. */
static void take_another(unsigned vector)
{
	uint64_t taken = report()->interrupts[vector];

	(void)in8(COM1);
	signal_host(EVENT_TYPE);
	wait_for_vector(vector, taken + 1);
	(void)in8(COM1);
	open_window();
	report()->values[1] = report()->interrupts[vector];
}

static void serial_pending(bool ioapic)
{
	unsigned vector = set_up_serial(ioapic);

	stand_still();
	look(vector);
	take_another(vector);
}

static void serial_served(bool ioapic)
{
	unsigned vector = set_up_serial(ioapic);

	signal_host(EVENT_TYPE);
	wait_for_vector(vector, 1);
	stand_still();
	look(vector);
	take_another(vector);
}

static void self_ipi(void)
{
	lapic_write(LAPIC_SPURIOUS, 0x1ff);
	lapic_write(LAPIC_ICR_LOW, 0x40000 | VECTOR_IPI);
	stand_still();
	look(VECTOR_IPI);
}

static void halted(void)
{
	unsigned vector = set_up_serial(false);

	signal_host(EVENT_READY);
	wait_for_vector(vector, 1);
	report()->values[0] = in8(COM1);
}

void guest_main(void)
{
	base_set_up_interrupts();
	switch (report()->mode) {
	case PENDING_SERIAL_PIC:
		serial_pending(false);
		break;
	case PENDING_SERIAL_IOAPIC:
		serial_pending(true);
		break;
	case PENDING_SERVED_PIC:
		serial_served(false);
		break;
	case PENDING_SERVED_IOAPIC:
		serial_served(true);
		break;
	case PENDING_SELF_IPI:
		self_ipi();
		break;
	case PENDING_EVENT:
		stand_still();
		break;
	case PENDING_HALTED:
		halted();
		break;
	}
}
