/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Virtqueues with drivers that break the rules: each case is told as an error, with its own reason, and nothing outside
 * guest memory is touched (which the build with AddressSanitizer sees: the memory of these tests is from the heap).
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "ring.h"

#define SIZE 8

static struct ring ring;
static struct virtqueue queue;
static struct virtqueue_chain chain;

static void set_up(void)
{
	ring_open(&ring, SIZE);
	virtqueue_init(&queue, &ring.memory, 16);
	ring_enable(&ring, &queue);
	queue.indirect = true;
}

static void tear_down(void)
{
	ring_close(&ring);
}

TestSuite(virtqueue_hostile, .init = set_up, .fini = tear_down);

static void assert_broken(const char *fault)
{
	cr_assert_eq(virtqueue_pop(&queue, &chain), -EBADMSG);
	cr_assert_not_null(queue.fault);
	cr_assert_not_null(strstr(queue.fault, fault), "%s", queue.fault);
}

/* Offer what stands in descriptor 0, which is malformed. */
static void assert_chain_broken(const char *fault)
{
	ring_offer(&ring, 0);
	assert_broken(fault);
}

Test(virtqueue_hostile, a_descriptor_that_leads_to_itself)
{
	ring_describe(&ring, 0, RING_BUFFERS, 1, NEXT, 0);
	assert_chain_broken("longer than the queue");
}

Test(virtqueue_hostile, a_loop_of_several)
{
	for (uint16_t i = 0; i < SIZE; i++)
		ring_describe(&ring, i, RING_BUFFERS, 1, NEXT, (uint16_t)((i + 1) % SIZE));
	assert_chain_broken("longer than the queue");
}

Test(virtqueue_hostile, a_loop_in_an_indirect_table)
{
	ring_describe(&ring, 0, RING_TABLE, 2 * 16, INDIRECT, 0);
	ring_describe_at(&ring, RING_TABLE, 0, RING_BUFFERS, 1, NEXT, 1);
	ring_describe_at(&ring, RING_TABLE, 1, RING_BUFFERS, 1, NEXT, 0);
	assert_chain_broken("longer than the queue");
}

Test(virtqueue_hostile, an_indirect_chain_longer_than_the_queue)
{
	ring_describe(&ring, 0, RING_TABLE, 9 * 16, INDIRECT, 0);
	for (uint16_t i = 0; i < 9; i++)
		ring_describe_at(&ring, RING_TABLE, i, RING_BUFFERS, 1, i < 8 ? NEXT : 0, i + 1);
	assert_chain_broken("longer than the queue");
}

Test(virtqueue_hostile, plain_and_indirect_descriptors_together_longer_than_the_queue)
{
	for (uint16_t i = 0; i < 4; i++)
		ring_describe(&ring, i, RING_BUFFERS, 1, NEXT, i + 1);
	ring_describe(&ring, 4, RING_TABLE, 5 * 16, INDIRECT, 0);
	for (uint16_t i = 0; i < 5; i++)
		ring_describe_at(&ring, RING_TABLE, i, RING_BUFFERS, 1, i < 4 ? NEXT : 0, i + 1);
	assert_chain_broken("longer than the queue");
}

Test(virtqueue_hostile, an_indirect_table_within_an_indirect_table)
{
	ring_describe(&ring, 0, RING_TABLE, 16, INDIRECT, 0);
	ring_describe_at(&ring, RING_TABLE, 0, RING_TABLE, 16, INDIRECT, 0);
	assert_chain_broken("in an indirect table");
}

Test(virtqueue_hostile, an_indirect_descriptor_that_was_not_negotiated)
{
	queue.indirect = false;
	ring_describe(&ring, 0, RING_TABLE, 16, INDIRECT, 0);
	assert_chain_broken("not negotiated");
}

Test(virtqueue_hostile, an_indirect_descriptor_with_a_next_one)
{
	ring_describe(&ring, 0, RING_TABLE, 16, INDIRECT | NEXT, 1);
	assert_chain_broken("with a next one");
}

