/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A disk, and what it must hold.
 */
#include "disk_model.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "ring.h"

int image;
int base;
int overlay;
uint8_t original[DISK_SIZE];
uint8_t model[DISK_SIZE];

static struct ring ring;
static struct virtqueue queue;
static struct virtqueue_chain chain;
static uint32_t random_state = 1;

void model_set_up(void)
{
	ring_open(&ring, 8);
	virtqueue_init(&queue, &ring.memory, 8);
	image = memfd_create("image", MFD_CLOEXEC);
	base = new_overlay();
	overlay = new_overlay();
	for (size_t i = 0; i < DISK_SIZE; i++)
		original[i] = (uint8_t)(i / 512 + i * 7 + 1);
	memcpy(model, original, DISK_SIZE);
	cr_assert_eq(write(image, original, DISK_SIZE), DISK_SIZE);
}

void model_tear_down(void)
{
	ring_close(&ring);
	close(image);
	close(base);
	close(overlay);
}

int new_overlay(void)
{
	int file = memfd_create("overlay", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	cr_assert_geq(file, 0);
	return file;
}

static int open_read_only(int file)
{
	char path[64];
	int opened;

	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", file);
	opened = open(path, O_RDONLY | O_CLOEXEC);
	cr_assert_geq(opened, 0);
	return opened;
}

struct disk *open_layers(int base_file, int overlay_file, bool read_only, uint64_t limit)
{
	const struct disk_options options = {
		.image = overlay_file >= 0 || read_only ? open_read_only(image) : dup(image),
		.base = base_file >= 0 ? open_read_only(base_file) : -1,
		.overlay = overlay_file >= 0 ? dup(overlay_file) : -1,
		.overlay_limit = limit,
		.read_only = read_only,
	};
	struct error_detail detail = { 0 };
	struct disk *disk = NULL;

	cr_assert_eq(disk_open(&options, &disk, &detail), 0, "%s", detail.text);
	cr_assert_eq(disk_size(disk), DISK_SIZE);
	return disk;
}

void assert_refused(const struct disk_options *options, const char *text)
{
	const int files[3] = { options->image, options->base, options->overlay };
	struct error_detail detail = { 0 };
	struct disk *disk = (struct disk *)&detail;
	bool were_open[3];

	for (size_t i = 0; i < 3; i++)
		were_open[i] = fcntl(files[i], F_GETFD) >= 0;
	cr_assert_lt(disk_open(options, &disk, &detail), 0);
	cr_assert_not_null(strstr(detail.text, text), "%s", detail.text);
	cr_assert_eq(disk, (struct disk *)&detail);
	for (size_t i = 0; i < 3; i++)
		cr_assert_eq(fcntl(files[i], F_GETFD) >= 0, were_open[i], "file %zu", i);
}

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

struct virtqueue_cursor make_cursor(uint64_t length, bool writable)
{
	struct virtqueue_cursor cursor;

	make_chain(length, writable);
	if (writable)
		virtqueue_cursor_writable(&cursor, &queue, &chain);
	else
		virtqueue_cursor_readable(&cursor, &queue, &chain);
	return cursor;
}

int read_disk(struct disk *disk, uint64_t offset, uint64_t length, uint8_t *ret_data)
{
	struct virtqueue_cursor cursor = make_cursor(length, true);
	size_t done = 0;
	int r;

	r = disk_read(disk, offset, length, &cursor);
	for (int i = 0; r == 0 && i < 3; i++) {
		memcpy(ret_data + done, ring.memory.host + chain.segments[i].gpa, chain.segments[i].length);
		done += chain.segments[i].length;
	}
	return r;
}

int write_disk(struct disk *disk, uint64_t offset, uint64_t length, const uint8_t *data)
{
	struct virtqueue_cursor cursor = make_cursor(length, false);
	size_t done = 0;

	for (int i = 0; i < 3; i++) {
		memcpy(ring.memory.host + chain.segments[i].gpa, data + done, chain.segments[i].length);
		done += chain.segments[i].length;
	}
	return disk_write(disk, offset, length, &cursor);
}

void fill_disk(struct disk *disk, uint64_t offset, uint64_t length, uint8_t byte)
{
	memset(model + offset, byte, length);
	cr_assert_eq(write_disk(disk, offset, length, model + offset), 0);
}

void assert_is_model(struct disk *disk)
{
	static uint8_t bytes[DISK_SIZE];

	cr_assert_eq(read_disk(disk, 0, DISK_SIZE, bytes), 0);
	for (size_t i = 0; i < DISK_SIZE; i++)
		cr_assert_eq(bytes[i], model[i], "byte %zu", i);
}

void assert_image_untouched(void)
{
	static uint8_t bytes[DISK_SIZE];

	cr_assert_eq(pread(image, bytes, DISK_SIZE, 0), DISK_SIZE);
	cr_assert_arr_eq(bytes, original, DISK_SIZE);
}

void keep(struct disk *disk, int file)
{
	struct error_detail detail = { 0 };

	cr_assert_eq(disk_copy_overlay(disk, file, &detail), 0, "%s", detail.text);
}

void assert_not_copied(struct disk *disk, int file, int error, const char *text)
{
	struct error_detail detail = { 0 };

	cr_assert_eq(disk_copy_overlay(disk, file, &detail), error);
	cr_assert_not_null(strstr(detail.text, text), "%s", detail.text);
}

void make_base(uint8_t byte)
{
	int file = new_overlay();
	struct disk *disk = open_layers(-1, file, false, 0);

	fill_disk(disk, 2 * CLUSTER, 4 * CLUSTER, byte);
	fill_disk(disk, 20 * CLUSTER, CLUSTER, byte);
	fill_disk(disk, LAST, DISK_SIZE - LAST, byte);
	keep(disk, base);
	disk_close(disk);
	close(file);
}

uint8_t *content(int file)
{
	uint8_t *bytes = malloc(OVERLAY_BYTES);

	cr_assert_eq(pread(file, bytes, OVERLAY_BYTES, 0), (ssize_t)OVERLAY_BYTES);
	return bytes;
}

void assert_unchanged(int file, uint8_t *before)
{
	uint8_t *now = content(file);

	cr_assert_arr_eq(now, before, OVERLAY_BYTES);
	free(now);
	free(before);
}

bool is_named(int file, uint64_t cluster)
{
	uint8_t byte;

	cr_assert_eq(pread(file, &byte, 1, (off_t)(CLUSTER + cluster / 8)), 1);
	return byte & (1U << (cluster % 8));
}

void seed_random(uint32_t seed)
{
	random_state = seed;
}

uint32_t next_random(uint32_t below)
{
	random_state = random_state * 1664525 + 1013904223;
	return (random_state >> 8) % below;
}

void random_step(struct disk *disk)
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
			cr_assert(data[i] == 0 || data[i] == model[offset + i]);
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
