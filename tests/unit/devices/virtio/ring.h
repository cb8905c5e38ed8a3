/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The driver's side of a split virtqueue, good or bad: what is written into guest memory is up to the test.
 */
#ifndef EMBER_TESTS_UNIT_DEVICES_VIRTIO_RING_H
#define EMBER_TESTS_UNIT_DEVICES_VIRTIO_RING_H

#include <linux/virtio_ring.h>
#include <stdint.h>

#include "devices/virtio/virtqueue.h"
#include "kvm/memory.h"

#define RING_MEMORY (UINT64_C(1) << 20) /* bytes of guest memory in these tests */

/* Where the tests' queue lies, and where buffers may. */
#define RING_DESCRIPTORS UINT64_C(0x1000)
#define RING_AVAILABLE   UINT64_C(0x3000)
#define RING_USED        UINT64_C(0x4000)
#define RING_TABLE       UINT64_C(0x8000)  /* an indirect table */
#define RING_BUFFERS     UINT64_C(0x10000) /* to the end of memory */

#define NEXT     VRING_DESC_F_NEXT
#define WRITE    VRING_DESC_F_WRITE
#define INDIRECT VRING_DESC_F_INDIRECT

struct ring {
	struct guest_memory memory; /* from the heap, so that AddressSanitizer watches its ends */
	uint64_t base; /* added to the places above but those of buffers: for a second queue in the same memory */
	uint16_t size;
	uint16_t offered; /* chains made available */
};

/* Fresh memory, all zero; fails the test where there is none. */
void ring_open(struct ring *ring, uint16_t size);
void ring_close(struct ring *ring);

/* The settings of a driver for this ring, in use. Fails the test where they are refused. */
void ring_enable(const struct ring *ring, struct virtqueue *queue);

/* Write descriptor `index` of the queue's table, or of the table at an address. */
void ring_describe(struct ring *ring, uint16_t index, uint64_t gpa, uint32_t length, uint16_t flags, uint16_t next);
void ring_describe_at(struct ring *ring, uint64_t table, uint16_t index, uint64_t gpa, uint32_t length, uint16_t flags,
		      uint16_t next);

/* Make a chain available. */
void ring_offer(struct ring *ring, uint16_t head);

void ring_write16(struct ring *ring, uint64_t gpa, uint16_t value);
uint16_t ring_read16(const struct ring *ring, uint64_t gpa);
uint32_t ring_read32(const struct ring *ring, uint64_t gpa);

/* The device's index of used chains, and the element at a place. */
uint16_t ring_used_index(const struct ring *ring);
struct vring_used_elem ring_used(const struct ring *ring, uint16_t index);

/* The words of the event index. */
uint64_t ring_used_event_gpa(const struct ring *ring);
uint64_t ring_available_event_gpa(const struct ring *ring);

#endif
