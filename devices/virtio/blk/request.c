/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests to a disk.
 *
 * A request is the first 16 bytes of the readable part and the last byte of the writable part, wherever the driver has
 * cut them into segments (section 2.7.4); what lies between is data. The header and the segments of discards are
 * copied, checked as a whole, and then used. Data moves in slices, so that neither a reset nor a pause waits for a long
 * transfer, and a disk's own check of each range stands behind ours.
 *
 * A request that a pause has cut short is carried out once more, from its start; the driver has not been told that it
 * ended, and sees one request that took long. Every kind comes to the same when it is done twice:
 *
 *   read     The buffers are written whole, whatever a part of them holds. The driver may not look at them before.
 *   write    The same bytes go to the same place, unless the driver has changed its buffers, which it may not before
 *            the end; where it does, it gets what it would by changing them a moment earlier. Until the end a sector of
 *            the range may read as before or as after (section 5.2.6 promises nothing of a request that has not ended).
 *            So a copy of the overlay may have a part of a write: whoever goes on with it finds the request in its
 *            ring, and writes all of it again.
 *   zeroes   As a write.
 *   discard  The range's content is not defined from the first time on.
 *
 * Nothing comes between the two: a disk serves one request at a time, and this one is the next. Space in an overlay is
 * taken once, since its clusters are held after the first time.
 *
 * A flush is one system call, which nothing can cut: a pause waits for it, however long the host's file system takes.
 */
#include "devices/virtio/blk/request.h"

#include <errno.h>
#include <linux/virtio_blk.h>
#include <string.h>

#define SLICE (UINT64_C(1) << 20) /* bytes between looks at whether anybody still waits */

_Static_assert(sizeof(struct virtio_blk_outhdr) == 16, "virtio 1.2, section 5.2.6");
_Static_assert(sizeof(struct virtio_blk_discard_write_zeroes) == 16, "virtio 1.2, section 5.2.6");
_Static_assert(SLICE % DISK_SECTOR == 0, "slices are whole sectors");

/* A request on its way. */
struct request {
	const struct blk_target *target;
	struct virtio_blk_outhdr header;
	struct virtqueue_cursor input;  /* the readable part after the header */
	struct virtqueue_cursor output; /* the writable part before the status */
	uint64_t moved;                 /* bytes of the disk */
	bool stopped;                   /* between slices; a file's error could look the same */
};

static bool is_cancelled(const struct blk_target *target)
{
	return target->cancels && atomic_load_explicit(target->cancels, memory_order_relaxed) > 0;
}

/*
 * A pause lets every request have its first slice, so that one that is no longer than that ends when it was begun,
 * however often its machine is paused.
 */
static bool is_to_stop(const struct request *request)
{
	const struct blk_target *target = request->target;

	if (is_cancelled(target))
		return true;
	return request->moved > 0 && target->held && atomic_load_explicit(target->held, memory_order_relaxed);
}

/* The header's sector as a place on the disk; -EIO where the range is not on it. bytes: at most UINT32_MAX. */
static int find_range(const struct disk *disk, uint64_t sector, uint64_t bytes, uint64_t *ret_offset)
{
	uint64_t sectors = disk_size(disk) / DISK_SECTOR;

	if (bytes == 0 || bytes % DISK_SECTOR != 0 || sector > sectors || bytes / DISK_SECTOR > sectors - sector)
		return -EIO;

	*ret_offset = sector * DISK_SECTOR;
	return 0;
}

static int flush_if_needed(const struct blk_target *target)
{
	return target->write_through ? disk_flush(target->disk) : 0;
}

/* Do something to a range, slice by slice. */
static int in_slices(struct request *request, uint64_t offset, uint64_t length,
		     int (*act)(struct request *request, uint64_t offset, uint64_t length))
{
	int r = 0;

	while (r == 0 && length > 0) {
		uint64_t slice = length < SLICE ? length : SLICE;

		request->stopped = is_to_stop(request);
		if (request->stopped)
			return -ECANCELED;
		r = act(request, offset, slice);
		offset += slice;
		length -= slice;
		request->moved += slice;
	}

	return r;
}

static int read_slice(struct request *request, uint64_t offset, uint64_t length)
{
	return disk_read(request->target->disk, offset, length, &request->output);
}

static int write_slice(struct request *request, uint64_t offset, uint64_t length)
{
	return disk_write(request->target->disk, offset, length, &request->input);
}

static int zero_slice(struct request *request, uint64_t offset, uint64_t length)
{
	return disk_zero(request->target->disk, offset, length, false);
}

static int zero_or_unmap_slice(struct request *request, uint64_t offset, uint64_t length)
{
	return disk_zero(request->target->disk, offset, length, true);
}

static int discard_slice(struct request *request, uint64_t offset, uint64_t length)
{
	return disk_discard(request->target->disk, offset, length);
}

static int carry_out_read(struct request *request)
{
	uint64_t length = request->output.left;
	uint64_t offset;
	int r;

	if (request->input.left > 0)
		return -EIO;
	r = find_range(request->target->disk, request->header.sector, length, &offset);
	return r < 0 ? r : in_slices(request, offset, length, read_slice);
}

static int carry_out_write(struct request *request)
{
	uint64_t length = request->input.left;
	uint64_t offset;
	int r;

	if (disk_is_read_only(request->target->disk) || request->output.left > 0)
		return -EIO;
	r = find_range(request->target->disk, request->header.sector, length, &offset);
	if (r == 0)
		r = in_slices(request, offset, length, write_slice);
	return r < 0 ? r : flush_if_needed(request->target);
}

static int carry_out_get_id(struct request *request)
{
	if (request->input.left > 0 || request->output.left != BLK_ID_BYTES)
		return -EIO;

	return virtqueue_cursor_write(&request->output, request->target->id, BLK_ID_BYTES) == BLK_ID_BYTES ? 0 : -EIO;
}

