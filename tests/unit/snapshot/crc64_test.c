/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table-driven CRC against its definition, computed bit by bit.
 */
#include <stdlib.h>
#include <string.h>

#include <criterion/criterion.h>

#include "snapshot/crc64.h"

/* ECMA-182 as it is written: shift one bit, subtract the polynomial where a one falls out. */
static uint64_t reference(uint64_t crc, const uint8_t *data, size_t length)
{
	for (size_t i = 0; i < length; i++)
		for (int bit = 7; bit >= 0; bit--) {
			bool out = (crc >> 63) ^ (data[i] >> bit & 1);

			crc <<= 1;
			if (out)
				crc ^= UINT64_C(0x42f0e1eba9ea3693);
		}
	return crc;
}

static void fill(uint8_t *data, size_t length, uint64_t seed)
{
	for (size_t i = 0; i < length; i++) {
		seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407;
		data[i] = (uint8_t)(seed >> 56);
	}
}

Test(crc64, check_value)
{
	cr_assert_eq(crc64_update(CRC64_START, "123456789", 9), UINT64_C(0x6c40df5f0b497347));
}

Test(crc64, of_nothing_is_the_start)
{
	cr_assert_eq(crc64_update(CRC64_START, NULL, 0), 0);
	cr_assert_eq(crc64_update(UINT64_C(0x123), "", 0), UINT64_C(0x123));
}

Test(crc64, equals_the_reference_at_every_length_and_alignment)
{
	uint8_t data[256 + 16];

	fill(data, sizeof(data), 1);
	for (size_t start = 0; start < 16; start++)
		for (size_t length = 0; length <= 256; length++)
			cr_assert_eq(crc64_update(CRC64_START, data + start, length),
				     reference(CRC64_START, data + start, length), "start %zu, length %zu", start,
				     length);
}

Test(crc64, goes_on_where_it_was_left)
{
	uint8_t data[1000];
	uint64_t whole;

	fill(data, sizeof(data), 2);
	whole = reference(CRC64_START, data, sizeof(data));
	for (size_t cut = 0; cut <= sizeof(data); cut++) {
		uint64_t crc = crc64_update(CRC64_START, data, cut);

		cr_assert_eq(crc64_update(crc, data + cut, sizeof(data) - cut), whole, "cut at %zu", cut);
	}
}

Test(crc64, of_zeros_is_zero)
{
	uint8_t zeros[4096] = { 0 };

	cr_assert_eq(crc64_update(CRC64_START, zeros, sizeof(zeros)), 0);
	cr_assert_neq(crc64_update(1, zeros, sizeof(zeros)), 0);
}

Test(crc64, sees_every_single_bit)
{
	uint8_t data[512];
	uint64_t clean;

	fill(data, sizeof(data), 3);
	clean = crc64_update(CRC64_START, data, sizeof(data));
	for (size_t bit = 0; bit < sizeof(data) * 8; bit++) {
		data[bit / 8] ^= (uint8_t)(1U << bit % 8);
		cr_assert_neq(crc64_update(CRC64_START, data, sizeof(data)), clean, "bit %zu", bit);
		data[bit / 8] ^= (uint8_t)(1U << bit % 8);
	}
}
