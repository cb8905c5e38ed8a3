/* SPDX-License-Identifier: Apache-2.0 */
/*
 * CRC-64/ECMA-182, sixteen bytes a step.
 *
 * A CRC is linear: what a byte does to the register depends only on its value and on how many bytes follow it. So
 * tables[n][value] holds the CRC of one byte followed by n zero bytes, and sixteen independent look-ups, combined by
 * exclusive or, advance the register by sixteen bytes ("slicing"; Kounavis and Berry, 2005). The register goes into the
 * first eight.
 *
 * The tables (32 KiB) are filled before main() from the polynomial alone: processes forked later share their pages,
 * and threads need no lock.
 */
#include "snapshot/crc64.h"

#include <string.h>

#define POLYNOMIAL UINT64_C(0x42f0e1eba9ea3693) /* ECMA-182, annex B, without its x^64 term */
#define SLICES     16

static uint64_t tables[SLICES][256];

__attribute__((constructor)) static void fill_tables(void)
{
	for (unsigned value = 0; value < 256; value++) {
		uint64_t crc = (uint64_t)value << 56;

		for (unsigned bit = 0; bit < 8; bit++)
			crc = (crc << 1) ^ (crc >> 63 ? POLYNOMIAL : 0);
		tables[0][value] = crc;
	}

	for (unsigned slice = 1; slice < SLICES; slice++)
		for (unsigned value = 0; value < 256; value++) {
			uint64_t shorter = tables[slice - 1][value];

			tables[slice][value] = (shorter << 8) ^ tables[0][shorter >> 56];
		}
}

static uint64_t load_big_endian(const uint8_t *data)
{
	uint64_t value;

	memcpy(&value, data, sizeof(value));
	return __builtin_bswap64(value);
}

/* The eight bytes of value, first byte most significant, with `after` more bytes following the last. */
static uint64_t advance_eight(uint64_t value, unsigned after)
{
	return tables[after + 7][value >> 56] ^ tables[after + 6][value >> 48 & 0xff] ^
	       tables[after + 5][value >> 40 & 0xff] ^ tables[after + 4][value >> 32 & 0xff] ^
	       tables[after + 3][value >> 24 & 0xff] ^ tables[after + 2][value >> 16 & 0xff] ^
	       tables[after + 1][value >> 8 & 0xff] ^ tables[after][value & 0xff];
}

uint64_t crc64_update(uint64_t crc, const void *data, size_t length)
{
	const uint8_t *bytes = data;

	for (; length >= SLICES; length -= SLICES, bytes += SLICES)
		crc = advance_eight(crc ^ load_big_endian(bytes), 8) ^ advance_eight(load_big_endian(bytes + 8), 0);
	for (; length > 0; length--, bytes++)
		crc = (crc << 8) ^ tables[0][(crc >> 56) ^ *bytes];

	return crc;
}
