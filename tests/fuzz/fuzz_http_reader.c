/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests out of a stream: the first byte seeds how it is cut into pieces. However it is cut, the requests and the end must be the same, and no
 * body may be longer than its limit.
 */
#include "fuzz.h"
#include "server/http_reader.h"

#include <stdbool.h>

#define REQUESTS_MAX 16
#define BODY_MAX     64
#define HEAD_MAX     512

/* A request, as far as it can be told from another. */
struct seen {
	enum http_step end;
	int status;
	struct http_head head;
	size_t body_length;
	unsigned char body[BODY_MAX];
};

struct stream {
	struct http_reader *reader;
	struct evbuffer *input;
	struct seen seen[REQUESTS_MAX];
	size_t count;
	bool over;
};

static void note(struct stream *stream, enum http_step step)
{
	struct seen *seen = &stream->seen[stream->count++];
	struct evbuffer *body = http_reader_body(stream->reader);

	seen->end = step;
	seen->status = http_reader_refusal(stream->reader)->status;
	stream->over = step == HTTP_STEP_REFUSED || stream->count == REQUESTS_MAX;
	FUZZ_CHECK((seen->status != 0) == (step == HTTP_STEP_REFUSED));
	if (step != HTTP_STEP_DONE)
		return;
	seen->head = *http_reader_head(stream->reader);
	seen->body_length = evbuffer_get_length(body);
	FUZZ_CHECK(seen->body_length <= BODY_MAX);
	(void)evbuffer_copyout(body, seen->body, BODY_MAX);
	http_reader_next(stream->reader);
}

static void feed(struct stream *stream, const uint8_t *data, size_t size)
{
	const struct http_limits limits = { .head = HEAD_MAX, .body = BODY_MAX };
	enum http_step step = HTTP_STEP_HEAD;

	FUZZ_CHECK(evbuffer_add(stream->input, data, size) == 0);
	while (!stream->over && step != HTTP_STEP_MORE) {
		step = http_reader_read(stream->reader, stream->input, &limits);
		if (step == HTTP_STEP_DONE || step == HTTP_STEP_REFUSED)
			note(stream, step);
	}
}

static void check_same(const struct seen *one, const struct seen *other)
{
	FUZZ_CHECK(one->end == other->end);
	FUZZ_CHECK(one->status == other->status);
	FUZZ_CHECK(one->head.method == other->head.method);
	FUZZ_CHECK(strcmp(one->head.path, other->head.path) == 0);
	FUZZ_CHECK(one->head.version_1_1 == other->head.version_1_1);
	FUZZ_CHECK(one->head.keep_alive == other->head.keep_alive);
	FUZZ_CHECK(one->body_length == other->body_length);
	FUZZ_CHECK(memcmp(one->body, other->body, one->body_length) == 0);
}

static void begin(struct stream *stream)
{
	memset(stream, 0, sizeof(*stream));
	stream->input = evbuffer_new();
	FUZZ_CHECK(stream->input && http_reader_new(&stream->reader) == 0);
}

static void end(struct stream *stream)
{
	(void)http_reader_free(stream->reader);
	evbuffer_free(stream->input);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct stream whole, pieces;
	size_t at = 1;
	unsigned int seed;

	if (size < 1)
		return 0;

	seed = data[0];
	begin(&whole);
	begin(&pieces);
	feed(&whole, data + 1, size - 1);
	while (at < size) {
		size_t piece = (size_t)rand_r(&seed) % 24 + 1, left = size - at;

		feed(&pieces, data + at, piece < left ? piece : left);
		at += piece;
	}
	FUZZ_CHECK(whole.count == pieces.count);
	for (size_t i = 0; i < whole.count; i++)
		check_same(&whole.seen[i], &pieces.seen[i]);
	end(&whole);
	end(&pieces);
	return 0;
}
