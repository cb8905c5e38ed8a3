/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Disks of three layers: which of them a byte is read from, written to and counted against; and bases that somebody has
 * changed.
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

TestSuite(disk_layers, .init = model_set_up, .fini = model_tear_down);

Test(disk_layers, every_combination)
{
	enum { NONE, FRESH, WRITTEN };
	static const struct {
		const char *refused;
		int overlay;
		bool base;
		bool read_only;
	} cases[] = {
		{ NULL, NONE, false, false },    { NULL, NONE, false, true },     { NULL, FRESH, false, false },
		{ "empty", FRESH, false, true }, { NULL, WRITTEN, false, false }, { NULL, WRITTEN, false, true },
		{ "base: ", NONE, true, false }, { NULL, NONE, true, true },      { NULL, FRESH, true, false },
		{ "empty", FRESH, true, true },  { NULL, WRITTEN, true, false },  { NULL, WRITTEN, true, true },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct disk_options options = { .read_only = cases[i].read_only };
		struct disk *disk;

		model_tear_down();
		model_set_up();
		if (cases[i].base)
			make_base(0xb0);
		if (cases[i].overlay == WRITTEN) {
			disk = open_layers(-1, overlay, false, 0);
			fill_disk(disk, 3 * CLUSTER, 5 * CLUSTER, 0xa0);
			cr_assert_eq(disk_save(disk), 0);
			disk_close(disk);
		}

		options.image = image;
		options.base = cases[i].base ? base : -1;
		options.overlay = cases[i].overlay != NONE ? overlay : -1;
		if (cases[i].refused) {
			assert_refused(&options, cases[i].refused);
			continue;
		}
		disk = open_layers(options.base, options.overlay, options.read_only, 0);
		assert_is_model(disk);
		if (options.read_only)
			cr_assert_eq(write_disk(disk, 0, 512, model), -EROFS);
		else
			fill_disk(disk, 4 * CLUSTER + 512, 30 * CLUSTER, 0xc0);
		assert_is_model(disk);
		disk_close(disk);
	}
}

/* Each cluster of a range from another layer, at every place and of every length. */
Test(disk_layers, a_read_goes_through_all_of_them)
{
	struct disk *disk;
	uint8_t bytes[8 * CLUSTER];

	make_base(0xb0);
	disk = open_layers(base, overlay, false, 0);
	fill_disk(disk, 3 * CLUSTER, CLUSTER, 0xa0);
	fill_disk(disk, 5 * CLUSTER, CLUSTER, 0xa1);
	for (uint64_t first = 0; first < 64; first++) {
		for (uint64_t count = 1; first + count <= 64; count++) {
			cr_assert_eq(read_disk(disk, first * 512, count * 512, bytes), 0);
			cr_assert_arr_eq(bytes, model + first * 512, count * 512);
		}
	}
	disk_close(disk);
}

/* At the image's end, the cluster is no whole one. */
Test(disk_layers, the_ends_of_a_write_are_copied_from_the_right_layer)
{
	static const struct {
		uint64_t offset;
		uint64_t length;
	} writes[] = {
		{ 3 * CLUSTER + 512, 512 },          /* base alone */
		{ 10 * CLUSTER + 512, 512 },         /* image alone */
		{ 1 * CLUSTER + 1024, CLUSTER },     /* image, base */
		{ 5 * CLUSTER + 1024, CLUSTER },     /* base, image */
		{ 3 * CLUSTER, 512 },                /* the overlay, which has it from above */
		{ LAST + 512, 512 },                 /* the base's part of a cluster */
		{ LAST - 512, 1024 },                /* image, overlay */
		{ 19 * CLUSTER + 512, 2 * CLUSTER }, /* image, base whole, image */
	};
	struct disk *disk;
	uint8_t *before;

	make_base(0xb0);
	before = content(base);
	disk = open_layers(base, overlay, false, 0);
	for (size_t i = 0; i < sizeof(writes) / sizeof(writes[0]); i++) {
		fill_disk(disk, writes[i].offset, writes[i].length, (uint8_t)i);
		assert_is_model(disk);
	}
	disk_close(disk);
	assert_unchanged(base, before);
	assert_image_untouched();
}

Test(disk_layers, clones_of_one_base_do_not_see_each_other)
{
	static uint8_t kept[DISK_SIZE];
	int overlays[3];
	struct disk *disks[3];
	uint8_t *before;

	make_base(0xb0);
	before = content(base);
	memcpy(kept, model, DISK_SIZE);
	for (int i = 0; i < 3; i++) {
		overlays[i] = new_overlay();
		disks[i] = open_layers(base, overlays[i], false, 0);
	}
	for (int i = 0; i < 3; i++)
		fill_disk(disks[i], 3 * CLUSTER + 512, 18 * CLUSTER, (uint8_t)(0x10 + i));
	for (int i = 0; i < 3; i++) {
		memcpy(model, kept, DISK_SIZE);
		memset(model + 3 * CLUSTER + 512, 0x10 + i, 18 * CLUSTER);
		assert_is_model(disks[i]);
		disk_close(disks[i]);
		close(overlays[i]);
	}
	assert_unchanged(base, before);
}

