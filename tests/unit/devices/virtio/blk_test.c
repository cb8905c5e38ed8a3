/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The disk device, with drivers good and bad: every kind of request in every layout, its limits, its states.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <linux/virtio_blk.h>
#include <linux/virtio_ids.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "devices/virtio/blk/blk.h"
#include "devices/virtio/blk/request.h"
#include "driver.h"

#define SECTORS   2048
#define HEADER    (RING_BUFFERS)          /* where the tests' requests have their header */
#define STATUS    (RING_BUFFERS + 0x100)  /* their status */
#define DATA      (RING_BUFFERS + 0x1000) /* and their data */
#define NO_STATUS 0xee

static struct ring ring;
static struct virtio_blk *blk;
static struct driver driver;
static int image;
static uint16_t used;

static struct virtio_blk *open_blk(bool read_only, int overlay, const struct rate_limit_options *limit)
{
	struct virtio_blk_options options = {
		.disk = { .image = dup(image), .base = -1, .overlay = overlay, .read_only = read_only },
		.serial = "disk-0123456789",
	};
	struct error_detail detail = { 0 };
	struct virtio_blk *opened;

	if (limit)
		options.limit = *limit;
	cr_assert_eq(virtio_blk_new(0, &ring.memory, &opened), 0);
	cr_assert_eq(virtio_blk_configure(opened, &options, &detail), 0, "%s", detail.text);
	return opened;
}

static void free_blk(struct virtio_blk *freed)
{
	struct device *device = &virtio_blk_device(freed)->device;

	device->ops->free(device);
}

static void start(struct virtio_blk *with)
{
	uint64_t features;

	blk = with;
	used = 0;
	ring.offered = 0;
	memset(ring.memory.host, 0, RING_BUFFERS);
	driver_open(&driver, &ring, virtio_blk_device(blk));
	features = driver_offered(&driver) & ~FEATURE(VIRTIO_RING_F_EVENT_IDX);
	driver_start(&driver, features);
}

static void set_up(void)
{
	ring_open(&ring, 64);
	image = memfd_create("image", MFD_CLOEXEC);
	for (uint32_t i = 0; i < SECTORS; i++) {
		uint8_t sector[512];

		memset(sector, (int)(i + 1), sizeof(sector));
		cr_assert_eq(write(image, sector, sizeof(sector)), sizeof(sector));
	}
	start(open_blk(false, -1, NULL));
}

static void tear_down(void)
{
	if (blk)
		free_blk(blk);
	ring_close(&ring);
	close(image);
}

TestSuite(virtio_blk, .init = set_up, .fini = tear_down);

static void put_header(uint32_t type, uint64_t sector)
{
	const struct virtio_blk_outhdr header = { .type = type, .sector = sector };

	cr_assert_eq(guest_memory_write(&ring.memory, HEADER, &header, sizeof(header)), 0);
	ring.memory.host[STATUS] = NO_STATUS;
}

/* Send what descriptor 0 leads to, and wait for the answer. */
static uint8_t send(void)
{
	driver_offer(&driver, 0);
	driver_wait_used(&driver, ++used);
	return ring.memory.host[STATUS];
}

/* A request as Linux makes it: header, data, status. */
static uint8_t request(uint32_t type, uint64_t sector, uint32_t length, bool writable)
{
	put_header(type, sector);
	ring_describe(&ring, 0, HEADER, 16, NEXT, length > 0 ? 1 : 2);
	ring_describe(&ring, 1, DATA, length, NEXT | (writable ? WRITE : 0), 2);
	ring_describe(&ring, 2, STATUS, 1, WRITE, 0);
	return send();
}

static uint32_t written(void)
{
	return ring_used(&ring, used - 1).len;
}

Test(virtio_blk, it_says_what_it_is)
{
	struct virtio_blk_config config;
	uint32_t words[sizeof(config) / 4];

	cr_assert_eq(driver_read(&driver, VIRTIO_MMIO_DEVICE_ID), VIRTIO_ID_BLOCK);
	for (uint32_t i = 0; i < sizeof(config) / 4; i++)
		words[i] = driver_read(&driver, VIRTIO_MMIO_CONFIG + 4 * i);
	memcpy(&config, words, sizeof(config));
	cr_assert_eq(config.capacity, SECTORS);
	cr_assert_eq(config.seg_max, VIRTQUEUE_SIZE_MAX - 2);
	cr_assert_eq(config.blk_size, 512);
}

