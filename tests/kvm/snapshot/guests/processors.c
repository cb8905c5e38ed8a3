/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Several processors: started by INIT and SIPI (Intel SDM volume 3A, 9.4.4) before the snapshot, or after the restore.
 * values[0] is how many others there should be.
 */
#include "processors.h"

#include "base.h"
#include "others.h"

extern const uint8_t trampoline[], trampoline_end[];

static volatile uint32_t *shared(uint32_t place)
{
	return (volatile uint32_t *)(uint64_t)(OTHERS_CODE + place);
}

static void start_and_wait(void)
{
	start_others(trampoline, (size_t)(trampoline_end - trampoline));
	while (*shared(AT_STANDING) != report()->values[0])
		__asm__ volatile("pause");
}

void guest_main(void)
{
	base_set_up_interrupts();
	if (report()->mode == PROCESSORS_RUNNING)
		start_and_wait();
	stand_still();
	if (report()->mode == PROCESSORS_WAITING)
		start_and_wait();
	*shared(AT_FOLLOW) = 1;
	while (*shared(AT_FINISHED) != report()->values[0])
		__asm__ volatile("pause");
}
