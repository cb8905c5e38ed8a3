/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A virtqueue over memory that is all the driver's: the first bytes set the queue up, the rest is its memory. Whatever
 * comes out of the queue lies in that memory, which has no room before and behind it.
 */
#include "devices/virtio/virtqueue.h"
#include "fuzz.h"

#include <string.h>

#define MEMORY 8192
#define POPS   64

/* What the input begins with. */
struct set_up {
	uint8_t size_log2;
	uint8_t features;
	uint16_t descriptors;
	uint16_t available;
	uint16_t used;
	uint16_t next_available;
	uint16_t next_used;
} __attribute__((packed));

static void check_chain(const struct virtqueue *queue, const struct virtqueue_chain *chain)
{
	unsigned int count = (unsigned int)chain->readable + chain->writable;
	uint64_t bytes = 0;

	FUZZ_CHECK(count > 0 && count <= queue->size);
	for (unsigned int i = 0; i < count; i++) {
		const struct virtqueue_segment *segment = &chain->segments[i];

		FUZZ_CHECK(segment->length > 0);
		FUZZ_CHECK(guest_memory_contains(queue->memory, segment->gpa, segment->length));
		bytes += segment->length;
	}
	FUZZ_CHECK(bytes == chain->readable_bytes + chain->writable_bytes && bytes <= UINT32_MAX);
}

static void walk(const struct virtqueue *queue, const struct virtqueue_chain *chain)
{
	struct virtqueue_cursor cursor;
	struct iovec iovecs[4];
	uint8_t bytes[100];
	uint64_t total = 0;
	uint64_t some;

	virtqueue_cursor_readable(&cursor, queue, chain);
	for (;;) {
		size_t got = virtqueue_cursor_read(&cursor, bytes, 1 + total % sizeof(bytes));

		if (got == 0)
			break;
		total += got;
	}
	FUZZ_CHECK(total == chain->readable_bytes);

	/* Through host addresses, of which each byte is touched. */
	virtqueue_cursor_writable(&cursor, queue, chain);
	total = 0;
	while (cursor.left > 0) {
		int entries = virtqueue_cursor_iovec(&cursor, 300, iovecs, 4, &some);

		FUZZ_CHECK(entries > 0 && some > 0 && some <= 300);
		for (int i = 0; i < entries; i++)
			memset(iovecs[i].iov_base, 0x5a, iovecs[i].iov_len);
		FUZZ_CHECK(virtqueue_cursor_skip(&cursor, some) == some);
		total += some;
	}
	FUZZ_CHECK(total == chain->writable_bytes);

	virtqueue_cursor_writable(&cursor, queue, chain);
	FUZZ_CHECK(virtqueue_cursor_write(&cursor, bytes, sizeof(bytes)) <= chain->writable_bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct virtqueue_chain chain;
	struct guest_memory memory = { .size = MEMORY };
	struct virtqueue queue;
	struct set_up set_up;

	if (size < sizeof(set_up))
		return 0;
	memcpy(&set_up, data, sizeof(set_up));
	data += sizeof(set_up);
	size -= sizeof(set_up);

	memory.host = aligned_alloc(4096, MEMORY);
	FUZZ_CHECK(memory.host);
	memset(memory.host, 0, MEMORY);
	memcpy(memory.host, data, size < MEMORY ? size : MEMORY);

	virtqueue_init(&queue, &memory, 16);
	queue.size = 1U << (set_up.size_log2 % 6);
	queue.descriptors = set_up.descriptors;
	queue.available = set_up.available;
	queue.used = set_up.used;
	queue.indirect = set_up.features & 1;
	queue.event_index = set_up.features & 2;
	queue.next_available = set_up.next_available;
	queue.next_used = set_up.next_used;

	if (virtqueue_enable(&queue) == 0) {
		/* What is written on the way may make more available. */
		for (int i = 0; i < POPS && virtqueue_pop(&queue, &chain) == 1; i++) {
			check_chain(&queue, &chain);
			walk(&queue, &chain);
			if (set_up.features & 4)
				continue;
			FUZZ_CHECK(virtqueue_push(&queue, chain.head, 1) == 0);
			(void)virtqueue_wants_interrupt(&queue);
		}
	} else {
		FUZZ_CHECK(!queue.ready && queue.fault);
	}

	free(memory.host);
	return 0;
}