Test(virtio_blk, read)
{
	cr_assert_eq(request(VIRTIO_BLK_T_IN, 7, 1024, true), VIRTIO_BLK_S_OK);
	cr_assert_eq(written(), 1025);
	for (uint32_t i = 0; i < 1024; i++)
		cr_assert_eq(ring.memory.host[DATA + i], i < 512 ? 8 : 9);
}

Test(virtio_blk, write)
{
	uint8_t sector[512];

	memset(ring.memory.host + DATA, 0xab, 512);
	cr_assert_eq(request(VIRTIO_BLK_T_OUT, SECTORS - 1, 512, false), VIRTIO_BLK_S_OK);
	cr_assert_eq(written(), 1);
	cr_assert_eq(pread(image, sector, 512, (SECTORS - 1) * 512), 512);
	cr_assert_eq(sector[0], 0xab);
	cr_assert_eq(sector[511], 0xab);
	cr_assert_eq(lseek(image, 0, SEEK_END), SECTORS * 512);
}

Test(virtio_blk, many_requests_past_every_wrap)
{
	for (uint32_t i = 0; i < 70000; i++) {
		cr_assert_eq(request(VIRTIO_BLK_T_IN, i % SECTORS, 512, true), VIRTIO_BLK_S_OK);
		cr_assert_eq(ring.memory.host[DATA + 100], (uint8_t)(i % SECTORS + 1));
	}
}

/* Header, data and status cut anywhere, a byte at a time if the driver likes (section 2.7.4). */
Test(virtio_blk, every_layout)
{
	for (uint32_t cut = 1; cut < 16; cut++) {
		memset(ring.memory.host + DATA, 0, 600);
		put_header(VIRTIO_BLK_T_IN, cut);
		ring_describe(&ring, 0, HEADER, cut, NEXT, 1);
		ring_describe(&ring, 1, HEADER + cut, 16 - cut, NEXT, 2);
		ring_describe(&ring, 2, DATA, cut, NEXT | WRITE, 3);
		ring_describe(&ring, 3, DATA + cut, 512 - cut + 1, WRITE, 0); /* with the status at its end */
		driver_offer(&driver, 0);
		driver_wait_used(&driver, ++used);
		cr_assert_eq(ring.memory.host[DATA + 512], VIRTIO_BLK_S_OK);
		cr_assert_eq(ring.memory.host[DATA], (uint8_t)(cut + 1));
		cr_assert_eq(ring.memory.host[DATA + 511], (uint8_t)(cut + 1));
		cr_assert_eq(ring.memory.host[DATA + 513], 0);
	}
}

Test(virtio_blk, an_indirect_request_of_many_segments)
{
	put_header(VIRTIO_BLK_T_IN, 0);
	ring_describe(&ring, 0, RING_TABLE, 64 * 16, INDIRECT, 0);
	ring_describe_at(&ring, RING_TABLE, 0, HEADER, 16, NEXT, 1);
	for (uint16_t i = 1; i < 63; i++)
		ring_describe_at(&ring, RING_TABLE, i, DATA + 512U * i, 512, NEXT | WRITE, i + 1);
	ring_describe_at(&ring, RING_TABLE, 63, STATUS, 1, WRITE, 0);
	cr_assert_eq(send(), VIRTIO_BLK_S_OK);
	for (uint32_t i = 1; i < 63; i++)
		cr_assert_eq(ring.memory.host[DATA + 512 * i + 511], i);
}

Test(virtio_blk, flush_and_id)
{
	cr_assert_eq(request(VIRTIO_BLK_T_FLUSH, 0, 0, false), VIRTIO_BLK_S_OK);
	cr_assert_eq(request(VIRTIO_BLK_T_GET_ID, 0, 20, true), VIRTIO_BLK_S_OK);
	cr_assert_eq(written(), 21);
	cr_assert_arr_eq(ring.memory.host + DATA, "disk-0123456789\0\0\0\0\0", 20);
	cr_assert_eq(request(VIRTIO_BLK_T_GET_ID, 0, 19, true), VIRTIO_BLK_S_IOERR);
	cr_assert_eq(request(VIRTIO_BLK_T_GET_ID, 0, 21, true), VIRTIO_BLK_S_IOERR);
	cr_assert_eq(request(VIRTIO_BLK_T_GET_ID, 0, 20, false), VIRTIO_BLK_S_IOERR);
}

