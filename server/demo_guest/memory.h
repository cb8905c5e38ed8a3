/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The workload: pages written with a pattern and found again.
 */
#ifndef EMBER_DEMO_GUEST_MEMORY_H
#define EMBER_DEMO_GUEST_MEMORY_H

#include <stdbool.h>
#include <stdint.h>

/* A page that did not hold what was written to it. */
struct memory_mismatch {
	uint64_t page;
	uint64_t found;
	uint64_t wanted;
};

/* Learn how much memory there is, in bytes. */
void memory_start(uint64_t size);

/* Pages that can be touched. */
uint64_t memory_pages(void);

/* Pages of the last memory_touch(). */
uint64_t memory_touched(void);

/*
 * Write a pattern that depends on the seed to the first and last word of the first `pages` pages; at most
 * memory_pages().
 */
void memory_touch(uint64_t pages, uint64_t seed);

/*
 * Read the first `pages` pages, at most memory_touched(), and hold them against what was written.
 *
 * ret_checksum  of the words read
 * ret_mismatch  the first page that is different
 *
 * Returns whether all were as written; if not, *ret_checksum is untouched.
 */
bool memory_verify(uint64_t pages, uint64_t *ret_checksum, struct memory_mismatch *ret_mismatch);

/* CRC-32 as in IEEE 802.3, zip and PNG, a byte at a time: start with 0. */
uint32_t crc32_add(uint32_t crc, uint8_t byte);

#endif
