/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pauses in the middle of a disk's long requests.
 *
 * A request is long because its buffers are the same pages again and again. Whether one is in flight cannot be known
 * beforehand: a test waits until it sees the first bytes moved, pauses, and tries again where the request has ended
 * meanwhile.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <linux/virtio_blk.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "devices/virtio/blk/blk.h"
#include "devices/virtio/blk/overlay.h"
#include "devices/virtio/blk/request.h"
#include "driver.h"

#define HEADER      RING_BUFFERS
#define STATUS      (RING_BUFFERS + 0x100)
#define DATA        (RING_BUFFERS + 0x1000)
#define SEGMENT     0xe0000U /* bytes at DATA that all segments share */
#define READ_LONG   254U     /* segments: 222 MiB */
#define WRITE_LONG  64U      /* 56 MiB */
#define WRITE_BYTES (WRITE_LONG * SEGMENT)
#define SLICE       (UINT64_C(1) << 20)
#define UNTOUCHED   0x5a
#define NO_STATUS   0xee
#define TRIES       1000
#define DATA_OFFSET (2 * OVERLAY_CLUSTER) /* of an overlay whose bitmap fits into a cluster */

_Static_assert(WRITE_BYTES / OVERLAY_CLUSTER / 8 <= OVERLAY_CLUSTER, "the bitmap is one cluster");

/* A guest's disk. */
struct disk_guest {
	struct ring ring;
	struct driver driver;
	struct virtio_blk *blk;
	int image;
	uint16_t used; /* requests that were given back */
};

static struct disk_guest guests[2];

static struct virtio_blk *open_blk(struct disk_guest *guest, int base, int overlay)
{
	const struct virtio_blk_options options = {
		.disk = { .image = dup(guest->image), .base = base, .overlay = overlay },
	};
	struct error_detail detail = { "" };
	struct virtio_blk *blk;

	cr_assert_eq(virtio_blk_new(0, &guest->ring.memory, &blk), 0);
	cr_assert_eq(virtio_blk_configure(blk, &options, &detail), 0, "%s", detail.text);
	return blk;
}

static void begin(struct disk_guest *guest)
{
	guest->used = 0;
	guest->ring.offered = 0;
	memset(guest->ring.memory.host, 0, RING_BUFFERS);
	driver_start(&guest->driver, 0);
}

/* A disk of so many segments. overlay: -1: it is written in place. */
static void open_guest(struct disk_guest *guest, uint32_t segments, int overlay)
{
	ring_open(&guest->ring, 256);
	guest->image = memfd_create("image", MFD_CLOEXEC);
	cr_assert_eq(ftruncate(guest->image, (off_t)segments * SEGMENT), 0);
	guest->blk = open_blk(guest, -1, overlay);
	driver_open(&guest->driver, &guest->ring, virtio_blk_device(guest->blk));
	begin(guest);
}

static void close_guest(struct disk_guest *guest)
{
	struct device *device = &virtio_blk_device(guest->blk)->device;

	device->ops->free(device);
	ring_close(&guest->ring);
	close(guest->image);
}

/* A request of so many segments, from a descriptor on. */
static void describe(struct disk_guest *guest, uint16_t first, uint32_t type, uint32_t segments, uint32_t length)
{
	const struct virtio_blk_outhdr header = { .type = type };
	uint16_t flags = NEXT | (type == VIRTIO_BLK_T_IN ? WRITE : 0);
	uint16_t last = (uint16_t)(first + segments + 1);

	cr_assert_eq(guest_memory_write(&guest->ring.memory, HEADER, &header, sizeof(header)), 0);
	guest->ring.memory.host[STATUS] = NO_STATUS;
	ring_describe(&guest->ring, first, HEADER, sizeof(header), NEXT, (uint16_t)(first + 1));
	for (uint16_t i = (uint16_t)(first + 1); i < last; i++)
		ring_describe(&guest->ring, i, DATA, length, flags, (uint16_t)(i + 1));
	ring_describe(&guest->ring, last, STATUS, 1, WRITE, 0);
}

/* What the device has taken and not put back. */
static uint16_t taken(struct disk_guest *guest)
{
	struct virtio_device *device = virtio_blk_device(guest->blk);
	uint16_t count;

	pthread_mutex_lock(&device->lock);
	count = device->queues[0].next_available;
	pthread_mutex_unlock(&device->lock);
	return count;
}

