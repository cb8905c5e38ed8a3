/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Payloads of kernel images for tests.
 */
#include "image_packer.h"

#include <criterion/criterion.h>
#include <lz4.h>
#include <lzma.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>

void packed_add_size(struct packed *packed, uint32_t size)
{
	memcpy(packed->bytes + packed->size, &size, sizeof(size));
	packed->size += sizeof(size);
}

static void pack_gzip(const uint8_t *content, size_t size, struct packed *ret_packed)
{
	z_stream stream = { .next_in = (Bytef *)(uintptr_t)content,
			    .avail_in = (uInt)size,
			    .next_out = ret_packed->bytes,
			    .avail_out = PACKED_MAX };

	cr_assert_eq(deflateInit2(&stream, 9, Z_DEFLATED, MAX_WBITS + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
	cr_assert_eq(deflate(&stream, Z_FINISH), Z_STREAM_END);
	ret_packed->size = stream.total_out;
	(void)deflateEnd(&stream);
}

static void pack_xz(const uint8_t *content, size_t size, struct packed *ret_packed)
{
	ret_packed->size = 0;
	cr_assert_eq(lzma_easy_buffer_encode(1, LZMA_CHECK_CRC32, NULL, content, size, ret_packed->bytes,
					     &ret_packed->size, PACKED_MAX),
		     LZMA_OK);
	packed_add_size(ret_packed, (uint32_t)size);
}

static void pack_zstd(const uint8_t *content, size_t size, struct packed *ret_packed)
{
	ret_packed->size = ZSTD_compress(ret_packed->bytes, PACKED_MAX, content, size, 3);
	cr_assert_not(ZSTD_isError(ret_packed->size));
	packed_add_size(ret_packed, (uint32_t)size);
}

static void pack_lz4(const uint8_t *content, size_t size, struct packed *ret_packed)
{
	const uint32_t magic = 0x184c2102;
	const size_t halves[] = { size / 3, size - size / 3 }; /* two blocks */

	memcpy(ret_packed->bytes, &magic, sizeof(magic));
	ret_packed->size = sizeof(magic);
	for (size_t i = 0; i < 2; i++) {
		char *to = (char *)ret_packed->bytes + ret_packed->size + sizeof(uint32_t);
		int room = (int)(PACKED_MAX - ret_packed->size - sizeof(uint32_t));
		int block = LZ4_compress_default((const char *)content, to, (int)halves[i], room);

		cr_assert_gt(block, 0);
		packed_add_size(ret_packed, (uint32_t)block);
		ret_packed->size += (size_t)block;
		content += halves[i];
	}
	packed_add_size(ret_packed, (uint32_t)size);
}

const struct packer packers[PACKERS] = {
	[PACKER_GZIP] = { "gzip", pack_gzip },
	[PACKER_XZ] = { "xz", pack_xz },
	[PACKER_ZSTD] = { "zstd", pack_zstd },
	[PACKER_LZ4] = { "lz4", pack_lz4 },
};
