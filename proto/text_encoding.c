/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Base64 (RFC 4648) and UTF-8 for bytes that a guest wrote.
 *
 * The UTF-8 decoder follows table 3-7 of the Unicode standard (well-formed byte sequences): the first byte fixes the
 * length and the range of the second, which is how overlong forms, surrogates and what lies beyond U+10FFFF are
 * refused. An ill-formed part is replaced by one U+FFFD for its longest prefix that could have begun a character
 * ("maximal subpart", section 3.9), so text after a damaged character is never swallowed.
 */
#include "proto/text_encoding.h"

#include "proto/cleanup.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define PADDING 64

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=";

int base64_encode(const uint8_t *data, size_t length, char **ret_text)
{
	size_t groups = length / 3 + (length % 3 != 0);
	char *text, *out;

	if (groups > (SIZE_MAX - 1) / 4)
		return -EOVERFLOW;

	text = out = malloc(groups * 4 + 1);
	if (!text)
		return -ENOMEM;

	for (size_t i = 0; i < length; i += 3) {
		size_t have = length - i < 3 ? length - i : 3;
		uint32_t bits = (uint32_t)data[i] << 16;

		if (have > 1)
			bits |= (uint32_t)data[i + 1] << 8;
		if (have > 2)
			bits |= data[i + 2];
		for (size_t digit = 0; digit < 4; digit++)
			*out++ = alphabet[digit > have ? PADDING : bits >> (18 - 6 * digit) & 63];
	}
	*out = '\0';

	*ret_text = text;
	return 0;
}

/* The value of a character, or -1. */
static int base64_value(char character)
{
	if (character >= 'A' && character <= 'Z')
		return character - 'A';
	if (character >= 'a' && character <= 'z')
		return character - 'a' + 26;
	if (character >= '0' && character <= '9')
		return character - '0' + 52;
	if (character == '+')
		return 62;
	if (character == '/')
		return 63;

	return -1;
}

/*
 * One group of four characters. padding: how many of the last are '=', 0 to 2. Returns 0 and the 24 bits, or -EBADMSG
 * for a character outside the alphabet, or bits that padding leaves unused and that are not zero (section 3.5).
 */
static int base64_group(const char *text, size_t padding, uint32_t *ret_bits)
{
	uint32_t bits = 0;

	for (size_t i = 0; i < 4; i++) {
		int value = i < 4 - padding ? base64_value(text[i]) : 0;

		if (value < 0)
			return -EBADMSG;
		bits = bits << 6 | (uint32_t)value;
	}
	if ((bits & ((1U << 8 * padding) - 1)) != 0)
		return -EBADMSG;

	*ret_bits = bits;
	return 0;
}

int base64_decode(const char *text, size_t length, uint8_t **ret_data, size_t *ret_length)
{
	cleanup_free uint8_t *data = NULL;
	size_t padding = 0, size = 0;

	if (length % 4 != 0)
		return -EBADMSG;
	if (length > 0 && text[length - 1] == '=')
		padding = text[length - 2] == '=' ? 2 : 1;

	data = malloc(length / 4 * 3 + 1);
	if (!data)
		return -ENOMEM;

	for (size_t i = 0; i < length; i += 4) {
		size_t missing = i + 4 == length ? padding : 0;
		uint32_t bits;
		int result = base64_group(text + i, missing, &bits);

		if (result < 0)
			return result;
		data[size++] = (uint8_t)(bits >> 16);
		if (missing < 2)
			data[size++] = (uint8_t)(bits >> 8);
		if (missing < 1)
			data[size++] = (uint8_t)bits;
	}

	*ret_data = steal_pointer(data);
	*ret_length = size;
	return 0;
}

/* What a first byte announces: the character's length (0: none begins so) and the range of its second byte. */
struct utf8_lead {
	size_t length;
	uint8_t second_minimum;
	uint8_t second_maximum;
};

static struct utf8_lead utf8_lead(uint8_t byte)
{
	if (byte < 0x80)
		return (struct utf8_lead){ 1, 0, 0 };
	if (byte < 0xc2)
		return (struct utf8_lead){ 0, 0, 0 };
	if (byte < 0xe0)
		return (struct utf8_lead){ 2, 0x80, 0xbf };
	if (byte < 0xf0)
		return (struct utf8_lead){ 3, byte == 0xe0 ? 0xa0 : 0x80, byte == 0xed ? 0x9f : 0xbf };
	if (byte < 0xf5)
		return (struct utf8_lead){ 4, byte == 0xf0 ? 0x90 : 0x80, byte == 0xf4 ? 0x8f : 0xbf };

	return (struct utf8_lead){ 0, 0, 0 };
}

/*
 * Look at the character that begins at data, length > 0 bytes long at most. Returns how many bytes belong together: a
 * whole character (*ret_whole) or a maximal ill-formed subpart, at least 1.
 */
static size_t utf8_step(const uint8_t *data, size_t length, bool *ret_whole)
{
	struct utf8_lead lead = utf8_lead(data[0]);
	size_t have = 1;

	*ret_whole = false;
	if (lead.length == 0)
		return 1;

	for (; have < lead.length && have < length; have++) {
		uint8_t minimum = have == 1 ? lead.second_minimum : 0x80;
		uint8_t maximum = have == 1 ? lead.second_maximum : 0xbf;

		if (data[have] < minimum || data[have] > maximum)
			return have;
	}
	*ret_whole = have == lead.length;

	return have;
}

int utf8_lossy(const uint8_t *data, size_t length, char **ret_text, size_t *ret_length)
{
	static const char replacement[] = "\xef\xbf\xbd";
	size_t out = 0, step;
	char *text;

	if (length > (SIZE_MAX - 1) / 3)
		return -EOVERFLOW;

	text = malloc(length * 3 + 1); /* the worst case: every byte becomes U+FFFD */
	if (!text)
		return -ENOMEM;

	for (size_t i = 0; i < length; i += step) {
		bool whole;

		step = utf8_step(data + i, length - i, &whole);
		if (whole && data[i] != '\0') {
			memcpy(text + out, data + i, step);
			out += step;
		} else {
			memcpy(text + out, replacement, 3);
			out += 3;
		}
	}
	text[out] = '\0';

	*ret_text = text;
	if (ret_length)
		*ret_length = out;
	return 0;
}

size_t utf8_complete_length(const uint8_t *data, size_t length)
{
	for (size_t back = 1; back <= 3 && back <= length; back++) {
		const uint8_t *start = data + length - back;
		bool whole;

		if ((*start & 0xc0) == 0x80)
			continue;
		if (utf8_lead(*start).length > back && utf8_step(start, back, &whole) == back)
			return length - back;
		break;
	}

	return length;
}