Test(disk_layers, the_limit_counts_the_upper_one_alone)
{
	struct disk *disk;

	make_base(0xb0);
	disk = open_layers(base, overlay, false, 2 * CLUSTER);
	fill_disk(disk, 3 * CLUSTER + 512, 512, 1);
	fill_disk(disk, 10 * CLUSTER, 512, 2);
	cr_assert_eq(write_disk(disk, 4 * CLUSTER, 512, model), -ENOSPC);
	cr_assert_eq(disk_zero(disk, 4 * CLUSTER, CLUSTER, true), -ENOSPC);
	fill_disk(disk, 3 * CLUSTER, CLUSTER, 3);
	assert_is_model(disk);
	disk_close(disk);
}

/* Of each byte zero, or what the disk held: never what a layer below holds under another. */
Test(disk_layers, a_discard_uncovers_nothing)
{
	static uint8_t bytes[DISK_SIZE];
	struct disk *disk;
	uint8_t *before;

	make_base(0xb0);
	before = content(base);
	disk = open_layers(base, overlay, false, 0);
	fill_disk(disk, 3 * CLUSTER, CLUSTER, 0xa0);
	fill_disk(disk, 8 * CLUSTER, CLUSTER, 0xa0);
	cr_assert_eq(disk_discard(disk, 0, DISK_SIZE), 0);
	cr_assert_eq(read_disk(disk, 0, DISK_SIZE, bytes), 0);
	for (size_t i = 0; i < DISK_SIZE; i++)
		cr_assert(bytes[i] == 0 || bytes[i] == model[i], "byte %zu", i);
	disk_close(disk);
	assert_unchanged(base, before);
	assert_image_untouched();
}

static void assert_base_refused(int file, const char *text)
{
	const struct disk_options options = { .image = image, .base = file, .overlay = overlay };
	struct stat status;

	assert_refused(&options, text);
	cr_assert_eq(fstat(overlay, &status), 0);
	cr_assert_eq(status.st_size, 0, "the overlay is as it was");
}

Test(disk_layers, bases_that_are_none)
{
	int folder = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	uint8_t byte;

	assert_base_refused(folder, "base: not a regular");
	assert_base_refused(base, "base: empty");
	assert_base_refused(1000, "base: fstat");
	assert_base_refused(overlay, "the base's");
	make_base(0xb0);
	for (off_t i = 0; i < 32; i++) {
		cr_assert_eq(pread(base, &byte, 1, i), 1);
		byte ^= 0x40;
		cr_assert_eq(pwrite(base, &byte, 1, i), 1);
		assert_base_refused(base, "base: its header");
		byte ^= 0x40;
		cr_assert_eq(pwrite(base, &byte, 1, i), 1);
	}
	cr_assert_eq(ftruncate(base, (off_t)OVERLAY_BYTES - 1), 0);
	assert_base_refused(base, "base: 173567 bytes are too few");
	cr_assert_eq(ftruncate(base, (off_t)OVERLAY_BYTES), 0);
	cr_assert_eq(ftruncate(image, DISK_SIZE - 512), 0);
	assert_base_refused(base, "base: its header");
	cr_assert_eq(ftruncate(image, (off_t)OVERLAY_IMAGE_MAX + 512), 0);
	assert_base_refused(base, "base: an image of 2199023256064 bytes");
	close(folder);
}

Test(disk_layers, a_base_is_not_the_overlay_over_it)
{
	const struct disk_options options = { .image = image, .base = base, .overlay = base };

	make_base(0xb0);
	assert_refused(&options, "the base's");
}

/* The bitmap may say anything: what it names is read, and no cluster that the disk does not have is ever copied. */
Test(disk_layers, a_base_that_names_everything)
{
	uint8_t ones[CLUSTER];
	struct disk *disk;
	int copy = new_overlay();

	make_base(0xb0);
	for (uint64_t i = 0; i < LAST / CLUSTER; i++) {
		if (!is_named(base, i))
			memset(model + i * CLUSTER, 0, CLUSTER);
	}
	memset(ones, 0xff, sizeof(ones));
	cr_assert_eq(pwrite(base, ones, sizeof(ones), CLUSTER), sizeof(ones));
	disk = open_layers(base, overlay, false, 0);
	assert_is_model(disk);
	keep(disk, copy);
	disk_close(disk);
	for (uint64_t i = 0; i < 8 * CLUSTER; i++)
		cr_assert_eq(is_named(copy, i), i <= LAST / CLUSTER, "cluster %ju", (uintmax_t)i);
	close(copy);
}

