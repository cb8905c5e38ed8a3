/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The first look at a state.json, before its members are read.
 *
 * What could make the JSON parser work hard is bounded first: the size; then the first line, which is compared as text,
 * and the CRC of the rest; then, in one pass over the bytes, how deep it nests and how many values it has. Only then is
 * it parsed.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <string.h>

#include "snapshot/crc64.h"
#include "snapshot/folder.h"
#include "snapshot/json_value.h"
#include "snapshot/state.h"
#include "snapshot/state_json_form.h"

#define NESTING_MAX   16
#define VALUES_MAX    262144 /* a state with everything at its greatest has fewer than 60,000 */
#define FORMAT_DIGITS 4

/* Step over an expected text. */
static bool skip_text(const char **text, const char *end, const char *expected)
{
	size_t length = strlen(expected);

	if ((size_t)(end - *text) < length || memcmp(*text, expected, length) != 0)
		return false;

	*text += length;
	return true;
}

/* Step over the first line: its format number and CRC. */
static bool skip_first_line(const char **text, const char *end, unsigned *ret_format, uint64_t *ret_crc)
{
	const char *start;
	unsigned format = 0;
	uint64_t crc = 0;

	if (!skip_text(text, end, STATE_JSON_BEFORE_FORMAT))
		return false;
	for (start = *text; *text < end && **text >= '0' && **text <= '9' && *text - start < FORMAT_DIGITS; (*text)++)
		format = format * 10 + (unsigned)(**text - '0');
	if (*text == start || !skip_text(text, end, STATE_JSON_BEFORE_CRC))
		return false;
	for (start = *text; *text < end && *text - start < STATE_JSON_CRC_DIGITS; (*text)++) {
		static const char digits[] = "0123456789abcdef";
		const char *digit = memchr(digits, **text, sizeof(digits) - 1);

		if (!digit)
			return false;
		crc = crc << 4 | (uint64_t)(digit - digits);
	}
	if (!skip_text(text, end, STATE_JSON_AFTER_CRC))
		return false;

	*ret_format = format;
	*ret_crc = crc;
	return true;
}

/* Everything that is known before parsing. */
static int check_envelope(const char *text, size_t size, uint64_t *ret_crc, struct error_detail *detail)
{
	const char *body = text;
	unsigned format;
	uint64_t said;
	uint64_t crc;

	if (size == 0) {
		error_detail_set(detail, "state.json is empty");
		return -ENODATA;
	}
	if (size > SNAPSHOT_STATE_SIZE_MAX) {
		error_detail_set(detail, "state.json has %zu bytes; %" PRIu64 " are the most that are allowed", size,
				 SNAPSHOT_STATE_SIZE_MAX);
		return -EFBIG;
	}
	if (!skip_first_line(&body, text + size, &format, &said)) {
		error_detail_set(detail, "state.json does not begin as a snapshot's state does (magic EMBERSNP)");
		return -EBADMSG;
	}
	if (format != SNAPSHOT_FORMAT) {
		error_detail_set(detail, "state.json has format %u; this version of Ember reads format %d", format,
				 SNAPSHOT_FORMAT);
		return -EPROTONOSUPPORT;
	}
	crc = crc64_update(CRC64_START, body, size - (size_t)(body - text));
	if (crc != said) {
		error_detail_set(detail, "state.json is damaged: its CRC is %016" PRIx64 ", not %016" PRIx64, crc,
				 said);
		return -EBADMSG;
	}

	*ret_crc = crc;
	return 0;
}

/*
 * Bound the parser's work. Counts commas and opening brackets outside strings: no document has more values than these.
 */
static int check_extent(const char *text, size_t size, struct error_detail *detail)
{
	unsigned depth = 0;
	size_t values = 1;
	bool in_string = false;

	for (size_t i = 0; i < size; i++) {
		char c = text[i];

		if (in_string) {
			if (c == '\\')
				i++;
			in_string = c != '"';
			continue;
		}
		in_string = c == '"';
		values += c == ',' || c == '[' || c == '{';
		if (c == '[' || c == '{')
			depth++;
		else if ((c == ']' || c == '}') && depth > 0)
			depth--;
		if (depth > NESTING_MAX || values > VALUES_MAX) {
			error_detail_set(detail, "state.json %s at byte %zu",
					 depth > NESTING_MAX ? "nests too deep" : "has too many values", i);
			return -EINVAL;
		}
	}

	return 0;
}

static int parse(const char *text, size_t size, json_t **ret_document, struct error_detail *detail)
{
	char message[JSON_ERROR_TEXT_LENGTH];
	json_error_t error;
	json_t *document = json_loadb(text, size, JSON_REJECT_DUPLICATES, &error);

	if (!document) {
		int r = json_load_failure(&error, message, sizeof(message));

		error_detail_set(detail, "state.json, line %d, column %d: %s", error.line, error.column, message);
		return r;
	}

	*ret_document = document;
	return 0;
}

int state_json_open(const char *text, size_t size, json_t **ret_document, uint64_t *ret_crc64,
		    struct error_detail *detail)
{
	uint64_t crc = 0;
	int r = check_envelope(text, size, &crc, detail);

	if (r == 0)
		r = check_extent(text, size, detail);
	if (r == 0)
		r = parse(text, size, ret_document, detail);
	if (r == 0)
		*ret_crc64 = crc;

	return r;
}
