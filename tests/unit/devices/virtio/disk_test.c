/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Disks of a raw image and of an image with an overlay, against a model in memory; and overlays' files, good and bad.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "devices/virtio/blk/disk.h"
#include "devices/virtio/blk/overlay.h"
#include "ring.h"

#define DISK_SIZE (40 * 4096 + 3 * 512) /* the last cluster is a part of one */

static struct ring ring;
static struct virtqueue queue;
static struct virtqueue_chain chain;
static int image;
static int overlay;
static uint8_t original[DISK_SIZE];
static uint8_t model[DISK_SIZE];

static void set_up(void)
{
	ring_open(&ring, 8);
	virtqueue_init(&queue, &ring.memory, 8);
	image = memfd_create("image", MFD_CLOEXEC);
	overlay = memfd_create("overlay", MFD_CLOEXEC);
	for (size_t i = 0; i < DISK_SIZE; i++)
		original[i] = (uint8_t)(i / 512 + i * 7 + 1);
	memcpy(model, original, DISK_SIZE);
	cr_assert_eq(write(image, original, DISK_SIZE), DISK_SIZE);
}

static void tear_down(void)
{
	ring_close(&ring);
	close(image);
	close(overlay);
}

TestSuite(disk, .init = set_up, .fini = tear_down);

static struct disk *open_disk(bool with_overlay, bool read_only, uint64_t limit)
{
	const struct disk_options options = {
		.image = dup(image),
		.overlay = with_overlay ? dup(overlay) : -1,
		.overlay_limit = limit,
		.read_only = read_only,
	};
	struct error_detail detail = { 0 };
	struct disk *disk = NULL;

	cr_assert_eq(disk_open(&options, &disk, &detail), 0, "%s", detail.text);
	cr_assert_eq(disk_size(disk), DISK_SIZE);
	return disk;
}

/* A chain of three segments, of odd sizes where that is possible. */
static void make_chain(uint64_t length, bool writable)
{
	uint32_t first = length > 2 ? (uint32_t)(length / 3) : (uint32_t)length;

	memset(&chain, 0, sizeof(chain));
	chain.segments[0] = (struct virtqueue_segment){ RING_BUFFERS + 1, first };
	chain.segments[1] = (struct virtqueue_segment){ RING_BUFFERS + 0x40000, 1 };
	chain.segments[2] =
		(struct virtqueue_segment){ RING_BUFFERS + 0x40100, (uint32_t)length - first - (length > first) };
	chain.readable = writable ? 0 : 3;
	chain.writable = writable ? 3 : 0;
	chain.readable_bytes = writable ? 0 : length;
	chain.writable_bytes = writable ? length : 0;
}

static int read_disk(struct disk *disk, uint64_t offset, uint64_t length, uint8_t *ret_data)
{
	struct virtqueue_cursor cursor;
	size_t done = 0;
	int r;

	make_chain(length, true);
	virtqueue_cursor_writable(&cursor, &queue, &chain);
	r = disk_read(disk, offset, length, &cursor);
	for (int i = 0; r == 0 && i < 3; i++) {
		memcpy(ret_data + done, ring.memory.host + chain.segments[i].gpa, chain.segments[i].length);
		done += chain.segments[i].length;
	}
	return r;
}

static int write_disk(struct disk *disk, uint64_t offset, uint64_t length, const uint8_t *data)
{
	struct virtqueue_cursor cursor;
	size_t done = 0;

	make_chain(length, false);
	for (int i = 0; i < 3; i++) {
		memcpy(ring.memory.host + chain.segments[i].gpa, data + done, chain.segments[i].length);
		done += chain.segments[i].length;
	}
	virtqueue_cursor_readable(&cursor, &queue, &chain);
	return disk_write(disk, offset, length, &cursor);
}

static void assert_is_model(struct disk *disk)
{
	static uint8_t bytes[DISK_SIZE];

	cr_assert_eq(read_disk(disk, 0, DISK_SIZE, bytes), 0);
	for (size_t i = 0; i < DISK_SIZE; i++)
		cr_assert_eq(bytes[i], model[i], "byte %zu", i);
}

static void assert_image_untouched(void)
{
	static uint8_t bytes[DISK_SIZE];

	cr_assert_eq(pread(image, bytes, DISK_SIZE, 0), DISK_SIZE);
	cr_assert_arr_eq(bytes, original, DISK_SIZE);
}

