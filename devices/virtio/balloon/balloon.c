/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A balloon device.
 *
 * Its thread takes one request at a time, of each queue in turn, and drops the pages that it names without the device's
 * lock (pages.c). Whether and when the guest follows its target is the driver's affair: the host sees what the driver
 * says of it in the configuration space.
 *
 * Which queue is which depends on what the driver has accepted. Section 5.5.2 gives each queue a number of its own, as
 * if all of them were there; Linux, and every host that it runs on, numbers those that are: inflate and deflate are 0
 * and 1, statistics come next where they were negotiated, then the reports of free pages. So do we. A queue past the
 * last one that was negotiated can be set up, and is never looked at.
 *
 * Statistics go the other way round than all else: the driver fills a buffer and offers it, the device keeps it, and
 * gives it back to ask for a newer one (section 5.5.6.3). Keeping a chain that was taken would make it part of a
 * snapshot. Instead the buffer is read and its chain put back untouched: it stays available, and is taken when there is
 * something to ask. A machine that is restored finds the same buffer in the ring, reads it once more, and has the
 * statistics that its guest gave before the snapshot; nothing of it needs to be saved. The guest may exchange the chain
 * meanwhile, which does no harm: it is checked each time that it is taken.
 *
 * What is saved is the target and what the guest says is in the balloon. How much was reported as free is counted
 * anew.
 */
#include "devices/virtio/balloon/balloon.h"

#include <errno.h>
#include <inttypes.h>
#include <linux/virtio_balloon.h>
#include <linux/virtio_ids.h>
#include <stdlib.h>
#include <string.h>

#include "devices/virtio/balloon/pages.h"
#include "devices/virtio/mmio.h"
#include "kvm/monotonic.h"

#define QUEUE_INFLATE 0
#define QUEUE_DEFLATE 1
#define QUEUE_OTHERS  2 /* the first that depends on features */
#define QUEUE_COUNT   4
#define QUEUE_SIZE    128
#define ENTRIES_MAX   64 /* of a buffer of statistics that are looked at */
#define FEATURE(bit)  (UINT64_C(1) << (bit))

/* The fields that are there without free page hinting and page poison (section 5.5.4). */
struct balloon_config {
	uint32_t num_pages;
	uint32_t actual;
};

_Static_assert(sizeof(struct virtio_balloon_stat) == 10, "virtio 1.2, section 5.5.6.3");
_Static_assert(offsetof(struct balloon_config, actual) == offsetof(struct virtio_balloon_config, actual),
	       "virtio 1.2, section 5.5.4");

struct virtio_balloon {
	struct virtio_device virtio;
	struct balloon_config config;
	uint64_t reported_bytes;
	bool holding; /* the first available buffer of statistics was read, and waits in the ring to be given back */
	bool asked;   /* the host wants newer statistics than it has */
	uint64_t statistics_ns;
	uint32_t statistics_known;
	uint64_t statistics[BALLOON_STATISTICS];
	struct virtqueue_chain chain; /* the request being served */
};

struct balloon_state {
	struct virtio_state virtio;
	uint32_t target_pages;
	uint32_t actual_pages;
};

_Static_assert(sizeof(struct balloon_state) <= DEVICE_STATE_MAX, "a snapshot has no room for more");

static const struct state_field balloon_state_fields[] = {
	VIRTIO_STATE_FIELDS(struct balloon_state),
	STATE_FIELD(struct balloon_state, target_pages, FIELD_U32),
	STATE_FIELD(struct balloon_state, actual_pages, FIELD_U32),
	STATE_FIELDS_END,
};

static struct virtio_balloon *balloon_of(struct device *device)
{
	return (struct virtio_balloon *)device;
}

static uint64_t pages_of(const struct virtio_balloon *balloon)
{
	return balloon->virtio.memory->size / BALLOON_PAGE;
}

/* service; the lock is held */

/*
 * Take a request and carry it out, for which the lock is dropped. Returns whether there was one.
 *
 * total  of the bytes that such requests have dropped; NULL: they are not counted
 */
static bool serve_request(struct virtio_balloon *balloon, uint32_t queue, balloon_request *carry_out, uint64_t *total)
{
	struct virtio_device *device = &balloon->virtio;
	struct balloon_result result;
	int r;

	if (!virtio_may_serve(device) || virtio_pop(device, queue, &balloon->chain) == 0)
		return false;

	pthread_mutex_unlock(&device->lock);
	r = carry_out(&device->queues[queue], &balloon->chain, &device->thread, &result);
	pthread_mutex_lock(&device->lock);

	if (total)
		*total += result.dropped;
	if (r == -EBADMSG)
		virtio_fail(device, result.fault);
	else if (r == 0)
		virtio_push(device, queue, balloon->chain.head, 0);
	return true;
}

