/* SPDX-License-Identifier: Apache-2.0 */
/*
 * JSON values, read strictly: each has one form, and whatever deviates is an error that says where, what was expected,
 * and what was found. Nothing of what a file holds is repeated in an error but numbers and short printable text.
 */
#include "snapshot/json_value.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define HEX_DIGITS_MAX 16

static const char hex_digits[] = "0123456789abcdef";

/*
 * jansson draws the seed of its hash tables when it makes its first object, from /dev/urandom: who reads and writes
 * states may not open that any more, so it is drawn before main() and inherited.
 */
__attribute__((constructor)) static void seed_hash_tables(void)
{
	json_object_seed(0);
}

static size_t append(struct json_path *path, int printed)
{
	size_t before = path->length;

	if (printed > 0)
		path->length += (size_t)printed;
	if (path->length >= sizeof(path->text))
		path->length = sizeof(path->text) - 1;

	return before;
}

size_t json_path_enter_member(struct json_path *path, const char *name)
{
	return append(path, snprintf(path->text + path->length, sizeof(path->text) - path->length, "%s%s",
				     path->length > 0 ? "." : "", name));
}

size_t json_path_enter_element(struct json_path *path, size_t index)
{
	return append(path, snprintf(path->text + path->length, sizeof(path->text) - path->length, "[%zu]", index));
}

void json_path_leave(struct json_path *path, size_t length)
{
	path->length = length;
	path->text[length] = '\0';
}

int json_fail(const struct json_path *path, struct error_detail *detail, const char *format, ...)
{
	char message[96];
	va_list arguments;

	va_start(arguments, format);
	(void)vsnprintf(message, sizeof(message), format, arguments);
	va_end(arguments);
	error_detail_set(detail, "%s: %s", path->length > 0 ? path->text : "the document", message);

	return -EINVAL;
}

void json_printable(const char *text, char *ret_text, size_t size)
{
	size_t length = 0;

	for (; text[length] && length + 1 < size; length++) {
		bool printable = text[length] >= ' ' && text[length] <= '~';

		ret_text[length] = '?';
		if (printable)
			ret_text[length] = text[length];
	}
	ret_text[length] = '\0';
}

int json_load_failure(const json_error_t *error, char *ret_text, size_t size)
{
	/* Where an allocation fails, jansson mostly gives up without a word. */
	bool no_memory = error->text[0] == '\0' || json_error_code(error) == json_error_out_of_memory;

	json_printable(no_memory ? "out of memory" : error->text, ret_text, size);
	return no_memory ? -ENOMEM : -EINVAL;
}

int json_fail_unknown(const struct json_path *path, const char *key, struct error_detail *detail)
{
	char printable[48];

	json_printable(key, printable, sizeof(printable));
	return json_fail(path, detail, "has an unknown member \"%s\"", printable);
}

static const char *kind(const json_t *value)
{
	switch (json_typeof(value)) {
	case JSON_OBJECT:
		return "an object";
	case JSON_ARRAY:
		return "an array";
	case JSON_STRING:
		return "a string";
	case JSON_INTEGER:
		return "a number";
	case JSON_REAL:
		return "a number with a fraction";
	case JSON_TRUE:
	case JSON_FALSE:
		return "a boolean";
	case JSON_NULL:
		return "null";
	}

	return "something else";
}

static int wrong_kind(const json_t *value, const char *wanted, const struct json_path *path,
		      struct error_detail *detail)
{
	if (!value)
		return json_fail(path, detail, "missing");

	return json_fail(path, detail, "must be %s, is %s", wanted, kind(value));
}

int json_read_integer(const json_t *value, int64_t minimum, uint64_t maximum, const struct json_path *path,
		      int64_t *ret_number, struct error_detail *detail)
{
	json_int_t number;

	if (!json_is_integer(value))
		return wrong_kind(value, "a whole number", path, detail);
	number = json_integer_value(value);
	if (number < minimum || (number > 0 && (uint64_t)number > maximum))
		return json_fail(path, detail, "must be from %" PRId64 " to %" PRIu64 ", is %" JSON_INTEGER_FORMAT,
				 minimum, maximum, number);

	*ret_number = number;
	return 0;
}