Test(virtqueue_hostile, indirect_tables_of_bad_lengths)
{
	static const uint32_t lengths[] = { 0, 1, 15, 17, UINT32_MAX };

	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		ring_describe(&ring, 0, RING_TABLE, lengths[i], INDIRECT, 0);
		ring_write16(&ring, RING_AVAILABLE + 2, 1);
		assert_broken("whole number of descriptors");
	}
	ring_describe(&ring, 0, RING_TABLE, UINT32_MAX - 15, INDIRECT, 0);
	assert_broken("table lies outside memory");
}

Test(virtqueue_hostile, indirect_tables_outside_memory)
{
	static const uint64_t places[] = { RING_MEMORY - 15, RING_MEMORY,     UINT64_MAX,
					   UINT64_MAX - 15,  UINT64_MAX - 16, UINT64_C(1) << 63 };

	ring_write16(&ring, RING_AVAILABLE + 2, 1);
	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		ring_describe(&ring, 0, places[i], 16, INDIRECT, 0);
		assert_broken("table lies outside memory");
	}
}

Test(virtqueue_hostile, a_next_descriptor_past_the_table)
{
	static const uint16_t places[] = { SIZE, SIZE + 1, 0x7fff, 0xffff };

	ring_write16(&ring, RING_AVAILABLE + 2, 1);
	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		ring_describe(&ring, 0, RING_BUFFERS, 1, NEXT, places[i]);
		assert_broken("past its table");
	}
	ring_describe(&ring, 0, RING_TABLE, 2 * 16, INDIRECT, 0);
	ring_describe_at(&ring, RING_TABLE, 0, RING_BUFFERS, 1, NEXT, 2);
	assert_broken("past its table");
}

Test(virtqueue_hostile, a_head_past_the_table)
{
	static const uint16_t heads[] = { SIZE, 0xffff };

	for (size_t i = 0; i < sizeof(heads) / sizeof(heads[0]); i++) {
		ring_write16(&ring, RING_AVAILABLE + 4, heads[i]);
		ring_write16(&ring, RING_AVAILABLE + 2, 1);
		assert_broken("past its table");
	}
}

Test(virtqueue_hostile, empty_buffers)
{
	ring_describe(&ring, 0, RING_BUFFERS, 0, 0, 0);
	assert_chain_broken("empty");
	ring_describe(&ring, 0, RING_BUFFERS, 0, WRITE, 0);
	assert_broken("empty");
	ring_describe(&ring, 0, RING_BUFFERS, 1, NEXT, 1);
	ring_describe(&ring, 1, RING_BUFFERS, 0, WRITE, 0);
	assert_broken("empty");
}

Test(virtqueue_hostile, buffers_outside_memory_and_around_its_end)
{
	static const struct {
		uint64_t gpa;
		uint32_t length;
	} buffers[] = {
		{ RING_MEMORY, 1 },
		{ RING_MEMORY - 1, 2 },
		{ 0, RING_MEMORY + 1 },
		{ 0, UINT32_MAX },
		{ RING_BUFFERS, UINT32_MAX },
		{ UINT64_MAX, 1 },
		{ UINT64_MAX, UINT32_MAX },
		{ UINT64_MAX - 0xfff, 0x1000 },
		{ UINT64_C(1) << 63, 1 },
		{ UINT64_C(1) << 32, 1 },
		{ UINT64_MAX - UINT32_MAX, UINT32_MAX },
	};

	ring_write16(&ring, RING_AVAILABLE + 2, 1);
	for (size_t i = 0; i < sizeof(buffers) / sizeof(buffers[0]); i++) {
		ring_describe(&ring, 0, buffers[i].gpa, buffers[i].length, 0, 0);
		assert_broken("buffer lies outside memory");
		ring_describe(&ring, 0, buffers[i].gpa, buffers[i].length, WRITE, 0);
		assert_broken("buffer lies outside memory");
	}
}

Test(virtqueue_hostile, a_readable_buffer_after_a_writable_one)
{
	ring_describe(&ring, 0, RING_BUFFERS, 1, WRITE | NEXT, 1);
	ring_describe(&ring, 1, RING_BUFFERS, 1, 0, 0);
	assert_chain_broken("follows a writable one");
}

