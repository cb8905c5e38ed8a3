/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A disk device.
 *
 * Its thread takes one request at a time, carries it out without the device's lock, and gives it back: so requests are
 * finished in the order in which they were made, and a flush needs to wait for nothing but those before it. A pause
 * lets the request in hand finish if it is short, and puts it back into the ring if it is long (request.c says why it
 * may be done again); those in the ring are served by whoever the machine is then, this process or one that restores a
 * snapshot of it.
 *
 * A request that was put back begins anew, so that one which takes longer than its machine ever runs between two pauses
 * never ends. Nobody but its own guest suffers: each pause stays short, each attempt is counted by the rate limit, and
 * no thread turns in circles, since a request is put back once a pause. Drivers that are not out for that send a few
 * MiB at most.
 */
#include "devices/virtio/blk/blk.h"

#include <errno.h>
#include <linux/virtio_blk.h>
#include <linux/virtio_ids.h>
#include <stdlib.h>
#include <string.h>

#include "devices/virtio/blk/overlay.h"
#include "devices/virtio/blk/request.h"
#include "devices/virtio/mmio.h"
#include "kvm/monotonic.h"

#define QUEUE_REQUESTS 0
#define QUEUE_SIZE     VIRTQUEUE_SIZE_MAX
#define FEATURE(bit)   (UINT64_C(1) << (bit))

struct virtio_blk {
	struct virtio_device virtio;
	struct virtio_blk_config config;
	struct blk_target target;
	struct rate_limit limit;
	struct virtqueue_chain chain; /* the request being served */
};

struct blk_state {
	struct virtio_state virtio;
	uint64_t capacity; /* sectors */
};

_Static_assert(sizeof(struct blk_state) <= DEVICE_STATE_MAX, "a snapshot has no room for more");

static const struct state_field blk_state_fields[] = {
	VIRTIO_STATE_FIELDS(struct blk_state),
	STATE_FIELD(struct blk_state, capacity, FIELD_U64),
	STATE_FIELDS_END,
};

static struct virtio_blk *blk_of(struct device *device)
{
	return (struct virtio_blk *)device;
}

/* The lock is held, and dropped while the disk works. */
static void serve_one(struct virtio_blk *blk)
{
	struct virtio_device *device = &blk->virtio;
	struct blk_result result;
	int r;

	blk->target.write_through = !virtio_has_feature(device, VIRTIO_BLK_F_FLUSH);
	pthread_mutex_unlock(&device->lock);
	r = blk_request_execute(&blk->target, &device->queues[QUEUE_REQUESTS], &blk->chain, &result);
	pthread_mutex_lock(&device->lock);

	/*
	 * Bytes are charged when they are moved, again when they are moved again: the limit is for the host's sake, and a
	 * guest that is paused often must not read for nothing meanwhile. The operation counts once, when it ends.
	 */
	if (r == -EAGAIN) {
		rate_limit_charge_bytes(&blk->limit, result.cost);
		virtqueue_unpop(&device->queues[QUEUE_REQUESTS]);
		return;
	}
	rate_limit_charge(&blk->limit, result.cost);
	if (r == -EBADMSG)
		virtio_fail(device, result.fault);
	else if (r == 0)
		virtio_push(device, QUEUE_REQUESTS, blk->chain.head, result.written);
}

static uint64_t blk_serve(struct virtio_device *device)
{
	struct virtio_blk *blk = (struct virtio_blk *)device;

	while (virtio_may_serve(device)) {
		uint64_t later = rate_limit_next(&blk->limit, monotonic_ns());

		if (later > 0)
			return later;
		if (virtio_pop(device, QUEUE_REQUESTS, &blk->chain) == 0)
			break;
		serve_one(blk);
	}

	return IO_THREAD_NEVER;
}

/* The overlay's file is whole now, for whoever goes on with it. */
static int blk_drain(struct device *device)
{
	struct virtio_blk *blk = blk_of(device);
	int r;

	r = virtio_drain(device);
	return r == 0 && blk->target.disk ? disk_save(blk->target.disk) : r;
}

static void blk_save(struct device *device, void *ret_state)
{
	struct virtio_blk *blk = blk_of(device);
	struct blk_state state = { .capacity = blk->config.capacity };

	virtio_save(&blk->virtio, &state.virtio);
	memcpy(ret_state, &state, sizeof(state));
}

static int blk_restore(struct device *device, const void *saved, struct error_detail *detail)
{
	struct virtio_blk *blk = blk_of(device);
	struct blk_state state;

	memcpy(&state, saved, sizeof(state));
	if (state.virtio.present && blk->virtio.present && state.capacity != blk->config.capacity) {
		error_detail_set(detail, "virtio_blk.capacity: the saved disk has %llu sectors, and this one has %llu",
				 (unsigned long long)state.capacity, (unsigned long long)blk->config.capacity);
		return -EINVAL;
	}

	return virtio_restore(&blk->virtio, &state.virtio, "virtio_blk", detail);
}

static void blk_free(struct device *device)
{
	struct virtio_blk *blk = blk_of(device);

	virtio_release(&blk->virtio);
	disk_close(blk->target.disk);
	free(blk);
}

