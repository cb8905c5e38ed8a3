/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sends 0, 1, 2, ... on COM1, each twice: once as it is, once as the scratch register gives it back. Signals event 1
 * after COUNT of them.
 */
#include "platform.h"

#define COUNT 3000

void guest_irq4(void)
{
}

void guest_main(uint64_t memory_size, uint64_t vcpus)
{
	(void)memory_size;
	(void)vcpus;

	for (unsigned int i = 0; i < COUNT; i++) {
		serial_put(SCR, (uint8_t)i);
		serial_put(THR, (uint8_t)i);
		serial_put(THR, serial_get(SCR));
	}
	signal_host(1);
}