Test(virtio_blk, ranges_that_are_not_on_the_disk_are_errors)
{
	static const struct {
		uint64_t sector;
		uint32_t length;
	} ranges[] = {
		{ SECTORS, 512 },
		{ SECTORS - 1, 1024 },
		{ UINT64_MAX, 512 },
		{ UINT64_MAX / 512, 512 },
		{ UINT64_MAX / 512 + 1, 512 },
		{ (UINT64_C(1) << 55), 512 },
		{ 0, 1 },
		{ 0, 511 },
		{ 0, 513 },
	};

	for (size_t i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++) {
		cr_assert_eq(request(VIRTIO_BLK_T_IN, ranges[i].sector, ranges[i].length, true), VIRTIO_BLK_S_IOERR);
		cr_assert_eq(written(), 0);
		cr_assert_eq(request(VIRTIO_BLK_T_OUT, ranges[i].sector, ranges[i].length, false), VIRTIO_BLK_S_IOERR);
	}
	cr_assert_eq(request(VIRTIO_BLK_T_IN, 0, 0, true), VIRTIO_BLK_S_IOERR);
	cr_assert_eq(request(VIRTIO_BLK_T_OUT, 0, 0, false), VIRTIO_BLK_S_IOERR);
}

Test(virtio_blk, data_of_the_wrong_direction_is_an_error)
{
	cr_assert_eq(request(VIRTIO_BLK_T_IN, 0, 512, false), VIRTIO_BLK_S_IOERR);
	cr_assert_eq(request(VIRTIO_BLK_T_OUT, 0, 512, true), VIRTIO_BLK_S_IOERR);
}

Test(virtio_blk, kinds_that_do_not_exist_are_not_supported)
{
	static const uint32_t types[] = { 2, 3, 5, 10, 12, 14, 100, 0x80000000, UINT32_MAX };

	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
		cr_assert_eq(request(types[i], 0, 512, true), VIRTIO_BLK_S_UNSUPP);
}

/* discard and write zeroes */

static uint8_t send_ranges(uint32_t type, const struct virtio_blk_discard_write_zeroes *segments, uint32_t count)
{
	cr_assert_eq(guest_memory_write(&ring.memory, DATA, segments, count * sizeof(*segments)), 0);
	return request(type, 0, (uint32_t)(count * sizeof(*segments)), false);
}

static bool sector_is_zero(uint64_t sector)
{
	uint8_t bytes[512];
	static const uint8_t zeros[512];

	cr_assert_eq(pread(image, bytes, 512, (off_t)(sector * 512)), 512);
	return memcmp(bytes, zeros, 512) == 0;
}

Test(virtio_blk, write_zeroes)
{
	for (uint32_t flags = 0; flags < 2; flags++) {
		const struct virtio_blk_discard_write_zeroes segment = { 3 + 100 * flags, 2, flags };

		cr_assert_eq(send_ranges(VIRTIO_BLK_T_WRITE_ZEROES, &segment, 1), VIRTIO_BLK_S_OK);
		cr_assert_not(sector_is_zero(segment.sector - 1));
		cr_assert(sector_is_zero(segment.sector));
		cr_assert(sector_is_zero(segment.sector + 1));
		cr_assert_not(sector_is_zero(segment.sector + 2));
	}
}

Test(virtio_blk, discard)
{
	struct virtio_blk_discard_write_zeroes segments[BLK_DISCARD_SEGMENTS_MAX + 1];

	for (uint32_t i = 0; i <= BLK_DISCARD_SEGMENTS_MAX; i++)
		segments[i] = (struct virtio_blk_discard_write_zeroes){ .sector = 16 * i, .num_sectors = 8 };
	cr_assert_eq(send_ranges(VIRTIO_BLK_T_DISCARD, segments, BLK_DISCARD_SEGMENTS_MAX), VIRTIO_BLK_S_OK);
	cr_assert(sector_is_zero(16 * (BLK_DISCARD_SEGMENTS_MAX - 1)));
	cr_assert_not(sector_is_zero(8));
	cr_assert_eq(send_ranges(VIRTIO_BLK_T_DISCARD, segments, BLK_DISCARD_SEGMENTS_MAX + 1), VIRTIO_BLK_S_IOERR);
}

