/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pieces of a line, and numbers in them.
 */
#ifndef EMBER_DEMO_GUEST_TEXT_H
#define EMBER_DEMO_GUEST_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Some bytes of a line; not terminated, any byte but a line's end may be in it. */
struct text {
	const char *start;
	size_t length;
};

/* Take the first word off, and the spaces around it. The word is empty where nothing is left. */
struct text text_take_word(struct text *text);

bool text_equals(struct text text, const char *string);

/* Take a prefix off. Returns whether it was there. */
bool text_take_prefix(struct text *text, const char *prefix);

/*
 * A whole text as a number: decimal, or hexadecimal after "0x". Returns false, with *ret_value untouched, for
 * anything else.
 */
bool text_parse_number(struct text text, uint64_t *ret_value);

/* One hexadecimal digit's value, or -1. */
int text_hex_digit(char digit);

#endif
