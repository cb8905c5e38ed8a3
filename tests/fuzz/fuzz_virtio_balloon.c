/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A balloon with a hostile driver: pages of any number and reports of any range, targets, statistics, pauses, and
 * other sets of features. No page loses its content that the driver has not named, and what the host reads is in
 * bounds.
 */
#include "devices/virtio/balloon/balloon.h"
#include "fuzz.h"

#include <linux/virtio_balloon.h>
#include <linux/virtio_config.h>
#include <linux/virtio_mmio.h>
#include <linux/virtio_ring.h>
#include <sched.h>
#include <string.h>

#define MEMORY    0x40000
#define PAGES     (MEMORY / 4096)
#define QUEUES    4
#define SIZE      8
#define STEP      0x1000 /* from queue to queue */
#define ARRAYS    0x4000 /* where an input lies that a request names */
#define FREE_PAGE 8      /* the first of the pages that have content */
#define CONTENT   0xa5

enum action {
	OFFER, /* one buffer or two, of the bytes that the step has */
	WRITE_ACTUAL,
	SET_TARGET,
	ASK,
	PAUSE_AND_RESUME,
	SAVE_AND_RESTORE,
	RESTART, /* with other features */
	ACTIONS
};

struct step {
	uint8_t action;
	uint8_t queue;
	uint8_t flags;  /* bit 0, 1: the buffers are writable; bit 2: two of them; bit 3: whole pages, not the array */
	uint8_t count;  /* of page numbers, or of pages */
	uint32_t value; /* a target; the first page number, or page */
	uint8_t stride; /* between page numbers */
	uint8_t odd;    /* added to a length, or a place */
} __attribute__((packed));

static struct guest_memory memory = { .size = MEMORY };
static struct virtio_balloon *balloon;
static struct device *device;
static uint64_t features;
static uint16_t offered[QUEUES];
static bool named[PAGES]; /* may have lost their content */

static void open_device(void)
{
	const struct virtio_balloon_options options = { true, true, true, 5 };

	memory.host = aligned_alloc(4096, MEMORY);
	FUZZ_CHECK(memory.host);
	FUZZ_CHECK(virtio_balloon_new(0, &memory, &balloon) == 0);
	FUZZ_CHECK(virtio_balloon_configure(balloon, &options, NULL) == 0);
	device = &virtio_balloon_device(balloon)->device;
}

static void write_register(uint64_t offset, uint32_t value)
{
	device->ops->write(device, offset, (const uint8_t *)&value, sizeof(value));
}

static void start(uint8_t chosen)
{
	features = (chosen & 1 ? UINT64_C(1) << VIRTIO_BALLOON_F_STATS_VQ : 0) |
		   (chosen & 2 ? UINT64_C(1) << VIRTIO_BALLOON_F_REPORTING : 0);
	write_register(VIRTIO_MMIO_STATUS, 0);
	memset(memory.host, 0, FREE_PAGE * BALLOON_PAGE);
	memset(memory.host + FREE_PAGE * BALLOON_PAGE, CONTENT, MEMORY - FREE_PAGE * BALLOON_PAGE);
	memset(named, 0, sizeof(named));
	write_register(VIRTIO_MMIO_STATUS, VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER);
	write_register(VIRTIO_MMIO_DRIVER_FEATURES_SEL, 1);
	write_register(VIRTIO_MMIO_DRIVER_FEATURES, 1);
	write_register(VIRTIO_MMIO_DRIVER_FEATURES_SEL, 0);
	write_register(VIRTIO_MMIO_DRIVER_FEATURES, (uint32_t)features);
	write_register(VIRTIO_MMIO_STATUS, 0xb);
	for (uint32_t i = 0; i < QUEUES; i++) {
		write_register(VIRTIO_MMIO_QUEUE_SEL, i);
		write_register(VIRTIO_MMIO_QUEUE_NUM, SIZE);
		write_register(VIRTIO_MMIO_QUEUE_DESC_LOW, i * STEP);
		write_register(VIRTIO_MMIO_QUEUE_AVAIL_LOW, i * STEP + 0x400);
		write_register(VIRTIO_MMIO_QUEUE_USED_LOW, i * STEP + 0x800);
		write_register(VIRTIO_MMIO_QUEUE_READY, 1);
		offered[i] = 0;
	}
	write_register(VIRTIO_MMIO_STATUS, 0xf);
}

static void put(uint64_t gpa, const void *data, size_t length)
{
	FUZZ_CHECK(guest_memory_write(&memory, gpa, data, length) == 0);
}

static void describe(uint32_t queue, uint16_t index, uint64_t gpa, uint32_t length, bool writable, bool next)
{
	const struct vring_desc descriptor = {
		.addr = gpa,
		.len = length,
		.flags = (uint16_t)((writable ? VRING_DESC_F_WRITE : 0) | (next ? VRING_DESC_F_NEXT : 0)),
		.next = (uint16_t)(index + 1),
	};

	put((uint64_t)queue * STEP + index * sizeof(descriptor), &descriptor, sizeof(descriptor));
}

static void name(uint64_t page, uint64_t count)
{
	for (uint64_t i = page; i < page + count && i < PAGES; i++)
		named[i] = true;
}

/* Page numbers, or tags and values, whichever the queue takes them for. Returns the bytes. */
static uint32_t write_array(const struct step *step)
{
	uint32_t count = 1U + step->count;

	for (uint32_t i = 0; i < count; i++) {
		uint32_t page = step->value + i * step->stride;

		put(ARRAYS + (uint64_t)i * sizeof(page), &page, sizeof(page));
	}
	return count * (uint32_t)sizeof(uint32_t);
}

