/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Touching pages cheaply: two words a page, because a guest may run at a million instructions a second.
 *
 * The pages are those from 2 MiB up to the end of memory, or to the end of the first GiB, which is what is mapped.
 * The image, its variables, the stack and the page tables are all below 2 MiB.
 */
#include "memory.h"

#define PAGE        UINT64_C(4096)
#define FIRST_BYTE  (UINT64_C(2) << 20)
#define MAPPED_SIZE (UINT64_C(1) << 30)
#define LAST_WORD   (PAGE / sizeof(uint64_t) - 1)

static uint64_t pages_usable;
static uint64_t pages_touched;
static uint64_t touch_seed;

void memory_start(uint64_t size)
{
	const uint64_t end = size < MAPPED_SIZE ? size : MAPPED_SIZE;

	pages_usable = end > FIRST_BYTE ? (end - FIRST_BYTE) / PAGE : 0;
}

uint64_t memory_pages(void)
{
	return pages_usable;
}

uint64_t memory_touched(void)
{
	return pages_touched;
}

static volatile uint64_t *page_words(uint64_t page)
{
	return (volatile uint64_t *)(FIRST_BYTE + page * PAGE);
}

/* Well mixed, and a few instructions: a round of SplitMix64. */
static uint64_t pattern(uint64_t seed, uint64_t word)
{
	uint64_t mixed = seed + word * UINT64_C(0x9e3779b97f4a7c15);

	mixed = (mixed ^ mixed >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	return mixed ^ mixed >> 31;
}

void memory_touch(uint64_t pages, uint64_t seed)
{
	for (uint64_t page = 0; page < pages; page++) {
		volatile uint64_t *words = page_words(page);

		words[0] = pattern(seed, 2 * page);
		words[LAST_WORD] = pattern(seed, 2 * page + 1);
	}
	pages_touched = pages;
	touch_seed = seed;
}

/* Read a word, hold it against the pattern, and add it to the sum. */
static bool verify_word(uint64_t page, uint64_t index, uint64_t number, uint64_t *sum,
			struct memory_mismatch *ret_mismatch)
{
	const uint64_t found = page_words(page)[index];
	const uint64_t wanted = pattern(touch_seed, number);

	if (found != wanted) {
		*ret_mismatch = (struct memory_mismatch){ .page = page, .found = found, .wanted = wanted };
		return false;
	}

	*sum = (*sum << 1 | *sum >> 63) + found;
	return true;
}

bool memory_verify(uint64_t pages, uint64_t *ret_checksum, struct memory_mismatch *ret_mismatch)
{
	uint64_t sum = 0;

	for (uint64_t page = 0; page < pages; page++)
		if (!verify_word(page, 0, 2 * page, &sum, ret_mismatch) ||
		    !verify_word(page, LAST_WORD, 2 * page + 1, &sum, ret_mismatch))
			return false;

	*ret_checksum = sum;
	return true;
}

/* Four bits at a time: a table of 16 is quickly in place. */
uint32_t crc32_add(uint32_t crc, uint8_t byte)
{
	static const uint32_t table[16] = {
		0x00000000, 0x1db71064, 0x3b6e20c8, 0x26d930ac, 0x76dc4190, 0x6b6b51f4, 0x4db26158, 0x5005713c,
		0xedb88320, 0xf00f9344, 0xd6d6a3e8, 0xcb61b38c, 0x9b64c2b0, 0x86d3d2d4, 0xa00ae278, 0xbdbdf21c,
	};

	crc = ~crc ^ byte;
	crc = crc >> 4 ^ table[crc & 15];
	crc = crc >> 4 ^ table[crc & 15];
	return ~crc;
}
