/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A disk of an image and perhaps overlays.
 *
 * Without an overlay every operation is one on the image. With one the image is only read, and each cluster of the disk
 * is, as a whole, where the uppermost layer has it that holds it: the overlay, the base, the image. A write goes to the
 * overlay; first, the clusters at its two ends that it covers in part and the overlay does not hold are copied there
 * from below, and when all is written the clusters in between are held. An error on the way leaves the clusters that
 * were not held as they were.
 *
 * The base is the overlay of the machine that a snapshot was taken of, as it was then; disk_copy_overlay() made it. It
 * is only read, so that a clone starts from it by opening it. A copy holds what both overlays hold, so that there are
 * never more than two, however long the line of clones of clones.
 *
 * Image and base are files that somebody may cut or write to while they are used. They are never mapped; what is missing
 * is an I/O error.
 */
#include "devices/virtio/blk/disk.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "devices/virtio/blk/file.h"
#include "devices/virtio/blk/overlay.h"
#include "kvm/cleanup.h"
#include "kvm/file_status.h"

#define COPY_BYTES (64 * OVERLAY_CLUSTER) /* that a copy of an overlay has in memory at once */

struct disk {
	int image;
	uint64_t size; /* bytes; whole sectors */
	bool read_only;
	bool has_overlay;
	struct overlay overlay; /* these two: zeroed where there is none */
	struct overlay base;
};

static int find_size(int image, uint64_t *ret_size, struct error_detail *detail)
{
	struct stat status;
	int r = file_status(image, &status);

	if (r < 0) {
		error_detail_set(detail, "image: fstat: %s", strerrordesc_np(-r));
		return r;
	}
	if (!S_ISREG(status.st_mode)) {
		error_detail_set(detail, "image: not a regular file");
		return -EINVAL;
	}
	if (status.st_size < DISK_SECTOR || status.st_size % DISK_SECTOR != 0) {
		error_detail_set(detail, "image: %" PRId64 " bytes are no whole number of sectors of %d",
				 (int64_t)status.st_size, DISK_SECTOR);
		return -EINVAL;
	}

	*ret_size = (uint64_t)status.st_size;
	return 0;
}

/* Whether these layers can be one disk's, as far as that can be told before they are opened. */
static int check_layers(const struct disk_options *options, struct error_detail *detail)
{
	struct stat base;
	struct stat overlay;

	if (options->base < 0)
		return 0;
	if (options->overlay < 0 && !options->read_only) {
		error_detail_set(detail, "base: it is never written, so a disk without an overlay must be read-only");
		return -EINVAL;
	}

	/* Files that have no status are refused for that when they are opened. */
	if (file_status(options->base, &base) == 0 && file_status(options->overlay, &overlay) == 0 &&
	    base.st_dev == overlay.st_dev && base.st_ino == overlay.st_ino) {
		error_detail_set(detail, "overlay: the file is the base's, which is never written");
		return -EINVAL;
	}

	return 0;
}

/* The overlay last: an empty file is changed by it. */
static int open_layers(struct disk *disk, const struct disk_options *options, struct error_detail *detail)
{
	const struct overlay_options base = {
		.name = "base",
		.file = options->base,
		.mode = OVERLAY_READ,
		.image_size = disk->size,
	};
	const struct overlay_options overlay = {
		.name = "overlay",
		.file = options->overlay,
		.mode = options->read_only ? OVERLAY_READ : OVERLAY_WRITE,
		.image_size = disk->size,
		.limit = options->overlay_limit,
	};
	int r = check_layers(options, detail);

	if (r == 0 && options->base >= 0)
		r = overlay_open(&base, &disk->base, detail);
	if (r == 0 && options->overlay >= 0)
		r = overlay_open(&overlay, &disk->overlay, detail);
	if (r < 0)
		overlay_release(&disk->base);
	return r;
}

int disk_open(const struct disk_options *options, struct disk **ret_disk, struct error_detail *detail)
{
	struct disk *disk = calloc(1, sizeof(*disk));
	int r;

	if (!disk)
		return -ENOMEM;

	disk->image = options->image;
	disk->read_only = options->read_only;
	disk->has_overlay = options->overlay >= 0;
	r = find_size(options->image, &disk->size, detail);
	if (r == 0)
		r = open_layers(disk, options, detail);
	if (r < 0) {
		free(disk);
		return r;
	}

	*ret_disk = disk;
	return 0;
}

static void close_layer(struct overlay *layer)
{
	if (layer->bitmap)
		(void)close(layer->file);
	overlay_release(layer);
}

struct disk *disk_close(struct disk *disk)
{
	if (!disk)
		return NULL;

	close_layer(&disk->overlay);
	close_layer(&disk->base);
	(void)close(disk->image);
	free(disk);
	return NULL;
}

uint64_t disk_size(const struct disk *disk)
{
	return disk->size;
}

bool disk_is_read_only(const struct disk *disk)
{
	return disk->read_only;
}

