/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An entropy device's hostile driver.
 */
#include "race.h"

static volatile uint8_t bytes[65536] __attribute__((aligned(4096)));

static bool begin(void)
{
	return start(RNG, F_INDIRECT);
}

static bool works(void)
{
	uint32_t set_bits = 0;

	for (unsigned int i = 0; i < 64; i++)
		bytes[i] = 0;
	if (!start(RNG, 0))
		return false;
	describe(RNG, 0, bytes, 64, WRITE, 0);
	offer(RNG, 0);
	if (!wait_used(RNG) || queues[RNG].used_ring[0].length != 64)
		return false;
	for (unsigned int i = 0; i < 64; i++)
		set_bits += bytes[i] != 0;
	return set_bits > 32;
}

static void ask(void)
{
	describe(RNG, 0, bytes, sizeof(bytes), WRITE, 0);
	offer(RNG, 0);
}

static const struct target requests = {
	.device = RNG,
	.queue = &queues[RNG],
	.flags = WRITE,
	.start = begin,
	.use = ask,
	.works = works,
};

/* However much is asked for, what is given is bounded, and what lies behind it stays as it was. */
static bool more_than_is_given(void)
{
	uint32_t given;

	for (unsigned int i = 0; i < sizeof(bytes); i++)
		bytes[i] = 0x77;
	ask();
	if (!wait_used(RNG))
		return false;
	given = queues[RNG].used_ring[0].length;
	for (uint32_t i = given; i < sizeof(bytes); i++) {
		if (bytes[i] != 0x77)
			return false;
	}
	return given > 0 && given < sizeof(bytes);
}

/* The bytes go over the queue itself: whatever the device then finds there, it works after a reset. */
static bool into_its_own_queue(void)
{
	describe(RNG, 0, &queues[RNG], sizeof(queues[RNG].descriptors), WRITE, 0);
	offer(RNG, 0);
	for (unsigned int i = 0; i < 100; i++)
		set(RNG, QUEUE_NOTIFY, 0);
	return true;
}

static const hostile_case cases[] = { more_than_is_given, into_its_own_queue };

void guest_main(uint64_t memory_size, uint64_t vcpus)
{
	set_up_irqs(1 << 5);
	if (vcpus > 1)
		run_race(&requests, 1);
	else
		run_hostile(&requests, 1, cases, sizeof(cases) / sizeof(cases[0]), memory_size);
}
