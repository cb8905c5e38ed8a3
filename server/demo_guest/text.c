/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Parsing, and the functions that a compiler may call where the code does not.
 */
#include "text.h"

void *memcpy(void *restrict to, const void *restrict from, size_t size);
void *memset(void *to, int byte, size_t size);

void *memcpy(void *restrict to, const void *restrict from, size_t size)
{
	void *end = to;

	__asm__ volatile("rep movsb" : "+D"(end), "+S"(from), "+c"(size) : : "memory");
	return to;
}

void *memset(void *to, int byte, size_t size)
{
	void *end = to;

	__asm__ volatile("rep stosb" : "+D"(end), "+c"(size) : "a"(byte) : "memory");
	return to;
}

static void skip_spaces(struct text *text)
{
	while (text->length > 0 && *text->start == ' ') {
		text->start++;
		text->length--;
	}
}

struct text text_take_word(struct text *text)
{
	struct text word;

	skip_spaces(text);
	word = (struct text){ .start = text->start, .length = 0 };
	while (text->length > 0 && *text->start != ' ') {
		text->start++;
		text->length--;
		word.length++;
	}
	skip_spaces(text);
	return word;
}

bool text_equals(struct text text, const char *string)
{
	return text_take_prefix(&text, string) && text.length == 0;
}

bool text_take_prefix(struct text *text, const char *prefix)
{
	size_t i;

	for (i = 0; prefix[i] != '\0'; i++)
		if (i == text->length || text->start[i] != prefix[i])
			return false;

	text->start += i;
	text->length -= i;
	return true;
}

int text_hex_digit(char digit)
{
	if (digit >= '0' && digit <= '9')
		return digit - '0';
	if (digit >= 'a' && digit <= 'f')
		return digit - 'a' + 10;
	if (digit >= 'A' && digit <= 'F')
		return digit - 'A' + 10;

	return -1;
}

bool text_parse_number(struct text text, uint64_t *ret_value)
{
	const uint64_t base = text_take_prefix(&text, "0x") ? 16 : 10;
	uint64_t value = 0;

	if (text.length == 0)
		return false;

	for (size_t i = 0; i < text.length; i++) {
		int digit = text_hex_digit(text.start[i]);

		if (digit < 0 || (uint64_t)digit >= base || value > (UINT64_MAX - (uint64_t)digit) / base)
			return false;
		value = value * base + (uint64_t)digit;
	}

	*ret_value = value;
	return true;
}