/* Whoever has it may cut it while it is used. */
Test(disk_layers, a_base_that_is_cut_gives_errors)
{
	uint8_t bytes[CLUSTER];
	int copy = new_overlay();
	struct disk *disk;

	make_base(0xb0);
	disk = open_layers(base, overlay, false, 0);
	cr_assert_eq(ftruncate(base, (off_t)(6 * CLUSTER)), 0);
	cr_assert_eq(read_disk(disk, 3 * CLUSTER, CLUSTER, bytes), 0);
	cr_assert_eq(read_disk(disk, 4 * CLUSTER, CLUSTER, bytes), -EIO);
	cr_assert_eq(write_disk(disk, 4 * CLUSTER + 512, 512, bytes), -EIO);
	cr_assert_eq(write_disk(disk, 4 * CLUSTER, CLUSTER, bytes), 0);
	assert_not_copied(disk, copy, -EIO, "at byte 20480 of the disk");
	disk_close(disk);

	/* The bitmap comes last: what was left names nothing. */
	disk = open_layers(-1, copy, true, 0);
	memcpy(model, original, DISK_SIZE);
	assert_is_model(disk);
	disk_close(disk);
	close(copy);
}

/* ... before anybody has looked which clusters it holds. */
Test(disk_layers, a_base_whose_bitmap_is_cut_gives_errors)
{
	uint8_t bytes[CLUSTER];
	int copy = new_overlay();
	struct disk *disk;

	make_base(0xb0);
	disk = open_layers(base, overlay, false, 0);
	cr_assert_eq(ftruncate(base, (off_t)CLUSTER), 0);
	cr_assert_eq(read_disk(disk, 0, CLUSTER, bytes), -EIO);
	cr_assert_eq(write_disk(disk, 512, 512, bytes), -EIO);
	cr_assert_eq(disk_zero(disk, 512, 512, true), -EIO);
	assert_not_copied(disk, copy, -EIO, "at byte 0 of the disk");
	disk_close(disk);
	close(copy);
	assert_image_untouched();
}

static struct disk *open_large(uint64_t size, int lower)
{
	const struct disk_options options = {
		.image = dup(image),
		.base = lower >= 0 ? dup(lower) : -1,
		.overlay = new_overlay(),
	};
	struct error_detail detail = { 0 };
	struct disk *disk;

	cr_assert_eq(ftruncate(image, (off_t)size), 0);
	cr_assert_eq(disk_open(&options, &disk, &detail), 0, "%s", detail.text);
	return disk;
}

/* A cluster of the bitmap tells of 128 MiB, and comes into memory by itself. */
Test(disk_layers, ranges_across_parts_of_the_bitmap)
{
	const uint64_t middle = UINT64_C(256) << 20;
	static uint8_t expected[8 * OVERLAY_CLUSTER];
	uint8_t bytes[8 * CLUSTER];
	struct disk *disk = open_large(3 * middle, -1);

	memset(expected + 2 * CLUSTER, 0xb0, 4 * CLUSTER);
	cr_assert_eq(write_disk(disk, middle - 2 * CLUSTER, 4 * CLUSTER, expected + 2 * CLUSTER), 0);
	keep(disk, base);
	disk_close(disk);
	for (int later = 0; later < 2; later++) {
		disk = open_large(3 * middle, base);
		cr_assert_eq(read_disk(disk, later ? middle : middle - 4 * CLUSTER, 4 * CLUSTER, bytes), 0);
		cr_assert_arr_eq(bytes, expected + (later ? 4 * CLUSTER : 0), 4 * CLUSTER);
		cr_assert_eq(read_disk(disk, middle - 4 * CLUSTER, 8 * CLUSTER, bytes), 0);
		cr_assert_arr_eq(bytes, expected, 8 * CLUSTER);
		disk_close(disk);
	}
}

Test(disk_layers, the_largest_image)
{
	const uint64_t last = OVERLAY_IMAGE_MAX - 1024;
	struct disk *disk = open_large(OVERLAY_IMAGE_MAX, -1);
	uint8_t data[1024] = "last";

	cr_assert_eq(write_disk(disk, last, 1024, data), 0);
	keep(disk, base);
	disk_close(disk);
	disk = open_large(OVERLAY_IMAGE_MAX, base);
	memset(data, 0, sizeof(data));
	cr_assert_eq(read_disk(disk, last, 1024, data), 0);
	cr_assert_str_eq((const char *)data, "last");
	cr_assert_eq(disk_zero(disk, last - 1024, 1024, true), 0);
	cr_assert_eq(read_disk(disk, last, 1024, data), 0);
	cr_assert_str_eq((const char *)data, "last");
	cr_assert_eq(disk_discard(disk, last, 1024), 0);
	disk_close(disk);
}
