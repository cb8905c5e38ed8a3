/* SPDX-License-Identifier: Apache-2.0 */
/*
 * CRC-64/ECMA-182: polynomial 0x42f0e1eba9ea3693, most significant bit first, start 0, no final inversion.
 * Check value of "123456789": 0x6c40df5f0b497347.
 *
 * Finds accidents, not attackers. The CRC of any number of zero bytes is 0, so a hole in a file costs nothing to check.
 */
#ifndef EMBER_SNAPSHOT_CRC64_H
#define EMBER_SNAPSHOT_CRC64_H

#include <stddef.h>
#include <stdint.h>

#define CRC64_START UINT64_C(0)

/*
 * Carry a CRC on over more bytes: crc64_update(crc64_update(CRC64_START, a), b) is the CRC of a followed by b.
 *
 * crc   CRC64_START, or what an earlier call returned
 * data  length bytes, of any alignment; may be NULL when length is 0
 */
uint64_t crc64_update(uint64_t crc, const void *data, size_t length);

#endif