static bool buffers_are_touched(struct disk_guest *guest)
{
	return __atomic_load_n(&guest->ring.memory.host[DATA], __ATOMIC_RELAXED) != UNTOUCHED;
}

static int written_file;
static off_t written_offset;

static bool file_is_touched(struct disk_guest *guest)
{
	uint8_t byte = 0;

	(void)guest;
	return pread(written_file, &byte, 1, written_offset) == 1 && byte != 0;
}

/* Offer descriptor 0's request and see it begin. Returns false where it has ended already. */
static bool offer_and_see(struct disk_guest *guest, bool (*begun)(struct disk_guest *guest))
{
	driver_offer(&guest->driver, 0);
	while (!begun(guest) && ring_used_index(&guest->ring) == guest->used)
		(void)sched_yield();
	return ring_used_index(&guest->ring) == guest->used;
}

/* Pause in the middle of a request, after which it is as if it had only been offered. */
static void pause_in_mid_read(struct disk_guest *guest)
{
	for (int i = 0; i < TRIES; i++) {
		guest->ring.memory.host[DATA] = UNTOUCHED;
		(void)offer_and_see(guest, buffers_are_touched);
		driver_pause(&guest->driver);
		if (ring_used_index(&guest->ring) == guest->used)
			break;
		guest->used++;
		guest->ring.memory.host[STATUS] = NO_STATUS;
		driver_resume(&guest->driver);
	}
	(void)driver_interrupts(&guest->driver);
	cr_assert_eq(ring_used_index(&guest->ring), guest->used, "it was too fast each time");
	cr_assert_eq(taken(guest), guest->used);
	cr_assert_eq(guest->ring.memory.host[STATUS], NO_STATUS);
}

static void pause_in_mid_write(struct disk_guest *guest)
{
	for (int i = 0; i < TRIES; i++) {
		cr_assert_eq(pwrite(written_file, "", 1, written_offset), 1);
		(void)offer_and_see(guest, file_is_touched);
		driver_pause(&guest->driver);
		if (ring_used_index(&guest->ring) == guest->used)
			break;
		guest->used++;
		guest->ring.memory.host[STATUS] = NO_STATUS;
		driver_resume(&guest->driver);
	}
	cr_assert_eq(ring_used_index(&guest->ring), guest->used, "it was too fast each time");
	cr_assert_eq(taken(guest), guest->used);
	cr_assert_eq(guest->ring.memory.host[STATUS], NO_STATUS);
}

/* The request ends, and nothing else does. */
static void expect_one_end(struct disk_guest *guest, uint32_t length)
{
	driver_wait_used(&guest->driver, ++guest->used);
	driver_pause(&guest->driver);
	cr_assert_eq(ring_used_index(&guest->ring), guest->used);
	cr_assert_eq(taken(guest), guest->used);
	cr_assert_eq(ring_used(&guest->ring, guest->used - 1).id, 0);
	cr_assert_eq(ring_used(&guest->ring, guest->used - 1).len, length);
	cr_assert_eq(guest->ring.memory.host[STATUS], VIRTIO_BLK_S_OK);
	driver_resume(&guest->driver);
}

/* Position by position, so that a segment in the wrong place is seen. */
static uint8_t pattern(uint32_t i)
{
	return (uint8_t)(i % 251 + 1);
}

static void put_pattern(uint8_t *bytes)
{
	for (uint32_t i = 0; i < SEGMENT; i++)
		bytes[i] = pattern(i);
}

static void expect_pattern(const uint8_t *bytes)
{
	for (uint32_t i = 0; i < SEGMENT; i++)
		cr_assert_eq(bytes[i], pattern(i), "byte %u", i);
}

static void open_reader(struct disk_guest *guest)
{
	uint8_t *bytes = malloc(SEGMENT);

	open_guest(guest, READ_LONG, -1);
	put_pattern(bytes);
	cr_assert_eq(pwrite(guest->image, bytes, SEGMENT, (off_t)(READ_LONG - 1) * SEGMENT), SEGMENT);
	free(bytes);
	describe(guest, 0, VIRTIO_BLK_T_IN, READ_LONG, SEGMENT);
}

