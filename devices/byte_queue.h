/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A bounded first-in, first-out queue of bytes over an array of its owner's. Not thread-safe.
 */
#ifndef EMBER_DEVICES_BYTE_QUEUE_H
#define EMBER_DEVICES_BYTE_QUEUE_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

struct byte_queue {
	uint8_t *bytes;
	uint32_t capacity;
	uint32_t head;  /* index of the oldest byte; below capacity */
	uint32_t count; /* at most capacity */
};

static inline void byte_queue_clear(struct byte_queue *queue)
{
	queue->head = 0;
	queue->count = 0;
}

/* Append a byte. Returns whether there was room. */
static inline bool byte_queue_put(struct byte_queue *queue, uint8_t byte)
{
	if (queue->count == queue->capacity)
		return false;

	queue->bytes[(queue->head + queue->count) % queue->capacity] = byte;
	queue->count++;
	return true;
}

/* Take the oldest byte. Returns whether there was one. */
static inline bool byte_queue_take(struct byte_queue *queue, uint8_t *ret_byte)
{
	if (queue->count == 0)
		return false;

	*ret_byte = queue->bytes[queue->head];
	queue->head = (queue->head + 1) % queue->capacity;
	queue->count--;
	return true;
}

/* Copy the content out, oldest byte first, and leave it there. ret_bytes has room for capacity bytes. */
static inline void byte_queue_copy(const struct byte_queue *queue, uint8_t *ret_bytes)
{
	for (uint32_t i = 0; i < queue->count; i++)
		ret_bytes[i] = queue->bytes[(queue->head + i) % queue->capacity];
}

/* Replace the content with count bytes, at most capacity. */
static inline void byte_queue_load(struct byte_queue *queue, const uint8_t *bytes, uint32_t count)
{
	byte_queue_clear(queue);
	memcpy(queue->bytes, bytes, count);
	queue->count = count;
}

#endif
