/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Virtio 1.2, sections 2.1 (status), 2.7 (split virtqueues), 4.2.2 (registers).
 */
#include "rules.h"

#define UNUSED 0x77 /* what stands in memory that the device has to leave alone */

static const struct target *target;
static volatile uint8_t bytes[4096] __attribute__((aligned(4096)));
static struct descriptor table[QUEUE_SIZE + 1] __attribute__((aligned(16)));
static uint64_t memory_end;

bool is_refused(const struct target *of)
{
	offer_on(of->device, of->number, of->queue, 0);
	if (of->provoke)
		of->provoke();
	wait_needs_reset(of->device);
	return of->queue->used_index == 0;
}

static void put(uint16_t index, uint64_t gpa, uint32_t length, uint16_t flags, uint16_t next)
{
	target->queue->descriptors[index] = (struct descriptor){ gpa, length, flags, next };
}

static bool is_buffer_refused(uint64_t gpa, uint32_t length)
{
	put(0, gpa, length, target->flags, 0);
	return is_refused(target);
}

static bool is_table_refused(uint64_t gpa, uint32_t length, uint16_t flags)
{
	put(0, gpa, length, flags, 1);
	put(1, (uint64_t)bytes, 16, target->flags, 0);
	return is_refused(target);
}

/* descriptors */

static bool loop(void)
{
	put(0, (uint64_t)bytes, 16, target->flags | NEXT, 1);
	put(1, (uint64_t)bytes, 16, target->flags | NEXT, 0);
	return is_refused(target);
}

static bool loop_of_one(void)
{
	put(0, (uint64_t)bytes, 16, target->flags | NEXT, 0);
	return is_refused(target);
}

static bool past_the_queue(void)
{
	put(0, (uint64_t)bytes, 16, target->flags | NEXT, QUEUE_SIZE);
	return is_refused(target);
}

/* Let the available ring have an index of its own making, in one step: the device may look at any time. */
static bool is_index_refused(uint16_t index)
{
	target->queue->avail_index = index;
	set(target->device, QUEUE_NOTIFY, target->number);
	if (target->provoke)
		target->provoke();
	wait_needs_reset(target->device);
	return target->queue->used_index == 0;
}

static bool head_past_the_queue(void)
{
	target->queue->avail_ring[0] = QUEUE_SIZE;
	return is_index_refused(1);
}

static bool past_memory(void)
{
	return is_buffer_refused(memory_end - 8, 16);
}

static bool at_the_devices(void)
{
	return is_buffer_refused(0xd0000000, 16);
}

static bool wrapping(void)
{
	return is_buffer_refused(UINT64_MAX - 7, 16);
}

static bool empty(void)
{
	return is_buffer_refused((uint64_t)bytes, 0);
}

static bool of_4_gib(void)
{
	return is_buffer_refused(0, UINT32_MAX);
}

static bool of_4_gib_at_the_end(void)
{
	return is_buffer_refused(memory_end - 1, UINT32_MAX);
}

static bool readable_behind_writable(void)
{
	put(0, (uint64_t)bytes, 16, WRITE | NEXT, 1);
	put(1, (uint64_t)bytes, 16, 0, 0);
	return is_refused(target);
}

static bool the_other_direction(void)
{
	put(0, (uint64_t)bytes, 16, target->flags ^ WRITE, 0);
	return is_refused(target);
}

/* indirect tables */

static bool indirect_in_indirect(void)
{
	table[0] = (struct descriptor){ (uint64_t)table, sizeof(table), INDIRECT, 0 };
	return is_table_refused((uint64_t)table, sizeof(table), INDIRECT);
}

static bool longer_than_the_queue(void)
{
	for (uint16_t i = 0; i <= QUEUE_SIZE; i++)
		table[i] = (struct descriptor){ (uint64_t)bytes, 1, target->flags | (i < QUEUE_SIZE ? NEXT : 0),
						(uint16_t)(i + 1) };
	return is_table_refused((uint64_t)table, sizeof(table), INDIRECT);
}

static bool loop_in_a_table(void)
{
	table[0] = (struct descriptor){ (uint64_t)bytes, 16, target->flags | NEXT, 0 };
	return is_table_refused((uint64_t)table, sizeof(table[0]), INDIRECT);
}

static bool past_the_table(void)
{
	table[0] = (struct descriptor){ (uint64_t)bytes, 16, target->flags | NEXT, 1 };
	table[1] = (struct descriptor){ (uint64_t)bytes, 16, target->flags, 0 };
	return is_table_refused((uint64_t)table, sizeof(table[0]), INDIRECT);
}

static bool table_of_half_a_descriptor(void)
{
	return is_table_refused((uint64_t)table, sizeof(table[0]) + 8, INDIRECT);
}

static bool table_that_is_empty(void)
{
	return is_table_refused((uint64_t)table, 0, INDIRECT);
}

static bool table_past_memory(void)
{
	return is_table_refused(memory_end - 8, sizeof(table[0]), INDIRECT);
}

static bool table_with_a_next(void)
{
	table[0] = (struct descriptor){ (uint64_t)bytes, 16, target->flags, 0 };
	return is_table_refused((uint64_t)table, sizeof(table[0]), INDIRECT | NEXT);
}

/* rings and registers */

