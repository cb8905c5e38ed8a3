/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Framing.
 *
 * A line that lies whole in the caller's input is returned where it is, without a copy; only one that is cut by the
 * end of the input is kept here, in a buffer that doubles as the line grows and is given back once a large line is
 * done. The buffer holds one byte more than the cap: a line of exactly the cap may be followed by the CR of a CR LF
 * whose LF has not come yet.
 */
#include "proto/line_reader.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define KEPT_CAPACITY 16384 /* bytes: a buffer larger than this is not kept for the next line */

struct line_reader {
	size_t max_line;
	char *buffer;
	size_t capacity;
	size_t pending;  /* bytes of the unfinished line */
	bool returned;   /* the buffer holds a line that was given to the caller: empty it first */
	bool discarding; /* a line was too long: skip to its end */
};

int line_reader_new(size_t max_line, struct line_reader **ret_reader)
{
	struct line_reader *reader;

	if (max_line < 1 || max_line > SIZE_MAX / 4)
		return -EINVAL;

	reader = calloc(1, sizeof(*reader));
	if (!reader)
		return -ENOMEM;

	reader->max_line = max_line;
	*ret_reader = reader;
	return 0;
}

struct line_reader *line_reader_free(struct line_reader *reader)
{
	if (reader)
		free(reader->buffer);
	free(reader);

	return NULL;
}

size_t line_reader_pending(const struct line_reader *reader)
{
	return reader->returned ? 0 : reader->pending;
}

static void forget_returned(struct line_reader *reader)
{
	if (!reader->returned)
		return;

	reader->returned = false;
	reader->pending = 0;
	if (reader->capacity > KEPT_CAPACITY) {
		free(reader->buffer);
		reader->buffer = NULL;
		reader->capacity = 0;
	}
}

static void consume(const char **input, size_t *length, size_t count)
{
	*input += count;
	*length -= count;
}

/* Add bytes to the unfinished line; the caller has checked that pending + length stays within max_line + 1. */
static int keep(struct line_reader *reader, const char *data, size_t length)
{
	size_t needed = reader->pending + length, capacity = reader->capacity;
	char *grown;

	if (length == 0)
		return 0;

	if (needed > capacity) {
		while (capacity < needed)
			capacity = capacity ? capacity * 2 : 256;
		if (capacity > reader->max_line + 1)
			capacity = reader->max_line + 1;
		grown = realloc(reader->buffer, capacity);
		if (!grown)
			return -ENOMEM;
		reader->buffer = grown;
		reader->capacity = capacity;
	}
	memcpy(reader->buffer + reader->pending, data, length);
	reader->pending = needed;

	return 0;
}

/* Would the unfinished line with these bytes be too long? Its last byte may be the CR of a line end. */
static bool too_long(const struct line_reader *reader, const char *data, size_t length)
{
	size_t total;
	const char *last;

	if (length > reader->max_line + 1 || reader->pending > reader->max_line + 1 - length)
		return true;

	total = reader->pending + length;
	if (total <= reader->max_line)
		return false;
	last = length > 0 ? data + length - 1 : reader->buffer + reader->pending - 1;

	return *last != '\r';
}

/* A line that is complete: drop its CR. Returns LINE_READER_LINE, or LINE_READER_MORE where nothing is left of it. */
static int deliver(const char *line, size_t length, const char **ret_line, size_t *ret_length)
{
	if (length > 0 && line[length - 1] == '\r')
		length--;
	if (length == 0)
		return LINE_READER_MORE;

	*ret_line = line;
	*ret_length = length;
	return LINE_READER_LINE;
}

/* Begin to discard; bytes up to and without the LF are gone already. */
static int give_up_line(struct line_reader *reader, bool ended)
{
	reader->returned = true; /* empties and perhaps frees the buffer */
	forget_returned(reader);
	reader->discarding = !ended;

	return LINE_READER_TOO_LONG;
}

/* The LF at end closes the unfinished line. Returns as deliver(), LINE_READER_TOO_LONG or -ENOMEM. */
static int close_line(struct line_reader *reader, const char **input, size_t *length, size_t end, const char **ret_line,
		      size_t *ret_length)
{
	const char *start = *input;
	int result;

	if (reader->discarding) {
		reader->discarding = false;
		consume(input, length, end + 1);
		return LINE_READER_MORE;
	}
	if (too_long(reader, start, end)) {
		consume(input, length, end + 1);
		return give_up_line(reader, true);
	}
	if (reader->pending == 0) {
		consume(input, length, end + 1);
		return deliver(start, end, ret_line, ret_length);
	}

	result = keep(reader, start, end);
	if (result < 0)
		return result;
	consume(input, length, end + 1);
	reader->returned = true;

	return deliver(reader->buffer, reader->pending, ret_line, ret_length);
}

/* There is no LF in what is left. Returns LINE_READER_MORE, LINE_READER_TOO_LONG or -ENOMEM. */
static int keep_rest(struct line_reader *reader, const char **input, size_t *length)
{
	int result;

	if (!reader->discarding) {
		if (too_long(reader, *input, *length)) {
			consume(input, length, *length);
			return give_up_line(reader, false);
		}
		result = keep(reader, *input, *length);
		if (result < 0)
			return result;
	}
	consume(input, length, *length);

	return LINE_READER_MORE;
}

int line_reader_next(struct line_reader *reader, const char **input, size_t *length, const char **ret_line,
		     size_t *ret_length)
{
	const char *end;
	int result;

	while (*length > 0) {
		forget_returned(reader);
		end = memchr(*input, '\n', *length);
		if (!end)
			return keep_rest(reader, input, length);
		result = close_line(reader, input, length, (size_t)(end - *input), ret_line, ret_length);
		if (result != LINE_READER_MORE)
			return result;
	}
	forget_returned(reader);

	return LINE_READER_MORE;
}

int line_reader_finish(struct line_reader *reader, const char **ret_line, size_t *ret_length)
{
	forget_returned(reader);
	if (reader->discarding || reader->pending == 0)
		return LINE_READER_MORE;

	reader->returned = true;

	return deliver(reader->buffer, reader->pending, ret_line, ret_length);
}