static int check_range(const struct disk *disk, uint64_t offset, uint64_t length, bool changes)
{
	if (length == 0 || offset % DISK_SECTOR != 0 || length % DISK_SECTOR != 0 || offset > disk->size ||
	    length > disk->size - offset)
		return -EINVAL;

	return changes && disk->read_only ? -EROFS : 0;
}

/* The layer that a cluster is read from; NULL: the image. */
static const struct overlay *find_layer(const struct disk *disk, uint64_t cluster)
{
	if (overlay_holds(&disk->overlay, cluster))
		return &disk->overlay;

	return overlay_holds(&disk->base, cluster) ? &disk->base : NULL;
}

static int layer_file(const struct disk *disk, const struct overlay *layer)
{
	return layer ? layer->file : disk->image;
}

/* Where a byte of the disk lies in a layer's file. */
static uint64_t layer_offset(const struct overlay *layer, uint64_t offset)
{
	return layer ? layer->data_offset + offset : offset;
}

/* From offset on, how many of `length` bytes are in the layer that the first is in. */
static uint64_t run_length(const struct disk *disk, uint64_t offset, uint64_t length, const struct overlay **ret_layer)
{
	uint64_t cluster = offset / OVERLAY_CLUSTER;
	uint64_t end = (cluster + 1) * OVERLAY_CLUSTER;
	const struct overlay *layer = find_layer(disk, cluster);

	while (end < offset + length && find_layer(disk, end / OVERLAY_CLUSTER) == layer)
		end += OVERLAY_CLUSTER;

	*ret_layer = layer;
	return end < offset + length ? end - offset : length;
}

int disk_read(struct disk *disk, uint64_t offset, uint64_t length, struct virtqueue_cursor *to)
{
	int r = check_range(disk, offset, length, false);

	while (r == 0 && length > 0) {
		const struct overlay *layer;
		uint64_t run = run_length(disk, offset, length, &layer);

		r = file_read_cursor(layer_file(disk, layer), layer_offset(layer, offset), to, run);
		offset += run;
		length -= run;
	}

	return r;
}

/* Have the overlay hold a cluster that it does not, as it is below. */
static int copy_cluster(struct disk *disk, uint64_t cluster)
{
	const struct overlay *layer = find_layer(disk, cluster);
	uint64_t offset = cluster * OVERLAY_CLUSTER;
	uint64_t length = disk->size - offset < OVERLAY_CLUSTER ? disk->size - offset : OVERLAY_CLUSTER;
	uint8_t bytes[OVERLAY_CLUSTER];
	int r;

	if (layer == &disk->overlay)
		return 0;

	r = file_read(layer_file(disk, layer), layer_offset(layer, offset), bytes, length);
	if (r == 0)
		r = file_write(disk->overlay.file, layer_offset(&disk->overlay, offset), bytes, length);
	if (r == 0)
		overlay_hold(&disk->overlay, cluster, cluster);
	return r;
}

/* Make ready for a change of a range in the overlay: room for its clusters, and those at its ends. */
static int prepare_change(struct disk *disk, uint64_t offset, uint64_t length)
{
	struct overlay *overlay = &disk->overlay;
	uint64_t end = offset + length;
	uint64_t first = offset / OVERLAY_CLUSTER;
	uint64_t last = (end - 1) / OVERLAY_CLUSTER;
	uint64_t missing = overlay_count_missing(overlay, first, last);
	int r = 0;

	if (missing > 0 && (overlay->held > overlay->held_max || missing > overlay->held_max - overlay->held))
		return -ENOSPC;

	if (offset % OVERLAY_CLUSTER != 0)
		r = copy_cluster(disk, first);
	if (r == 0 && end % OVERLAY_CLUSTER != 0 && end != disk->size)
		r = copy_cluster(disk, last);
	return r;
}

static void finish_change(struct disk *disk, uint64_t offset, uint64_t length)
{
	overlay_hold(&disk->overlay, offset / OVERLAY_CLUSTER, (offset + length - 1) / OVERLAY_CLUSTER);
}

int disk_write(struct disk *disk, uint64_t offset, uint64_t length, struct virtqueue_cursor *from)
{
	int r = check_range(disk, offset, length, true);

	if (r < 0)
		return r;
	if (!disk->has_overlay)
		return file_write_cursor(disk->image, offset, from, length);

	r = prepare_change(disk, offset, length);
	if (r == 0)
		r = file_write_cursor(disk->overlay.file, layer_offset(&disk->overlay, offset), from, length);
	if (r == 0)
		finish_change(disk, offset, length);
	return r;
}

int disk_zero(struct disk *disk, uint64_t offset, uint64_t length, bool may_unmap)
{
	int r = check_range(disk, offset, length, true);

	if (r < 0)
		return r;
	if (!disk->has_overlay)
		return file_zero(disk->image, offset, length, may_unmap);

	/* The overlay keeps no space for zeros, whatever the guest wants of its disk. */
	r = prepare_change(disk, offset, length);
	if (r == 0)
		r = file_zero(disk->overlay.file, layer_offset(&disk->overlay, offset), length, true);
	if (r == 0)
		finish_change(disk, offset, length);
	return r;
}

