/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The driver's side of a split virtqueue: plain writes into guest memory, with the layout of virtio 1.2, section 2.7.
 */
#include "ring.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

void ring_open(struct ring *ring, uint16_t size)
{
	*ring = (struct ring){ .size = size };
	ring->memory.host = aligned_alloc(GUEST_MEMORY_PAGE, RING_MEMORY);
	cr_assert_not_null(ring->memory.host);
	memset(ring->memory.host, 0, RING_MEMORY);
	ring->memory.size = RING_MEMORY;
}

void ring_close(struct ring *ring)
{
	free(ring->memory.host);
	ring->memory.host = NULL;
}

void ring_enable(const struct ring *ring, struct virtqueue *queue)
{
	queue->descriptors = ring->base + RING_DESCRIPTORS;
	queue->available = ring->base + RING_AVAILABLE;
	queue->used = ring->base + RING_USED;
	queue->size = ring->size;
	cr_assert_eq(virtqueue_enable(queue), 0, "%s", queue->fault);
}

void ring_describe_at(struct ring *ring, uint64_t table, uint16_t index, uint64_t gpa, uint32_t length, uint16_t flags,
		      uint16_t next)
{
	const struct vring_desc descriptor = { .addr = gpa, .len = length, .flags = flags, .next = next };

	cr_assert_eq(guest_memory_write(&ring->memory, table + (uint64_t)index * sizeof(descriptor), &descriptor,
					sizeof(descriptor)),
		     0);
}

void ring_describe(struct ring *ring, uint16_t index, uint64_t gpa, uint32_t length, uint16_t flags, uint16_t next)
{
	ring_describe_at(ring, ring->base + RING_DESCRIPTORS, index, gpa, length, flags, next);
}

void ring_write16(struct ring *ring, uint64_t gpa, uint16_t value)
{
	cr_assert_eq(guest_memory_write(&ring->memory, gpa, &value, sizeof(value)), 0);
}

uint16_t ring_read16(const struct ring *ring, uint64_t gpa)
{
	uint16_t value = 0;

	cr_assert_eq(guest_memory_read(&ring->memory, gpa, &value, sizeof(value)), 0);
	return value;
}

uint32_t ring_read32(const struct ring *ring, uint64_t gpa)
{
	uint32_t value = 0;

	cr_assert_eq(guest_memory_read(&ring->memory, gpa, &value, sizeof(value)), 0);
	return value;
}

void ring_offer(struct ring *ring, uint16_t head)
{
	ring_write16(ring, ring->base + RING_AVAILABLE + 4 + 2 * (uint64_t)(ring->offered % ring->size), head);
	ring->offered++;
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	ring_write16(ring, ring->base + RING_AVAILABLE + 2, ring->offered);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
}

uint16_t ring_used_index(const struct ring *ring)
{
	return ring_read16(ring, ring->base + RING_USED + 2);
}

struct vring_used_elem ring_used(const struct ring *ring, uint16_t index)
{
	struct vring_used_elem element = { 0 };

	cr_assert_eq(guest_memory_read(&ring->memory,
				       ring->base + RING_USED + 4 + (uint64_t)(index % ring->size) * sizeof(element),
				       &element, sizeof(element)),
		     0);
	return element;
}

uint64_t ring_used_event_gpa(const struct ring *ring)
{
	return ring->base + RING_AVAILABLE + 4 + 2 * (uint64_t)ring->size;
}

uint64_t ring_available_event_gpa(const struct ring *ring)
{
	return ring->base + RING_USED + 4 + 8 * (uint64_t)ring->size;
}
