/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ends its machine in the way that one character on COM1 asks for, which it polls for: 'p' pulses the reset line, 'w'
 * writes it low through the output port, 't' takes a triple fault, 'm' touches the page at 2 MiB, 'o' turns it
 * off, 'n' says that it has panicked. Anything else is echoed.
 */
#include "platform.h"

#define FAR_PAGE UINT64_C(0x200000)

struct __attribute__((packed)) table_register {
	uint16_t limit;
	uint64_t base;
};

static void triple_fault(void)
{
	static const struct table_register none = { 0 };

	/* A page fault beyond the page tables' 4 GiB, without a gate for it or for what follows. */
	__asm__ volatile("lidt %0" : : "m"(none));
	(void)*(volatile uint8_t *)UINT64_C(0x200000000);
}

static void serve(uint8_t command)
{
	switch (command) {
	case 'p':
		out8(0x64, 0xfe);
		break;
	case 'w':
		out8(0x64, 0xd1);
		out8(0x60, 0xfe);
		break;
	case 't':
		triple_fault();
		break;
	case 'o':
		out8(0x600, 0x34);
		break;
	case 'n':
		out8(0x505, 0x01);
		break;
	case 'm':
		(void)*(volatile uint8_t *)FAR_PAGE;
		break;
	default:
		serial_put(THR, command);
		return;
	}

	/* Not reached where the machine has ended at once. */
	signal_host(200);
}

void guest_irq4(void)
{
}

void guest_main(uint64_t memory_size, uint64_t vcpus)
{
	(void)memory_size;
	(void)vcpus;

	signal_host(0);
	for (;;) {
		if (serial_get(LSR) & 0x01)
			serve(serial_get(RBR));
	}
}
