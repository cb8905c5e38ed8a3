/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Log lines: formed in a buffer on the stack, written with one write(2).
 *
 * Texts may come from clients, so nothing reaches the line unescaped. In JSON, control characters become \u00xx and
 * bytes that are not UTF-8 become U+FFFD. In text, control characters (C1 ones too, which terminals obey) and stray
 * bytes become \xNN, and a value with spaces or quotes is quoted.
 *
 * A line never grows past LOG_LINE_MAX: each piece is appended whole or not at all, with room reserved for the closing
 * mark. A pipe that polls writable takes PIPE_BUF bytes without blocking (pipe(7)), so a reader that has
 * stopped costs lines, never the event loop's time. Nor does a file that takes no more (ENOSPC, EFBIG): its lines are counted, and
 * told of when there is room again.
 */
#include <inttypes.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "server/clock.h"
#include "server/log.h"

/* A value longer than this many bytes of escaped text is cut, so that one value does not crowd out the others. */
#define VALUE_MAX 1024
/* Room kept for what must still fit when the rest does not: the "truncated" mark and the line's end. */
#define RESERVE 32

struct line {
	char *start;
	size_t length;
	size_t limit; /* LOG_LINE_MAX - RESERVE until the end is written */
	enum log_format format;
	bool truncated;
};

static const char *const level_names[] = { "debug", "info", "warning", "error" };

static enum log_level configured_level = LOG_LEVEL_INFO;
static enum log_format configured_format = LOG_FORMAT_AUTO;
static char configured_instance[LOG_INSTANCE_MAX + 1]; /* "": none */
static uint64_t dropped_line_count;
static bool line_is_torn; /* a file that has become full took the beginning of a line */

static bool append_bytes(struct line *line, const char *bytes, size_t length)
{
	if (length > line->limit - line->length) {
		line->truncated = true;
		return false;
	}

	memcpy(line->start + line->length, bytes, length);
	line->length += length;
	return true;
}

static bool append(struct line *line, const char *text)
{
	return append_bytes(line, text, strlen(text));
}

/*
 * The length of the UTF-8 character that starts here (RFC 3629: shortest form, no surrogates, at most U+10FFFF), or 0.
 * A zero byte stops the comparison of continuation bytes, so a terminated text is not overrun.
 */
static size_t utf8_length(const unsigned char *text)
{
	unsigned char low = 0x80, high = 0xbf;
	size_t length, i;

	if (text[0] < 0x80)
		return 1;
	if (text[0] >= 0xc2 && text[0] <= 0xdf)
		length = 2;
	else if (text[0] >= 0xe0 && text[0] <= 0xef)
		length = 3;
	else if (text[0] >= 0xf0 && text[0] <= 0xf4)
		length = 4;
	else
		return 0;

	if (text[0] == 0xe0)
		low = 0xa0;
	else if (text[0] == 0xed)
		high = 0x9f;
	else if (text[0] == 0xf0)
		low = 0x90;
	else if (text[0] == 0xf4)
		high = 0x8f;

	if (text[1] < low || text[1] > high)
		return 0;
	for (i = 2; i < length; i++)
		if (text[i] < 0x80 || text[i] > 0xbf)
			return 0;
	return length;
}

static bool is_control(const unsigned char *character, size_t length)
{
	if (length == 1)
		return character[0] < 0x20 || character[0] == 0x7f;
	/* C1: U+0080 to U+009F */
	return length == 2 && character[0] == 0xc2 && character[1] < 0xa0;
}

/* One character of a value in its escaped form. Returns the bytes of the value that it stands for. */
static size_t escape_character(enum log_format format, const unsigned char *character, char escaped[16])
{
	size_t length = utf8_length(character);

	if (length == 0) {
		if (format == LOG_FORMAT_JSON)
			(void)snprintf(escaped, 16, "\\ufffd");
		else
			(void)snprintf(escaped, 16, "\\x%02x", character[0]);
		return 1;
	}

	if (*character == '"' || *character == '\\') {
		(void)snprintf(escaped, 16, "\\%c", *character);
	} else if (is_control(character, length)) {
		unsigned int code = length == 1 ? character[0] : character[1];

		(void)snprintf(escaped, 16, format == LOG_FORMAT_JSON ? "\\u%04x" : "\\x%02x", code);
	} else {
		memcpy(escaped, character, length);
		escaped[length] = '\0';
	}
	return length;
}

/* Append a value's text, escaped; cut at VALUE_MAX or at the end of the line's room. */
static void append_escaped(struct line *line, const char *text)
{
	const unsigned char *next = (const unsigned char *)text;
	size_t start = line->length;
	char escaped[16];

	while (*next) {
		next += escape_character(line->format, next, escaped);
		if (line->length - start + strlen(escaped) > VALUE_MAX) {
			line->truncated = true;
			return;
		}
		if (!append(line, escaped))
			return;
	}
}

static bool wants_quotes(const char *text)
{
	if (*text == '\0')
		return true;
	for (; *text; text++)
		if ((unsigned char)*text <= ' ' || *text == '"' || *text == '=' || *text == '\\' || *text == 0x7f)
			return true;
	return false;
}

/* Append a quoted text whole, or as much of it as fits with its closing quote. */
static void append_quoted(struct line *line, const char *text)
{
	if (!append(line, "\""))
		return;
	line->limit--;
	append_escaped(line, text);
	line->limit++;
	(void)append(line, "\"");
}

