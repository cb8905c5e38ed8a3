/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A copy-on-write overlay: a sparse file that holds what one machine has written over an image that many share.
 *
 * The file: a header of OVERLAY_CLUSTER bytes, a bitmap of the clusters that it holds, and from data_offset on the
 * disk's bytes at their own places, of which only those clusters count that the bitmap names. Such a file, with its
 * image, is a disk that another machine can go on with.
 */
#ifndef EMBER_DEVICES_VIRTIO_BLK_OVERLAY_H
#define EMBER_DEVICES_VIRTIO_BLK_OVERLAY_H

#include <stdbool.h>
#include <stdint.h>

#include "kvm/error_detail.h"

#define OVERLAY_CLUSTER 4096 /* bytes that are copied as one */
#define OVERLAY_IMAGE_MAX \
	(UINT64_C(1) << 41) /* bytes of the largest image that can have an overlay: its bitmap is 64 MiB */
#define OVERLAY_FILE_MAX \
	(OVERLAY_CLUSTER + (UINT64_C(64) << 20) + OVERLAY_IMAGE_MAX) /* bytes of the file that it has then */
#define OVERLAY_NO_CLUSTER UINT64_MAX

enum overlay_mode {
	OVERLAY_READ,   /* the file is an overlay, and is never written */
	OVERLAY_WRITE,  /* an empty file becomes an overlay of nothing, another must be an overlay */
	OVERLAY_CREATE, /* the file is empty, and becomes an overlay of nothing */
};

struct overlay_options {
	const char *name; /* what a detail calls it */
	int file;         /* regular; open for reading, and for writing unless OVERLAY_READ; outlives the overlay */
	enum overlay_mode mode;
	uint64_t image_size; /* bytes; a multiple of 512 */
	uint64_t limit;      /* bytes of clusters that it may hold; 0: as many as the image has */
};

/* A zeroed one is none, and holds nothing. */
struct overlay {
	int file;
	uint64_t image_size;  /* bytes; a multiple of 512 */
	uint64_t data_offset; /* where the disk's first byte lies in the file */
	uint64_t clusters;    /* of the disk, the last of which may be a part of one */
	uint64_t held;        /* clusters that the bitmap names */
	uint64_t held_max;    /* how many it may name */
	uint64_t bitmap_size; /* bytes; whole clusters */
	uint8_t *bitmap;
	uint8_t *unsaved; /* of each cluster of the bitmap: does the file lack a change? */
};

/*
 * Begin with an overlay's file. Its content is not trusted: its header must be that of an overlay of an image of this
 * size, and its length enough; its bitmap may say anything.
 *
 * Returns 0, -EINVAL with the reason in detail, or -errno of the step that detail names.
 */
int overlay_open(const struct overlay_options *options, struct overlay *ret_overlay, struct error_detail *detail);

/* Release the memory, and become none; unsaved changes of the bitmap are lost. The file stays open, the caller's. */
void overlay_release(struct overlay *overlay);

/* Does the overlay hold this cluster? */
bool overlay_holds(const struct overlay *overlay, uint64_t cluster);

/* The first cluster from this one on that the overlay holds, or OVERLAY_NO_CLUSTER. */
uint64_t overlay_next_held(const struct overlay *overlay, uint64_t cluster);

/* How many clusters of [first, last] it does not hold. */
uint64_t overlay_count_missing(const struct overlay *overlay, uint64_t first, uint64_t last);

/* The file has all bytes of these clusters now. */
void overlay_hold(struct overlay *overlay, uint64_t first, uint64_t last);

/* Write what has changed of the bitmap to the file. Returns 0 or -errno: then it stays to be written. */
int overlay_save(struct overlay *overlay);

/* Is there anything for overlay_save() to write? */
bool overlay_is_changed(const struct overlay *overlay);

#endif