static uint32_t random_state = 1;

static uint32_t next_random(uint32_t below)
{
	random_state = random_state * 1664525 + 1013904223;
	return (random_state >> 8) % below;
}

/*
 * One random operation on the disk and on the model. A discard's result is read back: it may be anything of this disk's
 * own.
 */
static void step(struct disk *disk)
{
	uint64_t sectors = DISK_SIZE / 512;
	uint64_t first = next_random((uint32_t)sectors);
	uint64_t count = 1 + next_random((uint32_t)(sectors - first < 30 ? sectors - first : 30));
	uint64_t offset = first * 512;
	uint64_t length = count * 512;
	static uint8_t data[DISK_SIZE];

	switch (next_random(8)) {
	case 0:
	case 1:
	case 2:
		memset(data, (int)next_random(256), length);
		data[0] = (uint8_t)next_random(256);
		cr_assert_eq(write_disk(disk, offset, length, data), 0);
		memcpy(model + offset, data, length);
		break;
	case 3:
		cr_assert_eq(disk_zero(disk, offset, length, next_random(2)), 0);
		memset(model + offset, 0, length);
		break;
	case 4:
		cr_assert_eq(disk_discard(disk, offset, length), 0);
		cr_assert_eq(read_disk(disk, offset, length, data), 0);
		for (uint64_t i = 0; i < length; i++)
			cr_assert(data[i] == 0 || data[i] == model[offset + i] || data[i] == original[offset + i]);
		memcpy(model + offset, data, length);
		break;
	case 5:
		cr_assert_eq(disk_flush(disk), 0);
		break;
	default:
		cr_assert_eq(read_disk(disk, offset, length, data), 0);
		cr_assert_arr_eq(data, model + offset, length);
		break;
	}
}

Test(disk, a_raw_image_is_what_was_written)
{
	struct disk *disk = open_disk(false, false, 0);
	static uint8_t bytes[DISK_SIZE];

	for (int i = 0; i < 2000; i++)
		step(disk);
	assert_is_model(disk);
	disk_close(disk);
	cr_assert_eq(pread(image, bytes, DISK_SIZE, 0), DISK_SIZE);
	cr_assert_arr_eq(bytes, model, DISK_SIZE);
}

/* ... through every reopening, while the image stays as it was. */
Test(disk, an_overlay_is_what_was_written)
{
	for (int turn = 0; turn < 40; turn++) {
		struct disk *disk = open_disk(true, false, 0);

		assert_is_model(disk);
		for (int i = 0; i < 50; i++)
			step(disk);
		assert_is_model(disk);
		cr_assert_eq(disk_save(disk), 0);
		disk_close(disk);
	}
	assert_image_untouched();
}

Test(disk, a_flush_saves_an_overlay_too)
{
	struct disk *disk = open_disk(true, false, 0);

	for (int i = 0; i < 50; i++)
		step(disk);
	cr_assert_eq(disk_flush(disk), 0);
	disk_close(disk);
	disk = open_disk(true, false, 0);
	assert_is_model(disk);
	disk_close(disk);
}

Test(disk, an_overlay_is_sparse)
{
	struct disk *disk = open_disk(true, false, 0);
	struct stat status;

	memset(model + 8192, 1, 4096);
	cr_assert_eq(write_disk(disk, 8192, 4096, model + 8192), 0);
	cr_assert_eq(disk_save(disk), 0);
	disk_close(disk);
	cr_assert_eq(fstat(overlay, &status), 0);
	cr_assert_gt(status.st_size, DISK_SIZE);
	cr_assert_leq(status.st_blocks * 512, 3 * 4096, "header, bitmap and one cluster");
}