/* The numbers that the device will find: what lies outside memory it refuses. */
static void name_array(uint64_t gpa, uint32_t length)
{
	uint32_t page;

	for (uint32_t i = 0; i < length / sizeof(page); i++) {
		if (guest_memory_read(&memory, gpa + i * sizeof(page), &page, sizeof(page)) < 0)
			break;
		name(page, 1);
	}
}

static bool has(unsigned int feature)
{
	return features >> feature & 1;
}

/* The queue of reports; QUEUES where there is none. */
static uint32_t reporting_queue(void)
{
	return has(VIRTIO_BALLOON_F_REPORTING) ? 2U + has(VIRTIO_BALLOON_F_STATS_VQ) : QUEUES;
}

/* What the driver has offered on a queue was taken, or never will be. */
static bool is_taken(uint32_t queue)
{
	struct virtio_device *virtio = (struct virtio_device *)device;
	struct virtio_balloon_status status;
	bool taken;

	virtio_balloon_read(balloon, &status);
	pthread_mutex_lock(&virtio->lock);
	if (virtio->status & VIRTIO_CONFIG_S_NEEDS_RESET)
		taken = true;
	else if (queue == 2 && has(VIRTIO_BALLOON_F_STATS_VQ))
		taken = status.statistics_ns != 0;
	else
		taken = (queue >= 2 && queue != reporting_queue()) ||
			virtio->queues[queue].next_available == offered[queue];
	pthread_mutex_unlock(&virtio->lock);
	return taken;
}

/*
 * Called with the device at rest, so that what lies in the array is what it will find. Whatever a buffer of the first
 * queue holds is page numbers (section 5.5.6), whole pages too, which may be those that the queues are in.
 */
static void offer(const struct step *step)
{
	uint32_t queue = step->queue % QUEUES;
	uint16_t slot = offered[queue] % SIZE;
	uint16_t head = (uint16_t)(slot & ~1);
	uint64_t gpa = ARRAYS + step->odd % 8;
	uint32_t length;
	uint32_t cut;
	bool two;

	if (step->flags & 8) {
		gpa = step->value * BALLOON_PAGE + (step->odd & 1);
		length = (uint32_t)((1 + step->count % 16) * BALLOON_PAGE) - (step->odd >> 1 & 1);
		if (queue == reporting_queue())
			name(step->value, 17);
		cut = (uint32_t)BALLOON_PAGE;
	} else {
		length = write_array(step) + (step->odd >> 3 & 3);
		cut = 1 + step->odd % length;
	}
	two = (step->flags & 4) && cut < length;
	describe(queue, head, gpa, two ? cut : length, step->flags & 1, two);
	describe(queue, (uint16_t)(head + 1), gpa + cut, length - cut, step->flags & 2, false);
	put((uint64_t)queue * STEP + 0x404 + slot * sizeof(head), &head, sizeof(head));
	offered[queue]++;
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	put((uint64_t)queue * STEP + 0x402, &offered[queue], sizeof(offered[queue]));
	if (queue == 0)
		name_array(gpa, length);

	device->ops->resume(device);
	write_register(VIRTIO_MMIO_QUEUE_NOTIFY, queue);
	while (!is_taken(queue))
		(void)sched_yield();
}

/* The device is at rest. */
static void check_all(void)
{
	struct virtio_balloon_status status;

	virtio_balloon_read(balloon, &status);
	FUZZ_CHECK(status.target_pages <= PAGES && status.actual_pages <= PAGES);
	FUZZ_CHECK(status.statistics_known < 1 << BALLOON_STATISTICS);
	FUZZ_CHECK(status.statistics_ns == 0 || has(VIRTIO_BALLOON_F_STATS_VQ));
	for (uint32_t page = FREE_PAGE; page < PAGES; page++) {
		const uint8_t *bytes = memory.host + page * BALLOON_PAGE;

		FUZZ_CHECK(bytes[0] == CONTENT || (named[page] && bytes[0] == 0));
		FUZZ_CHECK(memcmp(bytes, bytes + 1, BALLOON_PAGE - 1) == 0);
	}
}

static void save_and_restore(void)
{
	static uint8_t state[DEVICE_STATE_MAX];

	memset(state, 0, sizeof(state));
	device->ops->save(device, state);
	FUZZ_CHECK(state_fields_check(device->ops->state_fields, state, "virtio_balloon", NULL) == 0);
	FUZZ_CHECK(device->ops->restore(device, state, NULL) == 0);
}

static void act(const struct step *step)
{
	switch (step->action % ACTIONS) {
	case OFFER:
		offer(step);
		break;
	case WRITE_ACTUAL:
		write_register(VIRTIO_MMIO_CONFIG + (uint64_t)(step->queue % 4) * 4, step->value);
		break;
	case SET_TARGET:
		FUZZ_CHECK((virtio_balloon_set_target(balloon, step->value) == 0) == (step->value <= PAGES));
		break;
	case ASK:
		(void)virtio_balloon_ask_statistics(balloon);
		break;
	case PAUSE_AND_RESUME:
		break;
	case SAVE_AND_RESTORE:
		save_and_restore();
		break;
	default:
		start(step->flags);
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (!device)
		open_device();

	FUZZ_CHECK(device->ops->drain(device) == 0);
	start(size > 0 ? data[0] : 0);
	for (size_t at = 0; at + sizeof(struct step) <= size; at += sizeof(struct step)) {
		struct step step;

		memcpy(&step, data + at, sizeof(step));
		act(&step);
		device->ops->resume(device);
		FUZZ_CHECK(device->ops->drain(device) == 0);
		check_all();
	}
	device->ops->reset(device);
	return 0;
}
