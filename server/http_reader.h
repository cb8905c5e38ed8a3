/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One HTTP/1 request out of a stream of bytes: its head, its body, or what is wrong with it.
 */
#ifndef EMBER_SERVER_HTTP_READER_H
#define EMBER_SERVER_HTTP_READER_H

#include <stdbool.h>
#include <stddef.h>

#include <event2/buffer.h>
#include <http_parser.h>

struct http_reader;

#define HTTP_READER_PATH_SIZE 128

struct http_limits {
	size_t head; /* bytes, at least 1 */
	size_t body;
};

enum http_step {
	HTTP_STEP_MORE,    /* input is missing */
	HTTP_STEP_HEAD,    /* the head is there; go on for the body, also where there is none */
	HTTP_STEP_DONE,    /* the request is there whole */
	HTTP_STEP_REFUSED, /* see http_reader_refusal(); where the next request begins is not known */
};

struct http_head {
	enum http_method method;
	char path
		[HTTP_READER_PATH_SIZE]; /* "*" for the server as a whole; "" where it is longer than any path that there is */
	bool version_1_1;                /* or a later one; else 1.0 */
	bool keep_alive;                 /* the client may send another request */
	bool expects_continue;           /* the body comes when the client has been told to go on */
};

struct http_refusal {
	int status;
	const char *text; /* a sentence without a full stop */
};

/* Returns 0 or -ENOMEM. */
int http_reader_new(struct http_reader **ret_reader);
struct http_reader *http_reader_free(struct http_reader *reader); /* takes NULL; returns NULL */

/* Take what there is of the request from the input; what comes after it stays there. */
enum http_step http_reader_read(struct http_reader *reader, struct evbuffer *input, const struct http_limits *limits);

/* Valid after HTTP_STEP_HEAD, HTTP_STEP_DONE, HTTP_STEP_REFUSED, until the next request is begun. */
const struct http_head *http_reader_head(const struct http_reader *reader);
struct evbuffer *http_reader_body(const struct http_reader *reader);
const struct http_refusal *http_reader_refusal(const struct http_reader *reader);

/* Has nothing of a request been taken yet; has all of it? */
bool http_reader_is_fresh(const struct http_reader *reader);
bool http_reader_is_done(const struct http_reader *reader);

/* Begin the next request. */
void http_reader_next(struct http_reader *reader);

#endif
