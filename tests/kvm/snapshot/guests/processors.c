/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Several processors: started by INIT and SIPI (Intel SDM volume 3A, 9.4.4) before the snapshot, or after the restore.
 * values[0] is how many others there should be.
 */
#include "processors.h"

#include "base.h"

#define ICR_INIT_OTHERS 0x000c4500
#define ICR_SIPI_OTHERS 0x000c4600 /* plus the page of the code */

extern const uint8_t trampoline[], trampoline_end[];

static volatile uint32_t *shared(uint32_t place)
{
	return (volatile uint32_t *)(uint64_t)(TRAMPOLINE + place);
}

static void delay(void)
{
	for (volatile unsigned i = 0; i < 1000; i++)
		;
}

static void start_others(void)
{
	for (size_t i = 0; i < (size_t)(trampoline_end - trampoline); i++)
		((volatile uint8_t *)TRAMPOLINE)[i] = trampoline[i];

	lapic_write(LAPIC_SPURIOUS, 0x1ff);
	lapic_write(LAPIC_ICR_LOW, ICR_INIT_OTHERS);
	delay();
	lapic_write(LAPIC_ICR_LOW, ICR_SIPI_OTHERS | (TRAMPOLINE >> 12));
	delay();
	lapic_write(LAPIC_ICR_LOW, ICR_SIPI_OTHERS | (TRAMPOLINE >> 12));
	while (*shared(AT_STANDING) != report()->values[0])
		__asm__ volatile("pause");
}

void guest_main(void)
{
	base_set_up_interrupts();
	if (report()->mode == PROCESSORS_RUNNING)
		start_others();
	stand_still();
	if (report()->mode == PROCESSORS_WAITING)
		start_others();
	*shared(AT_FOLLOW) = 1;
	while (*shared(AT_FINISHED) != report()->values[0])
		__asm__ volatile("pause");
}
