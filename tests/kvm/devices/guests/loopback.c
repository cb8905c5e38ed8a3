/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tests the UART on itself, as a driver's diagnosis would: in loopback, each kind of interrupt must arrive by IRQ 4
 * with its own cause, in the order of priority. Signals event 1 when all is well, else 100 plus the number of the
 * step that failed.
 */
#include "platform.h"

static volatile unsigned int interrupts;
static volatile uint8_t causes[8];

/* Notes the cause and takes it back, one for each interrupt until none is left. */
void guest_irq4(void)
{
	uint8_t cause;

	while (!((cause = serial_get(IIR) & 0x0f) & 0x01)) {
		causes[interrupts++ % 8] = cause;
		switch (cause) {
		case 0x06:
			(void)serial_get(LSR);
			break;
		case 0x04:
		case 0x0c:
			while (serial_get(LSR) & 0x01)
				(void)serial_get(RBR);
			break;
		case 0x00:
			(void)serial_get(MSR);
			break;
		default: /* the read of the IIR has taken the transmitter's back */
			break;
		}
	}
}

/* Let interrupts in for a while, with exits in which they can be delivered; were these the only ones, in this order? */
static bool got(unsigned int count, uint8_t first, uint8_t second)
{
	bool as_expected;

	__asm__ volatile("sti" : : : "memory");
	for (unsigned int i = 0; i < 10; i++)
		(void)in8(SIGNAL_PORT);
	__asm__ volatile("cli" : : : "memory");
	as_expected = interrupts == count && (count < 1 || causes[0] == first) && (count < 2 || causes[1] == second);
	interrupts = 0;
	return as_expected;
}

static unsigned int run(void)
{
	serial_put(LCR, 0x03);
	serial_put(FCR, 0x07);
	serial_put(MCR, 0x18);
	(void)serial_get(MSR);
	if (!got(0, 0, 0))
		return 1;

	serial_put(IER, 0x02);
	if (!got(1, 0x02, 0))
		return 2;

	serial_put(IER, 0x01);
	serial_put(THR, 'a');
	if (!got(1, 0x04, 0))
		return 3;

	serial_put(FCR, 0xc7);
	serial_put(THR, 'b');
	if (!got(1, 0x0c, 0))
		return 4;

	serial_put(IER, 0x00);
	for (unsigned int i = 0; i < 17; i++)
		serial_put(THR, 'c');
	serial_put(IER, 0x05);
	if (!got(2, 0x06, 0x04))
		return 5;

	serial_put(IER, 0x08);
	serial_put(MCR, 0x1b);
	if (!got(1, 0x00, 0))
		return 6;

	/* Without OUT2 nothing comes through, though the UART has a cause. */
	serial_put(MCR, 0x10);
	if (!got(0, 0, 0) || serial_get(IIR) != 0xc0)
		return 7;

	serial_put(SCR, 0x5a);
	if (serial_get(SCR) != 0x5a)
		return 8;
	return 0;
}

void guest_main(uint64_t memory_size, uint64_t vcpus)
{
	unsigned int failed;

	(void)memory_size;
	(void)vcpus;

	set_up_irq4();
	failed = run();
	signal_host(failed == 0 ? 1 : (uint8_t)(100 + failed));
}
