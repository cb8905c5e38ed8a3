/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The processor and the chips around it, as the demo guest uses them.
 */
#ifndef EMBER_DEMO_GUEST_PLATFORM_H
#define EMBER_DEMO_GUEST_PLATFORM_H

#include <stdint.h>

#define TICKS_PER_SECOND UINT64_C(20)

/* What signals mean; 1 .. 254 are for `event`. */
#define SIGNAL_READY 0
#define SIGNAL_PANIC 255

static inline void port_write(uint16_t port, uint8_t value)
{
	__asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port));
}

static inline uint8_t port_read(uint16_t port)
{
	uint8_t value;

	__asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
	return value;
}

static inline void interrupts_disable(void)
{
	__asm__ volatile("cli" : : : "memory");
}

static inline void interrupts_enable(void)
{
	__asm__ volatile("sti" : : : "memory");
}

/* Interrupts come no earlier than the halt: sti(1) holds them off for one instruction. */
static inline void interrupts_enable_and_wait(void)
{
	__asm__ volatile("sti; hlt" : : : "memory");
}

static inline uint64_t timestamp_counter(void)
{
	uint32_t low;
	uint32_t high;

	__asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
	return (uint64_t)high << 32 | low;
}

/* Interrupt table, interrupt controllers (COM1 and the timer let through), timer. Interrupts stay off. */
void platform_start(void);

/* Timer interrupts since the start. */
uint64_t platform_ticks(void);

/* Tell the host a number. */
void platform_signal(uint8_t number);

/* End the machine by the keyboard controller's reset line, or by a triple fault. */
_Noreturn void platform_reset(void);
_Noreturn void platform_triple_fault(void);

#endif
