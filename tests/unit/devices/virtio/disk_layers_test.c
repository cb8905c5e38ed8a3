/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Disks of three layers, and the copies that snapshots keep of their overlays: against the model through generations of
 * clones, layer by layer, and with files that somebody has changed.
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
#include "disk_model.h"

#define CLUSTER    ((uint64_t)OVERLAY_CLUSTER)
#define LAST       (DISK_SIZE - DISK_SIZE % CLUSTER) /* where the last cluster begins, which is a part of one */
#define FILE_BYTES (2 * CLUSTER + DISK_SIZE)         /* of an overlay of this disk: header, bitmap, data */

static int base;
static int overlay;

static int new_file(void)
{
	int file = memfd_create("overlay", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	cr_assert_geq(file, 0);
	return file;
}

static void set_up(void)
{
	model_set_up();
	base = new_file();
	overlay = new_file();
}

static void tear_down(void)
{
	model_tear_down();
	close(base);
	close(overlay);
}

TestSuite(disk_layers, .init = set_up, .fini = tear_down);

static void keep(struct disk *disk, int file)
{
	struct error_detail detail = { 0 };

	cr_assert_eq(disk_copy_overlay(disk, file, &detail), 0, "%s", detail.text);
}

/* Make the base: one byte in each of some clusters of the disk, among them the last; the model has it too. */
static void make_base(uint8_t byte)
{
	int file = new_file();
	struct disk *disk = open_layers(-1, file, false, 0);

	fill_disk(disk, 2 * CLUSTER, 4 * CLUSTER, byte);
	fill_disk(disk, 20 * CLUSTER, CLUSTER, byte);
	fill_disk(disk, LAST, DISK_SIZE - LAST, byte);
	keep(disk, base);
	disk_close(disk);
	close(file);
}

/* What a file of an overlay's size holds; to be compared with a later one. */
static uint8_t *content(int file)
{
	uint8_t *bytes = malloc(FILE_BYTES);

	cr_assert_eq(pread(file, bytes, FILE_BYTES, 0), (ssize_t)FILE_BYTES);
	return bytes;
}

static void assert_unchanged(int file, uint8_t *before)
{
	uint8_t *now = content(file);

	cr_assert_arr_eq(now, before, FILE_BYTES);
	free(now);
	free(before);
}

static bool is_named(int file, uint64_t cluster)
{
	uint8_t byte;

	cr_assert_eq(pread(file, &byte, 1, (off_t)(CLUSTER + cluster / 8)), 1);
	return byte & (1U << (cluster % 8));
}

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

		tear_down();
		set_up();
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
		overlays[i] = new_file();
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

Test(disk_layers, zeros_cover_what_is_below)
{
	struct disk *disk;
	int copy = new_file();
	struct stat status;

	make_base(0xb0);
	disk = open_layers(base, overlay, false, 0);
	cr_assert_eq(disk_zero(disk, 1 * CLUSTER + 512, 4 * CLUSTER, true), 0);
	memset(model + CLUSTER + 512, 0, 4 * CLUSTER);
	cr_assert_eq(disk_zero(disk, LAST, DISK_SIZE - LAST, false), 0);
	memset(model + LAST, 0, DISK_SIZE - LAST);
	assert_is_model(disk);

	/* They cover it in a copy as well, where they take no space: clusters 1, 5 and 20 do, and header and bitmap. */
	keep(disk, copy);
	disk_close(disk);
	cr_assert_eq(fstat(copy, &status), 0);
	cr_assert_eq((uint64_t)status.st_size, FILE_BYTES);
	cr_assert_leq((uint64_t)status.st_blocks * 512, 5 * CLUSTER);
	disk = open_layers(copy, -1, true, 0);
	assert_is_model(disk);
	disk_close(disk);
	close(copy);
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

Test(disk_layers, a_copy_holds_what_both_hold)
{
	struct disk *disk;
	int copy = new_file();

	make_base(0xb0);
	disk = open_layers(base, overlay, false, 0);
	fill_disk(disk, 4 * CLUSTER, 3 * CLUSTER, 0xa0);
	keep(disk, copy);
	for (uint64_t i = 0; i < 8 * CLUSTER; i++)
		cr_assert_eq(is_named(copy, i), (i >= 2 && i < 7) || i == 20 || i == LAST / CLUSTER, "cluster %ju",
			     (uintmax_t)i);
	disk_close(disk);
	disk = open_layers(-1, copy, true, 0);
	assert_is_model(disk);
	disk_close(disk);
	close(copy);
}

Test(disk_layers, a_copy_of_nothing_is_an_empty_overlay)
{
	struct disk *disk = open_layers(-1, -1, true, 0);
	int again = new_file();

	keep(disk, base);
	disk_close(disk);
	disk = open_layers(base, overlay, false, 0);
	assert_is_model(disk);
	keep(disk, again);
	disk_close(disk);
	disk = open_layers(-1, again, false, 0);
	fill_disk(disk, 512, 512, 1);
	assert_is_model(disk);
	disk_close(disk);
	close(again);
}

static void assert_not_copied(struct disk *disk, int file, int error, const char *text)
{
	struct error_detail detail = { 0 };

	cr_assert_eq(disk_copy_overlay(disk, file, &detail), error);
	cr_assert_not_null(strstr(detail.text, text), "%s", detail.text);
}

Test(disk_layers, copies_that_cannot_be)
{
	int folder = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int sealed = new_file();
	struct disk *disk = open_layers(-1, -1, false, 0);

	assert_not_copied(disk, overlay, -EOPNOTSUPP, "in place");
	disk_close(disk);
	make_base(0xb0);
	disk = open_layers(base, overlay, false, 0);
	assert_not_copied(disk, -1, -EBADF, "fstat");
	assert_not_copied(disk, folder, -EINVAL, "regular");
	assert_not_copied(disk, base, -EINVAL, "not empty");
	assert_not_copied(disk, overlay, -EINVAL, "not empty");
	cr_assert_eq(fcntl(sealed, F_ADD_SEALS, F_SEAL_GROW), 0);
	assert_not_copied(disk, sealed, -EPERM, "prepared");
	assert_is_model(disk);
	disk_close(disk);
	close(sealed);
	close(folder);
}

/* A clone of a clone of a clone, each kept while it goes on; each starts as what it is a clone of was at that time. */
static void run_generations(uint32_t seed)
{
	static uint8_t kept[DISK_SIZE];
	int lower = -1;

	seed_random(seed);
	memcpy(model, original, DISK_SIZE);
	for (int generation = 0; generation < 8; generation++) {
		int upper = new_file();
		int copy = new_file();
		struct disk *disk = open_layers(lower, upper, false, 0);
		uint8_t *before = lower >= 0 ? content(lower) : NULL;

		assert_is_model(disk);
		for (int i = 0; i < 40; i++)
			random_step(disk);
		if (next_random(2)) {
			cr_assert_eq(disk_save(disk), 0);
			disk_close(disk);
			disk = open_layers(lower, upper, false, 0);
		}
		for (int i = 0; i < 40; i++)
			random_step(disk);
		keep(disk, copy);
		memcpy(kept, model, DISK_SIZE);
		for (int i = 0; i < 20; i++)
			random_step(disk);
		assert_is_model(disk);
		disk_close(disk);
		if (lower >= 0) {
			assert_unchanged(lower, before);
			close(lower);
		}
		close(upper);
		memcpy(model, kept, DISK_SIZE);
		lower = copy;
	}
	close(lower);
	assert_image_untouched();
}

Test(disk_layers, generations_of_clones_are_what_was_written)
{
	for (uint32_t seed = 1; seed <= 12; seed++)
		run_generations(seed);
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
	cr_assert_eq(ftruncate(base, (off_t)FILE_BYTES - 1), 0);
	assert_base_refused(base, "base: 173567 bytes are too few");
	cr_assert_eq(ftruncate(base, (off_t)FILE_BYTES), 0);
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
	int copy = new_file();

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
	int copy = new_file();
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
	int copy = new_file();
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
		.overlay = new_file(),
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
