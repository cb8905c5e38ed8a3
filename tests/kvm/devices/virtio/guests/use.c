/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Uses an entropy device and a disk as a good driver does. Signals 1 when all is well, else 100 plus the number of the
 * step. The disk's sectors hold their own number, plus one, in each byte; sector 9 is overwritten with 0x5a.
 */
#include "virtio.h"

static volatile uint8_t bytes[4096] __attribute__((aligned(4096)));
static volatile uint8_t id[20];

static bool is_identified(void)
{
	return get(RNG, MAGIC) == 0x74726976 && get(RNG, VERSION) == 2 && get(RNG, DEVICE_ID) == 4 &&
	       get(BLK, DEVICE_ID) == 2 && get(BLK, CONFIG) == 64 && get(BLK, CONFIG + 4) == 0;
}

static bool use_rng(void)
{
	uint32_t different = 0;

	if (!start(RNG, F_EVENT_INDEX))
		return false;
	describe(RNG, 0, bytes, 64, WRITE, 0);
	offer(RNG, 0);
	if (!wait_used(RNG) || queues[RNG].used_ring[0].length != 64)
		return false;
	while (interrupts[RNG] == 0) /* it comes after what it tells of */
		wait_for_interrupt();
	for (unsigned int i = 1; i < 64; i++)
		different += bytes[i] != bytes[0];
	return different > 32 && bytes[64] == 0;
}

static bool sector_is(uint8_t value, uint32_t offset)
{
	return bytes[offset] == value && bytes[offset + 255] == value && bytes[offset + 511] == value;
}

static bool use_disk(void)
{
	if (!start(BLK, F_FLUSH | F_INDIRECT))
		return false;
	if (disk_request(0, 5, bytes, 1024, true) != 0 || !sector_is(6, 0) || !sector_is(7, 512))
		return false;
	for (unsigned int i = 0; i < 512; i++)
		bytes[i] = 0x5a;
	if (disk_request(1, 9, bytes, 512, false) != 0 || disk_request(4, 0, NULL, 0, false) != 0)
		return false;
	if (disk_request(0, 8, bytes, 1536, true) != 0 || !sector_is(9, 0) || !sector_is(0x5a, 512) ||
	    !sector_is(11, 1024))
		return false;
	while (interrupts[BLK] == 0)
		wait_for_interrupt();
	return disk_request(8, 0, id, sizeof(id), true) == 0 && id[0] == 't' && id[19] == 0;
}

static bool use_disk_without_event_index_or_interrupts(void)
{
	if (!start(BLK, F_FLUSH))
		return false;
	queues[BLK].avail_flags = 1;
	for (uint32_t i = 0; i < 40; i++) {
		describe(BLK, 0, "\0\0\0\0\0\0\0\0\3\0\0\0\0\0\0", 16, NEXT, 1);
		describe(BLK, 1, bytes, 513, WRITE, 0);
		offer(BLK, 0);
		while (queues[BLK].used_index != queues[BLK].avail_index)
			__asm__ volatile("pause");
		if (!sector_is(4, 0) || bytes[512] != 0 || get(BLK, INTERRUPT) != 0)
			return false;
	}
	return true;
}

void guest_main(uint64_t memory_size, uint64_t vcpus)
{
	static bool (*const steps[])(void) = { is_identified, use_rng, use_disk,
					       use_disk_without_event_index_or_interrupts };

	(void)memory_size;
	(void)vcpus;
	set_up_irqs(1 << 5 | 1 << 6);
	for (unsigned int i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		if (!steps[i]()) {
			signal_host((uint8_t)(100 + i));
			return;
		}
	}
	signal_host(1);
}
