/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Disks (virtio 1.2, section 5.2).
 */
#ifndef EMBER_DEVICES_VIRTIO_BLK_BLK_H
#define EMBER_DEVICES_VIRTIO_BLK_BLK_H

#include <stdint.h>

#include "devices/virtio/blk/disk.h"
#include "devices/virtio/rate_limit.h"
#include "devices/virtio/virtio.h"

struct virtio_blk; /* begins with a struct virtio_device */

struct virtio_blk_options {
	struct disk_options disk;
	const char *serial;              /* what the guest reads as the disk's id: up to 20 bytes; NULL: empty */
	struct rate_limit_options limit; /* of bytes moved and of requests */
};

extern const struct device_ops virtio_blk_ops;

/*
 * Make a disk device, absent until virtio_blk_configure(). Starts its thread.
 *
 * memory  of the VM; outlives the device
 *
 * Returns 0 or -errno. The caller (a bus) ends it through its ops.
 */
int virtio_blk_new(uint32_t instance, struct guest_memory *memory, struct virtio_blk **ret_blk);
struct virtio_device *virtio_blk_device(struct virtio_blk *blk);

/*
 * Show a disk to the guest. Before a boot, or before the restore of a machine that had a disk of the same size there.
 *
 * options  copied; its files are taken over on success
 *
 * Returns 0, -EBUSY (it is configured already), -EINVAL with the reason in detail, or -errno of the step that detail
 * names.
 */
int virtio_blk_configure(struct virtio_blk *blk, const struct virtio_blk_options *options, struct error_detail *detail);

/*
 * Keep what the guest has written to its disk for a snapshot, as disk_copy_overlay() does. While the machine does not run:
 * after drain and before resume.
 *
 * Returns 0, -ENODEV (there is no disk), -EBUSY (the machine runs), or as disk_copy_overlay(); the reason is in detail.
 */
int virtio_blk_copy_overlay(struct virtio_blk *blk, int file, const struct disk_progress *progress,
			    struct error_detail *detail);

/* The bytes that virtio_blk_copy_overlay() has to copy, at most. While the machine does not run. */
uint64_t virtio_blk_overlay_bytes(const struct virtio_blk *blk);

#endif