/* The value of a hexadecimal digit, or -1. Lower case only: a value has one form, so that documents compare as text. */
static int digit_value(char digit)
{
	if (digit >= '0' && digit <= '9')
		return digit - '0';
	if (digit >= 'a' && digit <= 'f')
		return digit - 'a' + 10;

	return -1;
}

int json_read_hex(const json_t *value, uint64_t maximum, const struct json_path *path, uint64_t *ret_number,
		  struct error_detail *detail)
{
	static const char wanted[] = "a string of \"0x\" and 1 to 16 digits 0-9 a-f";
	const char *text = json_string_value(value);
	uint64_t number = 0;
	size_t length;

	if (!text)
		return wrong_kind(value, wanted, path, detail);
	length = json_string_length(value);
	if (length < 3 || length > 2 + HEX_DIGITS_MAX || text[0] != '0' || text[1] != 'x')
		return json_fail(path, detail, "must be %s", wanted);
	for (size_t i = 2; i < length; i++) {
		int digit = digit_value(text[i]);

		if (digit < 0)
			return json_fail(path, detail, "must be %s", wanted);
		number = number << 4 | (unsigned)digit;
	}
	if (number > maximum)
		return json_fail(path, detail, "must be at most 0x%" PRIx64 ", is 0x%" PRIx64, maximum, number);

	*ret_number = number;
	return 0;
}

int json_read_string(const json_t *value, size_t size, const struct json_path *path, char *ret_text,
		     struct error_detail *detail)
{
	const char *text = json_string_value(value);
	size_t length;

	if (!text)
		return wrong_kind(value, "a string", path, detail);
	length = json_string_length(value);
	if (length == 0 || length >= size)
		return json_fail(path, detail, "must have 1 to %zu characters, has %zu", size - 1, length);
	for (size_t i = 0; i < length; i++)
		if (text[i] < ' ' || text[i] > '~')
			return json_fail(path, detail, "must hold nothing but printable ASCII");

	memcpy(ret_text, text, length);
	ret_text[length] = '\0';
	return 0;
}

int json_read_bytes(const json_t *value, size_t count, const struct json_path *path, uint8_t *ret_bytes,
		    struct error_detail *detail)
{
	const char *text = json_string_value(value);

	if (!text)
		return wrong_kind(value, "a string of hexadecimal digits", path, detail);
	if (json_string_length(value) != 2 * count)
		return json_fail(path, detail, "must have %zu hexadecimal digits, has %zu characters", 2 * count,
				 json_string_length(value));
	for (size_t i = 0; i < count; i++) {
		int high = digit_value(text[2 * i]);
		int low = digit_value(text[2 * i + 1]);

		if (high < 0 || low < 0)
			return json_fail(path, detail, "must hold nothing but digits 0-9 a-f");
		ret_bytes[i] = (uint8_t)(high << 4 | low);
	}

	return 0;
}

int json_expect_object(const json_t *value, const struct json_path *path, struct error_detail *detail)
{
	return json_is_object(value) ? 0 : wrong_kind(value, "an object", path, detail);
}

int json_expect_array(const json_t *value, const struct json_path *path, struct error_detail *detail)
{
	return json_is_array(value) ? 0 : wrong_kind(value, "an array", path, detail);
}

json_t *json_new_hex(uint64_t number, unsigned digits)
{
	return json_sprintf("0x%0*" PRIx64, (int)digits, number);
}

json_t *json_new_bytes(const uint8_t *bytes, size_t count)
{
	char *text = malloc(2 * count + 1);
	json_t *value;

	if (!text)
		return NULL;
	for (size_t i = 0; i < count; i++) {
		text[2 * i] = hex_digits[bytes[i] >> 4];
		text[2 * i + 1] = hex_digits[bytes[i] & 0xf];
	}
	value = json_stringn_nocheck(text, 2 * count);
	free(text);

	return value;
}