/* Small memories cannot hold a chain of 4 GiB but by naming the same bytes again and again. */
Test(virtqueue_hostile, a_chain_of_4_gib)
{
	struct ring large = ring;
	struct virtqueue wide;

	virtqueue_init(&wide, &large.memory, VIRTQUEUE_SIZE_MAX);
	/* Pretended: a chain is only walked, and nobody reads its buffers. */
	large.memory.size = UINT64_C(1) << 31;
	large.size = SIZE;
	ring_enable(&large, &wide);
	ring_describe(&ring, 0, 0, UINT32_C(1) << 31, NEXT, 1);
	ring_describe(&ring, 1, 0, (UINT32_C(1) << 31) - 1, WRITE, 0);
	ring_offer(&ring, 0);
	cr_assert_eq(virtqueue_pop(&wide, &chain), 1);
	cr_assert_eq(chain.readable_bytes + chain.writable_bytes, UINT32_MAX);
	ring_describe(&ring, 1, 0, UINT32_C(1) << 31, WRITE, 0);
	ring_offer(&ring, 0);
	cr_assert_eq(virtqueue_pop(&wide, &chain), -EBADMSG);
	cr_assert_not_null(strstr(wide.fault, "4 GiB"), "%s", wide.fault);
}

Test(virtqueue_hostile, an_available_index_that_jumps)
{
	static const uint16_t jumps[] = { SIZE + 1, 0x7fff, 0x8000, 0xffff };

	for (size_t i = 0; i < sizeof(jumps) / sizeof(jumps[0]); i++) {
		ring_write16(&ring, RING_AVAILABLE + 2, jumps[i]);
		assert_broken("jumped");
	}
	ring_write16(&ring, RING_AVAILABLE + 2, SIZE);
	ring_describe(&ring, 0, RING_BUFFERS, 1, 0, 0);
	cr_assert_eq(virtqueue_pop(&queue, &chain), 1);
}

Test(virtqueue_hostile, an_available_index_that_goes_back)
{
	ring_describe(&ring, 0, RING_BUFFERS, 1, 0, 0);
	ring_offer(&ring, 0);
	ring_offer(&ring, 0);
	cr_assert_eq(virtqueue_pop(&queue, &chain), 1);
	cr_assert_eq(virtqueue_pop(&queue, &chain), 1);
	ring_write16(&ring, RING_AVAILABLE + 2, 1);
	assert_broken("jumped");
}

/* The same chain offered for ever, never given back: what a device holds is bounded by the queue's size. */
Test(virtqueue_hostile, more_chains_in_flight_than_descriptors)
{
	ring_describe(&ring, 0, RING_BUFFERS, 1, 0, 0);
	for (int i = 0; i < SIZE; i++) {
		ring_offer(&ring, 0);
		cr_assert_eq(virtqueue_pop(&queue, &chain), 1);
	}
	ring_offer(&ring, 0);
	assert_broken("more chains");
}

/* set-up */

static void assert_refused(const char *fault)
{
	cr_assert_eq(virtqueue_enable(&queue), -EINVAL);
	cr_assert_not(queue.ready);
	cr_assert_not_null(strstr(queue.fault, fault), "%s", queue.fault);
}

Test(virtqueue_hostile, sizes_that_no_queue_has)
{
	static const uint32_t sizes[] = { 0, 3, 5, 7, 12, 17, 32, 0x10000, 0x10008, 0x80000000, UINT32_MAX };

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		queue.size = sizes[i];
		assert_refused("power of two");
	}
	queue.size = 16;
	cr_assert_eq(virtqueue_enable(&queue), 0);
	queue.size = 1;
	cr_assert_eq(virtqueue_enable(&queue), 0);
}

Test(virtqueue_hostile, areas_that_are_not_aligned)
{
	for (uint64_t i = 1; i < 16; i++) {
		queue.descriptors = RING_DESCRIPTORS + i;
		assert_refused("aligned");
	}
	queue.descriptors = RING_DESCRIPTORS;
	queue.available = RING_AVAILABLE + 1;
	assert_refused("aligned");
	queue.available = RING_AVAILABLE;
	for (uint64_t i = 1; i < 4; i++) {
		queue.used = RING_USED + i;
		assert_refused("aligned");
	}
	queue.used = RING_USED;
	cr_assert_eq(virtqueue_enable(&queue), 0);
}