Test(virtio_blk_pause, a_long_read_is_put_back_and_ends_once)
{
	struct disk_guest *guest = &guests[0];

	open_reader(guest);
	pause_in_mid_read(guest);
	cr_assert_eq(driver_interrupts(&guest->driver), 0);
	driver_pause(&guest->driver);
	cr_assert_eq(taken(guest), guest->used, "a second drain finds nothing in flight");

	driver_resume(&guest->driver);
	expect_one_end(guest, READ_LONG * SEGMENT + 1);
	expect_pattern(guest->ring.memory.host + DATA);
	close_guest(guest);
}

Test(virtio_blk_pause, a_long_read_that_is_put_back_often_ends_once)
{
	struct disk_guest *guest = &guests[0];

	open_reader(guest);
	pause_in_mid_read(guest);
	for (int i = 0; i < 20; i++) {
		driver_resume(&guest->driver);
		(void)sched_yield();
		driver_pause(&guest->driver);
		cr_assert_leq((uint16_t)(ring_used_index(&guest->ring) - guest->used), 1);
		cr_assert_eq(taken(guest), ring_used_index(&guest->ring));
	}
	driver_resume(&guest->driver);
	expect_one_end(guest, READ_LONG * SEGMENT + 1);
	expect_pattern(guest->ring.memory.host + DATA);
	close_guest(guest);
}

/* All segments of a write, in the file that they went to. */
static void expect_written(int file)
{
	uint8_t *bytes = malloc(SEGMENT);

	for (uint32_t i = 0; i < WRITE_LONG; i++) {
		cr_assert_eq(pread(file, bytes, SEGMENT, DATA_OFFSET + (off_t)i * SEGMENT), SEGMENT);
		expect_pattern(bytes);
	}
	free(bytes);
}

/* A machine like the other one, from a snapshot of it. */
static void clone_guest(struct disk_guest *clone, struct disk_guest *of, int base, int overlay)
{
	static uint8_t state[DEVICE_STATE_MAX];
	struct error_detail detail = { "" };

	virtio_blk_ops.save(&virtio_blk_device(of->blk)->device, state);
	*clone = (struct disk_guest){ .image = dup(of->image), .used = of->used };
	ring_open(&clone->ring, 256);
	clone->ring.offered = of->ring.offered;
	memcpy(clone->ring.memory.host, of->ring.memory.host, RING_MEMORY);
	clone->blk = open_blk(clone, base, overlay);
	cr_assert_eq(virtio_blk_ops.restore(&virtio_blk_device(clone->blk)->device, state, &detail), 0, "%s",
		     detail.text);
	driver_open(&clone->driver, &clone->ring, virtio_blk_device(clone->blk));
}

/* What was written of it is in the snapshot's copy of the overlay, and written again by both machines. */
Test(virtio_blk_pause, a_long_write_is_put_back_and_ends_once_here_and_in_a_clone)
{
	struct disk_guest *guest = &guests[0];
	struct disk_guest *clone = &guests[1];
	int overlays[] = { memfd_create("overlay", MFD_CLOEXEC), memfd_create("clone", MFD_CLOEXEC) };
	int kept = memfd_create("kept", MFD_CLOEXEC);
	struct error_detail detail = { "" };

	open_guest(guest, WRITE_LONG, dup(overlays[0]));
	put_pattern(guest->ring.memory.host + DATA);
	describe(guest, 0, VIRTIO_BLK_T_OUT, WRITE_LONG, SEGMENT);
	written_file = overlays[0];
	written_offset = DATA_OFFSET;
	pause_in_mid_write(guest);
	cr_assert_eq(virtio_blk_copy_overlay(guest->blk, kept, NULL, &detail), 0, "%s", detail.text);
	clone_guest(clone, guest, dup(kept), dup(overlays[1]));

	expect_one_end(clone, 1);
	expect_written(overlays[1]);
	driver_resume(&guest->driver);
	expect_one_end(guest, 1);
	expect_written(overlays[0]);
	close_guest(clone);
	close_guest(guest);
}

