/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Copies a disk's sectors 0 to 31 to 32 and on, for ever: each round adds one to every byte on the way, and checks what
 * the round before left there. Signals 0 at the start, 2 after each round, 3 when something is not as it should be.
 */
#include "virtio.h"

#define SECTORS 32
#define PIECE   4

static volatile uint8_t bytes[PIECE * 512] __attribute__((aligned(4096)));

static bool piece_is(uint64_t sector, uint32_t round)
{
	for (uint32_t i = 0; i < PIECE; i++) {
		uint8_t expected = (uint8_t)(sector + i + 1 + round);

		if (bytes[i * 512] != expected || bytes[i * 512 + 511] != expected)
			return false;
	}
	return true;
}

static bool copy_piece(uint64_t sector, uint32_t round)
{
	if (round > 0 &&
	    (disk_request(0, SECTORS + sector, bytes, sizeof(bytes), true) != 0 || !piece_is(sector, round)))
		return false;
	if (disk_request(0, sector, bytes, sizeof(bytes), true) != 0 || !piece_is(sector, 0))
		return false;
	for (uint32_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(bytes[i] + round + 1);
	return disk_request(1, SECTORS + sector, bytes, sizeof(bytes), false) == 0;
}

void guest_main(uint64_t memory_size, uint64_t vcpus)
{
	bool good;

	(void)memory_size;
	(void)vcpus;
	set_up_irqs(1 << 5 | 1 << 6);
	good = start(BLK, F_FLUSH | F_EVENT_INDEX);
	signal_host(0);
	for (uint32_t round = 0; good; round++) {
		for (uint64_t sector = 0; good && sector < SECTORS; sector += PIECE)
			good = copy_piece(sector, round);
		if (good)
			signal_host(2);
	}
	signal_host(3);
}
