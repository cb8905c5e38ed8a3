/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Framing against a model: the first byte is the cap, the second seeds how the rest is cut into pieces. Whatever they
 * are, the events must be those of a splitter that has the whole stream before it.
 */
#include "fuzz.h"
#include "proto/line_reader.h"

#include <stdbool.h>
#include <string.h>

/* The model: where the next line ends, what it is without its end, and whether it is too long. */
struct model {
	const char *data;
	size_t left;
	size_t cap;
};

/* The next event and its line, up to the last LF of the stream. */
static int model_next(struct model *model, const char **ret_line, size_t *ret_length)
{
	const char *end;

	while ((end = memchr(model->data, '\n', model->left))) {
		const char *line = model->data;
		size_t length = (size_t)(end - line);

		model->data = end + 1;
		model->left -= length + 1;
		if (length > 0 && line[length - 1] == '\r')
			length--;
		if (length == 0)
			continue;
		*ret_line = line;
		*ret_length = length;
		return length > model->cap ? LINE_READER_TOO_LONG : LINE_READER_LINE;
	}

	return LINE_READER_MORE;
}

/* The model has no more whole lines, but the reader reports a long one before its end has come. */
static bool rest_is_too_long(const struct model *model)
{
	return model->left > model->cap + 1 || (model->left == model->cap + 1 && model->data[model->left - 1] != '\r');
}

static void check_event(struct model *model, int event, const char *line, size_t length)
{
	const char *expected_line = NULL;
	size_t expected_length = 0;
	int expected = model_next(model, &expected_line, &expected_length);

	if (expected == LINE_READER_MORE) {
		FUZZ_CHECK(event == LINE_READER_TOO_LONG && rest_is_too_long(model));
		model->left = 0;
		return;
	}
	FUZZ_CHECK(event == expected);
	if (event == LINE_READER_LINE)
		FUZZ_CHECK(length == expected_length && memcmp(line, expected_line, length) == 0);
}

static void check_end(struct line_reader *reader, struct model *model)
{
	const char *line = NULL;
	size_t length = 0, expected;
	int event;

	FUZZ_CHECK(model_next(model, &line, &length) == LINE_READER_MORE);
	expected = model->left;
	event = line_reader_finish(reader, &line, &length);

	if (expected > 0 && model->data[expected - 1] == '\r')
		expected--;
	FUZZ_CHECK(event == (expected > 0 ? LINE_READER_LINE : LINE_READER_MORE));
	if (event == LINE_READER_LINE)
		FUZZ_CHECK(length == expected && memcmp(line, model->data, length) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct line_reader *reader;
	struct model model;
	unsigned int seed;
	size_t at = 2;

	if (size < 2)
		return 0;

	seed = data[1];
	model = (struct model){ .data = (const char *)data + 2, .left = size - 2, .cap = data[0] % 64 + 1U };
	FUZZ_CHECK(line_reader_new(model.cap, &reader) == 0);
	while (at < size) {
		size_t piece = (size_t)rand_r(&seed) % 24, left, length = 0;
		const char *input = (const char *)data + at, *line = NULL;
		int event;

		left = piece < size - at ? piece : size - at;
		at += left;
		while ((event = line_reader_next(reader, &input, &left, &line, &length)) != LINE_READER_MORE)
			check_event(&model, event, line, length);
		FUZZ_CHECK(left == 0);
		FUZZ_CHECK(line_reader_pending(reader) <= model.cap + 1);
	}
	check_end(reader, &model);
	(void)line_reader_free(reader);

	return 0;
}