int disk_discard(struct disk *disk, uint64_t offset, uint64_t length)
{
	int r = check_range(disk, offset, length, true);

	if (r < 0)
		return r;

	/* What the overlay held becomes zeros there; what it did not hold is as below still. */
	if (disk->has_overlay)
		r = file_punch(disk->overlay.file, layer_offset(&disk->overlay, offset), length);
	else
		r = file_punch(disk->image, offset, length);

	/* A hint, which a file system may not be able to take. */
	return r == -EOPNOTSUPP ? 0 : r;
}

int disk_flush(struct disk *disk)
{
	int r;

	if (disk->read_only)
		return 0;
	if (!disk->has_overlay)
		return file_sync(disk->image);

	r = file_sync(disk->overlay.file);
	if (r < 0 || !overlay_is_changed(&disk->overlay))
		return r;
	r = overlay_save(&disk->overlay);
	return r < 0 ? r : file_sync(disk->overlay.file);
}

int disk_save(struct disk *disk)
{
	return disk->has_overlay && !disk->read_only ? overlay_save(&disk->overlay) : 0;
}

/* The first byte against zero, and every other against the one before it. */
static bool is_zero(const uint8_t *bytes, uint64_t length)
{
	return bytes[0] == 0 && memcmp(bytes, bytes + 1, length - 1) == 0;
}

/* Of how many bytes the clusters from the first on are all zero, or all not. */
static uint64_t alike(const uint8_t *bytes, uint64_t length, bool *ret_zero)
{
	uint64_t done = 0;
	uint64_t cluster;
	bool zero;

	do {
		cluster = length - done < OVERLAY_CLUSTER ? length - done : OVERLAY_CLUSTER;
		zero = is_zero(bytes + done, cluster);
		if (done == 0)
			*ret_zero = zero;
		else if (zero != *ret_zero)
			break;
		done += cluster;
	} while (done < length);

	return done;
}

/* Copy whole clusters of one layer, by way of a buffer that has room for them. What is zero is so already. */
static int copy_run(const struct overlay *layer, uint64_t offset, uint64_t length, uint8_t *buffer,
		    struct overlay *copy)
{
	int r = file_read(layer->file, layer_offset(layer, offset), buffer, length);

	if (r < 0)
		return r;

	for (uint64_t done = 0, run = 0; r == 0 && done < length; done += run) {
		bool zero;

		run = alike(buffer + done, length - done, &zero);
		if (!zero)
			r = file_write(copy->file, layer_offset(copy, offset + done), buffer + done, run);
	}
	if (r == 0)
		overlay_hold(copy, offset / OVERLAY_CLUSTER, (offset + length - 1) / OVERLAY_CLUSTER);
	return r;
}

/* The first byte from a cluster on that is in one of the overlays, or the disk's end. */
static uint64_t next_in_overlays(const struct disk *disk, uint64_t cluster)
{
	uint64_t upper = overlay_next_held(&disk->overlay, cluster);
	uint64_t lower = overlay_next_held(&disk->base, cluster);
	uint64_t next = upper < lower ? upper : lower;

	return next == OVERLAY_NO_CLUSTER ? disk->size : next * OVERLAY_CLUSTER;
}

static int copy_layers(const struct disk *disk, struct overlay *copy, const struct disk_progress *progress,
		       struct error_detail *detail)
{
	cleanup_free uint8_t *buffer = malloc(COPY_BYTES);
	uint64_t offset = next_in_overlays(disk, 0);
	int r = buffer ? 0 : -ENOMEM;

	while (r == 0 && offset < disk->size) {
		const struct overlay *layer;
		uint64_t left = disk->size - offset;
		uint64_t run = run_length(disk, offset, left < COPY_BYTES ? left : COPY_BYTES, &layer);

		r = copy_run(layer, offset, run, buffer, copy);
		if (r == 0)
			offset = next_in_overlays(disk, (offset + run - 1) / OVERLAY_CLUSTER + 1);
		if (r == 0 && progress)
			progress->advanced(progress->opaque, run);
	}
	/* The bitmap comes last: it names nothing that is not there. */
	if (r == 0)
		r = overlay_save(copy);
	if (r < 0)
		error_detail_set(detail, "the overlay cannot be copied, at byte %" PRIu64 " of the disk: %s", offset,
				 strerrordesc_np(-r));
	return r;
}

uint64_t disk_overlay_bytes(const struct disk *disk)
{
	return (disk->overlay.held + disk->base.held) * OVERLAY_CLUSTER;
}

int disk_copy_overlay(const struct disk *disk, int file, const struct disk_progress *progress,
		      struct error_detail *detail)
{
	const struct overlay_options options = {
		.name = "copy of the overlay",
		.file = file,
		.mode = OVERLAY_CREATE,
		.image_size = disk->size,
	};
	struct overlay copy;
	int r;

	if (!disk->has_overlay && !disk->read_only) {
		error_detail_set(detail, "the disk is written in place: it has no overlay that could be kept");
		return -EOPNOTSUPP;
	}
	r = overlay_open(&options, &copy, detail);
	if (r < 0)
		return r;

	r = copy_layers(disk, &copy, progress, detail);
	overlay_release(&copy);
	return r;
}
