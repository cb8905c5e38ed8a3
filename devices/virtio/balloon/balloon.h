/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A memory balloon (virtio 1.2, section 5.5): the guest gives pages back to the host, when it is asked to and when it
 * has no use for them, and says how it is off for memory.
 */
#ifndef EMBER_DEVICES_VIRTIO_BALLOON_BALLOON_H
#define EMBER_DEVICES_VIRTIO_BALLOON_BALLOON_H

#include <stdbool.h>
#include <stdint.h>

#include "devices/virtio/virtio.h"

#define BALLOON_PAGE       GUEST_MEMORY_PAGE /* bytes of a page, whatever pages the guest has; section 5.5.6 */
#define BALLOON_STATISTICS 10                /* tags from VIRTIO_BALLOON_S_SWAP_IN on; section 5.5.6.4 */

struct virtio_balloon; /* begins with a struct virtio_device */

struct virtio_balloon_options {
	bool deflate_on_oom;      /* the guest may take pages out of the balloon when it runs out of memory */
	bool free_page_reporting; /* the guest may give back pages that are free, without a target */
	bool statistics;
	uint32_t target_pages; /* for a boot: how many pages the guest is asked for, at most as many as it has */
};

struct virtio_balloon_status {
	uint32_t target_pages;     /* in the balloon, as the host wants it */
	uint32_t actual_pages;     /* in the balloon, as the guest says */
	uint64_t reported_bytes;   /* given back as free since the device was made; the same page may count often */
	uint64_t statistics_ns;    /* CLOCK_MONOTONIC when the following were read; 0: the guest has given none */
	uint32_t statistics_known; /* bit n: the guest gave statistics[n] */
	uint64_t statistics[BALLOON_STATISTICS]; /* by tag; bytes, or a count of events */
};

extern const struct device_ops virtio_balloon_ops;

/*
 * Make a balloon device, absent until virtio_balloon_configure(). Starts its thread.
 *
 * memory  of the VM; outlives the device
 *
 * Returns 0 or -errno. The caller (a bus) ends it through its ops.
 */
int virtio_balloon_new(uint32_t instance, struct guest_memory *memory, struct virtio_balloon **ret_balloon);
struct virtio_device *virtio_balloon_device(struct virtio_balloon *balloon);

/*
 * Show the device to the guest. Before a boot, or before the restore of a machine that had one: its target is then the
 * saved one, and the options must offer what its driver uses.
 *
 * Returns 0, -EBUSY (it is configured already), or -EINVAL with the reason in detail.
 */
int virtio_balloon_configure(struct virtio_balloon *balloon, const struct virtio_balloon_options *options,
			     struct error_detail *detail);

/*
 * Ask the guest for so many pages in the balloon: more to give memory back, fewer to have it again. How far and how
 * fast it follows is up to its driver. Any thread; survives a snapshot.
 *
 * Returns 0, -ENODEV (the device is not configured), or -EINVAL (more pages than the guest has).
 */
int virtio_balloon_set_target(struct virtio_balloon *balloon, uint32_t pages);

/*
 * Ask the guest for new statistics (section 5.5.6.3). They come when its driver gets to it; until then, those are known
 * that it gave last. What was asked for and has not come is not asked for twice. Any thread.
 *
 * Returns 0, -ENODEV (the device is not configured), or -EOPNOTSUPP (the guest's driver gives none, or there is none).
 */
int virtio_balloon_ask_statistics(struct virtio_balloon *balloon);

/* What is known now. All that a guest said is its word only. Any thread. */
void virtio_balloon_read(struct virtio_balloon *balloon, struct virtio_balloon_status *ret_status);

#endif
