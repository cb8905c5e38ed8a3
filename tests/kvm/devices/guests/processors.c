/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Starts every other processor by INIT and SIPI, and has all of them use the serial port and the signal port at once.
 * Each processor signals event 10 plus its number, sends LETTERS letters ('a' plus its number), and signals event 20
 * plus its number. The boot processor waits for all, then signals event 1. Then all wait for the word at GO, which
 * the host sets, and pull the reset line together.
 *
 * Source: Intel SDM volume 3A, 9.4.4 (MP initialization), 11.6.1 (interrupt command register).
 */
#include "platform.h"

#define LAPIC          UINT64_C(0xfee00000)
#define LAPIC_SPURIOUS 0x0f0
#define LAPIC_ICR_LOW  0x300

#define ICR_INIT_OTHERS 0x000c4500
#define ICR_SIPI_OTHERS 0x000c4600 /* plus the page of the code */

#define LETTERS 200 /* as in trampoline.S */

#define TRAMPOLINE UINT64_C(0x20000)
#define DONE       (TRAMPOLINE + 0x800) /* how many processors have sent their letters */
#define GO         (TRAMPOLINE + 0x804)

extern const uint8_t trampoline[], trampoline_end[];

static void lapic_write(uint64_t reg, uint32_t value)
{
	*(volatile uint32_t *)(LAPIC + reg) = value;
}

static void delay(void)
{
	for (volatile unsigned int i = 0; i < 1000; i++)
		;
}

void guest_irq4(void)
{
}

void guest_main(uint64_t memory_size, uint64_t vcpus)
{
	volatile uint32_t *done = (volatile uint32_t *)DONE;
	volatile uint32_t *go = (volatile uint32_t *)GO;

	(void)memory_size;

	for (size_t i = 0; i < (size_t)(trampoline_end - trampoline); i++)
		((volatile uint8_t *)TRAMPOLINE)[i] = trampoline[i];

	lapic_write(LAPIC_SPURIOUS, 0x1ff);
	lapic_write(LAPIC_ICR_LOW, ICR_INIT_OTHERS);
	delay();
	lapic_write(LAPIC_ICR_LOW, ICR_SIPI_OTHERS | (TRAMPOLINE >> 12));
	delay();
	lapic_write(LAPIC_ICR_LOW, ICR_SIPI_OTHERS | (TRAMPOLINE >> 12));

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
