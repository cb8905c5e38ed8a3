/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sends TRANSMIT_COUNT bytes, 0, 1, 2, ..., by the transmitter's interrupt, sixteen at a time, then turns it off and
 * signals event 1. Events 2 and 3 say that an interrupt had no cause or the wrong one.
 */
#include "platform.h"

#define TRANSMIT_COUNT 2000

static volatile unsigned int sent;

void guest_irq4(void)
{
	uint8_t cause = serial_get(IIR) & 0x0f;

	/* An edge from the last of sixteen writes may still be latched when all was served. */
	if (cause == 0x01)
		return;
	if (cause != 0x02) {
		signal_host(3);
		return;
	}

	for (unsigned int i = 0; i < 16 && sent < TRANSMIT_COUNT; i++)
		serial_put(THR, (uint8_t)sent++);
	if (sent == TRANSMIT_COUNT)
		serial_put(IER, 0x00);
}

void guest_main(uint64_t memory_size, uint64_t vcpus)
{
	(void)memory_size;
	(void)vcpus;

	set_up_irq4();
	serial_put(LCR, 0x03);
	serial_put(FCR, 0x07);
	serial_put(MCR, 0x0b);
	serial_put(IER, 0x02);
	while (sent < TRANSMIT_COUNT)
		wait_for_interrupt();
	signal_host(serial_get(IIR) == 0xc1 ? 1 : 2);
}
