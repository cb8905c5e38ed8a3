/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ELF comes out of a bzImage however it was packed, and no payload makes us read or write too much.
 */
#include "kvm/linux/unpack.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "image_builder.h"
#include "image_packer.h"

#define CONTENT ((size_t)3 << 20)

/* Something to pack: long enough for several chunks, neither constant nor random. */
static uint8_t *make_content(void)
{
	uint8_t *content = malloc(CONTENT);
	uint32_t noise = 1;

	cr_assert_not_null(content);
	for (size_t i = 0; i < CONTENT; i++) {
		noise = noise * 1664525 + 1013904223;
		content[i] = i % 64 < 60 ? (uint8_t)(i >> 12) : (uint8_t)(noise >> 24);
	}
	return content;
}

/* A sink that compares with what should come. */
struct comparing {
	const uint8_t *expected;
	uint64_t position;
	bool differs;
	uint64_t read; /* bytes of the payload, as was told last */
};

static int compare(void *opaque, const uint8_t *data, size_t length)
{
	struct comparing *comparing = opaque;

	if (comparing->expected && (comparing->position + length > CONTENT ||
				    memcmp(comparing->expected + comparing->position, data, length) != 0))
		comparing->differs = true;
	comparing->position += length;
	return 0;
}

static void follow(void *opaque, uint64_t done, uint64_t total)
{
	struct comparing *comparing = opaque;

	cr_assert_geq(done, comparing->read);
	cr_assert_leq(done, total);
	comparing->read = done;
}

/* Unpack a payload as it stands in a bzImage; expected NULL: whatever comes out. */
static int unpack(const struct packed *packed, const uint8_t *expected, uint64_t max_size, struct error_detail *detail)
{
	struct built_image built = build_bzimage(packed->bytes, packed->size);
	struct image_source source = built_source(&built);
	struct comparing comparing = { .expected = expected };
	const struct unpack_sink sink = { .opaque = &comparing, .write = compare, .advanced = follow };
	struct kernel_image image;
	uint64_t size = 0;
	int result;

	cr_assert_eq(kernel_image_parse(&source, &image, detail), 0, "%s", detail->text);
	result = kernel_unpack(&source, &image.bzimage, max_size, &sink, &size, detail);
	cr_assert_not(comparing.differs, "what came out is not what went in");
	cr_assert_leq(comparing.position, max_size);
	if (result == 0) {
		cr_assert_eq(size, comparing.position);
		cr_assert_gt(comparing.read, 0);
	}
	built_free(&built);
	return result;
}

static struct packed *new_packed(void)
{
	struct packed *packed = calloc(1, sizeof(*packed));

	cr_assert_not_null(packed);
	return packed;
}

Test(unpack, every_packing_comes_out_as_it_went_in)
{
	uint8_t *content = make_content();
	struct packed *packed = new_packed();

	for (size_t i = 0; i < PACKERS; i++) {
		struct error_detail detail = { 0 };

		packers[i].pack(content, CONTENT, packed);
		cr_assert_eq(unpack(packed, content, CONTENT, &detail), 0, "%s: %s", packers[i].name, detail.text);
	}

	memcpy(packed->bytes,
	       "\x7f"
	       "ELF",
	       4);
	packed->size = PACKED_MAX;
	cr_assert_eq(unpack(packed, NULL, PACKED_MAX, &(struct error_detail){ 0 }), 0);
	free(packed);
	free(content);
}

Test(unpack, output_is_bounded)
{
	uint8_t *content = make_content();
	struct packed *packed = new_packed();

	for (size_t i = 0; i < PACKERS; i++) {
		struct error_detail detail = { 0 };

		packers[i].pack(content, CONTENT, packed);
		cr_assert_eq(unpack(packed, content, CONTENT - 1, &detail), -EFBIG, "%s", packers[i].name);
		cr_assert_not_null(strstr(detail.text, "more than"), "%s: %s", packers[i].name, detail.text);
		cr_assert_eq(unpack(packed, content, 0, &detail), -EFBIG, "%s", packers[i].name);
	}
	free(packed);
	free(content);
}

Test(unpack, truncated_payloads_are_refused)
{
	uint8_t *content = make_content();
	struct packed *packed = new_packed();

	for (size_t i = 0; i < PACKERS; i++) {
		size_t whole;

		packers[i].pack(content, CONTENT, packed);
		whole = packed->size;
		for (packed->size = whole - 1; packed->size > 16; packed->size -= packed->size / 7 + 1) {
			struct error_detail detail = { 0 };
			int result = unpack(packed, content, CONTENT, &detail);

			cr_assert(result == -ENODATA || result == -EBADMSG, "%s at %zu of %zu: %d", packers[i].name,
				  packed->size, whole, result);
			cr_assert_neq(detail.text[0], '\0');
		}
	}
	free(packed);
	free(content);
}