Test(virtio_blk, bad_ranges_to_discard_or_zero)
{
	static const struct {
		struct virtio_blk_discard_write_zeroes segment;
		uint8_t discard;
		uint8_t zeroes;
	} cases[] = {
		{ { 0, 8, 2 }, VIRTIO_BLK_S_UNSUPP, VIRTIO_BLK_S_UNSUPP },
		{ { 0, 8, 0x80000000 }, VIRTIO_BLK_S_UNSUPP, VIRTIO_BLK_S_UNSUPP },
		{ { 0, 8, 1 }, VIRTIO_BLK_S_UNSUPP, VIRTIO_BLK_S_OK },
		{ { 0, 0, 0 }, VIRTIO_BLK_S_IOERR, VIRTIO_BLK_S_IOERR },
		{ { SECTORS, 1, 0 }, VIRTIO_BLK_S_IOERR, VIRTIO_BLK_S_IOERR },
		{ { SECTORS - 1, 2, 0 }, VIRTIO_BLK_S_IOERR, VIRTIO_BLK_S_IOERR },
		{ { 0, UINT32_MAX, 0 }, VIRTIO_BLK_S_IOERR, VIRTIO_BLK_S_IOERR },
		{ { UINT64_MAX, 2, 0 }, VIRTIO_BLK_S_IOERR, VIRTIO_BLK_S_IOERR },
		{ { UINT64_MAX, UINT32_MAX, 0 }, VIRTIO_BLK_S_IOERR, VIRTIO_BLK_S_IOERR },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		cr_assert_eq(send_ranges(VIRTIO_BLK_T_DISCARD, &cases[i].segment, 1), cases[i].discard, "%zu", i);
		cr_assert_eq(send_ranges(VIRTIO_BLK_T_WRITE_ZEROES, &cases[i].segment, 1), cases[i].zeroes, "%zu", i);
	}
	for (uint32_t length = 1; length < 40; length++) {
		if (length != 16 && length != 32) {
			cr_assert_eq(request(VIRTIO_BLK_T_DISCARD, 0, length, false), VIRTIO_BLK_S_IOERR);
			cr_assert_eq(request(VIRTIO_BLK_T_WRITE_ZEROES, 0, length, false), VIRTIO_BLK_S_IOERR);
		}
	}
	cr_assert_eq(request(VIRTIO_BLK_T_DISCARD, 0, 16, true), VIRTIO_BLK_S_IOERR);
	cr_assert_eq(request(VIRTIO_BLK_T_DISCARD, 0, 0, true), VIRTIO_BLK_S_IOERR);
}

/* The first segment is good: none is carried out where one is bad. */
Test(virtio_blk, ranges_are_carried_out_together_or_not)
{
	const struct virtio_blk_discard_write_zeroes segments[] = { { 0, 8, 0 }, { SECTORS, 8, 0 } };

	cr_assert_eq(send_ranges(VIRTIO_BLK_T_DISCARD, segments, 2), VIRTIO_BLK_S_IOERR);
	cr_assert_not(sector_is_zero(0));
}

Test(virtio_blk, a_read_only_disk)
{
	const struct virtio_blk_discard_write_zeroes segment = { 0, 8, 0 };

	free_blk(blk);
	start(open_blk(true, -1, NULL));
	cr_assert(driver_offered(&driver) & FEATURE(VIRTIO_BLK_F_RO));
	cr_assert_not(driver_offered(&driver) & FEATURE(VIRTIO_BLK_F_DISCARD));
	cr_assert_eq(request(VIRTIO_BLK_T_OUT, 0, 512, false), VIRTIO_BLK_S_IOERR);
	cr_assert_eq(send_ranges(VIRTIO_BLK_T_DISCARD, &segment, 1), VIRTIO_BLK_S_IOERR);
	cr_assert_eq(send_ranges(VIRTIO_BLK_T_WRITE_ZEROES, &segment, 1), VIRTIO_BLK_S_IOERR);
	cr_assert_eq(request(VIRTIO_BLK_T_FLUSH, 0, 0, false), VIRTIO_BLK_S_OK);
	cr_assert_eq(request(VIRTIO_BLK_T_IN, 0, 512, true), VIRTIO_BLK_S_OK);
	cr_assert_not(sector_is_zero(0));
}

/* requests that cannot be answered */

static void assert_fails(const char *fault)
{
	driver_offer(&driver, 0);
	driver_wait_failed(&driver);
	cr_assert_eq(ring_used_index(&ring), used);
	cr_assert_not_null(strstr(virtio_blk_device(blk)->fault, fault), "%s", virtio_blk_device(blk)->fault);
	driver_write(&driver, VIRTIO_MMIO_STATUS, 0);
	start(blk);
}

