/* SPDX-License-Identifier: Apache-2.0 */
/*
 * http-parser takes a request apart: lines, lengths, chunks, trailers, whether the connection persists. It is lenient where RFC 9112 is not,
 * so the head is gathered whole first (within its limit), and held to the rules that the parser lets pass:
 *
 *	2.2   lines end in CR LF, and there is no bare CR
 *	3.2   one Host, and a valid one, in every request of HTTP/1.1; a target without a fragment, in one of its four forms
 *	5     a field's name is a token, with no space before the colon
 *	5.2   no field goes on over a second line
 *	6.1   a transfer coding that is known, not with a length, and not in HTTP/1.0
 *	6.2   one length, in digits
 *
 * A head whose end of lines is not known is not guessed at: what is refused ends the connection.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "server/http_reader.h"

#define TOKEN_CHARACTERS                                             \
	"!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefg" \
	"hijklmnopqrstuvwxyz"
#define DIGITS "0123456789"
/* Of a name, an address in brackets, and a port; RFC 3986, 3.2. */
#define HOST_CHARACTERS                                                                 \
	"!$%&'()*+,-.:;=[]_~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuv" \
	"wxyz"

enum field {
	FIELD_OTHER = 0,
	FIELD_HOST,
	FIELD_CONTENT_LENGTH,
	FIELD_TRANSFER_ENCODING,
	FIELD_EXPECT,
	FIELD_COUNT,
};

static const char *const field_names[FIELD_COUNT] = {
	[FIELD_HOST] = "host",
	[FIELD_CONTENT_LENGTH] = "content-length",
	[FIELD_TRANSFER_ENCODING] = "transfer-encoding",
	[FIELD_EXPECT] = "expect",
};

struct http_reader {
	http_parser parser;
	struct http_head head;
	struct http_refusal refusal;
	struct evbuffer *body;
	size_t body_limit;
	size_t scanned; /* bytes of the head that have been looked at */
	bool has_line;  /* the request line is there */
	bool in_body;
	bool done;
	unsigned int seen[FIELD_COUNT];
};

static int refuse(struct http_reader *reader, int status, const char *text)
{
	if (reader->refusal.status == 0)
		reader->refusal = (struct http_refusal){ .status = status, .text = text };
	return -1;
}

/* ---- what the parser finds ---- */

static int on_url(http_parser *parser, const char *at, size_t length)
{
	struct http_reader *reader = parser->data;
	struct http_parser_url url;
	size_t path_length;

	http_parser_url_init(&url);
	if (length == 1 && at[0] == '*') {
		if (parser->method != HTTP_OPTIONS)
			return refuse(reader, 400, "the target * is for OPTIONS only");
		memcpy(reader->head.path, "*", 2);
		return 0;
	}
	if (memchr(at, '#', length))
		return refuse(reader, 400, "a request's target has no fragment");
	if (http_parser_parse_url(at, length, parser->method == HTTP_CONNECT, &url) != 0 ||
	    ((url.field_set & 1U << UF_PATH) == 0 && at[0] == '/'))
		return refuse(reader, 400, "the request's target is not a valid one");

	path_length = url.field_data[UF_PATH].len;
	if (path_length < sizeof(reader->head.path))
		memcpy(reader->head.path, at + url.field_data[UF_PATH].off, path_length);
	return 0;
}

static int on_head(http_parser *parser)
{
	struct http_reader *reader = parser->data;

	parser->upgrade = 0; /* no other protocol is spoken here, so the request is taken as it is */
	reader->head.method = (enum http_method)parser->method;
	reader->head.keep_alive = http_should_keep_alive(parser) != 0;
	return 0;
}

static int on_chunk(http_parser *parser)
{
	struct http_reader *reader = parser->data;

	if (parser->content_length > reader->body_limit - evbuffer_get_length(reader->body))
		return refuse(reader, 413, "the body is longer than limits.http_body_bytes");
	return 0;
}

static int on_body(http_parser *parser, const char *at, size_t length)
{
	struct http_reader *reader = parser->data;

	if (length > reader->body_limit - evbuffer_get_length(reader->body))
		return refuse(reader, 413, "the body is longer than limits.http_body_bytes");
	if (evbuffer_add(reader->body, at, length))
		return refuse(reader, 503, "the daemon is out of memory");
	return 0;
}

static int on_done(http_parser *parser)
{
	struct http_reader *reader = parser->data;

	reader->done = true;
	http_parser_pause(parser, 1); /* what comes next is another request's */
	return 0;
}

static const http_parser_settings settings = {
	.on_url = on_url,
	.on_headers_complete = on_head,
	.on_chunk_header = on_chunk,
	.on_body = on_body,
	.on_message_complete = on_done,
};

