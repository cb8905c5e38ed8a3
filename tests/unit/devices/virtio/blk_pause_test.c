/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A disk whose machine pauses: long requests are put back and done again, and what is offered meanwhile waits.
 */
#include <criterion/criterion.h>
#include <linux/virtio_blk.h>
#include <sched.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "devices/virtio/blk/blk.h"
#include "driver.h"

#define HEADER    (RING_BUFFERS)
#define STATUS    (RING_BUFFERS + 0x100)
#define DATA      (RING_BUFFERS + 0x1000)
#define NO_STATUS 0xee

/* A long request: so many buffers, all of them the same memory, and as much of the disk. */
#define BUFFERS 200
#define BUFFER  524288
#define BYTES   ((off_t)BUFFERS * BUFFER)

static struct ring ring;
static struct driver driver;
static struct virtio_blk *blk;
static int image;

static void set_up(void)
{
	struct virtio_blk_options options = { .disk = { .base = -1, .overlay = -1 } };
	struct error_detail detail = { 0 };

	ring_open(&ring, 256);
	image = memfd_create("image", MFD_CLOEXEC);
	cr_assert_eq(ftruncate(image, BYTES), 0);
	options.disk.image = dup(image);
	cr_assert_eq(virtio_blk_new(0, &ring.memory, &blk), 0);
	cr_assert_eq(virtio_blk_configure(blk, &options, &detail), 0, "%s", detail.text);
	driver_open(&driver, &ring, virtio_blk_device(blk));
	driver_start(&driver, FEATURE(VIRTIO_BLK_F_FLUSH));
}

static void tear_down(void)
{
	virtio_blk_ops.free(&virtio_blk_device(blk)->device);
	ring_close(&ring);
	close(image);
}

TestSuite(virtio_blk_pause, .init = set_up, .fini = tear_down, .timeout = 200);

static void offer_long(uint32_t type)
{
	const struct virtio_blk_outhdr header = { .type = type };
	const uint16_t flags = NEXT | (type == VIRTIO_BLK_T_IN ? WRITE : 0);

	cr_assert_eq(guest_memory_write(&ring.memory, HEADER, &header, sizeof(header)), 0);
	ring.memory.host[STATUS] = NO_STATUS;
	ring_describe(&ring, 0, HEADER, sizeof(header), NEXT, 1);
	for (uint16_t i = 1; i <= BUFFERS; i++)
		ring_describe(&ring, i, DATA, BUFFER, flags, (uint16_t)(i + 1));
	ring_describe(&ring, BUFFERS + 1, STATUS, 1, WRITE, 0);
	driver_offer(&driver, 0);
}

static bool is_busy(void)
{
	struct virtio_device *device = virtio_blk_device(blk);
	bool busy;

	pthread_mutex_lock(&device->lock);
	busy = device->thread.busy;
	pthread_mutex_unlock(&device->lock);
	return busy;
}

/* Pause in the middle of such a request, however many it takes until one is met there. Returns how many ended before. */
static uint16_t pause_in_the_middle(uint32_t type)
{
	for (uint16_t ended = 0;; ended++) {
		offer_long(type);
		while (!is_busy() && ring_used_index(&ring) == ended)
			(void)sched_yield();
		driver_pause(&driver);
		if (ring_used_index(&ring) == ended)
			return ended;
		driver_resume(&driver);
	}
}

/* The request is as if it had not been begun, and then is done once. */
static void expect_done_once(uint16_t ended)
{
	const struct virtqueue *queue = &virtio_blk_device(blk)->queues[0];

	cr_assert_eq(ring.memory.host[STATUS], NO_STATUS);
	cr_assert_eq(queue->next_available, queue->next_used);
	cr_assert_eq(queue->next_used, ended);
	driver_resume(&driver);
	driver_wait_used(&driver, (uint16_t)(ended + 1));
	cr_assert_eq(ring.memory.host[STATUS], VIRTIO_BLK_S_OK);
	driver_pause(&driver);
	cr_assert_eq(ring_used_index(&ring), ended + 1);
}

Test(virtio_blk_pause, a_long_read_is_done_again)
{
	static uint8_t last[BUFFER];
	uint16_t ended;

	memset(last, 0x77, sizeof(last));
	cr_assert_eq(pwrite(image, last, sizeof(last), BYTES - BUFFER), BUFFER);
	ended = pause_in_the_middle(VIRTIO_BLK_T_IN);
	expect_done_once(ended);
	cr_assert_eq(ring_used(&ring, ended).len, BYTES + 1);
	cr_assert_arr_eq(ring.memory.host + DATA, last, sizeof(last));
}

Test(virtio_blk_pause, a_long_write_is_done_again)
{
	static uint8_t written[BUFFER];

	memset(ring.memory.host + DATA, 0x5a, BUFFER);
	expect_done_once(pause_in_the_middle(VIRTIO_BLK_T_OUT));
	for (off_t at = 0; at < BYTES; at += BUFFER) {
		cr_assert_eq(pread(image, written, sizeof(written), at), BUFFER);
		cr_assert_arr_eq(written, ring.memory.host + DATA, sizeof(written));
	}
}

/* Another state finds it in the ring, and does it. */
Test(virtio_blk_pause, a_long_write_goes_on_in_another_machine)
{
	static uint8_t state[DEVICE_STATE_MAX];
	struct virtio_device *saved = virtio_blk_device(blk);
	struct error_detail detail = { 0 };
	uint16_t ended;

	memset(ring.memory.host + DATA, 0x5a, BUFFER);
	ended = pause_in_the_middle(VIRTIO_BLK_T_OUT);
	virtio_blk_ops.save(&saved->device, state);
	virtio_blk_ops.free(&saved->device);
	cr_assert_eq(ftruncate(image, 0), 0);
	cr_assert_eq(ftruncate(image, BYTES), 0);

	cr_assert_eq(virtio_blk_new(0, &ring.memory, &blk), 0);
	cr_assert_eq(virtio_blk_configure(
			     blk,
			     &(struct virtio_blk_options){ .disk = { .image = dup(image), .base = -1, .overlay = -1 } },
			     &detail),
		     0);
	cr_assert_eq(virtio_blk_ops.restore(&virtio_blk_device(blk)->device, state, &detail), 0, "%s", detail.text);
	driver.virtio = virtio_blk_device(blk);
	expect_done_once(ended);
	cr_assert_eq(pread(image, state, 1, BYTES - 1), 1);
	cr_assert_eq(state[0], 0x5a);
}

Test(virtio_blk_pause, what_is_offered_after_a_hold_waits)
{
	virtio_blk_ops.hold(&virtio_blk_device(blk)->device);
	offer_long(VIRTIO_BLK_T_IN);
	driver_pause(&driver);
	expect_done_once(0);
}