/* From the first pass on the rings stand still: what was not in flight is taken by no disk, whoever is waited for. */
Test(virtio_blk_pause, two_busy_disks_take_nothing_once_they_are_held)
{
	enum { LONG = 200, SHORT = 16 };
	uint16_t before[2];

	for (int i = 0; i < 2; i++) {
		open_guest(&guests[i], LONG, -1);
		describe(&guests[i], 0, VIRTIO_BLK_T_IN, LONG, SEGMENT);
		for (uint16_t j = 0; j < SHORT; j++)
			describe(&guests[i], (uint16_t)(LONG + 2 + 3 * j), VIRTIO_BLK_T_IN, 1, 512);
		driver_offer(&guests[i].driver, 0);
		for (uint16_t j = 0; j < SHORT / 2; j++)
			driver_offer(&guests[i].driver, (uint16_t)(LONG + 2 + 3 * j));
	}
	for (int i = 0; i < 2; i++)
		virtio_blk_ops.hold(&guests[i].driver.virtio->device);
	for (int i = 0; i < 2; i++) {
		before[i] = taken(&guests[i]);
		for (uint16_t j = SHORT / 2; j < SHORT; j++)
			driver_offer(&guests[i].driver, (uint16_t)(LONG + 2 + 3 * j));
	}

	for (int i = 0; i < 2; i++) {
		driver_pause(&guests[i].driver);
		for (int j = 0; j < 2; j++)
			cr_assert_leq(taken(&guests[j]), before[j], "a request was taken from disk %d", j);
	}
	for (int i = 0; i < 2; i++) {
		cr_assert_eq(taken(&guests[i]), ring_used_index(&guests[i].ring), "nothing is in flight");
		driver_resume(&guests[i].driver);
		driver_wait_used(&guests[i].driver, 1 + SHORT);
		driver_pause(&guests[i].driver);
		cr_assert_eq(ring_used_index(&guests[i].ring), 1 + SHORT);
		close_guest(&guests[i]);
	}
}

static void *stop_queue(void *opaque)
{
	driver_write(opaque, VIRTIO_MMIO_QUEUE_READY, 0);
	return NULL;
}

/* Returns whether the queue's stop was still waiting for the request when the device was held. */
static bool hold_in_a_queues_stop(struct disk_guest *guest)
{
	pthread_t thread;

	guest->ring.memory.host[DATA] = UNTOUCHED;
	(void)offer_and_see(guest, buffers_are_touched);
	cr_assert_eq(pthread_create(&thread, NULL, stop_queue, &guest->driver), 0);
	for (bool waiting = false; !waiting && driver_read(&guest->driver, VIRTIO_MMIO_QUEUE_READY) != 0;) {
		pthread_mutex_lock(&guest->driver.virtio->lock);
		waiting = guest->driver.virtio->thread.waits > 0;
		pthread_mutex_unlock(&guest->driver.virtio->lock);
	}
	virtio_blk_ops.hold(&guest->driver.virtio->device);
	cr_assert_eq(pthread_join(thread, NULL), 0);
	return ring_used_index(&guest->ring) == guest->used;
}

/* A vCPU that waits for a request in an access does not keep its machine from pausing. */
Test(virtio_blk_pause, the_stop_of_a_queue_waits_no_longer_than_the_pause)
{
	struct disk_guest *guest = &guests[0];
	bool held = false;

	open_reader(guest);
	for (int i = 0; i < TRIES && !held; i++) {
		held = hold_in_a_queues_stop(guest);
		driver_pause(&guest->driver);
		cr_assert_eq(driver_read(&guest->driver, VIRTIO_MMIO_QUEUE_READY), 0);
		driver_resume(&guest->driver);
		begin(guest);
		describe(guest, 0, VIRTIO_BLK_T_IN, READ_LONG, SEGMENT);
	}
	cr_assert(held, "it was too fast each time");
	driver_offer(&guest->driver, 0);
	expect_one_end(guest, READ_LONG * SEGMENT + 1);
	close_guest(guest);
}

/* ---- requests by themselves, where a pause comes when the test wants ---- */

static atomic_bool held;
static struct virtqueue_chain chain;

static void add_segment(uint64_t gpa, uint32_t length, bool writable)
{
	chain.segments[chain.readable + chain.writable] = (struct virtqueue_segment){ .gpa = gpa, .length = length };
	if (writable) {
		chain.writable++;
		chain.writable_bytes += length;
	} else {
		chain.readable++;
		chain.readable_bytes += length;
	}
}

