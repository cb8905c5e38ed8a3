/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Interrupts: 48 vectors, of which 0 to 31 are exceptions and 32 to 47 the two PICs' lines.
 *
 * Only the timer (IRQ 0) and COM1 (IRQ 4) are let through. An exception is a bug here: it says what and where on the
 * console, signals SIGNAL_PANIC, and resets the machine, so that whoever waits for this guest learns that it has ended.
 */
#include "platform.h"

#include <stddef.h>

#include "console.h"

#define VECTORS     48
#define VECTOR_IRQ  32 /* vector of IRQ 0 */
#define IRQ_TIMER   0
#define IRQ_CONSOLE 4

#define PORT_PIC_MASTER   0x20
#define PORT_PIC_SLAVE    0xa0
#define PORT_PIT_CHANNEL0 0x40
#define PORT_PIT_COMMAND  0x43
#define PORT_I8042        0x64
#define PORT_SIGNAL       0x5e0

#define PIC_END_OF_INTERRUPT 0x20
#define PIT_HZ               1193182
#define CODE_SELECTOR        0x08

/* As interrupt_common in boot.S leaves it. */
struct interrupt_frame {
	uint64_t r11, r10, r9, r8, rdi, rsi, rdx, rcx, rax;
	uint64_t vector, error, rip, cs, rflags, rsp, ss;
};

struct gate {
	uint16_t offset_low;
	uint16_t selector;
	uint8_t stack_table;
	uint8_t type;
	uint16_t offset_middle;
	uint32_t offset_high;
	uint32_t reserved;
};

struct __attribute__((packed)) table_pointer {
	uint16_t limit;
	uint64_t base;
};

_Static_assert(sizeof(struct gate) == 16, "a gate of long mode is 16 bytes");
_Static_assert(sizeof(struct table_pointer) == 10, "LIDT reads 10 bytes");

extern const uint8_t interrupt_entries[]; /* VECTORS entries of 16 bytes */
void interrupt_handle(const struct interrupt_frame *frame);

static struct gate gates[VECTORS];
static volatile uint64_t ticks;

static void load_interrupt_table(const void *base, uint16_t limit)
{
	const struct table_pointer pointer = { .limit = limit, .base = (uint64_t)base };

	__asm__ volatile("lidt %0" : : "m"(pointer));
}

static void set_gates(void)
{
	uint64_t entry = (uint64_t)interrupt_entries;

	for (size_t i = 0; i < VECTORS; i++, entry += 16) {
		gates[i].offset_low = (uint16_t)entry;
		gates[i].selector = CODE_SELECTOR;
		gates[i].type = 0x8e; /* present, interrupt gate */
		gates[i].offset_middle = (uint16_t)(entry >> 16);
	}
	load_interrupt_table(gates, sizeof(gates) - 1);
}

/* 8259A: initialise both in cascade, move their lines to VECTOR_IRQ and up, mask all but two. */
static void set_interrupt_controllers(void)
{
	port_write(PORT_PIC_MASTER, 0x11);
	port_write(PORT_PIC_MASTER + 1, VECTOR_IRQ);
	port_write(PORT_PIC_MASTER + 1, 1 << 2);
	port_write(PORT_PIC_MASTER + 1, 0x01);
	port_write(PORT_PIC_SLAVE, 0x11);
	port_write(PORT_PIC_SLAVE + 1, VECTOR_IRQ + 8);
	port_write(PORT_PIC_SLAVE + 1, 2);
	port_write(PORT_PIC_SLAVE + 1, 0x01);
	port_write(PORT_PIC_MASTER + 1, (uint8_t) ~(1 << IRQ_TIMER | 1 << IRQ_CONSOLE));
	port_write(PORT_PIC_SLAVE + 1, 0xff);
}

/* 8254: channel 0 as a rate generator. A low rate, so that an idle guest costs its host little. */
static void set_timer(void)
{
	const uint16_t divisor = PIT_HZ / TICKS_PER_SECOND;

	port_write(PORT_PIT_COMMAND, 0x34);
	port_write(PORT_PIT_CHANNEL0, (uint8_t)divisor);
	port_write(PORT_PIT_CHANNEL0, (uint8_t)(divisor >> 8));
}

void platform_start(void)
{
	set_gates();
	set_interrupt_controllers();
	set_timer();
}

uint64_t platform_ticks(void)
{
	return ticks;
}

void platform_signal(uint8_t number)
{
	port_write(PORT_SIGNAL, number);
}

_Noreturn void platform_reset(void)
{
	port_write(PORT_I8042, 0xfe);
	for (;;) {
		interrupts_disable();
		__asm__ volatile("hlt");
	}
}

/* A page fault with no interrupt table cannot be delivered, nor can the double fault that follows. */
_Noreturn void platform_triple_fault(void)
{
	volatile uint8_t *unmapped = (volatile uint8_t *)(UINT64_C(1) << 40);

	load_interrupt_table(NULL, 0);
	for (;;)
		*unmapped = 0;
}

_Noreturn static void panic(const struct interrupt_frame *frame)
{
	uint64_t address;

	__asm__ volatile("mov %%cr2, %0" : "=r"(address));
	console_put_string("panic: exception ");
	console_put_decimal(frame->vector);
	console_put_string(" error ");
	console_put_hex(frame->error);
	console_put_string(" at ");
	console_put_hex(frame->rip);
	console_put_string(" cr2 ");
	console_put_hex(address);
	console_put_string("\n");
	platform_signal(SIGNAL_PANIC);
	platform_reset();
}

void interrupt_handle(const struct interrupt_frame *frame)
{
	switch (frame->vector) {
	case VECTOR_IRQ + IRQ_TIMER:
		ticks = ticks + 1;
		break;
	case VECTOR_IRQ + IRQ_CONSOLE:
		console_receive();
		break;
	default:
		if (frame->vector < VECTOR_IRQ)
			panic(frame);
		return; /* a spurious line: there is nothing to acknowledge */
	}

	port_write(PORT_PIC_MASTER, PIC_END_OF_INTERRUPT);
}