static bool jumping_index(void)
{
	put(0, (uint64_t)bytes, 16, target->flags, 0);
	return is_index_refused(QUEUE_SIZE + 1);
}

static bool unknown_queue(void)
{
	set(target->device, QUEUE_NOTIFY, 7);
	return (get(target->device, STATUS) & S_NEEDS_RESET) != 0;
}

/* Place a queue's areas: the device has to refuse, and the queue is not there. */
static bool is_queue_refused(uint32_t size, uint64_t descriptors, uint64_t available, uint64_t used)
{
	if (!negotiate(target->device, 0))
		return false;
	set(target->device, QUEUE_SEL, target->number);
	set(target->device, QUEUE_NUM, size);
	set_address(target->device, QUEUE_DESC, descriptors);
	set_address(target->device, QUEUE_AVAIL, available);
	set_address(target->device, QUEUE_USED, used);
	set(target->device, QUEUE_READY, 1);
	return get(target->device, QUEUE_READY) == 0 && (get(target->device, STATUS) & S_NEEDS_RESET);
}

static bool overlapping_areas(void)
{
	uint64_t at = (uint64_t)bytes;

	return is_queue_refused(QUEUE_SIZE, at, at + 16, at + 2048) &&
	       is_queue_refused(QUEUE_SIZE, at, at + 1024, at + 1028) &&
	       is_queue_refused(QUEUE_SIZE, at + 16, at + 1024, at) && is_queue_refused(QUEUE_SIZE, at, at, at);
}

static bool areas_elsewhere(void)
{
	uint64_t at = (uint64_t)bytes;

	return is_queue_refused(QUEUE_SIZE, memory_end - 16, at, at + 2048) &&
	       is_queue_refused(QUEUE_SIZE, at, memory_end - 2, at + 2048) &&
	       is_queue_refused(QUEUE_SIZE, at, at + 1024, UINT64_MAX - 3) &&
	       is_queue_refused(QUEUE_SIZE, at + 8, at + 1024, at + 2048) &&
	       is_queue_refused(QUEUE_SIZE, at, at + 1025, at + 2048);
}

static bool sizes_that_are_none(void)
{
	static const uint32_t sizes[] = { 0, 3, 1 << 15, 1 << 16, UINT32_C(1) << 31 };
	uint64_t at = (uint64_t)bytes;

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		if (!is_queue_refused(sizes[i], at, at + 1024, at + 2048))
			return false;
	}
	return true;
}

static bool without_features_ok(void)
{
	set(target->device, STATUS, 0);
	set(target->device, STATUS, S_ACKNOWLEDGE | S_DRIVER);
	set(target->device, STATUS, S_ACKNOWLEDGE | S_DRIVER | S_DRIVER_OK);
	return get(target->device, STATUS) == (S_ACKNOWLEDGE | S_DRIVER | S_NEEDS_RESET);
}

static bool features_that_are_not_offered(void)
{
	return !negotiate(target->device, UINT64_C(1) << 60);
}

/* resets */

/* The queue's memory and the request's belong to something else: the device must not write to them any more. */
static bool is_left_alone(void)
{
	volatile uint8_t *queue = (volatile uint8_t *)target->queue;

	for (size_t i = 0; i < QUEUE_BYTES; i++)
		queue[i] = UNUSED;
	for (unsigned int turn = 0; turn < 4; turn++) {
		for (size_t i = 0; i < QUEUE_BYTES; i++) {
			if (queue[i] != UNUSED)
				return false;
		}
	}
	return true;
}

static bool reset_in_mid_transfer(void)
{
	target->use();
	set(target->device, STATUS, 0);
	return get(target->device, STATUS) == 0 && is_left_alone();
}

static bool queue_stopped_in_mid_transfer(void)
{
	target->use();
	set(target->device, QUEUE_SEL, target->number);
	set(target->device, QUEUE_READY, 0);
	return get(target->device, QUEUE_READY) == 0 && is_left_alone();
}

static const hostile_case rules[RULES] = {
	loop,
	loop_of_one,
	past_the_queue,
	head_past_the_queue,
	past_memory,
	at_the_devices,
	wrapping,
	empty,
	of_4_gib,
	of_4_gib_at_the_end,
	readable_behind_writable,
	the_other_direction,
	indirect_in_indirect,
	longer_than_the_queue,
	loop_in_a_table,
	past_the_table,
	table_of_half_a_descriptor,
	table_that_is_empty,
	table_past_memory,
	table_with_a_next,
	jumping_index,
	unknown_queue,
	overlapping_areas,
	areas_elsewhere,
	sizes_that_are_none,
	without_features_ok,
	features_that_are_not_offered,
	reset_in_mid_transfer,
	queue_stopped_in_mid_transfer,
};

static bool run(const hostile_case *cases, size_t count, uint8_t *number)
{
	for (size_t i = 0; i < count; i++, (*number)++) {
		if (!target->start() || !cases[i]() || !target->works())
			return false;
	}
	return true;
}

void run_hostile(const struct target *targets, size_t target_count, const hostile_case *cases, size_t case_count,
		 uint64_t memory_size)
{
	uint8_t number = 100;
	bool good = true;

	memory_end = memory_size;
	for (size_t i = 0; good && i < target_count; i++) {
		target = &targets[i];
		good = run(rules, RULES, &number);
	}
	if (good && run(cases, case_count, &number))
		number = 1;
	signal_host(number);
}
