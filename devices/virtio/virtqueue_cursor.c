/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The walk through a chain's bytes.
 *
 * Segments were checked when their chain was taken; guest_memory_*() check them again at each copy, which costs two
 * comparisons and means that no mistake made here can leave guest memory. `left` never counts more bytes than the
 * segments from the current one on have, so that the walk needs no other end.
 */
#include <string.h>

#include "devices/virtio/virtqueue.h"

void virtqueue_cursor_readable(struct virtqueue_cursor *cursor, const struct virtqueue *queue,
			       const struct virtqueue_chain *chain)
{
	*cursor = (struct virtqueue_cursor){
		.memory = queue->memory,
		.segment = chain->segments,
		.left = chain->readable_bytes,
	};
}

void virtqueue_cursor_writable(struct virtqueue_cursor *cursor, const struct virtqueue *queue,
			       const struct virtqueue_chain *chain)
{
	*cursor = (struct virtqueue_cursor){
		.memory = queue->memory,
		.segment = chain->segments + chain->readable,
		.writable = true,
		.left = chain->writable_bytes,
	};
}

void virtqueue_cursor_limit(struct virtqueue_cursor *cursor, uint64_t bytes)
{
	if (bytes < cursor->left)
		cursor->left = bytes;
}

/* How many of `bytes` the current segment has. */
static uint64_t bytes_here(const struct virtqueue_cursor *cursor, uint64_t bytes)
{
	uint64_t here = cursor->segment->length - cursor->offset;

	if (here > cursor->left)
		here = cursor->left;
	return here < bytes ? here : bytes;
}

/* Go on by bytes that the current segment has. */
static void advance(struct virtqueue_cursor *cursor, uint64_t bytes)
{
	cursor->left -= bytes;
	cursor->offset += (uint32_t)bytes;
	if (cursor->offset == cursor->segment->length) {
		cursor->segment++;
		cursor->offset = 0;
	}
}

uint64_t virtqueue_cursor_skip(struct virtqueue_cursor *cursor, uint64_t bytes)
{
	uint64_t done = 0;

	while (done < bytes && cursor->left > 0) {
		uint64_t here = bytes_here(cursor, bytes - done);

		advance(cursor, here);
		done += here;
	}

	return done;
}

size_t virtqueue_cursor_read(struct virtqueue_cursor *cursor, void *ret_data, size_t length)
{
	uint8_t *data = ret_data;
	size_t done = 0;

	while (!cursor->writable && done < length && cursor->left > 0) {
		uint64_t here = bytes_here(cursor, length - done);

		if (guest_memory_read(cursor->memory, cursor->segment->gpa + cursor->offset, data + done, here) < 0)
			break;
		advance(cursor, here);
		done += here;
	}

	/* What was copied is now the caller's own: nobody reads guest memory again in its place. */
	__asm__ volatile("" : : : "memory");
	return done;
}

size_t virtqueue_cursor_write(struct virtqueue_cursor *cursor, const void *data, size_t length)
{
	const uint8_t *bytes = data;
	size_t done = 0;

	while (cursor->writable && done < length && cursor->left > 0) {
		uint64_t here = bytes_here(cursor, length - done);

		if (guest_memory_write(cursor->memory, cursor->segment->gpa + cursor->offset, bytes + done, here) < 0)
			break;
		advance(cursor, here);
		done += here;
	}

	return done;
}

int virtqueue_cursor_iovec(const struct virtqueue_cursor *cursor, uint64_t bytes, struct iovec *ret_iovec, int room,
			   uint64_t *ret_bytes)
{
	struct virtqueue_cursor walk = *cursor;
	uint64_t done = 0;
	int count = 0;

	while (count < room && done < bytes && walk.left > 0) {
		uint64_t here = bytes_here(&walk, bytes - done);
		uint8_t *host;

		if (guest_memory_range(walk.memory, walk.segment->gpa + walk.offset, here, &host) < 0)
			break;
		ret_iovec[count++] = (struct iovec){ .iov_base = host, .iov_len = here };
		advance(&walk, here);
		done += here;
	}

	*ret_bytes = done;
	return count;
}