Test(disk, an_overlay_holds_no_more_than_its_limit)
{
	struct disk *disk = open_disk(true, false, 3 * 4096 + 100);
	uint8_t data[4 * 4096];

	memset(data, 0x77, sizeof(data));
	cr_assert_eq(write_disk(disk, 0, 4 * 4096, data), -ENOSPC);
	assert_is_model(disk);
	cr_assert_eq(write_disk(disk, 512, 512, data), 0);
	memcpy(model + 512, data, 512);
	cr_assert_eq(write_disk(disk, 2 * 4096 + 512, 4096, data), 0);
	memcpy(model + 2 * 4096 + 512, data, 4096);
	cr_assert_eq(write_disk(disk, 8 * 4096, 512, data), -ENOSPC);
	cr_assert_eq(disk_zero(disk, 8 * 4096, 512, true), -ENOSPC);
	cr_assert_eq(write_disk(disk, 2 * 4096, 2 * 4096, data), 0, "what it holds can be changed");
	memcpy(model + 2 * 4096, data, 2 * 4096);
	assert_is_model(disk);
	cr_assert_eq(disk_save(disk), 0);
	disk_close(disk);

	disk = open_disk(true, false, 4096);
	assert_is_model(disk);
	cr_assert_eq(write_disk(disk, 0, 4096, data), 0, "even where it holds more than a new limit");
	cr_assert_eq(write_disk(disk, 8 * 4096, 512, data), -ENOSPC);
	disk_close(disk);
}

Test(disk, ranges_that_are_not_on_the_disk)
{
	static const struct {
		uint64_t offset;
		uint64_t length;
	} ranges[] = {
		{ 0, 0 },
		{ DISK_SIZE, 512 },
		{ DISK_SIZE - 512, 1024 },
		{ 0, DISK_SIZE + 512 },
		{ 1, 512 },
		{ 0, 511 },
		{ 0, 513 },
		{ UINT64_MAX - 511, 512 },
		{ UINT64_MAX, 512 },
		{ 512, UINT64_MAX - 511 },
		{ UINT64_C(1) << 63, 512 },
	};

	for (int with_overlay = 0; with_overlay < 2; with_overlay++) {
		struct disk *disk = open_disk(with_overlay, false, 0);

		for (size_t i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++) {
			struct virtqueue_cursor cursor;

			make_chain(8192, true);
			virtqueue_cursor_writable(&cursor, &queue, &chain);
			cr_assert_eq(disk_read(disk, ranges[i].offset, ranges[i].length, &cursor), -EINVAL);
			cr_assert_eq(disk_zero(disk, ranges[i].offset, ranges[i].length, true), -EINVAL);
			cr_assert_eq(disk_discard(disk, ranges[i].offset, ranges[i].length), -EINVAL);
			make_chain(8192, false);
			virtqueue_cursor_readable(&cursor, &queue, &chain);
			cr_assert_eq(disk_write(disk, ranges[i].offset, ranges[i].length, &cursor), -EINVAL);
		}
		assert_is_model(disk);
		disk_close(disk);
	}
	assert_image_untouched();
}

Test(disk, a_read_only_disk_is_only_read)
{
	struct disk *disk = open_disk(false, true, 0);
	uint8_t data[512] = { 0 };

	cr_assert(disk_is_read_only(disk));
	cr_assert_eq(write_disk(disk, 0, 512, data), -EROFS);
	cr_assert_eq(disk_zero(disk, 0, 512, true), -EROFS);
	cr_assert_eq(disk_discard(disk, 0, 512), -EROFS);
	cr_assert_eq(disk_flush(disk), 0);
	assert_is_model(disk);
	disk_close(disk);
	assert_image_untouched();
}

Test(disk, a_cursor_that_ends_early_or_goes_the_wrong_way_is_an_error)
{
	struct disk *disk = open_disk(false, false, 0);
	struct virtqueue_cursor cursor;

	make_chain(512, true);
	virtqueue_cursor_writable(&cursor, &queue, &chain);
	cr_assert_eq(disk_read(disk, 0, 1024, &cursor), -EIO);
	virtqueue_cursor_writable(&cursor, &queue, &chain);
	cr_assert_eq(disk_write(disk, 0, 512, &cursor), -EINVAL);
	make_chain(512, false);
	virtqueue_cursor_readable(&cursor, &queue, &chain);
	cr_assert_eq(disk_read(disk, 0, 512, &cursor), -EINVAL);
	disk_close(disk);
	assert_image_untouched();
}

/* Whoever has the image may cut it while it is used. */
Test(disk, an_image_that_is_cut_gives_errors)
{
	struct disk *disk = open_disk(true, false, 0);
	uint8_t data[4096] = { 0 };

	cr_assert_eq(ftruncate(image, 8192), 0);
	cr_assert_eq(read_disk(disk, 8192, 512, data), -EIO);
	cr_assert_eq(read_disk(disk, 4096, 4096, data), 0);
	cr_assert_eq(write_disk(disk, 8192, 512, data), -EIO);
	cr_assert_eq(write_disk(disk, 8192, 4096, data), 0);
	cr_assert_eq(read_disk(disk, 8192, 4096, data), 0);
	disk_close(disk);
}

