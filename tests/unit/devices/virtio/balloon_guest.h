/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest with a balloon driver, good or bad.
 */
#ifndef EMBER_TESTS_UNIT_DEVICES_VIRTIO_BALLOON_GUEST_H
#define EMBER_TESTS_UNIT_DEVICES_VIRTIO_BALLOON_GUEST_H

#include <linux/virtio_balloon.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "devices/virtio/balloon/balloon.h"
#include "driver.h"

#define INFLATE 0
#define DEFLATE 1
#define OTHERS  2 /* the first queue that depends on features */
#define QUEUES  4

#define PAGES        256               /* of memory */
#define FREE_PAGE    128               /* the first of those that the driver may give away */
#define GUEST_ARRAYS UINT64_C(0x40000) /* to FREE_PAGE: page numbers, statistics */
#define CONTENT      0x5a              /* of every byte of the free pages, at first */

#define STATISTICS FEATURE(VIRTIO_BALLOON_F_STATS_VQ)
#define REPORTING  FEATURE(VIRTIO_BALLOON_F_REPORTING)

struct balloon_guest {
	struct ring rings[QUEUES]; /* one after the other in the same memory */
	struct driver driver;
	struct virtio_balloon *balloon;
};

/* A device that offers everything, with these features in use. The target is 7 pages. */
void balloon_guest_open(struct balloon_guest *guest, uint64_t features);
void balloon_guest_close(struct balloon_guest *guest);

/* A device for memory, that offers everything, and has no driver. */
struct virtio_balloon *balloon_guest_new_device(struct guest_memory *memory);

/* All of section 3.1.1, with empty rings for each queue. */
void balloon_guest_start(struct balloon_guest *guest, uint64_t features);

/* Make one buffer available on a queue, and notify. */
void balloon_guest_offer(struct balloon_guest *guest, uint32_t queue, uint64_t gpa, uint32_t length, uint16_t flags);

/* Wait until all that was offered on a queue is used. */
void balloon_guest_wait(struct balloon_guest *guest, uint32_t queue);

/* Name pages on a queue, and wait. */
void balloon_guest_name(struct balloon_guest *guest, uint32_t queue, const uint32_t *pages, size_t count);

/* Offer a buffer with statistics: tags and values by turns. It is not waited for. */
void balloon_guest_tell(struct balloon_guest *guest, const uint64_t *entries, size_t count);

/* Wait until the device has read statistics since a time. */
struct virtio_balloon_status balloon_guest_wait_statistics(struct balloon_guest *guest, uint64_t after_ns);

/* Has the page its content, each byte of it? Or none: only zeros? Fails the test where it is something else. */
bool balloon_guest_has(const struct balloon_guest *guest, uint32_t page);

#endif
