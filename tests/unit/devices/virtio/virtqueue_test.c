/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Virtqueues with drivers that keep the rules: set-up, chains, indirect tables, the used ring, and who wants to be told
 * of what.
 */
#include <criterion/criterion.h>
#include <errno.h>
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
}

static void tear_down(void)
{
	ring_close(&ring);
}

TestSuite(virtqueue, .init = set_up, .fini = tear_down);

Test(virtqueue, a_queue_that_is_not_ready_has_nothing)
{
	virtqueue_reset(&queue);
	ring_offer(&ring, 0);
	cr_assert_eq(virtqueue_pop(&queue, &chain), 0);
	cr_assert_eq(queue.size_max, 16);
}

Test(virtqueue, an_empty_ring_has_nothing)
{
	cr_assert_eq(virtqueue_pop(&queue, &chain), 0);
	cr_assert_null(queue.fault);
}

Test(virtqueue, a_chain_comes_out_in_order)
{
	ring_describe(&ring, 3, RING_BUFFERS, 10, NEXT, 5);
	ring_describe(&ring, 5, RING_BUFFERS + 0x100, 20, NEXT, 1);
	ring_describe(&ring, 1, RING_BUFFERS + 0x200, 30, WRITE | NEXT, 0);
	ring_describe(&ring, 0, RING_BUFFERS + 0x300, 40, WRITE, 77);
	ring_offer(&ring, 3);

	cr_assert_eq(virtqueue_pop(&queue, &chain), 1);
	cr_assert_eq(chain.head, 3);
	cr_assert_eq(chain.readable, 2);
	cr_assert_eq(chain.writable, 2);
	cr_assert_eq(chain.readable_bytes, 30);
	cr_assert_eq(chain.writable_bytes, 70);
	cr_assert_eq(chain.segments[0].gpa, RING_BUFFERS);
	cr_assert_eq(chain.segments[1].length, 20);
	cr_assert_eq(chain.segments[2].gpa, RING_BUFFERS + 0x200);
	cr_assert_eq(chain.segments[3].length, 40);
	cr_assert_eq(virtqueue_pop(&queue, &chain), 0);
}

Test(virtqueue, a_chain_as_long_as_the_queue)
{
	for (uint16_t i = 0; i < SIZE; i++)
		ring_describe(&ring, i, RING_BUFFERS + i, 1, i + 1 < SIZE ? NEXT : 0, i + 1);
	ring_offer(&ring, 0);
	cr_assert_eq(virtqueue_pop(&queue, &chain), 1);
	cr_assert_eq(chain.readable, SIZE);
}

Test(virtqueue, a_buffer_up_to_the_last_byte_of_memory)
{
	ring_describe(&ring, 0, 0, RING_MEMORY, 0, 0);
	ring_describe(&ring, 1, RING_MEMORY - 1, 1, WRITE, 0);
	ring_offer(&ring, 0);
	ring_offer(&ring, 1);
	cr_assert_eq(virtqueue_pop(&queue, &chain), 1);
	cr_assert_eq(chain.readable_bytes, RING_MEMORY);
	cr_assert_eq(virtqueue_pop(&queue, &chain), 1);
	cr_assert_eq(chain.segments[0].gpa, RING_MEMORY - 1);
}

Test(virtqueue, an_indirect_table)
{
	queue.indirect = true;
	ring_describe(&ring, 2, RING_TABLE, 3 * 16, INDIRECT | WRITE, 0); /* the flag to write means nothing here */
	ring_describe_at(&ring, RING_TABLE, 0, RING_BUFFERS, 1, NEXT, 2);
	ring_describe_at(&ring, RING_TABLE, 2, RING_BUFFERS + 8, 2, NEXT, 1);
	ring_describe_at(&ring, RING_TABLE, 1, RING_BUFFERS + 16, 4, WRITE, 0);
	ring_offer(&ring, 2);

	cr_assert_eq(virtqueue_pop(&queue, &chain), 1);
	cr_assert_eq(chain.head, 2);
	cr_assert_eq(chain.readable_bytes, 3);
	cr_assert_eq(chain.writable_bytes, 4);
}

Test(virtqueue, plain_descriptors_before_an_indirect_table)
{
	queue.indirect = true;
	ring_describe(&ring, 0, RING_BUFFERS, 1, NEXT, 1);
	ring_describe(&ring, 1, RING_TABLE, 16, INDIRECT, 0);
	ring_describe_at(&ring, RING_TABLE, 0, RING_BUFFERS, 5, WRITE, 0);
	ring_offer(&ring, 0);
	cr_assert_eq(virtqueue_pop(&queue, &chain), 1);
	cr_assert_eq(chain.readable_bytes, 1);
	cr_assert_eq(chain.writable_bytes, 5);
}

