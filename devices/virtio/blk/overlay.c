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
#include "kvm/file_status.h"

#define CLUSTERS_PER_PIECE ((uint64_t)OVERLAY_CLUSTER * 8) /* that one cluster of the bitmap tells of */
#define CLUSTERS_PER_WORD  64

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

static int create(struct overlay *overlay, const char *name, struct error_detail *detail)
{
	struct overlay_header header = expected_header(overlay);
	int r = 0;

	if (ftruncate(overlay->file, (off_t)(overlay->data_offset + overlay->image_size)) < 0)
		r = -errno;
	if (r == 0)
		r = file_write(overlay->file, 0, &header, sizeof(header));
	if (r < 0)
		error_detail_set(detail, "%s: it cannot be prepared: %s", name, strerrordesc_np(-r));
	return r;
}

/* The bits of 64 clusters, the first of them in the lowest place: x86-64 is little-endian. */
static uint64_t word_of(const struct overlay *overlay, uint64_t index)
{
	uint64_t word;

	memcpy(&word, overlay->bitmap + index * sizeof(word), sizeof(word));
	return word;
}

/* Bits of clusters that the disk does not have would count against the limit. */
static void forget_surplus(struct overlay *overlay)
{
	uint64_t bytes = round_up(overlay->clusters, 8) / 8;

	memset(overlay->bitmap + bytes, 0, overlay->bitmap_size - bytes);
	if (overlay->clusters % 8 != 0)
		overlay->bitmap[bytes - 1] &= (uint8_t)((1U << (overlay->clusters % 8)) - 1);
}

static int load(struct overlay *overlay, uint64_t size, const char *name, struct error_detail *detail)
{
	struct overlay_header expected = expected_header(overlay);
	struct overlay_header header;
	int r;

	if (size < overlay->data_offset + overlay->image_size) {
		error_detail_set(detail, "%s: %" PRIu64 " bytes are too few for this image's", name, size);
		return -EINVAL;
	}
	r = file_read(overlay->file, 0, &header, sizeof(header));
	if (r == 0 && memcmp(&header, &expected, sizeof(header)) != 0) {
		error_detail_set(detail, "%s: its header is not that of an overlay of this image", name);
		return -EINVAL;
	}
	if (r == 0)
		r = file_read(overlay->file, OVERLAY_CLUSTER, overlay->bitmap, overlay->bitmap_size);
	if (r < 0) {
		error_detail_set(detail, "%s: it cannot be read: %s", name, strerrordesc_np(-r));
		return r;
	}

	forget_surplus(overlay);
	for (uint64_t i = 0; i < overlay->bitmap_size / sizeof(uint64_t); i++)
		overlay->held += (uint64_t)__builtin_popcountll(word_of(overlay, i));
	return 0;
}

static int open_file(struct overlay *overlay, const struct overlay_options *options, struct error_detail *detail)
{
	struct stat status;
	int r = file_status(options->file, &status);

	if (r < 0) {
		error_detail_set(detail, "%s: fstat: %s", options->name, strerrordesc_np(-r));
		return r;
	}
	if (!S_ISREG(status.st_mode)) {
		error_detail_set(detail, "%s: not a regular file", options->name);
		return -EINVAL;
	}
	if (status.st_size == 0 && options->mode == OVERLAY_READ) {
		error_detail_set(detail, "%s: empty, and may not be written", options->name);
		return -EINVAL;
	}
	if (status.st_size > 0 && options->mode == OVERLAY_CREATE) {
		error_detail_set(detail, "%s: the file is not empty", options->name);
		return -EINVAL;
	}

	return status.st_size == 0 ? create(overlay, options->name, detail)
				   : load(overlay, (uint64_t)status.st_size, options->name, detail);
}

int overlay_open(const struct overlay_options *options, struct overlay *ret_overlay, struct error_detail *detail)
{
	const uint64_t image_size = options->image_size;
	struct overlay overlay = { .file = options->file, .image_size = image_size };
	int r;

	if (image_size == 0 || image_size > OVERLAY_IMAGE_MAX) {
		error_detail_set(detail, "%s: an image of %" PRIu64 " bytes cannot have one", options->name,
				 image_size);
		return -EINVAL;
	}

	overlay.clusters = round_up(image_size, OVERLAY_CLUSTER) / OVERLAY_CLUSTER;
	overlay.held_max = options->limit > 0 ? options->limit / OVERLAY_CLUSTER : overlay.clusters;
	overlay.bitmap_size = round_up(overlay.clusters, CLUSTERS_PER_PIECE) / 8;
	overlay.data_offset = OVERLAY_CLUSTER + overlay.bitmap_size;
	overlay.bitmap = calloc(1, overlay.bitmap_size);
	overlay.unsaved = calloc(1, overlay.bitmap_size / OVERLAY_CLUSTER);

	r = overlay.bitmap && overlay.unsaved ? open_file(&overlay, options, detail) : -ENOMEM;
	if (r < 0) {
		overlay_release(&overlay);
		return r;
	}

	*ret_overlay = overlay;
	return 0;
}

void overlay_release(struct overlay *overlay)
{
	free(overlay->bitmap);
	free(overlay->unsaved);
	*overlay = (struct overlay){ 0 };
}

bool overlay_holds(const struct overlay *overlay, uint64_t cluster)
{
	return cluster < overlay->clusters && overlay->bitmap[cluster / 8] & (1U << (cluster % 8));
}

uint64_t overlay_next_held(const struct overlay *overlay, uint64_t cluster)
{
	while (cluster < overlay->clusters) {
		uint64_t word = word_of(overlay, cluster / CLUSTERS_PER_WORD) >> (cluster % CLUSTERS_PER_WORD);

		if (word != 0)
			return cluster + (uint64_t)__builtin_ctzll(word);
		cluster = round_up(cluster + 1, CLUSTERS_PER_WORD);
	}

	return OVERLAY_NO_CLUSTER;
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
