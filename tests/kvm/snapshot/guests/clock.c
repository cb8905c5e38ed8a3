/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads kvmclock and the TSC before and after: Documentation/virt/kvm/x86/msr.rst, MSR_KVM_SYSTEM_TIME_NEW, and pvclock
 * in the same folder. [0] is kvmclock in nanoseconds, [1] its flags, [2] the TSC.
 */
#include "base.h"

#define MSR_KVM_SYSTEM_TIME_NEW 0x4b564d01
#define CLOCK_GPA               UINT64_C(0x300000)

struct pvclock {
	volatile uint32_t version;
	uint32_t padding;
	volatile uint64_t tsc_timestamp;
	volatile uint64_t system_time;
	volatile uint32_t tsc_to_system_mul;
	volatile int8_t tsc_shift;
	volatile uint8_t flags;
	uint8_t padding_2[2];
};

static void read_clock(uint64_t *findings)
{
	const struct pvclock *clock = (const struct pvclock *)CLOCK_GPA;
	uint32_t version;

	do {
		uint64_t delta;

		version = clock->version;
		findings[2] = read_tsc();
		delta = findings[2] - clock->tsc_timestamp;
		delta = clock->tsc_shift < 0 ? delta >> -clock->tsc_shift : delta << clock->tsc_shift;
		findings[0] =
			clock->system_time + (uint64_t)((unsigned __int128)delta * clock->tsc_to_system_mul >> 32);
		findings[1] = clock->flags;
	} while (version != clock->version || (version & 1));
}

void guest_main(void)
{
	base_set_up_interrupts();
	write_msr(MSR_KVM_SYSTEM_TIME_NEW, CLOCK_GPA | 1);
	read_clock(report()->before);
	stand_still();
	read_clock(report()->values);
	report()->values[3] = read_msr(MSR_KVM_SYSTEM_TIME_NEW);
}
