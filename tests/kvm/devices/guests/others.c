/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Source: Intel SDM volume 3A, 9.4.4 (MP initialization), 11.6.1 (interrupt command register).
 */
#include "others.h"

#define LAPIC          UINT64_C(0xfee00000)
#define LAPIC_SPURIOUS 0x0f0
#define LAPIC_ICR_LOW  0x300

#define ICR_INIT_OTHERS 0x000c4500
#define ICR_SIPI_OTHERS 0x000c4600 /* plus the page of the code */

static void lapic_write(uint64_t reg, uint32_t value)
{
	*(volatile uint32_t *)(LAPIC + reg) = value;
}

static void delay(void)
{
	for (volatile unsigned int i = 0; i < 1000; i++)
		;
}

void start_others(const uint8_t *code, size_t size)
{
	for (size_t i = 0; i < size; i++)
		((volatile uint8_t *)OTHERS_CODE)[i] = code[i];

	lapic_write(LAPIC_SPURIOUS, 0x1ff);
	lapic_write(LAPIC_ICR_LOW, ICR_INIT_OTHERS);
	delay();
	lapic_write(LAPIC_ICR_LOW, ICR_SIPI_OTHERS | (OTHERS_CODE >> 12));
	delay();
	lapic_write(LAPIC_ICR_LOW, ICR_SIPI_OTHERS | (OTHERS_CODE >> 12));
}
