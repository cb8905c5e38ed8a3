/* SPDX-License-Identifier: Apache-2.0 */
#ifndef EMBER_TESTS_LINUX_GUEST_HEX_H
#define EMBER_TESTS_LINUX_GUEST_HEX_H

#include <stddef.h>
#include <stdint.h>

/* Two digits a byte, and a terminating zero: 2 * size + 1 characters. Returns text. */
static inline const char *hex_text(const uint8_t *bytes, size_t size, char *text)
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < size; i++) {
		text[2 * i] = digits[bytes[i] >> 4];
		text[2 * i + 1] = digits[bytes[i] & 15];
	}
	text[2 * size] = '\0';
	return text;
}

#endif
