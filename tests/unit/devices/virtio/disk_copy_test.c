/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The copies that snapshots keep of overlays: what they hold, what they cannot hold, and generations of clones that each
 * stand on the copy of the one before.
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

TestSuite(disk_copy, .init = model_set_up, .fini = model_tear_down);

Test(disk_copy, zeros_cover_what_is_below)
{
	struct disk *disk;
	int copy = new_overlay();
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
	cr_assert_eq((uint64_t)status.st_size, OVERLAY_BYTES);
	cr_assert_leq((uint64_t)status.st_blocks * 512, 5 * CLUSTER);
	disk = open_layers(copy, -1, true, 0);
	assert_is_model(disk);
	disk_close(disk);
	close(copy);
}

Test(disk_copy, a_copy_holds_what_both_hold)
{
	struct disk *disk;
	int copy = new_overlay();

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

/* At every place within a word of the bitmap, and across its words. */
Test(disk_copy, clusters_far_apart)
{
	const struct disk_options options = { .image = dup(image), .base = -1, .overlay = dup(overlay) };
	struct error_detail detail = { 0 };
	struct disk *disk;

	cr_assert_eq(ftruncate(image, (off_t)(5000 * CLUSTER)), 0);
	cr_assert_eq(disk_open(&options, &disk, &detail), 0, "%s", detail.text);
	for (uint64_t i = 0; i < 5000; i += 61)
		cr_assert_eq(disk_zero(disk, i * CLUSTER, CLUSTER, true), 0);
	keep(disk, base);
	for (uint64_t i = 0; i < 8 * CLUSTER; i++)
		cr_assert_eq(is_named(base, i), i < 5000 && i % 61 == 0, "cluster %ju", (uintmax_t)i);
	disk_close(disk);
}

Test(disk_copy, a_copy_of_nothing_is_an_empty_overlay)
{
	struct disk *disk = open_layers(-1, -1, true, 0);
	int again = new_overlay();

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

Test(disk_copy, copies_that_cannot_be)
{
	int folder = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int sealed = new_overlay();
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
		int upper = new_overlay();
		int copy = new_overlay();
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

Test(disk_copy, generations_of_clones_are_what_was_written)
{
	for (uint32_t seed = 1; seed <= 12; seed++)
		run_generations(seed);
}
