/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests to a disk with an overlay over a base: the first byte is the number of buffers, then for each its place, its
 * length and direction; the rest is the guest's memory. The disk's image and base must never change, and what the
 * request wrote lies in its writable buffers. Some requests are cut short by a pause, and carried out once more.
 */
#include "devices/virtio/blk/request.h"
#include "fuzz.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define MEMORY       8192
#define IMAGE        (24 * 4096 + 512)
#define BASE         (2 * 4096 + IMAGE) /* header, bitmap, data */
#define SEGMENTS_MAX 8

struct buffer {
	uint16_t place;
	uint16_t length;
} __attribute__((packed));

static int image;
static int base;
static struct disk *disk;
static uint8_t original[IMAGE];
static uint8_t original_base[BASE];

/* A base that holds some clusters, of zeros and of ones that look like the image's. */
static void make_base(struct disk_options options)
{
	struct disk *first;

	base = memfd_create("base", MFD_CLOEXEC);
	options.base = -1;
	options.overlay = memfd_create("first", MFD_CLOEXEC);
	FUZZ_CHECK(disk_open(&options, &first, NULL) == 0);
	FUZZ_CHECK(disk_zero(first, 8192 + 512, 12288, true) == 0);
	FUZZ_CHECK(disk_zero(first, IMAGE - 512, 512, true) == 0);
	FUZZ_CHECK(disk_copy_overlay(first, base, NULL, NULL) == 0);
	FUZZ_CHECK(pread(base, original_base, BASE, 0) == BASE);
	(void)disk_close(first);
}

static void open_disk(void)
{
	struct disk_options options = { .overlay_limit = 65536 };

	if (disk)
		return;
	for (size_t i = 0; i < sizeof(original); i++)
		original[i] = (uint8_t)(i / 512 + 1);
	image = memfd_create("image", MFD_CLOEXEC);
	FUZZ_CHECK(write(image, original, sizeof(original)) == sizeof(original));
	options.image = dup(image);
	make_base(options);
	options.image = dup(image);
	options.base = dup(base);
	options.overlay = memfd_create("overlay", MFD_CLOEXEC);
	FUZZ_CHECK(disk_open(&options, &disk, NULL) == 0);
}

static void check_file(int file, const uint8_t *expected, size_t size)
{
	static uint8_t now[BASE];

	FUZZ_CHECK(pread(file, now, size, 0) == (ssize_t)size);
	FUZZ_CHECK(memcmp(now, expected, size) == 0);
}

/*
 * A chain as a queue would give it: readable buffers, then writable ones, none empty. Returns what is left of the
 * input.
 */
static size_t make_chain(struct virtqueue_chain *chain, const uint8_t **data, size_t size)
{
	unsigned int count = (*data)[0] % (SEGMENTS_MAX + 1);
	unsigned int readable = (*data)[0] / 32 % (count + 1);

	(*data)++;
	size--;
	*chain = (struct virtqueue_chain){ .head = 1 };
	for (unsigned int i = 0; i < count && size >= sizeof(struct buffer); i++) {
		struct virtqueue_segment *segment = &chain->segments[i];
		struct buffer buffer;

		memcpy(&buffer, *data, sizeof(buffer));
		*data += sizeof(buffer);
		size -= sizeof(buffer);
		segment->gpa = buffer.place % MEMORY;
		segment->length = 1 + buffer.length % (uint32_t)(MEMORY - segment->gpa);
		if (i < readable) {
			chain->readable++;
			chain->readable_bytes += segment->length;
		} else {
			chain->writable++;
			chain->writable_bytes += segment->length;
		}
	}
	return size;
}

/* Bytes outside the writable buffers are as they were. */
static void check_memory(const struct virtqueue_chain *chain, uint8_t *before, const uint8_t *after)
{
	for (unsigned int i = chain->readable; i < (unsigned int)chain->readable + chain->writable; i++)
		memcpy(before + chain->segments[i].gpa, after + chain->segments[i].gpa, chain->segments[i].length);
	FUZZ_CHECK(memcmp(before, after, MEMORY) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t before[MEMORY];
	static unsigned int runs;
	struct guest_memory memory = { .size = MEMORY };
	struct virtqueue queue;
	struct virtqueue_chain chain;
	atomic_bool held = size % 5 == 0;
	struct blk_target target = { .id = "fuzz", .held = &held };
	struct blk_result result;
	int r;

	if (size < 1)
		return 0;
	open_disk();
	target.disk = disk;
	target.write_through = size % 7 == 0;
	size = make_chain(&chain, &data, size);
	memory.host = aligned_alloc(4096, MEMORY);
	FUZZ_CHECK(memory.host);
	memset(memory.host, 0, MEMORY);
	memcpy(memory.host, data, size < MEMORY ? size : MEMORY);
	memcpy(before, memory.host, MEMORY);

	virtqueue_init(&queue, &memory, 16);
	r = blk_request_execute(&target, &queue, &chain, &result);
	if (held && r == -EAGAIN) {
		held = false;
		r = blk_request_execute(&target, &queue, &chain, &result);
	}
	FUZZ_CHECK(r == 0 || (r == -EBADMSG && result.fault));
	FUZZ_CHECK((r == -EBADMSG) == (chain.readable_bytes < 16 || chain.writable_bytes < 1));
	FUZZ_CHECK(result.written <= chain.writable_bytes);
	check_memory(&chain, before, memory.host);
	if (runs++ % 64 == 0) {
		check_file(image, original, sizeof(original));
		check_file(base, original_base, sizeof(original_base));
	}

	free(memory.host);
	return 0;
}
