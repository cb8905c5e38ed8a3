/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What all guests of these tests share: ports, registers, interrupts, and the report.
 */
#ifndef EMBER_TESTS_KVM_SNAPSHOT_BASE_H
#define EMBER_TESTS_KVM_SNAPSHOT_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "report.h"

#define COM1        0x3f8
#define SIGNAL_PORT 0x5e0
#define PIC_MASTER  0x20
#define PIC_SLAVE   0xa0

#define LAPIC  UINT64_C(0xfee00000)
#define IOAPIC UINT64_C(0xfec00000)

#define LAPIC_TPR            0x080
#define LAPIC_EOI            0x0b0
#define LAPIC_LDR            0x0d0
#define LAPIC_DFR            0x0e0
#define LAPIC_SPURIOUS       0x0f0
#define LAPIC_ICR_LOW        0x300
#define LAPIC_ICR_HIGH       0x310
#define LAPIC_LVT_TIMER      0x320
#define LAPIC_LVT_THERMAL    0x330
#define LAPIC_LVT_COUNTER    0x340
#define LAPIC_LVT_LINT0      0x350
#define LAPIC_LVT_LINT1      0x360
#define LAPIC_LVT_ERROR      0x370
#define LAPIC_TIMER_INITIAL  0x380
#define LAPIC_TIMER_CURRENT  0x390
#define LAPIC_TIMER_DIVIDE   0x3e0
#define LAPIC_TIMER_PERIODIC (1U << 17)
#define LAPIC_TIMER_DEADLINE (2U << 17)

#define MSR_TSC_DEADLINE 0x6e0

struct __attribute__((packed)) table_register {
	uint16_t limit;
	uint64_t base;
};

static inline struct report *report(void)
{
	return (struct report *)REPORT_GPA;
}

static inline void out8(uint16_t port, uint8_t value)
{
	__asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port) : "memory");
}

static inline uint8_t in8(uint16_t port)
{
	uint8_t value;

	__asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port) : "memory");
	return value;
}

static inline void lapic_write(uint32_t reg, uint32_t value)
{
	*(volatile uint32_t *)(LAPIC + reg) = value;
}

static inline uint32_t lapic_read(uint32_t reg)
{
	return *(volatile uint32_t *)(LAPIC + reg);
}

static inline void ioapic_write(uint32_t reg, uint32_t value)
{
	*(volatile uint32_t *)IOAPIC = reg;
	*(volatile uint32_t *)(IOAPIC + 0x10) = value;
}

static inline uint32_t ioapic_read(uint32_t reg)
{
	*(volatile uint32_t *)IOAPIC = reg;
	return *(volatile uint32_t *)(IOAPIC + 0x10);
}

static inline void write_msr(uint32_t index, uint64_t value)
{
	__asm__ volatile("wrmsr" : : "c"(index), "a"((uint32_t)value), "d"((uint32_t)(value >> 32)) : "memory");
}

static inline uint64_t read_msr(uint32_t index)
{
	uint32_t low, high;

	__asm__ volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(index) : "memory");
	return (uint64_t)high << 32 | low;
}

static inline uint64_t read_tsc(void)
{
	uint32_t low, high;

	__asm__ volatile("rdtsc" : "=a"(low), "=d"(high) : : "memory");
	return (uint64_t)high << 32 | low;
}

static inline void signal_host(uint8_t number)
{
	out8(SIGNAL_PORT, number);
}

/* Signal ready, and wait for the restore. Interrupts stay as they are. */
static inline void stand_still(void)
{
	signal_host(EVENT_READY);
	while (report()->go == 0)
		__asm__ volatile("pause" : : : "memory");
}

/* Let interrupts in until a vector has been taken so often. */
static inline void wait_for_vector(unsigned vector, uint64_t count)
{
	while (report()->interrupts[vector] < count)
		__asm__ volatile("sti; hlt; cli" : : : "memory");
}

/*
 * Let all pending interrupts in, if there are any: an IPI to itself of a lower priority than theirs comes after them.
 * (A window of a few instructions would do on hardware; a host that emulates ring 0 may not look for interrupts in it.)
 */
static inline void open_window(void)
{
	lapic_write(LAPIC_SPURIOUS, 0x1ff);
	lapic_write(LAPIC_ICR_LOW, 0x40000 | VECTOR_LAST);
	wait_for_vector(VECTOR_LAST, report()->interrupts[VECTOR_LAST] + 1);
}

/* Load an IDT whose vectors count in the report and acknowledge, and start the PICs with all of their lines masked. */
void base_set_up_interrupts(void);

/* Each guest's own. Interrupts are off. When it returns, EVENT_DONE is signalled. */
void guest_main(void);

#endif