/* The segments of a discard, or of zeros: copied once, and all of them checked before the first is carried out. */
struct ranges {
	uint32_t count;
	uint32_t flags; /* of all of them together */
	struct virtio_blk_discard_write_zeroes segments[BLK_DISCARD_SEGMENTS_MAX];
};

static int read_ranges(struct request *request, uint32_t segments_max, uint32_t sectors_max, struct ranges *ret_ranges)
{
	uint64_t length = request->input.left;
	uint64_t offset;

	if (disk_is_read_only(request->target->disk) || request->output.left > 0)
		return -EIO;
	if (length == 0 || length % sizeof(ret_ranges->segments[0]) != 0 ||
	    length / sizeof(ret_ranges->segments[0]) > segments_max)
		return -EIO;

	ret_ranges->count = (uint32_t)(length / sizeof(ret_ranges->segments[0]));
	ret_ranges->flags = 0;
	if (virtqueue_cursor_read(&request->input, ret_ranges->segments, length) != length)
		return -EIO;
	for (uint32_t i = 0; i < ret_ranges->count; i++) {
		const struct virtio_blk_discard_write_zeroes *segment = &ret_ranges->segments[i];

		if (segment->num_sectors > sectors_max ||
		    find_range(request->target->disk, segment->sector, (uint64_t)segment->num_sectors * DISK_SECTOR,
			       &offset) < 0)
			return -EIO;
		ret_ranges->flags |= segment->flags;
	}

	return 0;
}

static int carry_out_discard(struct request *request)
{
	struct ranges ranges;
	int r;

	r = read_ranges(request, BLK_DISCARD_SEGMENTS_MAX, BLK_DISCARD_SECTORS_MAX, &ranges);
	/* Section 5.2.6.2: a discard has no flags. */
	if (r == 0 && ranges.flags != 0)
		r = -EOPNOTSUPP;
	for (uint32_t i = 0; r == 0 && i < ranges.count; i++)
		r = in_slices(request, ranges.segments[i].sector * DISK_SECTOR,
			      (uint64_t)ranges.segments[i].num_sectors * DISK_SECTOR, discard_slice);

	/* Nothing was moved, whatever the size. */
	request->moved = 0;
	return r;
}

static int carry_out_write_zeroes(struct request *request)
{
	struct ranges ranges;
	int r;

	r = read_ranges(request, BLK_ZEROES_SEGMENTS_MAX, BLK_ZEROES_SECTORS_MAX, &ranges);
	if (r == 0 && (ranges.flags & ~(uint32_t)VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP))
		r = -EOPNOTSUPP;
	for (uint32_t i = 0; r == 0 && i < ranges.count; i++)
		r = in_slices(request, ranges.segments[i].sector * DISK_SECTOR,
			      (uint64_t)ranges.segments[i].num_sectors * DISK_SECTOR,
			      ranges.segments[i].flags ? zero_or_unmap_slice : zero_slice);
	return r < 0 ? r : flush_if_needed(request->target);
}

static int carry_out(struct request *request)
{
	switch (request->header.type) {
	case VIRTIO_BLK_T_IN:
		return carry_out_read(request);
	case VIRTIO_BLK_T_OUT:
		return carry_out_write(request);
	case VIRTIO_BLK_T_FLUSH:
		return disk_flush(request->target->disk);
	case VIRTIO_BLK_T_GET_ID:
		return carry_out_get_id(request);
	case VIRTIO_BLK_T_DISCARD:
		return carry_out_discard(request);
	case VIRTIO_BLK_T_WRITE_ZEROES:
		return carry_out_write_zeroes(request);
	default:
		return -EOPNOTSUPP;
	}
}

static uint8_t status_of(int result)
{
	switch (result) {
	case 0:
		return VIRTIO_BLK_S_OK;
	case -EOPNOTSUPP:
		return VIRTIO_BLK_S_UNSUPP;
	default:
		return VIRTIO_BLK_S_IOERR;
	}
}

int blk_request_execute(const struct blk_target *target, const struct virtqueue *queue,
			const struct virtqueue_chain *chain, struct blk_result *ret_result)
{
	struct request request = { .target = target };
	struct virtqueue_cursor status_place;
	uint8_t status;
	int r;

	*ret_result = (struct blk_result){ .written = 0 };
	virtqueue_cursor_readable(&request.input, queue, chain);
	virtqueue_cursor_writable(&request.output, queue, chain);
	if (request.output.left == 0) {
		ret_result->fault = "a request has no place for a status";
		return -EBADMSG;
	}
	if (virtqueue_cursor_read(&request.input, &request.header, sizeof(request.header)) != sizeof(request.header)) {
		ret_result->fault = "a request is shorter than its header";
		return -EBADMSG;
	}
	virtqueue_cursor_limit(&request.output, chain->writable_bytes - sizeof(status));

	r = carry_out(&request);
	ret_result->cost = request.moved;
	if (is_cancelled(target))
		return -ECANCELED;
	if (request.stopped)
		return -EAGAIN;

	status = status_of(r);
	virtqueue_cursor_writable(&status_place, queue, chain);
	(void)virtqueue_cursor_skip(&status_place, chain->writable_bytes - sizeof(status));
	if (virtqueue_cursor_write(&status_place, &status, sizeof(status)) != sizeof(status)) {
		ret_result->fault = "a request's status lies outside memory";
		return -EBADMSG;
	}

	/* Section 2.7.8.2: all bytes up to there were written. After an error that is not known of the data. */
	if (r == 0 || chain->writable_bytes == sizeof(status))
		ret_result->written = (uint32_t)chain->writable_bytes;
	return 0;
}
