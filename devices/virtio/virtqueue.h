/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A split virtqueue (virtio 1.2, section 2.7), seen from the device: chains of buffers that the driver makes available,
 * taken, checked, and given back as used.
 *
 * Everything here except the driver's settings lies in guest memory and may change at any time. A chain is copied out
 * of it once, checked, and only the copy is used. What is malformed gives -EBADMSG with the reason in `fault`: the
 * device then needs a reset.
 */
#ifndef EMBER_DEVICES_VIRTIO_VIRTQUEUE_H
#define EMBER_DEVICES_VIRTIO_VIRTQUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "kvm/memory.h"

#define VIRTQUEUE_SIZE_MAX 256 /* descriptors of the largest queue that any device offers */

/* A buffer of the driver's, inside guest memory: checked, and never empty. */
struct virtqueue_segment {
	uint64_t gpa;
	uint32_t length; /* bytes */
};

/* A chain of buffers: first those that the device reads, then those that it writes. Plain data of the host's. */
struct virtqueue_chain {
	uint16_t head;     /* names the chain to the driver */
	uint16_t readable; /* segments that the device may read */
	uint16_t writable; /* segments after them, that it may write */
	uint64_t readable_bytes;
	uint64_t writable_bytes;
	struct virtqueue_segment segments[VIRTQUEUE_SIZE_MAX];
};

struct virtqueue {
	struct guest_memory *memory; /* set once by virtqueue_init(), as size_max is */
	const char *fault;           /* static text: why the last -EBADMSG or -EINVAL; NULL before any */

	/* The driver's settings, not trusted until virtqueue_enable(). */
	uint64_t descriptors; /* guest-physical addresses of the three areas */
	uint64_t available;
	uint64_t used;
	uint32_t size;     /* descriptors */
	uint16_t size_max; /* a power of two, at most VIRTQUEUE_SIZE_MAX */

	/* Progress. Indices run freely and wrap at 2^16, as the rings' own do. */
	uint16_t next_available; /* the next chain to take */
	uint16_t next_used;      /* the next place in the used ring */
	uint16_t signalled;      /* next_used when the driver was last asked whether it wants an interrupt */
	bool signalled_valid;

	bool ready;       /* in use */
	bool indirect;    /* negotiated: VIRTIO_F_INDIRECT_DESC */
	bool event_index; /* negotiated: VIRTIO_F_EVENT_IDX */
};

/* A queue that no driver has set up yet. size_max: see the structure. */
void virtqueue_init(struct virtqueue *queue, struct guest_memory *memory, uint16_t size_max);

/* Forget the driver's settings and all progress (a device reset). */
void virtqueue_reset(struct virtqueue *queue);

/*
 * Take the driver's settings into use: the size is a power of two up to size_max; each area is aligned (section 2.7),
 * lies in guest memory as a whole, with the fields of the event index, and no two areas overlap.
 *
 * Returns 0, or -EINVAL with fault set and the queue not ready.
 */
int virtqueue_enable(struct virtqueue *queue);

/*
 * Take the next available chain. Where there is none, the driver is asked to notify of the next one, and the ring is
 * looked at once more, so that a caller who gets 0 may wait for a notification.
 *
 * ret_chain  at most queue->size segments, each non-empty and inside guest memory; undefined unless 1 is returned
 *
 * Returns 1, 0 (none, or the queue is not ready), or -EBADMSG with fault set.
 */
int virtqueue_pop(struct virtqueue *queue, struct virtqueue_chain *ret_chain);

/*
 * Has the driver made chains available up to `end`? Where it has not, it is asked to notify of the next one, as
 * virtqueue_pop() does. For who does not want to take the chains.
 *
 * end      a number of chains, modulo 2^16, near what virtqueue_available_end() says
 * ret_end  where the ring ends now
 *
 * Return 1, 0 (it has not, or the queue is not ready), or -EBADMSG with fault set; 0 or -EBADMSG.
 */
int virtqueue_has_reached(struct virtqueue *queue, uint16_t end);
int virtqueue_available_end(struct virtqueue *queue, uint16_t *ret_end);

/*
 * Put the chain that was taken last back, of which the driver was told nothing: the next virtqueue_pop() takes it again,
 * here or in a machine that is restored.
 */
void virtqueue_unpop(struct virtqueue *queue);

/*
 * Give a chain back to the driver. What was written into its segments is visible to the driver before the chain is.
 *
 * head     of a chain from virtqueue_pop(), given back once
 * written  bytes written from the start of the writable segments on, at most writable_bytes
 *
 * Returns 0, or -EBADMSG with fault set.
 */
int virtqueue_push(struct virtqueue *queue, uint16_t head, uint32_t written);

/* After one or more virtqueue_push(): does the driver want an interrupt for them? (Section 2.7.7.) */
bool virtqueue_wants_interrupt(struct virtqueue *queue);

/*
 * A walk through the bytes of a chain's readable or writable part, however they are cut into segments (section 2.7.4: a
 * device makes no assumption about that). Holds guest-physical addresses only.
 */
struct virtqueue_cursor {
	struct guest_memory *memory;
	const struct virtqueue_segment *segment; /* the current one */
	uint32_t offset;                         /* into it */
	bool writable;
	uint64_t left; /* bytes to the end of the part, or of the limit */
};

/* A walk from the start of a part; the chain must outlive it. */
void virtqueue_cursor_readable(struct virtqueue_cursor *cursor, const struct virtqueue *queue,
			       const struct virtqueue_chain *chain);
void virtqueue_cursor_writable(struct virtqueue_cursor *cursor, const struct virtqueue *queue,
			       const struct virtqueue_chain *chain);

/* End the walk after so many bytes more, if it does not end before. */
void virtqueue_cursor_limit(struct virtqueue_cursor *cursor, uint64_t bytes);

/* Go on by at most so many bytes. Returns by how many. */
uint64_t virtqueue_cursor_skip(struct virtqueue_cursor *cursor, uint64_t bytes);

/*
 * Copy from the readable part, or to the writable part, and go on. A cursor of the other part copies nothing.
 *
 * Returns the number of bytes copied: less than length at the end of the walk only.
 */
size_t virtqueue_cursor_read(struct virtqueue_cursor *cursor, void *ret_data, size_t length);
size_t virtqueue_cursor_write(struct virtqueue_cursor *cursor, const void *data, size_t length);

/*
 * The next bytes as host addresses, for one system call; the cursor stays where it is (virtqueue_cursor_skip() by what
 * the call did). The guest sees and changes the memory meanwhile: fit for moving data whose content does not matter to
 * the host.
 *
 * bytes      at most so many
 * ret_iovec  room for `room` entries
 *
 * Returns the number of entries; 0 at the end of the walk. Their bytes are counted in *ret_bytes.
 */
int virtqueue_cursor_iovec(const struct virtqueue_cursor *cursor, uint64_t bytes, struct iovec *ret_iovec, int room,
			   uint64_t *ret_bytes);

#endif
