/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A copy-on-write overlay.
 *
 * The bitmap lives in memory and is written back by pieces of a cluster, when the guest flushes its disk and when the
 * machine is paused. Whoever sets a bit has written the cluster's data before; and a flush writes data through before
 * bitmap, so that a bit in the file never names a cluster that a crash of the host has lost.
 */
#include "devices/virtio/blk/overlay.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "devices/virtio/blk/file.h"

#define CLUSTERS_PER_PIECE ((uint64_t)OVERLAY_CLUSTER * 8) /* that one cluster of the bitmap tells of */

/* The start of the file; the rest of its cluster is zero. */
struct overlay_header {
	uint8_t magic[8];
	uint32_t version;
	uint32_t cluster_size;
	uint64_t image_size;
	uint64_t data_offset;
};

_Static_assert(sizeof(struct overlay_header) == 32, "a form on disk");

static uint64_t round_up(uint64_t value, uint64_t unit)
{
	return (value + unit - 1) / unit * unit;
}

/* The one header that an overlay of this image has. */
static struct overlay_header expected_header(const struct overlay *overlay)
{
	return (struct overlay_header){
		.magic = { 'E', 'M', 'B', 'E', 'R', 'O', 'V', 'L' },
		.version = 1,
		.cluster_size = OVERLAY_CLUSTER,
		.image_size = overlay->image_size,
		.data_offset = overlay->data_offset,
	};
}

static int create(struct overlay *overlay, bool read_only, struct error_detail *detail)
{
	struct overlay_header header = expected_header(overlay);
	int r = 0;

	if (read_only) {
		error_detail_set(detail, "overlay: empty, and may not be written");
		return -EINVAL;
	}
	if (ftruncate(overlay->file, (off_t)(overlay->data_offset + overlay->image_size)) < 0)
		r = -errno;
	if (r == 0)
		r = file_write(overlay->file, 0, &header, sizeof(header));
	if (r < 0)
		error_detail_set(detail, "overlay: it cannot be prepared: %s", strerrordesc_np(-r));
	return r;
}

/* Bits of clusters that the disk does not have would count against the limit. */
static void forget_surplus(struct overlay *overlay)
{
	for (uint64_t i = overlay->clusters; i < overlay->bitmap_size * 8; i++)
		overlay->bitmap[i / 8] &= (uint8_t) ~(1U << (i % 8));
}

static int load(struct overlay *overlay, uint64_t size, struct error_detail *detail)
{
	struct overlay_header expected = expected_header(overlay);
	struct overlay_header header;
	int r;

	if (size < overlay->data_offset + overlay->image_size) {
		error_detail_set(detail, "overlay: %" PRIu64 " bytes are too few for this image's", size);
		return -EINVAL;
	}
	r = file_read(overlay->file, 0, &header, sizeof(header));
	if (r == 0 && memcmp(&header, &expected, sizeof(header)) != 0) {
		error_detail_set(detail, "overlay: its header is not that of an overlay of this image");
		return -EINVAL;
	}
	if (r == 0)
		r = file_read(overlay->file, OVERLAY_CLUSTER, overlay->bitmap, overlay->bitmap_size);
	if (r < 0) {
		error_detail_set(detail, "overlay: it cannot be read: %s", strerrordesc_np(-r));
		return r;
	}

	forget_surplus(overlay);
	overlay->held = overlay->clusters - overlay_count_missing(overlay, 0, overlay->clusters - 1);
	return 0;
}

static int open_file(struct overlay *overlay, bool read_only, struct error_detail *detail)
{
	struct stat status;

	if (fstat(overlay->file, &status) < 0) {
		int r = -errno;

		error_detail_set(detail, "overlay: fstat: %s", strerrordesc_np(-r));
		return r;
	}
	if (!S_ISREG(status.st_mode)) {
		error_detail_set(detail, "overlay: not a regular file");
		return -EINVAL;
	}

	return status.st_size == 0 ? create(overlay, read_only, detail)
				   : load(overlay, (uint64_t)status.st_size, detail);
}

int overlay_open(int file, uint64_t image_size, uint64_t limit, bool read_only, struct overlay *ret_overlay,
		 struct error_detail *detail)
{
	struct overlay overlay = { .file = file, .image_size = image_size };
	int r;

	if (image_size == 0 || image_size > OVERLAY_IMAGE_MAX) {
		error_detail_set(detail, "overlay: an image of %" PRIu64 " bytes cannot have one", image_size);
		return -EINVAL;
	}

	overlay.clusters = round_up(image_size, OVERLAY_CLUSTER) / OVERLAY_CLUSTER;
	overlay.held_max = limit > 0 ? limit / OVERLAY_CLUSTER : overlay.clusters;
	overlay.bitmap_size = round_up(overlay.clusters, CLUSTERS_PER_PIECE) / 8;
	overlay.data_offset = OVERLAY_CLUSTER + overlay.bitmap_size;
	overlay.bitmap = calloc(1, overlay.bitmap_size);
	overlay.unsaved = calloc(1, overlay.bitmap_size / OVERLAY_CLUSTER);

	r = overlay.bitmap && overlay.unsaved ? open_file(&overlay, read_only, detail) : -ENOMEM;
	if (r < 0) {
		free(overlay.bitmap);
		free(overlay.unsaved);
		return r;
	}

	*ret_overlay = overlay;
	return 0;
}

void overlay_close(struct overlay *overlay)
{
	if (overlay->bitmap)
		(void)close(overlay->file);
	free(overlay->bitmap);
	free(overlay->unsaved);
	*overlay = (struct overlay){ .file = -1 };
}

bool overlay_holds(const struct overlay *overlay, uint64_t cluster)
{
	return overlay->bitmap[cluster / 8] & (1U << (cluster % 8));
}

uint64_t overlay_count_missing(const struct overlay *overlay, uint64_t first, uint64_t last)
{
	uint64_t missing = 0;

	for (uint64_t i = first; i <= last; i++)
		missing += !overlay_holds(overlay, i);
	return missing;
}

void overlay_hold(struct overlay *overlay, uint64_t first, uint64_t last)
{
	for (uint64_t i = first; i <= last; i++) {
		if (overlay_holds(overlay, i))
			continue;
		overlay->bitmap[i / 8] |= (uint8_t)(1U << (i % 8));
		overlay->unsaved[i / CLUSTERS_PER_PIECE] = 1;
		overlay->held++;
	}
}

bool overlay_is_changed(const struct overlay *overlay)
{
	return memchr(overlay->unsaved, 1, overlay->bitmap_size / OVERLAY_CLUSTER) != NULL;
}

int overlay_save(struct overlay *overlay)
{
	for (uint64_t i = 0; i < overlay->bitmap_size / OVERLAY_CLUSTER; i++) {
		int r;

		if (!overlay->unsaved[i])
			continue;
		r = file_write(overlay->file, OVERLAY_CLUSTER + i * OVERLAY_CLUSTER,
			       overlay->bitmap + i * OVERLAY_CLUSTER, OVERLAY_CLUSTER);
		if (r < 0)
			return r;
		overlay->unsaved[i] = 0;
	}

	return 0;
}