/* A request with so many bytes of data at DATA; carried out while a pause waits, or not. */
static int execute(struct disk *disk, uint32_t type, uint64_t bytes, struct blk_result *ret_result)
{
	const struct blk_target target = { .disk = disk, .held = &held };
	const struct virtio_blk_outhdr header = { .type = type };
	struct disk_guest *guest = &guests[0];
	struct virtqueue queue;

	cr_assert_eq(guest_memory_write(&guest->ring.memory, HEADER, &header, sizeof(header)), 0);
	guest->ring.memory.host[STATUS] = NO_STATUS;
	chain = (struct virtqueue_chain){ .head = 0 };
	add_segment(HEADER, sizeof(header), false);
	for (uint64_t done = 0, length = 0; done < bytes; done += length) {
		length = bytes - done < SEGMENT ? bytes - done : SEGMENT;
		add_segment(DATA, (uint32_t)length, type == VIRTIO_BLK_T_IN);
	}
	add_segment(STATUS, 1, true);
	virtqueue_init(&queue, &guest->ring.memory, 256);
	return blk_request_execute(&target, &queue, &chain, ret_result);
}

static struct disk *open_disk(void)
{
	struct disk_guest *guest = &guests[0];
	const struct disk_options options = { .image = memfd_create("image", MFD_CLOEXEC), .base = -1, .overlay = -1 };
	struct disk *disk;

	ring_open(&guest->ring, 256);
	cr_assert_eq(ftruncate(options.image, 64 * SLICE), 0);
	cr_assert_eq(disk_open(&options, &disk, NULL), 0);
	return disk;
}

/* Held from the start: the first slice is moved, and where that was all the request ends. */
static void expect_stop(struct disk *disk, uint32_t type, uint64_t bytes, uint64_t cost)
{
	struct blk_result result;

	held = true;
	cr_assert_eq(execute(disk, type, bytes, &result), -EAGAIN);
	cr_assert_eq(result.cost, cost);
	cr_assert_eq(guests[0].ring.memory.host[STATUS], NO_STATUS);
	held = false;
	cr_assert_eq(execute(disk, type, bytes, &result), 0);
	cr_assert_eq(guests[0].ring.memory.host[STATUS], VIRTIO_BLK_S_OK);
}

Test(virtio_blk_pause, a_request_has_a_first_slice_and_no_second)
{
	struct disk *disk = open_disk();
	struct blk_result result;

	expect_stop(disk, VIRTIO_BLK_T_IN, SLICE + 512, SLICE);
	expect_stop(disk, VIRTIO_BLK_T_OUT, 3 * SLICE, SLICE);
	held = true;
	cr_assert_eq(execute(disk, VIRTIO_BLK_T_IN, SLICE, &result), 0);
	cr_assert_eq(result.cost, SLICE);
	cr_assert_eq(execute(disk, VIRTIO_BLK_T_OUT, SLICE, &result), 0);
	cr_assert_eq(execute(disk, VIRTIO_BLK_T_FLUSH, 0, &result), 0);
	(void)disk_close(disk);
	ring_close(&guests[0].ring);
}

Test(virtio_blk_pause, zeroes_and_discards_stop_as_well)
{
	struct virtio_blk_discard_write_zeroes ranges[] = { { .num_sectors = 1 }, { .sector = 8, .num_sectors = 1 } };
	struct disk *disk = open_disk();
	uint8_t *data = guests[0].ring.memory.host + DATA;

	memcpy(data, ranges, sizeof(ranges));
	expect_stop(disk, VIRTIO_BLK_T_DISCARD, sizeof(ranges), 0);
	ranges[0].num_sectors = BLK_ZEROES_SECTORS_MAX;
	memcpy(data, ranges, sizeof(ranges[0]));
	expect_stop(disk, VIRTIO_BLK_T_WRITE_ZEROES, sizeof(ranges[0]), SLICE);
	expect_stop(disk, VIRTIO_BLK_T_DISCARD, sizeof(ranges[0]), 0);
	(void)disk_close(disk);
	ring_close(&guests[0].ring);
}
