/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads the firmware configuration device as a driver does: the signature byte by byte; the directory and the files
 * with INSB and REP. Again for each character on COM1.
 */
#include "firmware.h"

#include "platform.h"

#define SELECTOR 0x510
#define DATA     0x511

#define KEY_SIGNATURE 0x00
#define KEY_DIRECTORY 0x19

struct file {
	uint32_t size;
	uint16_t key;
	uint16_t reserved;
	char name[56];
};

static struct file files[8];

static void read_rest(void *bytes, size_t size)
{
	__asm__ volatile("rep insb" : "+D"(bytes), "+c"(size) : "d"((uint16_t)DATA) : "memory");
}

static bool is_same(const char *one, const char *other)
{
	while (*one && *one == *other) {
		one++;
		other++;
	}
	return *one == *other;
}

static void read_file(const char *name, uint32_t count, uint64_t gpa)
{
	for (uint32_t i = 0; i < count; i++) {
		if (!is_same(files[i].name, name))
			continue;
		out16(SELECTOR, __builtin_bswap16(files[i].key));
		read_rest((void *)gpa, __builtin_bswap32(files[i].size));
		return;
	}
	signal_host(FIRMWARE_LOST);
}

static void read_all(void)
{
	volatile uint8_t *signature = (volatile uint8_t *)(uint64_t)FIRMWARE_SIGNATURE_GPA;
	uint32_t count;

	out16(SELECTOR, KEY_SIGNATURE);
	for (unsigned int i = 0; i < 4; i++)
		signature[i] = in8(DATA);
	out16(SELECTOR, KEY_DIRECTORY);
	read_rest(&count, sizeof(count));
	count = __builtin_bswap32(count);
	if (count > sizeof(files) / sizeof(files[0]))
		count = 0;
	read_rest(files, count * sizeof(files[0]));
	read_file("opt/ember/metadata", count, FIRMWARE_METADATA_GPA);
	read_file("opt/ember/generation_id", count, FIRMWARE_GENERATION_GPA);
	signal_host(FIRMWARE_READ);
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
		while (!(serial_get(LSR) & 0x01))
			;
		(void)serial_get(RBR);
		read_all();
	}
}