static void assert_refused(int image_file, int overlay_file, bool read_only, const char *text)
{
	const struct disk_options options = { .image = image_file, .overlay = overlay_file, .read_only = read_only };
	struct error_detail detail = { 0 };
	struct disk *disk = (struct disk *)&detail;

	cr_assert_lt(disk_open(&options, &disk, &detail), 0);
	cr_assert_not_null(strstr(detail.text, text), "%s", detail.text);
	cr_assert_eq(disk, (struct disk *)&detail);
}

Test(disk, images_that_are_none)
{
	int folder = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	assert_refused(-1, -1, false, "fstat");
	assert_refused(folder, -1, false, "regular");
	cr_assert_eq(ftruncate(image, 0), 0);
	assert_refused(image, -1, false, "sectors");
	cr_assert_eq(ftruncate(image, 511), 0);
	assert_refused(image, -1, false, "sectors");
	cr_assert_eq(ftruncate(image, 1025), 0);
	assert_refused(image, -1, false, "sectors");
}

Test(disk, overlays_that_are_none)
{
	int folder = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	assert_refused(image, folder, false, "regular");
	assert_refused(image, overlay, true, "empty");
	cr_assert_eq(ftruncate(overlay, 100), 0);
	assert_refused(image, overlay, false, "too few");
	cr_assert_eq(ftruncate(overlay, (off_t)1 << 20), 0);
	assert_refused(image, overlay, false, "header");
	cr_assert_eq(ftruncate(image, (off_t)OVERLAY_IMAGE_MAX + 512), 0);
	assert_refused(image, overlay, false, "cannot have one");
}

Test(disk, an_overlay_belongs_to_images_of_its_size)
{
	disk_close(open_disk(true, false, 0));
	cr_assert_eq(ftruncate(image, DISK_SIZE - 512), 0);
	assert_refused(image, overlay, false, "header");
}

/* Each byte of the header counts; any bitmap whatever is one. */
Test(disk, an_overlay_that_somebody_has_changed)
{
	uint8_t byte;
	struct disk *disk;
	uint8_t ones[4096];
	struct virtqueue_cursor cursor;

	disk_close(open_disk(true, false, 0));
	for (off_t i = 0; i < 32; i++) {
		cr_assert_eq(pread(overlay, &byte, 1, i), 1);
		byte ^= 0x40;
		cr_assert_eq(pwrite(overlay, &byte, 1, i), 1);
		assert_refused(image, overlay, false, "");
		byte ^= 0x40;
		cr_assert_eq(pwrite(overlay, &byte, 1, i), 1);
	}

	memset(ones, 0xff, sizeof(ones));
	cr_assert_eq(pwrite(overlay, ones, sizeof(ones), 4096), sizeof(ones));
	disk = open_disk(true, false, 0);
	make_chain(DISK_SIZE, true);
	virtqueue_cursor_writable(&cursor, &queue, &chain);
	cr_assert_eq(disk_read(disk, 0, DISK_SIZE, &cursor), 0);
	memset(model, 0, DISK_SIZE);
	assert_is_model(disk);
	disk_close(disk);
}

Test(disk, an_image_of_any_size_up_to_the_largest_can_have_an_overlay)
{
	const struct disk_options options = { .image = dup(image), .overlay = dup(overlay) };
	struct error_detail detail = { 0 };
	struct disk *disk;
	uint8_t data[1024] = "last";
	uint64_t last = OVERLAY_IMAGE_MAX - 1024;

	cr_assert_eq(ftruncate(image, (off_t)OVERLAY_IMAGE_MAX), 0);
	cr_assert_eq(disk_open(&options, &disk, &detail), 0, "%s", detail.text);
	cr_assert_eq(write_disk(disk, last, 1024, data), 0);
	memset(data, 0, sizeof(data));
	cr_assert_eq(read_disk(disk, last, 1024, data), 0);
	cr_assert_str_eq((const char *)data, "last");
	disk_close(disk);
}