Test(virtqueue, an_indirect_table_may_be_longer_than_the_queue_where_the_chain_is_not)
{
	queue.indirect = true;
	ring_describe(&ring, 0, RING_TABLE, 100 * 16, INDIRECT, 0);
	ring_describe_at(&ring, RING_TABLE, 0, RING_BUFFERS, 5, NEXT, 99);
	ring_describe_at(&ring, RING_TABLE, 99, RING_BUFFERS, 6, 0, 0);
	ring_offer(&ring, 0);
	cr_assert_eq(virtqueue_pop(&queue, &chain), 1);
	cr_assert_eq(chain.readable_bytes, 11);
}

Test(virtqueue, used_chains_are_told_in_order_past_every_wrap)
{
	ring_describe(&ring, 6, RING_BUFFERS, 1, WRITE, 0);
	for (uint32_t i = 0; i < 3 * 65536; i++) {
		ring_offer(&ring, 6);
		cr_assert_eq(virtqueue_pop(&queue, &chain), 1);
		cr_assert_eq(virtqueue_push(&queue, chain.head, i), 0);
		cr_assert_eq(ring_used_index(&ring), (uint16_t)(i + 1));
		cr_assert_eq(ring_used(&ring, (uint16_t)i).id, 6);
		cr_assert_eq(ring_used(&ring, (uint16_t)i).len, i);
	}
}

Test(virtqueue, chains_may_come_back_in_another_order)
{
	ring_describe(&ring, 0, RING_BUFFERS, 1, 0, 0);
	ring_describe(&ring, 1, RING_BUFFERS, 2, 0, 0);
	ring_offer(&ring, 0);
	ring_offer(&ring, 1);
	cr_assert_eq(virtqueue_pop(&queue, &chain), 1);
	cr_assert_eq(virtqueue_pop(&queue, &chain), 1);
	cr_assert_eq(virtqueue_push(&queue, 1, 0), 0);
	cr_assert_eq(virtqueue_push(&queue, 0, 0), 0);
	cr_assert_eq(ring_used(&ring, 0).id, 1);
	cr_assert_eq(ring_used(&ring, 1).id, 0);
}

Test(virtqueue, a_chain_that_is_put_back_comes_again)
{
	ring_describe(&ring, 4, RING_BUFFERS, 9, 0, 0);
	ring_offer(&ring, 4);
	cr_assert_eq(virtqueue_pop(&queue, &chain), 1);
	virtqueue_unpop(&queue);
	chain.head = 0;
	cr_assert_eq(virtqueue_pop(&queue, &chain), 1);
	cr_assert_eq(chain.head, 4);
	cr_assert_eq(virtqueue_pop(&queue, &chain), 0);
}

Test(virtqueue, without_event_index_the_drivers_flag_decides)
{
	cr_assert_eq(virtqueue_push(&queue, 0, 0), 0);
	cr_assert(virtqueue_wants_interrupt(&queue));
	ring_write16(&ring, RING_AVAILABLE, VRING_AVAIL_F_NO_INTERRUPT);
	cr_assert_eq(virtqueue_push(&queue, 0, 0), 0);
	cr_assert_not(virtqueue_wants_interrupt(&queue));
	ring_write16(&ring, RING_AVAILABLE, 0);
	cr_assert_eq(virtqueue_push(&queue, 0, 0), 0);
	cr_assert(virtqueue_wants_interrupt(&queue));
}

/* Section 2.7.7.1: an interrupt when the used index passes used_event, wherever the indices wrap. */
Test(virtqueue, with_event_index_the_drivers_event_decides)
{
	queue.event_index = true;
	cr_assert_eq(virtqueue_push(&queue, 0, 0), 0);
	cr_assert(virtqueue_wants_interrupt(&queue), "the first is always told");

	for (uint32_t start = 1; start < 70000; start += 3) {
		ring_write16(&ring, ring_used_event_gpa(&ring), (uint16_t)(start + 1)); /* tell of the second */
		cr_assert_eq(virtqueue_push(&queue, 0, 0), 0);
		cr_assert_not(virtqueue_wants_interrupt(&queue));
		cr_assert_eq(virtqueue_push(&queue, 0, 0), 0);
		cr_assert(virtqueue_wants_interrupt(&queue));
		cr_assert_eq(virtqueue_push(&queue, 0, 0), 0);
		cr_assert_not(virtqueue_wants_interrupt(&queue));
	}
}

Test(virtqueue, an_event_within_a_batch_is_told)
{
	queue.event_index = true;
	(void)virtqueue_wants_interrupt(&queue);
	ring_write16(&ring, ring_used_event_gpa(&ring), 1);
	for (int i = 0; i < 3; i++)
		cr_assert_eq(virtqueue_push(&queue, 0, 0), 0);
	cr_assert(virtqueue_wants_interrupt(&queue));
}

Test(virtqueue, the_driver_is_asked_to_notify_when_the_ring_is_empty)
{
	queue.event_index = true;
	ring_write16(&ring, ring_available_event_gpa(&ring), 0x5555);
	ring_describe(&ring, 0, RING_BUFFERS, 1, 0, 0);
	ring_offer(&ring, 0);
	cr_assert_eq(virtqueue_pop(&queue, &chain), 1);
	cr_assert_eq(ring_read16(&ring, ring_available_event_gpa(&ring)), 0x5555, "there may be more");
	cr_assert_eq(virtqueue_pop(&queue, &chain), 0);
	cr_assert_eq(ring_read16(&ring, ring_available_event_gpa(&ring)), 1);
}

