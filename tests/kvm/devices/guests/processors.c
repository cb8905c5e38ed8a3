/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Starts every other processor by INIT and SIPI, and has all of them use the serial port and the signal port at once.
 * Each processor signals event 10 plus its number, sends LETTERS letters ('a' plus its number), and signals event 20
 * plus its number. The boot processor waits for all, then signals event 1. Then all wait for the word at GO, which
 * the host sets, and pull the reset line together.
 */
#include "others.h"
#include "platform.h"

#define LETTERS 200 /* as in trampoline.S */

#define DONE (OTHERS_CODE + 0x800) /* how many processors have sent their letters */
#define GO   (OTHERS_CODE + 0x804)

extern const uint8_t trampoline[], trampoline_end[];

void guest_irq4(void)
{
}

void guest_main(uint64_t memory_size, uint64_t vcpus)
{
	volatile uint32_t *done = (volatile uint32_t *)DONE;
	volatile uint32_t *go = (volatile uint32_t *)GO;

	(void)memory_size;

	start_others(trampoline, (size_t)(trampoline_end - trampoline));

	signal_host(10);
	for (unsigned int i = 0; i < LETTERS; i++)
		serial_put(THR, 'a');
	signal_host(20);

	while (*done != vcpus - 1)
		__asm__ volatile("pause");
	signal_host(1);
	while (*go == 0)
		__asm__ volatile("pause");
	out8(0x64, 0xfe);
}
