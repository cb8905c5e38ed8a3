/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Breaks every rule that a driver can break; after each, the device needs a reset, or has answered with an error, and
 * works again after a reset. Signals 1 when it was so each time, else 100 plus the number of the case.
 */
#include "virtio.h"

static volatile uint8_t bytes[4096] __attribute__((aligned(4096)));
static struct descriptor table[4] __attribute__((aligned(16)));
static uint64_t memory_end;

/* Offer descriptor 0, and have it refused. */
static bool is_refused(void)
{
	offer(BLK, 0);
	wait_needs_reset(BLK);
	return queues[BLK].used_index == 0;
}

static bool loop(void)
{
	describe(BLK, 0, bytes, 16, NEXT, 1);
	describe(BLK, 1, bytes, 16, NEXT, 0);
	return is_refused();
}

static bool indirect_in_indirect(void)
{
	table[0] = (struct descriptor){ (uint64_t)table, sizeof(table), INDIRECT, 0 };
	describe(BLK, 0, table, sizeof(table), INDIRECT, 0);
	return is_refused();
}

static bool longer_than_the_queue(void)
{
	for (uint16_t i = 0; i < QUEUE_SIZE; i++)
		describe(BLK, i, bytes, 1, NEXT, i + 1 == QUEUE_SIZE ? 0 : i + 1);
	return is_refused();
}

static bool past_the_table(void)
{
	describe(BLK, 0, bytes, 16, NEXT, QUEUE_SIZE);
	return is_refused();
}

static bool past_memory(void)
{
	describe_gpa(BLK, 0, memory_end - 8, 16, WRITE, 0);
	return is_refused();
}

static bool past_memory_in_the_window(void)
{
	describe_gpa(BLK, 0, 0xd0000000, 16, WRITE, 0);
	return is_refused();
}

static bool wrapping(void)
{
	describe_gpa(BLK, 0, UINT64_MAX - 7, 16, WRITE, 0);
	return is_refused();
}

static bool empty(void)
{
	describe(BLK, 0, bytes, 0, WRITE, 0);
	return is_refused();
}

static bool of_4_gib(void)
{
	describe_gpa(BLK, 0, 0, UINT32_MAX, WRITE, 0);
	return is_refused();
}

static bool jumping_index(void)
{
	queues[BLK].avail_index = QUEUE_SIZE + 1;
	set(BLK, QUEUE_NOTIFY, 0);
	wait_needs_reset(BLK);
	return true;
}

static bool unknown_queue(void)
{
	set(BLK, QUEUE_NOTIFY, 1);
	return (get(BLK, STATUS) & S_NEEDS_RESET) != 0;
}

static bool without_a_status(void)
{
	describe(BLK, 0, bytes, 16, 0, 0);
	return is_refused();
}

static bool reset_in_mid_transfer(void)
{
	for (unsigned int i = 0; i < 16; i++)
		bytes[i] = 0; /* a read of sector 0 */
	describe(BLK, 0, bytes, 16, NEXT, 1);
	describe(BLK, 1, bytes + 512, 513, WRITE, 0);
	offer(BLK, 0);
	set(BLK, STATUS, 0);
	for (unsigned int i = 512; i < 1025; i++)
		bytes[i] = 0x77;
	for (unsigned int i = 0; i < 1000; i++) {
		if (bytes[512 + i % 513] != 0x77)
			return false;
	}
	return get(BLK, STATUS) == 0;
}

static bool overlapping_queue(void)
{
	if (!negotiate(BLK, 0))
		return false;
	set(BLK, QUEUE_SEL, 0);
	set(BLK, QUEUE_NUM, QUEUE_SIZE);
	set(BLK, QUEUE_DESC, (uint32_t)(uint64_t)bytes);
	set(BLK, QUEUE_AVAIL, (uint32_t)(uint64_t)bytes + 16);
	set(BLK, QUEUE_USED, (uint32_t)(uint64_t)bytes + 2048);
	set(BLK, QUEUE_READY, 1);
	return get(BLK, QUEUE_READY) == 0 && (get(BLK, STATUS) & S_NEEDS_RESET);
}

static bool without_features_ok(void)
{
	set(BLK, STATUS, 0);
	set(BLK, STATUS, S_ACKNOWLEDGE | S_DRIVER);
	set(BLK, STATUS, S_ACKNOWLEDGE | S_DRIVER | S_DRIVER_OK);
	return get(BLK, STATUS) == (S_ACKNOWLEDGE | S_DRIVER | S_NEEDS_RESET);
}

static bool errors(void)
{
	return disk_request(0, 64, bytes, 512, true) == 1 && disk_request(0, UINT64_MAX, bytes, 512, true) == 1 &&
	       disk_request(1, 63, bytes, 1024, false) == 1 && disk_request(0, 0, bytes, 100, true) == 1 &&
	       disk_request(77, 0, bytes, 512, true) == 2;
}

void guest_main(uint64_t memory_size, uint64_t vcpus)
{
	static bool (*const cases[])(void) = {
		loop,
		indirect_in_indirect,
		longer_than_the_queue,
		past_the_table,
		past_memory,
		past_memory_in_the_window,
		wrapping,
		empty,
		of_4_gib,
		jumping_index,
		unknown_queue,
		without_a_status,
		reset_in_mid_transfer,
		overlapping_queue,
		without_features_ok,
		errors,
	};

	(void)vcpus;
	memory_end = memory_size;
	set_up_irqs(1 << 5 | 1 << 6);
	for (unsigned int i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		if (!start(BLK, F_FLUSH | F_INDIRECT) || !cases[i]() || !start(BLK, F_FLUSH) ||
		    disk_request(0, 3, bytes, 512, true) != 0 || bytes[511] != 4) {
			signal_host((uint8_t)(100 + i));
			return;
		}
	}
	signal_host(1);
}
