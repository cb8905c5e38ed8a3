/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Console bytes: base64 there and back, strict base64 only in the one form that encoding gives, and UTF-8 that JSON
 * takes, whatever the bytes and wherever they are cut.
 */
#include "fuzz.h"
#include "proto/text_encoding.h"

#include <jansson.h>
#include <string.h>

static void check_base64(const uint8_t *data, size_t size)
{
	uint8_t *decoded = NULL;
	char *text = NULL;
	size_t length = 0;

	FUZZ_CHECK(base64_encode(data, size, &text) == 0);
	FUZZ_CHECK(base64_decode(text, strlen(text), &decoded, &length) == 0);
	FUZZ_CHECK(length == size && memcmp(decoded, data, size) == 0);
	free(text);
	free(decoded);

	if (base64_decode((const char *)data, size, &decoded, &length) < 0)
		return;
	FUZZ_CHECK(base64_encode(decoded, length, &text) == 0);
	FUZZ_CHECK(strlen(text) == size && memcmp(text, data, size) == 0);
	free(text);
	free(decoded);
}

static void check_utf8(const uint8_t *data, size_t size)
{
	size_t complete = utf8_complete_length(data, size), length = 0, again_length = 0;
	char *text = NULL, *again = NULL;
	json_t *string;

	FUZZ_CHECK(complete <= size && size - complete <= 3);
	FUZZ_CHECK(utf8_lossy(data, size, &text, &length) == 0);
	string = json_stringn(text, length);
	FUZZ_CHECK(string);
	json_decref(string);
	FUZZ_CHECK(utf8_lossy((const uint8_t *)text, length, &again, &again_length) == 0);
	FUZZ_CHECK(again_length == length && memcmp(again, text, length) == 0);
	free(text);
	free(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	check_base64(data, size);
	check_utf8(data, size);

	return 0;
}
