/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Base64 against RFC 4648's test vectors and every way to break them; UTF-8 against the Unicode standard's tables.
 */
#include "proto/text_encoding.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

/* RFC 4648, section 10 */
static const char *const vectors[][2] = {
	{ "", "" },
	{ "f", "Zg==" },
	{ "fo", "Zm8=" },
	{ "foo", "Zm9v" },
	{ "foob", "Zm9vYg==" },
	{ "fooba", "Zm9vYmE=" },
	{ "foobar", "Zm9vYmFy" },
	{ "\xfb\xff\xbf", "+/+/" },
};

Test(base64, the_rfcs_vectors_go_both_ways)
{
	for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
		const char *plain = vectors[i][0], *encoded = vectors[i][1];
		uint8_t *data = NULL;
		char *text = NULL;
		size_t length = 99;

		cr_assert_eq(base64_encode((const uint8_t *)plain, strlen(plain), &text), 0);
		cr_assert_str_eq(text, encoded);
		cr_assert_eq(base64_decode(encoded, strlen(encoded), &data, &length), 0);
		cr_assert_eq(length, strlen(plain));
		cr_assert_not_null(data);
		cr_assert_eq(memcmp(data, plain, length), 0);
		free(text);
		free(data);
	}
}

Test(base64, every_byte_survives_at_every_length)
{
	uint8_t bytes[256 + 3];

	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(i * 167 + 13);
	for (size_t length = 0; length <= sizeof(bytes); length++) {
		uint8_t *data = NULL;
		char *text = NULL;
		size_t back;

		cr_assert_eq(base64_encode(bytes, length, &text), 0);
		cr_assert_eq(base64_decode(text, strlen(text), &data, &back), 0);
		cr_assert_eq(back, length);
		cr_assert_eq(memcmp(data, bytes, length), 0);
		free(text);
		free(data);
	}
}

Test(base64, anything_but_strict_base64_is_refused)
{
	static const char *const texts[] = {
		"Z",        "Zg",      "Zg=",   "Zm9",  "Zm9v\n",  "Zm9v Zm9v",
		"Zm9-",     "Zm9_",    "====",  "Z===", "=Zg=",    "Zg==Zg==",
		"Zm8=Zm8=", "Zh==",    "Zm9=",  "Zg=g", "Z\x80==", "\xff\xff\xff\xff",
		"Zm9v====", "Zm9vZm8", "Zm\n=",
	};
	uint8_t *data = NULL;
	size_t length = 42;

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		cr_assert_eq(base64_decode(texts[i], strlen(texts[i]), &data, &length), -EBADMSG, "%s", texts[i]);
	cr_assert_eq(base64_decode("Zm\0v", 4, &data, &length), -EBADMSG);
	cr_assert_null(data);
	cr_assert_eq(length, 42);
}

#define REPLACED "\xef\xbf\xbd"

static const struct {
	const char *bytes;
	const char *text;
} lossy[] = {
	{ "", "" },
	{ "plain\r\n", "plain\r\n" },
	{ "\xc2\x80 \xdf\xbf \xe0\xa0\x80 \xed\x9f\xbf \xee\x80\x80 \xef\xbf\xbf \xf0\x90\x80\x80 \xf4\x8f\xbf\xbf",
	  "\xc2\x80 \xdf\xbf \xe0\xa0\x80 \xed\x9f\xbf \xee\x80\x80 \xef\xbf\xbf \xf0\x90\x80\x80 \xf4\x8f\xbf\xbf" },
	/* Unicode 15, table 3-8: U+FFFD for each maximal subpart */
	{ "\x61\xf1\x80\x80\xe1\x80\xc2\x62\x80\x63\x80\xbf\x64",
	  "a" REPLACED REPLACED REPLACED "b" REPLACED "c" REPLACED REPLACED "d" },
	/* table 3-8 and following: overlong forms, surrogates, beyond U+10FFFF */
	{ "\xc0\xaf\xe0\x80\xbf\xf0\x81\x82\x41",
	  REPLACED REPLACED REPLACED REPLACED REPLACED REPLACED REPLACED REPLACED "A" },
	{ "\xed\xa0\x80\xed\xbf\xbf\xed\xaf\x41",
	  REPLACED REPLACED REPLACED REPLACED REPLACED REPLACED REPLACED REPLACED "A" },
	{ "\xf4\x91\x92\x93\xff\x41\x80\xbf\x42",
	  REPLACED REPLACED REPLACED REPLACED REPLACED "A" REPLACED REPLACED "B" },
	{ "\xe1\x80\xe2\xf0\x91\x92\xf1\xbf\x41", REPLACED REPLACED REPLACED REPLACED "A" },
	/* cut by the end */
	{ "x\xe2\x82", "x" REPLACED },
	{ "x\xf0\x9f\x98", "x" REPLACED },
	{ "x\xc3", "x" REPLACED },
};

Test(utf8, ill_formed_parts_become_replacement_characters)
{
	for (size_t i = 0; i < sizeof(lossy) / sizeof(lossy[0]); i++) {
		char *text = NULL;
		size_t length;

		cr_assert_eq(utf8_lossy((const uint8_t *)lossy[i].bytes, strlen(lossy[i].bytes), &text, &length), 0);
		cr_assert_str_eq(text, lossy[i].text, "case %zu", i);
		cr_assert_eq(length, strlen(text));
		free(text);
	}
}

Test(utf8, a_NUL_becomes_a_replacement_character)
{
	char *text = NULL;

	cr_assert_eq(utf8_lossy((const uint8_t *)"a\0b", 3, &text, NULL), 0);
	cr_assert_str_eq(text, "a" REPLACED "b");
	free(text);
}

/* jansson has a decoder of its own: what ours lets through, it accepts. */
Test(utf8, whatever_the_bytes_jansson_takes_the_text)
{
	for (unsigned int first = 0; first < 256; first++) {
		for (unsigned int second = 0; second < 256; second++) {
			uint8_t bytes[5] = { (uint8_t)first, (uint8_t)second, (uint8_t)(second * 7 + first), 0x80,
					     (uint8_t)(first * 3) };
			char *text = NULL;
			size_t length;
			json_t *string;

			cr_assert_eq(utf8_lossy(bytes, sizeof(bytes), &text, &length), 0);
			string = json_stringn(text, length);
			cr_assert_not_null(string, "%02x %02x", first, second);
			json_decref(string);
			free(text);
		}
	}
}

Test(utf8, a_character_that_may_still_be_completed_is_held_back)
{
	static const struct {
		const char *bytes;
		size_t complete;
	} cases[] = {
		{ "", 0 },
		{ "abc", 3 },
		{ "ab\xc3", 2 },
		{ "ab\xc3\xa9", 4 },
		{ "a\xe2", 1 },
		{ "a\xe2\x82", 1 },
		{ "a\xe2\x82\xac", 4 },
		{ "\xf0", 0 },
		{ "\xf0\x9f", 0 },
		{ "\xf0\x9f\x98", 0 },
		{ "\xf0\x9f\x98\x80", 4 },
		{ "a\x80", 2 },
		{ "\x80\x80\x80\x80", 4 },
		{ "a\xff", 2 },
		{ "a\xc0", 2 },
		{ "a\xed\xa0", 3 },
		{ "a\xf4\x90", 3 },
		{ "a\xe2\x82\xac\x82", 5 },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		cr_assert_eq(utf8_complete_length((const uint8_t *)cases[i].bytes, strlen(cases[i].bytes)),
			     cases[i].complete, "case %zu", i);
}