/* Returns bytes taken. */
static size_t parse(struct http_reader *reader, const char *text, size_t length)
{
	size_t taken = http_parser_execute(&reader->parser, &settings, text, length);
	enum http_errno error = HTTP_PARSER_ERRNO(&reader->parser);

	if (error == HPE_INVALID_METHOD)
		(void)refuse(reader, 501, "this method is not known here");
	else if (error == HPE_HEADER_OVERFLOW)
		(void)refuse(reader, 431, "the trailer is longer than limits.http_header_bytes");
	else if (error != HPE_OK && error != HPE_PAUSED)
		(void)refuse(reader, 400, http_errno_description(error));
	return taken;
}

/* ---- the head's lines ---- */

/* "TOKEN TARGET HTTP/D.D" */
static int check_request_line(struct http_reader *reader, const char *line, size_t length)
{
	static const char form[] = " HTTP/";
	size_t method = strspn(line, TOKEN_CHARACTERS), target;
	const char *version;

	if (method == 0 || line[method] != ' ')
		return refuse(reader, 400, "a request begins with a method, a target and HTTP/1.1");
	target = strcspn(line + method + 1, " \t\r");
	version = line + method + 1 + target;
	if (target == 0 || (size_t)(version - line) + sizeof(form) - 1 + 3 != length ||
	    memcmp(version, form, sizeof(form) - 1) != 0 || !strchr(DIGITS, version[6]) || version[7] != '.' ||
	    !strchr(DIGITS, version[8]))
		return refuse(reader, 400, "a request begins with a method, a target and HTTP/1.1");
	if (version[6] != '1')
		return refuse(reader, 505, "only HTTP/1.1 and HTTP/1.0 are spoken here");
	reader->head.version_1_1 = version[8] != '0';
	return 0;
}

static bool is_made_of(const char *at, size_t length, const char *characters)
{
	return strspn(at, characters) >= length;
}

static int check_length(struct http_reader *reader, const char *value, size_t length)
{
	unsigned long long number;

	if (length == 0 || !is_made_of(value, length, DIGITS))
		return refuse(reader, 400, "Content-Length is not a number");
	errno = 0;
	number = strtoull(value, NULL, 10);
	if (errno == ERANGE || number > reader->body_limit)
		return refuse(reader, 413, "the body is longer than limits.http_body_bytes");
	return 0;
}

static bool is_text(const char *value, size_t length, const char *text)
{
	return length == strlen(text) && strncasecmp(value, text, length) == 0;
}

static int check_value(struct http_reader *reader, enum field field, const char *value, size_t length)
{
	switch (field) {
	case FIELD_HOST:
		if (!is_made_of(value, length, HOST_CHARACTERS))
			return refuse(reader, 400, "Host is not a valid one");
		return 0;
	case FIELD_CONTENT_LENGTH:
		return check_length(reader, value, length);
	case FIELD_TRANSFER_ENCODING:
		if (!is_text(value, length, "chunked"))
			return refuse(reader, 501, "the only transfer coding here is chunked");
		return 0;
	case FIELD_EXPECT:
		if (!reader->head.version_1_1) /* HTTP/1.0 knows no expectations (RFC 9110, 10.1.1) */
			return 0;
		if (!is_text(value, length, "100-continue"))
			return refuse(reader, 417, "the only expectation that can be met is 100-continue");
		reader->head.expects_continue = true;
		return 0;
	default:
		return 0;
	}
}

static enum field find_field(const char *name, size_t length)
{
	int field;

	for (field = FIELD_OTHER + 1; field < FIELD_COUNT; field++)
		if (is_text(name, length, field_names[field]))
			return (enum field)field;
	return FIELD_OTHER;
}

static int check_field_line(struct http_reader *reader, const char *line)
{
	size_t name = strspn(line, TOKEN_CHARACTERS), length;
	enum field field;
	const char *value;

	if (line[0] == ' ' || line[0] == '\t')
		return refuse(reader, 400, "a field must not go on over several lines");
	if (name == 0 || line[name] != ':')
		return refuse(reader, 400, "a field is a name, a colon and a value");

	field = find_field(line, name);
	reader->seen[field]++;
	value = line + name + 1;
	value += strspn(value, " \t");
	length = strcspn(value, "\r");
	while (length > 0 && (value[length - 1] == ' ' || value[length - 1] == '\t'))
		length--;
	return check_value(reader, field, value, length);
}

static int check_fields(struct http_reader *reader)
{
	const unsigned int *seen = reader->seen;

	if (seen[FIELD_HOST] > 1 || (seen[FIELD_HOST] == 0 && reader->head.version_1_1))
		return refuse(reader, 400, "a request has one Host");
	if (seen[FIELD_CONTENT_LENGTH] + seen[FIELD_TRANSFER_ENCODING] > 1)
		return refuse(reader, 400, "a request has one Content-Length or one Transfer-Encoding");
	if (seen[FIELD_TRANSFER_ENCODING] > 0 && !reader->head.version_1_1)
		return refuse(reader, 400, "HTTP/1.0 has no Transfer-Encoding");
	return 0;
}