/* Section 5.5.6.3: entries of any order, of which those that are not known are passed over. */
static void read_statistics(struct virtio_balloon *balloon)
{
	struct virtio_balloon_stat entry;
	struct virtqueue_cursor cursor;

	balloon->statistics_known = 0;
	virtqueue_cursor_readable(&cursor, &balloon->virtio.queues[QUEUE_OTHERS], &balloon->chain);
	virtqueue_cursor_limit(&cursor, ENTRIES_MAX * sizeof(entry));
	while (virtqueue_cursor_read(&cursor, &entry, sizeof(entry)) == sizeof(entry)) {
		if (entry.tag >= BALLOON_STATISTICS)
			continue;
		balloon->statistics[entry.tag] = entry.val;
		balloon->statistics_known |= UINT32_C(1) << entry.tag;
	}
	balloon->statistics_ns = monotonic_ns();
}

/* Read a new buffer, or give one back that was read. Returns whether there was one. */
static bool serve_statistics(struct virtio_balloon *balloon)
{
	struct virtio_device *device = &balloon->virtio;

	if ((balloon->holding && !balloon->asked) || !virtio_may_serve(device) ||
	    virtio_pop(device, QUEUE_OTHERS, &balloon->chain) == 0)
		return false;
	if (balloon->chain.writable > 0) {
		virtio_fail(device, "a buffer of statistics is to be written to");
		return false;
	}

	if (balloon->holding) {
		virtio_push(device, QUEUE_OTHERS, balloon->chain.head, 0);
		balloon->holding = false;
	} else {
		read_statistics(balloon);
		virtqueue_unpop(&device->queues[QUEUE_OTHERS]);
		balloon->holding = true;
		balloon->asked = false;
	}
	return true;
}

static uint64_t balloon_serve(struct virtio_device *device)
{
	struct virtio_balloon *balloon = (struct virtio_balloon *)device;
	bool statistics = virtio_has_feature(device, VIRTIO_BALLOON_F_STATS_VQ);
	bool reporting = virtio_has_feature(device, VIRTIO_BALLOON_F_REPORTING);
	bool done = true;

	while (done) {
		done = serve_request(balloon, QUEUE_INFLATE, balloon_inflate, NULL);
		done |= serve_request(balloon, QUEUE_DEFLATE, balloon_deflate, NULL);
		if (statistics)
			done |= serve_statistics(balloon);
		if (reporting)
			done |= serve_request(balloon, QUEUE_OTHERS + statistics, balloon_report,
					      &balloon->reported_bytes);
	}

	return IO_THREAD_NEVER;
}

/* Of the fields, the driver writes `actual`, in one piece (section 4.2.2.2). What is said otherwise is not heard. */
static void balloon_write_config(struct virtio_device *device, uint32_t offset, const uint8_t *data, size_t length)
{
	struct virtio_balloon *balloon = (struct virtio_balloon *)device;
	uint32_t actual;

	if (offset != offsetof(struct balloon_config, actual) || length != sizeof(actual))
		return;

	memcpy(&actual, data, sizeof(actual));
	if (actual > pages_of(balloon))
		virtio_fail(device, "more pages are in the balloon than the guest has");
	else
		balloon->config.actual = actual;
}

/* A driver that begins has nothing in the balloon. */
static void balloon_forget(struct virtio_device *device)
{
	struct virtio_balloon *balloon = (struct virtio_balloon *)device;

	balloon->config.actual = 0;
	balloon->holding = false;
	balloon->asked = false;
	balloon->statistics_ns = 0;
	balloon->statistics_known = 0;
}

/* life with a machine */

/*
 * The target may change meanwhile. Taken before the common part, it is never newer than the interrupt that tells of it:
 * a restored guest may look in vain, but misses nothing.
 */
static void balloon_save(struct device *device, void *ret_state)
{
	struct virtio_balloon *balloon = balloon_of(device);
	struct balloon_state state = { 0 };

	pthread_mutex_lock(&balloon->virtio.lock);
	state.target_pages = balloon->config.num_pages;
	state.actual_pages = balloon->config.actual;
	pthread_mutex_unlock(&balloon->virtio.lock);
	virtio_save(&balloon->virtio, &state.virtio);
	memcpy(ret_state, &state, sizeof(state));
}

static int check_pages(const struct virtio_balloon *balloon, const char *field, uint32_t pages,
		       struct error_detail *detail)
{
	if (pages <= pages_of(balloon))
		return 0;

	error_detail_set(detail, "%s: %" PRIu32 " pages are more than the guest has, which are %" PRIu64, field, pages,
			 pages_of(balloon));
	return -EINVAL;
}

static int balloon_restore(struct device *device, const void *saved, struct error_detail *detail)
{
	struct virtio_balloon *balloon = balloon_of(device);
	struct balloon_state state;
	int r;

	memcpy(&state, saved, sizeof(state));
	r = check_pages(balloon, "virtio_balloon.target_pages", state.target_pages, detail);
	if (r == 0)
		r = check_pages(balloon, "virtio_balloon.actual_pages", state.actual_pages, detail);
	if (r == 0)
		r = virtio_restore(&balloon->virtio, &state.virtio, "virtio_balloon", detail);
	if (r < 0)
		return r;

	pthread_mutex_lock(&balloon->virtio.lock);
	balloon->config = (struct balloon_config){ .num_pages = state.target_pages, .actual = state.actual_pages };
	pthread_mutex_unlock(&balloon->virtio.lock);
	return 0;
}

