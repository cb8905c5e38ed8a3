/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the long-mode guests share: ports, the signal port, and IRQ 4 through the PIC.
 */
#ifndef EMBER_TESTS_KVM_DEVICES_GUESTS_PLATFORM_H
#define EMBER_TESTS_KVM_DEVICES_GUESTS_PLATFORM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define COM1        0x3f8
#define SIGNAL_PORT 0x5e0

#define RBR 0
#define THR 0
#define IER 1
#define IIR 2
#define FCR 2
#define LCR 3
#define MCR 4
#define LSR 5
#define MSR 6
#define SCR 7

static inline void out8(uint16_t port, uint8_t value)
{
	__asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port));
}

static inline void out16(uint16_t port, uint16_t value)
{
	__asm__ volatile("outw %0, %1" : : "a"(value), "Nd"(port));
}

static inline void out32(uint16_t port, uint32_t value)
{
	__asm__ volatile("outl %0, %1" : : "a"(value), "Nd"(port));
}

static inline uint8_t in8(uint16_t port)
{
	uint8_t value;

	__asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
	return value;
}

static inline uint16_t in16(uint16_t port)
{
	uint16_t value;

	__asm__ volatile("inw %1, %0" : "=a"(value) : "Nd"(port));
	return value;
}

static inline uint32_t in32(uint16_t port)
{
	uint32_t value;

	__asm__ volatile("inl %1, %0" : "=a"(value) : "Nd"(port));
	return value;
}

static inline void serial_put(uint8_t reg, uint8_t value)
{
	out8((uint16_t)(COM1 + reg), value);
}

static inline uint8_t serial_get(uint8_t reg)
{
	return in8((uint16_t)(COM1 + reg));
}

static inline void signal_host(uint8_t number)
{
	out8(SIGNAL_PORT, number);
}

/* Start the PICs, with IRQ 4 alone unmasked, and send it to guest_irq4(). Interrupts stay off. */
void set_up_irq4(void);

/* The same with these lines of the first PIC; all of them go to guest_irq4(). */
void set_up_irqs(uint8_t lines);

/* Halt until an interrupt has been served. Interrupts are off before and after. */
static inline void wait_for_interrupt(void)
{
	__asm__ volatile("sti; hlt; cli" : : : "memory");
}

/* Each guest's own. */
void guest_main(uint64_t memory_size, uint64_t vcpus);
void guest_irq4(void);

#endif