Test(virtio_blk, a_request_without_a_place_for_its_status)
{
	put_header(VIRTIO_BLK_T_OUT, 0);
	ring_describe(&ring, 0, HEADER, 16, NEXT, 1);
	ring_describe(&ring, 1, DATA, 512, 0, 0);
	assert_fails("no place for a status");
}

Test(virtio_blk, a_request_shorter_than_its_header)
{
	put_header(VIRTIO_BLK_T_IN, 0);
	for (uint32_t length = 1; length < 16; length++) {
		ring_describe(&ring, 0, HEADER, length, NEXT, 1);
		ring_describe(&ring, 1, DATA, 513, WRITE, 0);
		assert_fails("shorter than its header");
	}
	ring_describe(&ring, 0, DATA, 513, WRITE, 0);
	assert_fails("shorter than its header");
}

Test(virtio_blk, buffers_outside_memory)
{
	put_header(VIRTIO_BLK_T_IN, 0);
	ring_describe(&ring, 0, HEADER, 16, NEXT, 1);
	ring_describe(&ring, 1, RING_MEMORY - 512, 513, WRITE, 0);
	assert_fails("outside memory");
	ring_describe(&ring, 0, HEADER, 16, NEXT, 1);
	ring_describe(&ring, 1, DATA, UINT32_MAX, WRITE, 0);
	assert_fails("outside memory");
	ring_describe(&ring, 0, UINT64_MAX - 7, 16, NEXT, 1);
	assert_fails("outside memory");
}

/* A disk's data over its own rings: the driver harms nobody but itself. */
Test(virtio_blk, data_over_the_queue_itself)
{
	put_header(VIRTIO_BLK_T_IN, 0);
	ring_describe(&ring, 0, HEADER, 16, NEXT, 1);
	ring_describe(&ring, 1, RING_DESCRIPTORS, 0x7000, NEXT | WRITE, 2);
	ring_describe(&ring, 2, STATUS, 1, WRITE, 0);
	driver_offer(&driver, 0);
	driver_wait_failed(&driver); /* sectors of 0x01 and on are no index that the ring could have */
	driver_write(&driver, VIRTIO_MMIO_STATUS, 0);
	start(blk);
	cr_assert_eq(request(VIRTIO_BLK_T_IN, 0, 512, true), VIRTIO_BLK_S_OK);
}

/* pauses, snapshots */

Test(virtio_blk, a_clone_goes_on_with_its_own_overlay)
{
	static uint8_t state[DEVICE_STATE_MAX];
	struct error_detail detail = { 0 };
	int overlay = memfd_create("overlay", MFD_CLOEXEC);
	int copy;
	struct virtio_blk *clone;
	uint8_t *bytes = malloc(4 << 20);
	ssize_t size;

	free_blk(blk);
	start(open_blk(false, dup(overlay), NULL));
	memset(ring.memory.host + DATA, 0x11, 4096);
	cr_assert_eq(request(VIRTIO_BLK_T_OUT, 8, 4096, false), VIRTIO_BLK_S_OK);

	/* A read is in the ring at the pause, perhaps served and perhaps not: the clone gives it back exactly once. */
	put_header(VIRTIO_BLK_T_IN, 8);
	ring_describe(&ring, 0, HEADER, 16, NEXT, 1);
	ring_describe(&ring, 1, DATA, 4096, NEXT | WRITE, 2);
	driver_offer(&driver, 0);
	driver_pause(&driver);
	virtio_blk_ops.save(&virtio_blk_device(blk)->device, state);
	size = pread(overlay, bytes, 4 << 20, 0);
	cr_assert_gt(size, 0);
	copy = memfd_create("copy", MFD_CLOEXEC);
	cr_assert_eq(write(copy, bytes, (size_t)size), size);
	free(bytes);

	clone = open_blk(false, copy, NULL);
	cr_assert_eq(state_fields_check(virtio_blk_ops.state_fields, state, "virtio_blk", &detail), 0);
	cr_assert_eq(virtio_blk_ops.restore(&virtio_blk_device(clone)->device, state, &detail), 0, "%s", detail.text);
	free_blk(blk);
	blk = clone;
	driver_open(&driver, &ring, virtio_blk_device(clone));
	driver_wait_used(&driver, ++used);
	cr_assert_eq(ring.memory.host[STATUS], VIRTIO_BLK_S_OK);
	cr_assert_eq(ring.memory.host[DATA], 0x11);

	memset(ring.memory.host + DATA, 0x22, 4096);
	cr_assert_eq(request(VIRTIO_BLK_T_OUT, 8, 4096, false), VIRTIO_BLK_S_OK);
	cr_assert_eq(request(VIRTIO_BLK_T_IN, 15, 1024, true), VIRTIO_BLK_S_OK);
	cr_assert_eq(ring.memory.host[DATA], 0x22);
	cr_assert_eq(ring.memory.host[DATA + 512], 17);
	cr_assert_eq(pread(image, state, 1, 8 * 512), 1);
	cr_assert_eq(state[0], 9, "the image is as it was");
}