static void balloon_free(struct device *device)
{
	struct virtio_balloon *balloon = balloon_of(device);

	virtio_release(&balloon->virtio);
	free(balloon);
}

const struct device_ops virtio_balloon_ops = {
	.name = "virtio_balloon",
	.state_fields = balloon_state_fields,
	.state_size = sizeof(struct balloon_state),
	.read = virtio_mmio_read,
	.write = virtio_mmio_write,
	.hold = virtio_hold,
	.drain = virtio_drain,
	.resume = virtio_resume,
	.save = balloon_save,
	.restore = balloon_restore,
	.reset = virtio_reset,
	.free = balloon_free,
};

static const struct virtio_ops balloon_ops = {
	.name = "virtio-balloon",
	.id = VIRTIO_ID_BALLOON,
	.queue_count = QUEUE_COUNT,
	.queue_size_max = QUEUE_SIZE,
	.serve = balloon_serve,
	.write_config = balloon_write_config,
	.reset = balloon_forget,
};

int virtio_balloon_new(uint32_t instance, struct guest_memory *memory, struct virtio_balloon **ret_balloon)
{
	struct virtio_balloon *balloon = calloc(1, sizeof(*balloon));
	int r;

	if (!balloon)
		return -ENOMEM;

	r = virtio_init(&balloon->virtio, &virtio_balloon_ops, &balloon_ops, instance, memory);
	if (r < 0) {
		free(balloon);
		return r;
	}

	*ret_balloon = balloon;
	return 0;
}

struct virtio_device *virtio_balloon_device(struct virtio_balloon *balloon)
{
	return &balloon->virtio;
}

/* the host's side */

int virtio_balloon_configure(struct virtio_balloon *balloon, const struct virtio_balloon_options *options,
			     struct error_detail *detail)
{
	uint64_t features = 0;
	int r;

	if (balloon->virtio.present) {
		error_detail_set(detail, "the balloon is configured already");
		return -EBUSY;
	}
	r = check_pages(balloon, "target_pages", options->target_pages, detail);
	if (r < 0)
		return r;

	if (options->deflate_on_oom)
		features |= FEATURE(VIRTIO_BALLOON_F_DEFLATE_ON_OOM);
	if (options->free_page_reporting)
		features |= FEATURE(VIRTIO_BALLOON_F_REPORTING);
	if (options->statistics)
		features |= FEATURE(VIRTIO_BALLOON_F_STATS_VQ);
	/* The thread looks at none of this before there is a driver, which needs a device that is present. */
	balloon->config.num_pages = options->target_pages;
	return virtio_present(&balloon->virtio, features, (const uint8_t *)&balloon->config, sizeof(balloon->config));
}

int virtio_balloon_set_target(struct virtio_balloon *balloon, uint32_t pages)
{
	struct virtio_device *device = &balloon->virtio;
	int r = 0;

	pthread_mutex_lock(&device->lock);
	if (!device->present) {
		r = -ENODEV;
	} else if (pages > pages_of(balloon)) {
		r = -EINVAL;
	} else {
		balloon->config.num_pages = pages;
		virtio_config_changed(device);
	}
	pthread_mutex_unlock(&device->lock);

	return r;
}

int virtio_balloon_ask_statistics(struct virtio_balloon *balloon)
{
	struct virtio_device *device = &balloon->virtio;
	int r = 0;

	pthread_mutex_lock(&device->lock);
	if (!device->present)
		r = -ENODEV;
	else if (!virtio_has_feature(device, VIRTIO_BALLOON_F_STATS_VQ))
		r = -EOPNOTSUPP;
	else
		balloon->asked = true;
	pthread_mutex_unlock(&device->lock);

	if (r == 0)
		io_thread_wake(&device->thread);
	return r;
}

void virtio_balloon_read(struct virtio_balloon *balloon, struct virtio_balloon_status *ret_status)
{
	pthread_mutex_lock(&balloon->virtio.lock);
	*ret_status = (struct virtio_balloon_status){
		.target_pages = balloon->config.num_pages,
		.actual_pages = balloon->config.actual,
		.reported_bytes = balloon->reported_bytes,
		.statistics_ns = balloon->statistics_ns,
		.statistics_known = balloon->statistics_known,
	};
	for (uint32_t i = 0; i < BALLOON_STATISTICS; i++)
		ret_status->statistics[i] = balloon->statistics_known >> i & 1 ? balloon->statistics[i] : 0;
	pthread_mutex_unlock(&balloon->virtio.lock);
}