const struct device_ops virtio_blk_ops = {
	.name = "virtio_blk",
	.state_fields = blk_state_fields,
	.state_size = sizeof(struct blk_state),
	.read = virtio_mmio_read,
	.write = virtio_mmio_write,
	.hold = virtio_hold,
	.drain = blk_drain,
	.resume = virtio_resume,
	.save = blk_save,
	.restore = blk_restore,
	.reset = virtio_reset,
	.free = blk_free,
};

static const struct virtio_ops blk_ops = {
	.name = "virtio-blk",
	.id = VIRTIO_ID_BLOCK,
	.queue_count = 1,
	.queue_size_max = QUEUE_SIZE,
	.serve = blk_serve,
};

int virtio_blk_new(uint32_t instance, struct guest_memory *memory, struct virtio_blk **ret_blk)
{
	struct virtio_blk *blk = calloc(1, sizeof(*blk));
	int r;

	if (!blk)
		return -ENOMEM;

	r = virtio_init(&blk->virtio, &virtio_blk_ops, &blk_ops, instance, memory);
	if (r < 0) {
		free(blk);
		return r;
	}

	*ret_blk = blk;
	return 0;
}

struct virtio_device *virtio_blk_device(struct virtio_blk *blk)
{
	return &blk->virtio;
}

/*
 * Section 5.2.4. Blocks of a cluster's size are cheap, smaller ones are copied; so say so, and partitions are aligned.
 */
static void fill_config(struct virtio_blk_config *config, uint64_t size)
{
	*config = (struct virtio_blk_config){
		.capacity = size / DISK_SECTOR,
		.seg_max = QUEUE_SIZE - 2, /* with the header and the status, a chain as long as the queue */
		.blk_size = DISK_SECTOR,
		.physical_block_exp = 3,
		.min_io_size = OVERLAY_CLUSTER / DISK_SECTOR,
		.max_discard_sectors = BLK_DISCARD_SECTORS_MAX,
		.max_discard_seg = BLK_DISCARD_SEGMENTS_MAX,
		.discard_sector_alignment = OVERLAY_CLUSTER / DISK_SECTOR,
		.max_write_zeroes_sectors = BLK_ZEROES_SECTORS_MAX,
		.max_write_zeroes_seg = BLK_ZEROES_SEGMENTS_MAX,
		.write_zeroes_may_unmap = 1,
	};
}

int virtio_blk_configure(struct virtio_blk *blk, const struct virtio_blk_options *options, struct error_detail *detail)
{
	const uint64_t features = FEATURE(VIRTIO_BLK_F_SEG_MAX) | FEATURE(VIRTIO_BLK_F_BLK_SIZE) |
				  FEATURE(VIRTIO_BLK_F_TOPOLOGY) | FEATURE(VIRTIO_BLK_F_FLUSH);
	const uint64_t features_to_write = FEATURE(VIRTIO_BLK_F_DISCARD) | FEATURE(VIRTIO_BLK_F_WRITE_ZEROES);
	const char *serial = options->serial ? options->serial : "";
	struct disk *disk;
	int r;

	if (strlen(serial) > BLK_ID_BYTES) {
		error_detail_set(detail, "serial: more than %d bytes", BLK_ID_BYTES);
		return -EINVAL;
	}
	if (blk->virtio.present) {
		error_detail_set(detail, "the disk is configured already");
		return -EBUSY;
	}
	r = disk_open(&options->disk, &disk, detail);
	if (r < 0)
		return r;

	/* The thread looks at none of this before there is a driver, which needs a device that is present. */
	blk->target = (struct blk_target){
		.disk = disk,
		.cancels = &blk->virtio.thread.cancels,
		.held = &blk->virtio.thread.held,
	};
	memcpy(blk->target.id, serial, strlen(serial));
	fill_config(&blk->config, disk_size(disk));
	rate_limit_init(&blk->limit, &options->limit, monotonic_ns());
	return virtio_present(&blk->virtio,
			      features | (disk_is_read_only(disk) ? FEATURE(VIRTIO_BLK_F_RO) : features_to_write),
			      (const uint8_t *)&blk->config, sizeof(blk->config));
}

/* Is there a disk that its guest does not use now? */
static int check_idle(struct virtio_blk *blk, struct error_detail *detail)
{
	bool idle;

	pthread_mutex_lock(&blk->virtio.lock);
	idle = blk->virtio.thread.held && !blk->virtio.thread.busy;
	pthread_mutex_unlock(&blk->virtio.lock);
	if (!idle) {
		error_detail_set(detail, "the disk is in use: its machine runs");
		return -EBUSY;
	}
	if (!blk->target.disk) {
		error_detail_set(detail, "the machine has no such disk");
		return -ENODEV;
	}

	return 0;
}

int virtio_blk_count_overlays(struct virtio_blk *blk, uint64_t *ret_bytes, struct error_detail *detail)
{
	int r = check_idle(blk, detail);

	return r < 0 ? r : disk_count_overlays(blk->target.disk, ret_bytes, detail);
}

int virtio_blk_copy_overlay(struct virtio_blk *blk, int file, const struct disk_progress *progress,
			    struct error_detail *detail)
{
	int r = check_idle(blk, detail);

	return r < 0 ? r : disk_copy_overlay(blk->target.disk, file, progress, detail);
}