/* Each area at the last place where it fits, and one step further; and where its end would wrap. */
static void assert_area_bounds(uint64_t *area, uint64_t length, uint64_t step)
{
	uint64_t before = *area;
	uint64_t last = (RING_MEMORY - length) & ~(step - 1);

	*area = last;
	cr_assert_eq(virtqueue_enable(&queue), 0, "%s", queue.fault);
	*area = last + step;
	assert_refused("outside memory");
	*area = RING_MEMORY;
	assert_refused("outside memory");
	*area = UINT64_MAX & ~(step - 1);
	assert_refused("outside memory");
	*area = (0 - length) & ~(step - 1);
	assert_refused("outside memory");
	*area = UINT64_C(1) << 40;
	assert_refused("outside memory");
	*area = before;
}

Test(virtqueue_hostile, areas_outside_memory)
{
	assert_area_bounds(&queue.descriptors, 16 * SIZE, 16);
	assert_area_bounds(&queue.available, 6 + 2 * SIZE, 2);
	assert_area_bounds(&queue.used, 6 + 8 * SIZE, 4);
}

Test(virtqueue_hostile, areas_that_overlap)
{
	queue.available = RING_DESCRIPTORS;
	assert_refused("overlap");
	queue.available = RING_DESCRIPTORS + 16 * SIZE - 2;
	assert_refused("overlap");
	queue.available = RING_DESCRIPTORS + 16 * SIZE;
	cr_assert_eq(virtqueue_enable(&queue), 0);
	queue.available = RING_DESCRIPTORS - (6 + 2 * SIZE) + 2;
	assert_refused("overlap");
	queue.available = RING_AVAILABLE;
	queue.used = RING_AVAILABLE;
	assert_refused("overlap");
	queue.used = RING_DESCRIPTORS + 16;
	assert_refused("overlap");
}

/* A driver that changes its ring while it is read: whatever comes out is inside memory, or an error. */

static atomic_bool stop_changing;

static void *change_ring(void *opaque)
{
	static const uint64_t places[] = { RING_BUFFERS, RING_MEMORY, UINT64_MAX - 4, 0, RING_TABLE };
	struct ring *changed = opaque;
	uint32_t turn = 0;

	while (!atomic_load(&stop_changing)) {
		for (uint16_t i = 0; i < SIZE; i++) {
			turn = turn * 1664525 + 1013904223;
			ring_describe(changed, i, places[(turn >> 8) % 5], turn >> 12, (uint16_t)(turn >> 28),
				      (uint16_t)(turn % 10));
			ring_describe_at(changed, RING_TABLE, i, places[(turn >> 16) % 5], turn & 0xffff,
					 (turn >> 24) & 7, (uint16_t)(turn % 10));
		}
	}
	return NULL;
}

static void pop_and_check(uint16_t index)
{
	int r;

	ring_write16(&ring, RING_AVAILABLE + 4 + 2 * (uint64_t)(index % SIZE), index % SIZE);
	ring_write16(&ring, RING_AVAILABLE + 2, (uint16_t)(queue.next_available + 1));
	r = virtqueue_pop(&queue, &chain);
	cr_assert(r == 1 || r == -EBADMSG, "%d", r);
	if (r < 0)
		return;

	cr_assert_leq(chain.readable + chain.writable, SIZE);
	cr_assert_gt(chain.readable + chain.writable, 0);
	for (int i = 0; i < chain.readable + chain.writable; i++) {
		cr_assert(guest_memory_contains(&ring.memory, chain.segments[i].gpa, chain.segments[i].length));
		cr_assert_gt(chain.segments[i].length, 0);
	}
	cr_assert_eq(virtqueue_push(&queue, chain.head, 0), 0);
}

Test(virtqueue_hostile, a_ring_that_changes_while_it_is_read)
{
	pthread_t changer;

	cr_assert_eq(pthread_create(&changer, NULL, change_ring, &ring), 0);
	for (uint32_t i = 0; i < 300000; i++)
		pop_and_check((uint16_t)i);
	atomic_store(&stop_changing, true);
	cr_assert_eq(pthread_join(changer, NULL), 0);
}
