/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Echoes what comes in on COM1, by IRQ 4 alone: nothing polls. ECHO_FCR is what goes into the FCR. With ECHO_NAIVE
 * the handler does as little as one can: one character an interrupt, and no look at IIR or LSR. Says "ready" when it
 * listens.
 */
#include "platform.h"

#ifdef ECHO_NAIVE
void guest_irq4(void)
{
	serial_put(THR, serial_get(RBR));
}
#else
void guest_irq4(void)
{
	uint8_t cause;

	while (!((cause = serial_get(IIR)) & 0x01)) {
		if ((cause & 0x0e) != 0x04 && (cause & 0x0e) != 0x0c) {
			signal_host(255);
			return;
		}
		while (serial_get(LSR) & 0x01)
			serial_put(THR, serial_get(RBR));
	}
}
#endif

void guest_main(uint64_t memory_size, uint64_t vcpus)
{
	(void)memory_size;
	(void)vcpus;

	set_up_irq4();
	serial_put(LCR, 0x03);
	serial_put(FCR, ECHO_FCR);
	serial_put(MCR, 0x0b);
	serial_put(IER, 0x01);
	signal_host(0);
}
