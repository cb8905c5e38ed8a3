/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A disk's hostile driver.
 */
#include "race.h"

static volatile uint8_t bytes[4096] __attribute__((aligned(4096)));

static bool begin(void)
{
	return start(BLK, F_FLUSH | F_INDIRECT);
}

static bool works(void)
{
	if (!start(BLK, F_FLUSH))
		return false;
	for (unsigned int i = 0; i < 512; i++)
		bytes[i] = 0x5a;
	if (disk_request(1, 3, bytes, 512, false) != 0)
		return false;
	bytes[511] = 0;
	return disk_request(0, 3, bytes, 512, true) == 0 && bytes[511] == 0x5a;
}

/* A read that writes all of its buffer, and the status. */
static void read_sectors(void)
{
	disk_describe(0, 0, bytes, sizeof(bytes), true);
	offer(BLK, 0);
}

static const struct target requests = {
	.device = BLK,
	.queue = &queues[BLK],
	.flags = WRITE,
	.start = begin,
	.use = read_sectors,
	.works = works,
};

static bool without_a_status(void)
{
	describe(BLK, 0, bytes, 16, 0, 0);
	return is_refused(&requests);
}

static bool reset_in_mid_read(void)
{
	read_sectors();
	set(BLK, STATUS, 0);
	for (unsigned int i = 0; i < sizeof(bytes); i++)
		bytes[i] = 0x77;
	for (unsigned int i = 0; i < sizeof(bytes); i++) {
		if (bytes[i] != 0x77)
			return false;
	}
	return get(BLK, STATUS) == 0;
}

static bool errors(void)
{
	return disk_request(0, 64, bytes, 512, true) == 1 && disk_request(0, UINT64_MAX, bytes, 512, true) == 1 &&
	       disk_request(1, 63, bytes, 1024, false) == 1 && disk_request(0, 0, bytes, 100, true) == 1 &&
	       disk_request(77, 0, bytes, 512, true) == 2;
}

static const hostile_case cases[] = { without_a_status, reset_in_mid_read, errors };

void guest_main(uint64_t memory_size, uint64_t vcpus)
{
	set_up_irqs(1 << 5 | 1 << 6);
	if (vcpus > 1)
		run_race(&requests, 1);
	else
		run_hostile(&requests, 1, cases, sizeof(cases) / sizeof(cases[0]), memory_size);
}
