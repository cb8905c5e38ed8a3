/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Framing: the same lines come out however the stream was cut, and no line that is too long costs another.
 */
#include "proto/line_reader.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What came out, as text: each line in brackets, "!" for one that was too long. */
struct transcript {
	char text[4096];
	size_t length;
};

static void note(struct transcript *transcript, int event, const char *line, size_t length)
{
	char *out = transcript->text + transcript->length;
	size_t room = sizeof(transcript->text) - transcript->length;
	int written =
		event == LINE_READER_LINE ? snprintf(out, room, "[%.*s]", (int)length, line) : snprintf(out, room, "!");

	cr_assert(written > 0 && (size_t)written < room);
	transcript->length += (size_t)written;
}

/* Feed a piece from memory of its own exact size, so that a sanitizer sees a byte read too far. */
static void feed(struct line_reader *reader, const char *data, size_t length, struct transcript *transcript)
{
	char *copy = malloc(length ? length : 1);
	const char *input = copy, *line = NULL;
	size_t left = length, line_length = 0;
	int event;

	memcpy(copy, data, length);
	while ((event = line_reader_next(reader, &input, &left, &line, &line_length)) != LINE_READER_MORE) {
		cr_assert_gt(event, 0);
		note(transcript, event, line, line_length);
	}
	cr_assert_eq(left, 0);
	cr_assert_eq(input, copy + length);
	free(copy);
}

static void finish(struct line_reader *reader, struct transcript *transcript)
{
	const char *line;
	size_t length;

	if (line_reader_finish(reader, &line, &length) == LINE_READER_LINE)
		note(transcript, LINE_READER_LINE, line, length);
	cr_assert_eq(line_reader_finish(reader, &line, &length), LINE_READER_MORE);
}

static const struct {
	const char *stream;
	const char *lines; /* with a cap of 8 bytes */
} cases[] = {
	{ "", "" },
	{ "\n", "" },
	{ "\r\n\n\r\n", "" },
	{ "a\n", "[a]" },
	{ "a\r\n", "[a]" },
	{ "a\r\r\n", "[a\r]" },
	{ "a\rb\n", "[a\rb]" },
	{ "\ra\n", "[\ra]" },
	{ "one\ntwo\nthree\n", "[one][two][three]" },
	{ "one\n\n\r\ntwo\r\n", "[one][two]" },
	{ "12345678\n", "[12345678]" },
	{ "12345678\r\n", "[12345678]" },
	{ "123456789\n", "!" },
	{ "12345678\r\r\n", "!" },
	{ "12345678\rx\n", "!" },
	{ "123456789\r\nok\n", "![ok]" },
	{ "ok\n123456789abcdefghijklmnopqrstuvwxyz\nok\n", "[ok]![ok]" },
	{ "123456789\n123456789\nok\n", "!![ok]" },
	{ "123456789\n\n12345678\n", "![12345678]" },
	{ "123456789abc", "!" },
	{ "tail", "[tail]" },
	{ "tail\r", "[tail]" },
	{ "\r", "" },
	{ "12345678", "[12345678]" },
	{ "12345678\r", "[12345678]" },
	{ "a\nb", "[a][b]" },
};

Test(line_reader, gives_the_same_lines_when_cut_at_every_two_positions)
{
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const char *stream = cases[i].stream;
		size_t length = strlen(stream);

		for (size_t first = 0; first <= length; first++) {
			for (size_t second = first; second <= length; second++) {
				struct transcript transcript = { .length = 0 };
				struct line_reader *reader;

				cr_assert_eq(line_reader_new(8, &reader), 0);
				feed(reader, stream, first, &transcript);
				feed(reader, stream + first, second - first, &transcript);
				feed(reader, stream + second, length - second, &transcript);
				finish(reader, &transcript);
				cr_assert_str_eq(transcript.text, cases[i].lines, "case %zu cut at %zu and %zu", i,
						 first, second);
				(void)line_reader_free(reader);
			}
		}
	}
}

Test(line_reader, gives_the_same_lines_byte_by_byte)
{
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct transcript transcript = { .length = 0 };
		struct line_reader *reader;

		cr_assert_eq(line_reader_new(8, &reader), 0);
		for (const char *byte = cases[i].stream; *byte != '\0'; byte++)
			feed(reader, byte, 1, &transcript);
		finish(reader, &transcript);
		cr_assert_str_eq(transcript.text, cases[i].lines, "case %zu", i);
		(void)line_reader_free(reader);
	}
}

Test(line_reader, reports_a_long_line_before_its_end_has_come)
{
	struct line_reader *reader;
	const char *input = "123456789", *line;
	size_t left = 9, length;

	cr_assert_eq(line_reader_new(8, &reader), 0);
	cr_assert_eq(line_reader_next(reader, &input, &left, &line, &length), LINE_READER_TOO_LONG);
	cr_assert_eq(line_reader_pending(reader), 0, "nothing of a line that is discarded is kept");
	(void)line_reader_free(reader);
}

Test(line_reader, takes_no_more_input_than_the_line_that_it_returns)
{
	struct line_reader *reader;
	const char *stream = "first\nsecond\n", *input = stream, *line;
	size_t left = strlen(stream), length;

	cr_assert_eq(line_reader_new(100, &reader), 0);
	cr_assert_eq(line_reader_next(reader, &input, &left, &line, &length), LINE_READER_LINE);
	cr_assert_eq(input, stream + 6);
	cr_assert_eq(left, 7);
	cr_assert_eq(line, stream, "a line that is whole is not copied");
	(void)line_reader_free(reader);
}

Test(line_reader, keeps_NUL_bytes)
{
	static const char stream[] = "a\0b\n";
	struct line_reader *reader;
	const char *input = stream, *line;
	size_t left = 4, length;

	cr_assert_eq(line_reader_new(100, &reader), 0);
	cr_assert_eq(line_reader_next(reader, &input, &left, &line, &length), LINE_READER_LINE);
	cr_assert_eq(length, 3);
	cr_assert_arr_eq(line, "a\0b", 3);
	(void)line_reader_free(reader);
}

Test(line_reader, a_large_line_comes_whole_and_its_buffer_is_given_back)
{
	enum { SIZE = 1 << 20 };
	struct line_reader *reader;
	char *data = malloc(SIZE + 1);
	const char *input, *line;
	size_t left, length;

	memset(data, 'x', SIZE);
	data[SIZE] = '\n';
	cr_assert_eq(line_reader_new(SIZE, &reader), 0);
	for (int round = 0; round < 3; round++) {
		for (size_t at = 0; at <= SIZE; at += 4096) {
			input = data + at;
			left = SIZE + 1 - at < 4096 ? SIZE + 1 - at : 4096;
			if (at + left <= SIZE)
				cr_assert_eq(line_reader_next(reader, &input, &left, &line, &length), LINE_READER_MORE);
			else
				cr_assert_eq(line_reader_next(reader, &input, &left, &line, &length), LINE_READER_LINE);
		}
		cr_assert_eq(length, SIZE);
		cr_assert_eq(memcmp(line, data, SIZE), 0);
		cr_assert_eq(line_reader_pending(reader), 0);
	}
	(void)line_reader_free(reader);
	free(data);
}

Test(line_reader, refuses_a_cap_of_nothing)
{
	struct line_reader *reader = NULL;

	cr_assert_eq(line_reader_new(0, &reader), -EINVAL);
	cr_assert_null(reader);
	cr_assert_null(line_reader_free(NULL));
}