Test(unpack, corrupt_payloads_are_refused_or_caught_by_their_size)
{
	uint8_t *content = make_content();
	struct packed *packed = new_packed();

	for (size_t i = 0; i < PACKERS; i++) {
		packers[i].pack(content, CONTENT, packed);
		for (size_t at = 8; at < packed->size; at += packed->size / 97) {
			uint8_t saved = packed->bytes[at];

			/* lz4 has no checksum, so a literal may come out changed: only bounds can be asked of it. */
			packed->bytes[at] ^= 0x55;
			(void)unpack(packed, NULL, CONTENT, &(struct error_detail){ 0 });
			packed->bytes[at] = saved;
		}

		/* Zeroes from the middle on. */
		memset(packed->bytes + packed->size / 2, 0, packed->size - packed->size / 2);
		cr_assert_lt(unpack(packed, NULL, CONTENT, &(struct error_detail){ 0 }), 0, "%s", packers[i].name);
	}
	free(packed);
	free(content);
}

Test(unpack, a_size_that_is_not_what_came_out_is_refused)
{
	uint8_t *content = make_content();
	struct packed *packed = new_packed();

	for (size_t i = 0; i < PACKERS; i++) {
		struct error_detail detail = { 0 };

		packers[i].pack(content, CONTENT, packed);
		packed->bytes[packed->size - 1] ^= 1;
		cr_assert_eq(unpack(packed, content, CONTENT, &detail), -EBADMSG, "%s", packers[i].name);
		cr_assert_neq(detail.text[0], '\0');
	}

	packers[PACKER_ZSTD].pack(content, CONTENT, packed);
	packed_add_size(packed, 0);
	cr_assert_eq(unpack(packed, content, CONTENT, &(struct error_detail){ 0 }), -EBADMSG, "trailing bytes");
	free(packed);
	free(content);
}

Test(unpack, lz4_block_sizes_are_checked)
{
	struct packed *packed = new_packed();
	static const uint32_t sizes[] = { 0, 64, 9 << 20, UINT32_MAX, 0x80000000 };

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		packed->size = 0;
		packed_add_size(packed, 0x184c2102);
		packed_add_size(packed, sizes[i]);
		packed->size += 32;
		cr_assert_lt(unpack(packed, NULL, CONTENT, &(struct error_detail){ 0 }), 0, "%u", sizes[i]);
	}
	free(packed);
}

Test(unpack, what_we_cannot_unpack_is_named)
{
	struct packed *packed = new_packed();
	struct error_detail detail = { 0 };

	memcpy(packed->bytes, "BZh91AY", 7);
	packed->size = 7;
	cr_assert_eq(unpack(packed, NULL, CONTENT, &detail), -EOPNOTSUPP);
	cr_assert_not_null(strstr(detail.text, "bzip2"), "%s", detail.text);
	packed->size = 0;
	cr_assert_eq(unpack(packed, NULL, CONTENT, &detail), -ENODATA);
	free(packed);
}

static int refuse_to_write(void *opaque, const uint8_t *data, size_t length)
{
	(void)opaque;
	(void)data;
	(void)length;
	return -ENOSPC;
}

Test(unpack, an_error_of_the_sink_ends_it)
{
	const struct unpack_sink sink = { .write = refuse_to_write };
	uint8_t *content = make_content();
	struct packed *packed = new_packed();

	for (size_t i = 0; i < PACKERS; i++) {
		struct built_image built;
		struct image_source source;
		struct kernel_image image;
		uint64_t size = 4711;

		packers[i].pack(content, CONTENT, packed);
		built = build_bzimage(packed->bytes, packed->size);
		source = built_source(&built);
		cr_assert_eq(kernel_image_parse(&source, &image, NULL), 0);
		cr_assert_eq(kernel_unpack(&source, &image.bzimage, CONTENT, &sink, &size, NULL), -ENOSPC);
		cr_assert_eq(size, 4711);
		built_free(&built);
	}
	free(packed);
	free(content);
}

Test(unpack, to_a_file)
{
	int fd = memfd_create("vmlinux", 0);
	const struct unpack_sink sink = unpack_sink_to_file(&fd);
	uint8_t *content = make_content(), *got = malloc(CONTENT);
	struct packed *packed = new_packed();
	struct built_image built;
	struct image_source source;
	struct kernel_image image;
	uint64_t size;

	packers[PACKER_ZSTD].pack(content, CONTENT, packed);
	built = build_bzimage(packed->bytes, packed->size);
	source = built_source(&built);
	cr_assert_eq(kernel_image_parse(&source, &image, NULL), 0);
	cr_assert_eq(kernel_unpack(&source, &image.bzimage, CONTENT, &sink, &size, NULL), 0);
	cr_assert_eq(size, CONTENT);
	cr_assert_eq(pread(fd, got, CONTENT, 0), (ssize_t)CONTENT);
	cr_assert_arr_eq(got, content, CONTENT);
	close(fd);
	built_free(&built);
	free(packed);
	free(got);
	free(content);
}
