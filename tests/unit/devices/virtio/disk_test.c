/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Disks of a raw image and of an image with an overlay, against a model in memory; and overlays' files, good and bad.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "devices/virtio/blk/disk.h"
#include "devices/virtio/blk/overlay.h"
#include "disk_model.h"

TestSuite(disk, .init = model_set_up, .fini = model_tear_down);

static struct disk *open_disk(bool with_overlay, bool read_only, uint64_t limit)
{
	return open_layers(-1, with_overlay ? overlay : -1, read_only, limit);
}

Test(disk, a_raw_image_is_what_was_written)
{
	struct disk *disk = open_disk(false, false, 0);
	static uint8_t bytes[DISK_SIZE];

	for (int i = 0; i < 2000; i++)
		random_step(disk);
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
			random_step(disk);
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
		random_step(disk);
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
			struct virtqueue_cursor cursor = make_cursor(8192, true);

			cr_assert_eq(disk_read(disk, ranges[i].offset, ranges[i].length, &cursor), -EINVAL);
			cr_assert_eq(disk_zero(disk, ranges[i].offset, ranges[i].length, true), -EINVAL);
			cr_assert_eq(disk_discard(disk, ranges[i].offset, ranges[i].length), -EINVAL);
			cursor = make_cursor(8192, false);
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
	struct virtqueue_cursor cursor = make_cursor(512, true);

	cr_assert_eq(disk_read(disk, 0, 1024, &cursor), -EIO);
	cursor = make_cursor(512, true);
	cr_assert_eq(disk_write(disk, 0, 512, &cursor), -EINVAL);
	cursor = make_cursor(512, false);
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

static void assert_files_refused(int image_file, int overlay_file, bool read_only, const char *text)
{
	const struct disk_options options = {
		.image = image_file,
		.base = -1,
		.overlay = overlay_file,
		.read_only = read_only,
	};

	assert_refused(&options, text);
}

Test(disk, images_that_are_none)
{
	int folder = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	assert_files_refused(-1, -1, false, "fstat");
	assert_files_refused(folder, -1, false, "regular");
	cr_assert_eq(ftruncate(image, 0), 0);
	assert_files_refused(image, -1, false, "sectors");
	cr_assert_eq(ftruncate(image, 511), 0);
	assert_files_refused(image, -1, false, "sectors");
	cr_assert_eq(ftruncate(image, 1025), 0);
	assert_files_refused(image, -1, false, "sectors");
}

Test(disk, overlays_that_are_none)
{
	int folder = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	assert_files_refused(image, folder, false, "regular");
	assert_files_refused(image, overlay, true, "empty");
	cr_assert_eq(ftruncate(overlay, 100), 0);
	assert_files_refused(image, overlay, false, "too few");
	cr_assert_eq(ftruncate(overlay, (off_t)1 << 20), 0);
	assert_files_refused(image, overlay, false, "header");
	cr_assert_eq(ftruncate(image, (off_t)OVERLAY_IMAGE_MAX + 512), 0);
	assert_files_refused(image, overlay, false, "cannot have one");
}

Test(disk, an_overlay_belongs_to_images_of_its_size)
{
	disk_close(open_disk(true, false, 0));
	cr_assert_eq(ftruncate(image, DISK_SIZE - 512), 0);
	assert_files_refused(image, overlay, false, "header");
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
		assert_files_refused(image, overlay, false, "");
		byte ^= 0x40;
		cr_assert_eq(pwrite(overlay, &byte, 1, i), 1);
	}

	memset(ones, 0xff, sizeof(ones));
	cr_assert_eq(pwrite(overlay, ones, sizeof(ones), 4096), sizeof(ones));
	disk = open_disk(true, false, 0);
	cursor = make_cursor(DISK_SIZE, true);
	cr_assert_eq(disk_read(disk, 0, DISK_SIZE, &cursor), 0);
	memset(model, 0, DISK_SIZE);
	assert_is_model(disk);
	disk_close(disk);
}

Test(disk, bits_of_clusters_that_the_disk_does_not_have_do_not_count)
{
	uint8_t bits[4096 - 5];
	struct disk *disk;

	disk_close(open_disk(true, false, 0));
	memset(bits, 0xff, sizeof(bits));
	bits[0] = 0xfe; /* bit 0 is the last cluster's, the 41st */
	cr_assert_eq(pwrite(overlay, bits, sizeof(bits), 4096 + 5), sizeof(bits));
	disk = open_disk(true, false, 4096);
	fill_disk(disk, 0, 4096, 1);
	assert_is_model(disk);
	disk_close(disk);
}

Test(disk, an_image_of_any_size_up_to_the_largest_can_have_an_overlay)
{
	const struct disk_options options = { .image = dup(image), .base = -1, .overlay = dup(overlay) };
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
