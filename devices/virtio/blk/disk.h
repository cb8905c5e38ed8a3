/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is behind a disk: a raw image, and over it up to two copy-on-write overlays: a base, which a snapshot has kept
 * and any number of machines read, and one that is this disk's own, which its writes go to.
 */
#ifndef EMBER_DEVICES_VIRTIO_BLK_DISK_H
#define EMBER_DEVICES_VIRTIO_BLK_DISK_H

#include <stdbool.h>
#include <stdint.h>

#include "devices/virtio/virtqueue.h"
#include "kvm/error_detail.h"

#define DISK_SECTOR 512 /* bytes; the unit of virtio */

struct disk_options {
	int image;              /* open for reading; for writing too, unless read_only or with an overlay */
	int base;               /* an overlay of the image; open for reading, never written; -1: none */
	int overlay;            /* open for reading, and for writing unless read_only; -1: none */
	uint64_t overlay_limit; /* bytes that the overlay may hold, the base not counted; 0: as many as the image has */
	bool read_only;
};

struct disk; /* opaque */

/*
 * Begin with a disk. Not for several threads at once, here and below.
 *
 * options  image, base and overlay are taken over on success: disk_close() closes them. The image is a regular file of
 *          whole sectors, at least one, whose size is taken once. The overlay is a regular file, empty or an overlay of
 *          the image, and another file than the base; a disk with a base and no overlay is read-only
 *
 * Returns 0, -EINVAL with the reason in detail, or -errno of the step that detail names.
 */
int disk_open(const struct disk_options *options, struct disk **ret_disk, struct error_detail *detail);

/* Takes NULL; returns NULL. What was written and not saved is lost for an overlay. */
struct disk *disk_close(struct disk *disk);

uint64_t disk_size(const struct disk *disk); /* bytes */
bool disk_is_read_only(const struct disk *disk);

/*
 * Move, zero or discard a range. What a discarded range reads as is not defined: of each byte, zero or what a layer of
 * this disk holds there; never another machine's data.
 *
 * offset, length  bytes; whole sectors, at least one, inside the disk (-EINVAL otherwise)
 * may_unmap       the range's space may be given back
 *
 * Returns 0; -EROFS (the disk is read-only); -ENOSPC (the overlay's limit: nothing was changed, or the file system's);
 * else -errno. A part of the range may have been done then.
 */
int disk_read(struct disk *disk, uint64_t offset, uint64_t length, struct virtqueue_cursor *to);
int disk_write(struct disk *disk, uint64_t offset, uint64_t length, struct virtqueue_cursor *from);
int disk_zero(struct disk *disk, uint64_t offset, uint64_t length, bool may_unmap);
int disk_discard(struct disk *disk, uint64_t offset, uint64_t length);

/* What was written survives a crash of the host. Returns 0 or -errno. */
int disk_flush(struct disk *disk);

/* The files hold all that was written, for who reads them. Returns 0 or -errno. */
int disk_save(struct disk *disk);

/* The bytes that disk_copy_overlay() has to copy, at most. */
uint64_t disk_overlay_bytes(const struct disk *disk);

/* Told of a long job now and then: so many bytes more are done. */
struct disk_progress {
	void *opaque;
	void (*advanced)(void *opaque, uint64_t bytes);
};

/*
 * Write an overlay such that the image with it alone is this disk as it is now: what base and overlay hold together. It
 * may be the base of any number of disks. Clusters of zeros are named by its bitmap and take no space.
 *
 * file      regular and empty, open for reading and writing; stays the caller's, who makes it durable where that
 *           matters. After a failure its content means nothing
 * progress  may be NULL
 *
 * Returns 0; -EOPNOTSUPP (the disk is written in place: the image is not what it was); -EINVAL (the file) or -errno of
 * the step that failed, with the reason in detail.
 */
int disk_copy_overlay(const struct disk *disk, int file, const struct disk_progress *progress,
		      struct error_detail *detail);

#endif
