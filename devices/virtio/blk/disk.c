/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A disk of an image and perhaps an overlay.
 *
 * Without an overlay every operation is one on the image. With one the image is only read, and each cluster of the disk
 * is either in the overlay, as a whole, or in the image. A write goes to the overlay; first, the clusters at its two
 * ends that it covers in part and the overlay does not hold are copied there, and when all is written the clusters in
 * between are held. An error on the way leaves the clusters that were not held as they were.
 *
 * The image is a file that somebody may cut or write to while it is used. It is never mapped; what is missing is an I/O
 * error.
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

struct disk {
	int image;
	uint64_t size; /* bytes; whole sectors */
	bool read_only;
	bool has_overlay;
	struct overlay overlay;
};

static int find_size(int image, uint64_t *ret_size, struct error_detail *detail)
{
	struct stat status;

	if (fstat(image, &status) < 0) {
		int r = -errno;

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
	if (r == 0 && disk->has_overlay)
		r = overlay_open(options->overlay, disk->size, options->overlay_limit, options->read_only,
				 &disk->overlay, detail);
	if (r < 0) {
		free(disk);
		return r;
	}

	*ret_disk = disk;
	return 0;
}

struct disk *disk_close(struct disk *disk)
{
	if (!disk)
		return NULL;

	if (disk->has_overlay)
		overlay_close(&disk->overlay);
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

/* From offset on, how many of `length` bytes are in the overlay, or are not, as those at offset. */
static uint64_t run_length(const struct disk *disk, uint64_t offset, uint64_t length, bool *ret_held)
{
	uint64_t cluster = offset / OVERLAY_CLUSTER;
	uint64_t end = (cluster + 1) * OVERLAY_CLUSTER;
	bool held = overlay_holds(&disk->overlay, cluster);

	while (end < offset + length && overlay_holds(&disk->overlay, end / OVERLAY_CLUSTER) == held)
		end += OVERLAY_CLUSTER;

	*ret_held = held;
	return end < offset + length ? end - offset : length;
}

int disk_read(struct disk *disk, uint64_t offset, uint64_t length, struct virtqueue_cursor *to)
{
	int r = check_range(disk, offset, length, false);

	if (r == 0 && !disk->has_overlay)
		return file_read_cursor(disk->image, offset, to, length);

	while (r == 0 && length > 0) {
		bool held;
		uint64_t run = run_length(disk, offset, length, &held);

		if (held)
			r = file_read_cursor(disk->overlay.file, disk->overlay.data_offset + offset, to, run);
		else
			r = file_read_cursor(disk->image, offset, to, run);
		offset += run;
		length -= run;
	}

	return r;
}

/* Have the overlay hold a cluster that it does not, as it is in the image. */
static int copy_cluster(struct disk *disk, uint64_t cluster)
{
	uint64_t offset = cluster * OVERLAY_CLUSTER;
	uint64_t length = disk->size - offset < OVERLAY_CLUSTER ? disk->size - offset : OVERLAY_CLUSTER;
	uint8_t bytes[OVERLAY_CLUSTER];
	int r;

	if (overlay_holds(&disk->overlay, cluster))
		return 0;

	r = file_read(disk->image, offset, bytes, length);
	if (r == 0)
		r = file_write(disk->overlay.file, disk->overlay.data_offset + offset, bytes, length);
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
		r = file_write_cursor(disk->overlay.file, disk->overlay.data_offset + offset, from, length);
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
		r = file_zero(disk->overlay.file, disk->overlay.data_offset + offset, length, true);
	if (r == 0)
		finish_change(disk, offset, length);
	return r;
}

int disk_discard(struct disk *disk, uint64_t offset, uint64_t length)
{
	int r = check_range(disk, offset, length, true);

	if (r < 0)
		return r;

	/* What the overlay held becomes zeros there; what it did not hold is the image's still. */
	if (disk->has_overlay)
		r = file_punch(disk->overlay.file, disk->overlay.data_offset + offset, length);
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