/* The head is terminated, and each line of it ends in CR LF. */
static int check_lines(struct http_reader *reader, const char *head)
{
	const char *line = head, *end = strstr(line, "\r\n");
	int failed = check_request_line(reader, line, (size_t)(end - line));

	for (line = end + 2; !failed && line[0] != '\r'; line = strstr(line, "\r\n") + 2)
		failed = check_field_line(reader, line);
	return failed ? failed : check_fields(reader);
}

static enum http_step take_head(struct http_reader *reader, struct evbuffer *input, size_t length)
{
	char *head = malloc(length + 1);

	if (!head) {
		(void)refuse(reader, 503, "the daemon is out of memory");
		return HTTP_STEP_REFUSED;
	}

	(void)evbuffer_remove(input, head, length);
	head[length] = '\0';
	if (check_lines(reader, head) == 0)
		(void)parse(reader, head, length);
	free(head);
	reader->in_body = true;
	return reader->refusal.status ? HTTP_STEP_REFUSED : HTTP_STEP_HEAD;
}

/* Look at what has come of the head. Returns its length once it is whole; 0 where more is needed or it is refused. */
static size_t scan_head(struct http_reader *reader, const unsigned char *text, size_t length)
{
	for (size_t i = reader->scanned; i < length; i++) {
		bool after_cr = i > 0 && text[i - 1] == '\r';

		if (text[i] == '\0' || (text[i] == '\n') != after_cr) {
			(void)refuse(reader, 400, "lines end in CR LF, and hold neither of them nor NUL");
			return 0;
		}
		if (text[i] != '\n')
			continue;
		reader->has_line = true;
		if (i >= 3 && text[i - 2] == '\n')
			return i + 1;
	}
	reader->scanned = length;
	return 0;
}

static enum http_step read_head(struct http_reader *reader, struct evbuffer *input, size_t limit)
{
	size_t length, head;

	/* An empty line before a request is ignored (RFC 9112, 2.2). */
	while (reader->scanned == 0 && evbuffer_get_length(input) >= 2 &&
	       memcmp(evbuffer_pullup(input, 2), "\r\n", 2) == 0)
		(void)evbuffer_drain(input, 2);

	length = evbuffer_get_length(input);
	if (length == 0)
		return HTTP_STEP_MORE;
	head = scan_head(reader, evbuffer_pullup(input, -1), length < limit ? length : limit);
	if (head > 0)
		return take_head(reader, input, head);
	if (length >= limit && reader->has_line)
		(void)refuse(reader, 431, "the head is longer than limits.http_header_bytes");
	else if (length >= limit)
		(void)refuse(reader, 414, "the target is longer than limits.http_header_bytes");
	return reader->refusal.status ? HTTP_STEP_REFUSED : HTTP_STEP_MORE;
}

static enum http_step read_body(struct http_reader *reader, struct evbuffer *input)
{
	struct evbuffer_iovec chunk;

	while (!reader->done && evbuffer_get_length(input) > 0 && evbuffer_peek(input, -1, NULL, &chunk, 1) >= 1) {
		(void)evbuffer_drain(input, parse(reader, chunk.iov_base, chunk.iov_len));
		if (reader->refusal.status)
			return HTTP_STEP_REFUSED;
	}
	return reader->done ? HTTP_STEP_DONE : HTTP_STEP_MORE;
}

enum http_step http_reader_read(struct http_reader *reader, struct evbuffer *input, const struct http_limits *limits)
{
	if (reader->refusal.status)
		return HTTP_STEP_REFUSED;
	if (reader->in_body)
		return read_body(reader, input);

	reader->body_limit = limits->body;
	return read_head(reader, input, limits->head);
}

/* ---- the reader ---- */

int http_reader_new(struct http_reader **ret_reader)
{
	struct http_reader *reader = calloc(1, sizeof(*reader));

	if (!reader)
		return -ENOMEM;
	reader->body = evbuffer_new();
	if (!reader->body) {
		free(reader);
		return -ENOMEM;
	}

	http_reader_next(reader);
	*ret_reader = reader;
	return 0;
}

struct http_reader *http_reader_free(struct http_reader *reader)
{
	if (reader)
		evbuffer_free(reader->body);
	free(reader);
	return NULL;
}

const struct http_head *http_reader_head(const struct http_reader *reader)
{
	return &reader->head;
}

struct evbuffer *http_reader_body(const struct http_reader *reader)
{
	return reader->body;
}

const struct http_refusal *http_reader_refusal(const struct http_reader *reader)
{
	return &reader->refusal;
}

bool http_reader_is_fresh(const struct http_reader *reader)
{
	return reader->scanned == 0 && !reader->in_body;
}

bool http_reader_is_done(const struct http_reader *reader)
{
	return reader->done;
}

void http_reader_next(struct http_reader *reader)
{
	struct evbuffer *body = reader->body;

	(void)evbuffer_drain(body, evbuffer_get_length(body));
	*reader = (struct http_reader){ .body = body };
	http_parser_init(&reader->parser, HTTP_REQUEST);
	reader->parser.data = reader;
}