/* cursors */

static void offer_scattered(void)
{
	ring_describe(&ring, 0, RING_BUFFERS, 3, NEXT, 1);
	ring_describe(&ring, 1, RING_BUFFERS + 0x100, 1, NEXT, 2);
	ring_describe(&ring, 2, RING_BUFFERS + 0x200, 4, NEXT, 3);
	ring_describe(&ring, 3, RING_BUFFERS + 0x300, 2, WRITE | NEXT, 4);
	ring_describe(&ring, 4, RING_BUFFERS + 0x400, 5, WRITE, 0);
	cr_assert_eq(guest_memory_write(&ring.memory, RING_BUFFERS, "abc", 3), 0);
	cr_assert_eq(guest_memory_write(&ring.memory, RING_BUFFERS + 0x100, "d", 1), 0);
	cr_assert_eq(guest_memory_write(&ring.memory, RING_BUFFERS + 0x200, "efgh", 4), 0);
	ring_offer(&ring, 0);
	cr_assert_eq(virtqueue_pop(&queue, &chain), 1);
}

Test(virtqueue, bytes_are_read_whatever_the_segments)
{
	struct virtqueue_cursor cursor;
	char text[9] = "";

	offer_scattered();
	for (size_t piece = 1; piece <= 9; piece++) {
		size_t got = 0;

		memset(text, 0, sizeof(text));
		virtqueue_cursor_readable(&cursor, &queue, &chain);
		while (cursor.left > 0)
			got += virtqueue_cursor_read(&cursor, text + got, piece < 8 - got ? piece : 8 - got);
		cr_assert_eq(got, 8);
		cr_assert_str_eq(text, "abcdefgh");
		cr_assert_eq(virtqueue_cursor_read(&cursor, text, 1), 0);
	}
}

Test(virtqueue, bytes_are_written_whatever_the_segments)
{
	struct virtqueue_cursor cursor;

	offer_scattered();
	virtqueue_cursor_writable(&cursor, &queue, &chain);
	cr_assert_eq(virtqueue_cursor_write(&cursor, "1234567890", 10), 7);
	cr_assert_eq(cursor.left, 0);
	cr_assert_arr_eq(ring.memory.host + RING_BUFFERS + 0x300, "12\0", 3);
	cr_assert_arr_eq(ring.memory.host + RING_BUFFERS + 0x400, "34567\0", 6);
}

Test(virtqueue, each_part_allows_its_own_direction_only)
{
	struct virtqueue_cursor cursor;
	char byte = 'x';

	offer_scattered();
	virtqueue_cursor_readable(&cursor, &queue, &chain);
	cr_assert_eq(virtqueue_cursor_write(&cursor, &byte, 1), 0);
	virtqueue_cursor_writable(&cursor, &queue, &chain);
	cr_assert_eq(virtqueue_cursor_read(&cursor, &byte, 1), 0);
	cr_assert_eq(byte, 'x');
}

Test(virtqueue, a_limit_ends_a_walk_early_and_never_late)
{
	struct virtqueue_cursor cursor;
	char text[8];

	offer_scattered();
	virtqueue_cursor_readable(&cursor, &queue, &chain);
	virtqueue_cursor_limit(&cursor, 100);
	cr_assert_eq(cursor.left, 8);
	cr_assert_eq(virtqueue_cursor_skip(&cursor, 2), 2);
	virtqueue_cursor_limit(&cursor, 3);
	cr_assert_eq(virtqueue_cursor_read(&cursor, text, 8), 3);
	cr_assert_arr_eq(text, "cde", 3);
	cr_assert_eq(virtqueue_cursor_skip(&cursor, 1), 0);
}

Test(virtqueue, segments_as_host_addresses)
{
	struct virtqueue_cursor cursor;
	struct iovec iovec[4];
	uint64_t bytes;

	offer_scattered();
	virtqueue_cursor_readable(&cursor, &queue, &chain);
	cr_assert_eq(virtqueue_cursor_skip(&cursor, 1), 1);
	cr_assert_eq(virtqueue_cursor_iovec(&cursor, 6, iovec, 4, &bytes), 3);
	cr_assert_eq(bytes, 6);
	cr_assert_eq(iovec[0].iov_base, ring.memory.host + RING_BUFFERS + 1);
	cr_assert_eq(iovec[0].iov_len, 2);
	cr_assert_eq(iovec[2].iov_len, 3);
	cr_assert_eq(virtqueue_cursor_iovec(&cursor, 100, iovec, 2, &bytes), 2);
	cr_assert_eq(bytes, 3, "as many entries as there is room for");
	cr_assert_eq(cursor.left, 7, "the cursor stays");
	cr_assert_eq(virtqueue_cursor_skip(&cursor, 100), 7);
	cr_assert_eq(virtqueue_cursor_iovec(&cursor, 100, iovec, 4, &bytes), 0);
}
