/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads and writes where nothing is, in every size: ports, repeated port instructions, MMIO, MMIO across a page.
 * Whatever is read must be all ones. And ports where something is, in sizes that it does not know. Signals event 1
 * when all is well, else 100 plus the number of the step.
 */
#include "platform.h"

#define MMIO_BASE   UINT64_C(0xd0000000)
#define PORT_STEP   13
#define REPETITIONS 40

/*
 * Ports that somebody answers: the kernel's PICs, PIT and ELCR, and our devices. With three ports before each, for
 * wide accesses.
 */
static bool is_claimed(uint32_t port)
{
	static const struct {
		uint16_t first;
		uint16_t last;
	} claimed[] = { { 0x20, 0x21 },   { 0x40, 0x43 },   { 0x60, 0x64 },  { 0xa0, 0xa1 },
			{ 0x3f8, 0x3ff }, { 0x4d0, 0x4d1 }, { 0x5e0, 0x5e0 } };

	for (unsigned int i = 0; i < sizeof(claimed) / sizeof(claimed[0]); i++) {
		if (port + 3 >= claimed[i].first && port <= claimed[i].last)
			return true;
	}
	return false;
}

static bool hammer_ports(void)
{
	for (uint32_t port = 0; port <= 0xfffc; port += PORT_STEP) {
		uint16_t at = (uint16_t)port;

		if (is_claimed(port))
			continue;
		out8(at, (uint8_t)port);
		out16(at, at);
		out32(at, port);
		if (in8(at) != 0xff || in16(at) != 0xffff || in32(at) != 0xffffffff)
			return false;
	}
	return in8(0xffff) == 0xff;
}

/* From one port before a device into it: the device must not see it. */
static bool straddle(void)
{
	out16(COM1 - 1, 0x4141);
	out32(COM1 + 7, 0x42424242);
	out16(SIGNAL_PORT - 1, 0x0505);
	out16(SIGNAL_PORT, 0x0505);
	out32(SIGNAL_PORT, 0x05050505);
	out16(0x63, 0xfefe);
	out16(0x64, 0xfefe);
	return in16(COM1 - 1) == 0xffff && in32(COM1 + 7) == 0xffffffff && in16(SIGNAL_PORT) == 0xffff;
}

static bool repeat(void)
{
	static uint8_t bytes[REPETITIONS];
	static uint32_t words[REPETITIONS];
	uint64_t count = REPETITIONS;
	void *place = bytes;

	__asm__ volatile("rep insb" : "+D"(place), "+c"(count) : "d"((uint16_t)SIGNAL_PORT) : "memory");
	for (unsigned int i = 0; i < REPETITIONS; i++) {
		if (bytes[i] != 0x45)
			return false;
	}

	count = REPETITIONS;
	place = words;
	__asm__ volatile("rep insl" : "+D"(place), "+c"(count) : "d"((uint16_t)0x1234) : "memory");
	for (unsigned int i = 0; i < REPETITIONS; i++) {
		if (words[i] != 0xffffffff)
			return false;
	}

	count = REPETITIONS;
	place = words;
	__asm__ volatile("rep outsw" : "+S"(place), "+c"(count) : "d"((uint16_t)0x1234) : "memory");
	return count == 0;
}

static bool hammer_mmio(void)
{
	for (uint64_t offset = 0xff0; offset < 0x1008; offset++) {
		volatile uint8_t *byte = (volatile uint8_t *)(MMIO_BASE + offset);
		uint16_t word = 0;
		uint32_t dword = 0;
		uint64_t qword = 0;

		*byte = 0;
		__asm__ volatile("movw %1, (%0)" : : "r"(byte), "r"(word) : "memory");
		__asm__ volatile("movl %1, (%0)" : : "r"(byte), "r"(dword) : "memory");
		__asm__ volatile("movq %1, (%0)" : : "r"(byte), "r"(qword) : "memory");
		__asm__ volatile("movw (%1), %0" : "=r"(word) : "r"(byte));
		__asm__ volatile("movl (%1), %0" : "=r"(dword) : "r"(byte));
		__asm__ volatile("movq (%1), %0" : "=r"(qword) : "r"(byte));
		if (*byte != 0xff || word != 0xffff || dword != 0xffffffff || qword != UINT64_MAX)
			return false;
	}
	return true;
}

static unsigned int run(void)
{
	if (!hammer_ports())
		return 1;
	if (!straddle())
		return 2;
	if (!repeat())
		return 3;
	if (!hammer_mmio())
		return 4;
	return 0;
}

void guest_irq4(void)
{
}

void guest_main(uint64_t memory_size, uint64_t vcpus)
{
	unsigned int failed;

	(void)memory_size;
	(void)vcpus;

	failed = run();
	signal_host(failed == 0 ? 1 : (uint8_t)(100 + failed));
}