static void append_text_field(struct line *line, const char *key, const char *text)
{
	size_t start = line->length;
	char opening[64];

	(void)snprintf(opening, sizeof(opening), line->format == LOG_FORMAT_JSON ? ",\"%.40s\":" : " %.40s=", key);
	/* A key with no room for any of its value would leave broken JSON. */
	if (!append(line, opening) || line->limit - line->length < 2) {
		line->length = start;
		line->truncated = true;
		return;
	}

	if (line->format == LOG_FORMAT_JSON || wants_quotes(text))
		append_quoted(line, text);
	else
		append_escaped(line, text);
}

static void append_number_field(struct line *line, const char *key, int64_t number)
{
	char field[96];

	(void)snprintf(field, sizeof(field),
		       line->format == LOG_FORMAT_JSON ? ",\"%.40s\":%" PRId64 : " %.40s=%" PRId64, key, number);
	(void)append(line, field);
}

static void append_fields(struct line *line, const struct log_field *field)
{
	for (; field->type != LOG_FIELD_END; field++) {
		switch (field->type) {
		case LOG_FIELD_TEXT:
			if (field->text)
				append_text_field(line, field->key, field->text);
			break;
		case LOG_FIELD_NUMBER:
			append_number_field(line, field->key, field->number);
			break;
		case LOG_FIELD_ERROR: {
			int error = (int)(field->number < 0 ? -field->number : field->number);
			char text[128];

			append_text_field(line, field->key, strerror_r(error, text, sizeof(text)));
			break;
		}
		case LOG_FIELD_END:
			break;
		}
	}
}

/* "2024-05-01T12:00:00.123456Z" */
static void form_time(char text[40], int64_t nanoseconds)
{
	time_t seconds = (time_t)(nanoseconds / 1000000000);
	struct tm utc;
	size_t length;

	(void)gmtime_r(&seconds, &utc);
	length = strftime(text, 40, "%Y-%m-%dT%H:%M:%S", &utc);
	(void)snprintf(text + length, 40 - length, ".%06" PRId64 "Z", nanoseconds % 1000000000 / 1000);
}

size_t log_form_line(char *start, int64_t nanoseconds, enum log_format format, enum log_level level,
		     const char *message, const struct log_field *fields, uint64_t dropped_lines)
{
	struct line line = { .start = start, .limit = LOG_LINE_MAX - RESERVE, .format = format };
	bool json = format == LOG_FORMAT_JSON;
	char opening[96], time_text[40];

	form_time(time_text, nanoseconds);
	(void)snprintf(opening, sizeof(opening), json ? "{\"time\":\"%s\",\"level\":\"%s\",\"message\":" : "%s %-7s ",
		       time_text, level_names[level]);
	(void)append(&line, opening);
	if (json)
		append_quoted(&line, message);
	else
		append_escaped(&line, message);

	if (json && configured_instance[0])
		append_text_field(&line, "instance", configured_instance);
	append_fields(&line, fields);
	if (dropped_lines)
		append_number_field(&line, "dropped_lines", (int64_t)dropped_lines);

	line.limit = LOG_LINE_MAX;
	if (line.truncated)
		(void)append(&line, json ? ",\"truncated\":true" : " truncated=true");
	(void)append(&line, json ? "}\n" : "\n");
	return line.length;
}

void log_configure(enum log_level level, enum log_format format)
{
	configured_level = level;
	configured_format = format;
}

void log_identify(const char *instance)
{
	(void)snprintf(configured_instance, sizeof(configured_instance), "%s", instance);
}

void log_write(enum log_level level, const char *message, const struct log_field *fields)
{
	struct pollfd writable = { .fd = STDERR_FILENO, .events = POLLOUT };
	enum log_format format = configured_format;
	char line[1 + LOG_LINE_MAX]; /* after room for the end of a line that was cut */
	const char *start = line + !line_is_torn;
	struct timespec now;
	ssize_t written;
	size_t length;

	if (level < configured_level)
		return;

	if (format == LOG_FORMAT_AUTO)
		format = isatty(STDERR_FILENO) ? LOG_FORMAT_TEXT : LOG_FORMAT_JSON;
	(void)clock_gettime(CLOCK_REALTIME, &now);
	line[0] = '\n';
	length = log_form_line(line + 1, (int64_t)now.tv_sec * 1000000000 + now.tv_nsec, format, level, message, fields,
			       dropped_line_count);

	length += line_is_torn;
	written = poll(&writable, 1, 0) == 1 && (writable.revents & POLLOUT) ? write(STDERR_FILENO, start, length) : -1;
	if (written == (ssize_t)length) {
		dropped_line_count = 0;
		line_is_torn = false;
		return;
	}
	dropped_line_count++;
	/* Only the line end of what was cut before may have got through. */
	if (written > 0)
		line_is_torn = !(line_is_torn && written == 1);
}

bool log_limit_allows(struct log_limit *limit, uint64_t now_ns, uint64_t *ret_left_out)
{
	int64_t second = (int64_t)(now_ns / (1000 * NANOSECONDS_PER_MS));

	if (limit->second != second) {
		limit->second = second;
		limit->lines = 0;
	}
	if (limit->lines >= LOG_LIMIT_LINES) {
		limit->left_out++;
		return false;
	}

	limit->lines++;
	*ret_left_out = limit->left_out;
	limit->left_out = 0;
	return true;
}

void log_write_limited(struct log_limit *limit, enum log_level level, const char *message,
		       const struct log_field *fields)
{
	uint64_t left_out;

	if (level < configured_level || !log_limit_allows(limit, monotonic_ns(), &left_out))
		return;
	if (left_out)
		log_write(level, "lines left out",
			  LOG_FIELDS(log_text("of", message), log_number("lines", (int64_t)left_out)));
	log_write(level, message, fields);
}