Test(virtio_blk, a_disk_of_another_size_cannot_go_on)
{
	static uint8_t state[DEVICE_STATE_MAX];
	struct error_detail detail = { 0 };
	struct virtio_blk *other;

	driver_pause(&driver);
	virtio_blk_ops.save(&virtio_blk_device(blk)->device, state);
	cr_assert_eq(ftruncate(image, (SECTORS + 1) * 512), 0);
	other = open_blk(false, -1, NULL);
	cr_assert_eq(virtio_blk_ops.restore(&virtio_blk_device(other)->device, state, &detail), -EINVAL);
	cr_assert_not_null(strstr(detail.text, "capacity"), "%s", detail.text);
	free_blk(other);
	cr_assert_eq(ftruncate(image, SECTORS * 512), 0);
	other = open_blk(true, -1, NULL);
	cr_assert_eq(virtio_blk_ops.restore(&virtio_blk_device(other)->device, state, &detail), -EINVAL,
		     "a driver that discards finds a disk that does not");
	free_blk(other);
}

Test(virtio_blk, bad_options_are_refused)
{
	struct virtio_blk_options options = { .disk = { .image = image, .base = -1, .overlay = -1 } };
	struct error_detail detail = { 0 };
	struct virtio_blk *other;

	cr_assert_eq(virtio_blk_new(1, &ring.memory, &other), 0);
	options.serial = "012345678901234567890";
	cr_assert_eq(virtio_blk_configure(other, &options, &detail), -EINVAL);
	cr_assert_not_null(strstr(detail.text, "serial"));
	options.serial = "01234567890123456789";
	options.disk.image = -1;
	cr_assert_eq(virtio_blk_configure(other, &options, &detail), -EBADF);
	options.disk.image = dup(image);
	cr_assert_eq(virtio_blk_configure(other, &options, &detail), 0);
	cr_assert_eq(virtio_blk_configure(other, &options, &detail), -EBUSY);
	free_blk(other);
}

/* One request in an hour: the second stays in the ring through a pause, and a reset does not wait for it. */
Test(virtio_blk, a_limit_holds_requests_back)
{
	const struct rate_limit_options limit = { .bytes = { .per_second = 1, .burst = 1 } };

	free_blk(blk);
	start(open_blk(false, -1, &limit));
	cr_assert_eq(request(VIRTIO_BLK_T_IN, 0, 4096, true), VIRTIO_BLK_S_OK);
	driver_offer(&driver, 0);
	driver_pause(&driver);
	cr_assert_eq(ring_used_index(&ring), used);
	driver_resume(&driver);
	driver_write(&driver, VIRTIO_MMIO_STATUS, 0);
	cr_assert_eq(driver_status(&driver), 0);
}

Test(virtio_blk, a_reset_after_each_request_leaves_nothing_behind)
{
	for (int i = 0; i < 200; i++) {
		put_header(VIRTIO_BLK_T_IN, 0);
		ring_describe(&ring, 0, HEADER, 16, NEXT, 1);
		ring_describe(&ring, 1, DATA, 512 * 1024, NEXT | WRITE, 2);
		ring_describe(&ring, 2, STATUS, 1, WRITE, 0);
		driver_offer(&driver, 0);
		driver_write(&driver, VIRTIO_MMIO_STATUS, 0);
		memset(ring.memory.host + DATA, 0x5a, 512 * 1024);
		ring.memory.host[STATUS] = NO_STATUS;
		(void)sched_yield();
		cr_assert_eq(ring.memory.host[STATUS], NO_STATUS);
		cr_assert_eq(ring.memory.host[DATA + 1000], 0x5a);
		start(blk);
	}
}
