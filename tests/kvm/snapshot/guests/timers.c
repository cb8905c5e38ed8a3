/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Arms a timer with interrupts off, stands still, and then waits for its interrupts. report->mode says which timer, and
 * before[0] how far off, in its own unit.
 */
#include "timers.h"

#include "base.h"

static void arm_pit(uint8_t command)
{
	out8(0x43, command);
	out8(0x40, 0xff);
	out8(0x40, 0xff);
	out8(PIC_MASTER + 1, 0xfe);
}

static void arm_lapic(uint32_t kind)
{
	lapic_write(LAPIC_SPURIOUS, 0x1ff);
	lapic_write(LAPIC_TIMER_DIVIDE, 0xb); /* by 1 */
	lapic_write(LAPIC_LVT_TIMER, kind | VECTOR_TIMER);
	if (kind == LAPIC_TIMER_DEADLINE)
		write_msr(MSR_TSC_DEADLINE, read_tsc() + report()->before[0]);
	else
		lapic_write(LAPIC_TIMER_INITIAL, (uint32_t)report()->before[0]);
}

void guest_main(void)
{
	unsigned vector = report()->mode <= TIMER_PIT_ONE_SHOT ? VECTOR_PIC : VECTOR_TIMER;

	base_set_up_interrupts();
	switch (report()->mode) {
	case TIMER_PIT_PERIODIC:
		arm_pit(0x34);
		break;
	case TIMER_PIT_ONE_SHOT:
		arm_pit(0x30);
		break;
	case TIMER_LAPIC_PERIODIC:
		arm_lapic(LAPIC_TIMER_PERIODIC);
		break;
	case TIMER_LAPIC_ONE_SHOT:
		arm_lapic(0);
		break;
	case TIMER_TSC_DEADLINE:
		arm_lapic(LAPIC_TIMER_DEADLINE);
		break;
	}
	stand_still();
	wait_for_vector(vector, 1);
	if (report()->mode == TIMER_PIT_PERIODIC || report()->mode == TIMER_LAPIC_PERIODIC)
		wait_for_vector(vector, 4);
}
