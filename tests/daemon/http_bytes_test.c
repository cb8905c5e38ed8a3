/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTP to the byte, as RFC 9110 and RFC 9112 have it; and by a client that everybody has.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "steps.h"

DAEMON_AND_CLIENT("{\"limits\": {\"http_body_bytes\": 1024, \"http_header_bytes\": 1024}}");

#define LAST "GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
#define PUT  "PUT /snapshot/load HTTP/1.1\r\nHost: x\r\n"
#define GET  "GET /healthz HTTP/1.1\r\nHost: x\r\n"

struct http_case {
	const char *what;
	const char *bytes;
	size_t size; /* 0: up to the first NUL */
	int status;
	bool kept;        /* the connection serves the next request, too */
	bool no_body;     /* of the answer */
	const char *head; /* a line of the answer's head; NULL: of no interest */
};

static const struct http_case cases[] = {
	{ .what = "GET", .bytes = GET "\r\n", .status = 200, .kept = true, .head = "Content-Length: 16" },
	{ .what = "HEAD",
	  .bytes = "HEAD /healthz HTTP/1.1\r\nHost: x\r\n\r\n",
	  .status = 200,
	  .kept = true,
	  .no_body = true,
	  .head = "Content-Length: 16" },
	{ .what = "HEAD of nothing",
	  .bytes = "HEAD / HTTP/1.1\r\nHost: x\r\n\r\n",
	  .status = 404,
	  .kept = true,
	  .no_body = true },
	{ .what = "OPTIONS",
	  .bytes = "OPTIONS /healthz HTTP/1.1\r\nHost: x\r\n\r\n",
	  .status = 204,
	  .kept = true,
	  .no_body = true,
	  .head = "Allow: GET, HEAD, OPTIONS" },
	{ .what = "OPTIONS of the server",
	  .bytes = "OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n",
	  .status = 204,
	  .kept = true,
	  .no_body = true,
	  .head = "Allow: GET, HEAD, PUT, OPTIONS" },
	{ .what = "a method that the target does not take",
	  .bytes = "DELETE /snapshot/load HTTP/1.1\r\nHost: x\r\n\r\n",
	  .status = 405,
	  .kept = true,
	  .head = "Allow: PUT, OPTIONS" },
	{ .what = "the same with a body",
	  .bytes = "POST /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}",
	  .status = 405,
	  .head = "Allow: GET, HEAD, OPTIONS" },
	{ .what = "TRACE", .bytes = "TRACE /healthz HTTP/1.1\r\nHost: x\r\n\r\n", .status = 405, .kept = true },
	{ .what = "CONNECT", .bytes = "CONNECT x:80 HTTP/1.1\r\nHost: x\r\n\r\n", .status = 501, .kept = true },
	{ .what = "a method that nobody knows", .bytes = "BREW /pot HTTP/1.1\r\nHost: x\r\n\r\n", .status = 501 },
	{ .what = "a query", .bytes = "GET /healthz?a=b HTTP/1.1\r\nHost: x\r\n\r\n", .status = 200, .kept = true },
	{ .what = "a fragment", .bytes = "GET /healthz#a HTTP/1.1\r\nHost: x\r\n\r\n", .status = 400 },
	{ .what = "absolute-form",
	  .bytes = "GET http://x/healthz HTTP/1.1\r\nHost: y\r\n\r\n",
	  .status = 200,
	  .kept = true },
	{ .what = "absolute-form without a path",
	  .bytes = "GET http://x HTTP/1.1\r\nHost: x\r\n\r\n",
	  .status = 404,
	  .kept = true },
	{ .what = "a target that is none", .bytes = "GET healthz HTTP/1.1\r\nHost: x\r\n\r\n", .status = 400 },
	{ .what = "asterisk-form of another method", .bytes = "GET * HTTP/1.1\r\nHost: x\r\n\r\n", .status = 400 },
	{ .what = "HTTP/1.0", .bytes = "GET /healthz HTTP/1.0\r\n\r\n", .status = 200, .head = "Connection: close" },
	{ .what = "HTTP/1.0 that stays",
	  .bytes = "GET /healthz HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
	  .status = 200,
	  .kept = true,
	  .head = "Connection: keep-alive" },
	{ .what = "a later HTTP/1", .bytes = "GET /healthz HTTP/1.2\r\nHost: x\r\n\r\n", .status = 200, .kept = true },
	{ .what = "HTTP/0.9", .bytes = "GET /healthz\r\n\r\n", .status = 400 },
	{ .what = "HTTP/2", .bytes = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", .status = 505 },
	{ .what = "no HTTP", .bytes = "hello\r\n\r\n", .status = 400 },
	{ .what = "JSON-RPC", .bytes = "{\"jsonrpc\": \"2.0\"}\n", .status = 400 },
	{ .what = "an empty line before", .bytes = "\r\n" GET "\r\n", .status = 200, .kept = true },
	{ .what = "Connection: close",
	  .bytes = GET "Connection: Close\r\n\r\n",
	  .status = 200,
	  .head = "Connection: close" },
	{ .what = "another protocol is asked for",
	  .bytes = GET "Connection: Upgrade\r\nUpgrade: h2c\r\n\r\n",
	  .status = 200,
	  .kept = true },

	{ .what = "no Host", .bytes = "GET /healthz HTTP/1.1\r\n\r\n", .status = 400 },
	{ .what = "two Hosts", .bytes = GET "Host: x\r\n\r\n", .status = 400 },
	{ .what = "a Host that is none", .bytes = "GET /healthz HTTP/1.1\r\nHost: a/b\r\n\r\n", .status = 400 },
	{ .what = "an empty Host", .bytes = "GET /healthz HTTP/1.1\r\nHost:\r\n\r\n", .status = 200, .kept = true },

	{ .what = "a GET with a body", .bytes = GET "Content-Length: 2\r\n\r\n{}", .status = 200, .kept = true },
	{ .what = "two lengths", .bytes = PUT "Content-Length: 2\r\nContent-Length: 20\r\n\r\n{}", .status = 400 },
	{ .what = "a length twice", .bytes = PUT "Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}", .status = 400 },
	{ .what = "a list of lengths", .bytes = PUT "Content-Length: 2, 2\r\n\r\n{}", .status = 400 },
	{ .what = "a length with a plus", .bytes = PUT "Content-Length: +2\r\n\r\n{}", .status = 400 },
	{ .what = "a length below zero", .bytes = PUT "Content-Length: -2\r\n\r\n{}", .status = 400 },
	{ .what = "a length in sixteens", .bytes = PUT "Content-Length: 0x2\r\n\r\n{}", .status = 400 },
	{ .what = "a length with a space", .bytes = PUT "Content-Length: 2 2\r\n\r\n{}", .status = 400 },
	{ .what = "a length of nothing", .bytes = PUT "Content-Length:\r\n\r\n{}", .status = 400 },
	{ .what = "a length of 2^64", .bytes = PUT "Content-Length: 18446744073709551616\r\n\r\n{}", .status = 413 },
	{ .what = "a length over the limit", .bytes = PUT "Content-Length: 1025\r\n\r\n", .status = 413 },
	{ .what = "a length and chunks",
	  .bytes = PUT "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
	  .status = 400 },
	{ .what = "chunks and a length",
	  .bytes = PUT "Transfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
	  .status = 400 },
	{ .what = "a coding that is not known",
	  .bytes = PUT "Transfer-Encoding: gzip, chunked\r\n\r\n",
	  .status = 501 },
	{ .what = "a coding in HTTP/1.0",
	  .bytes = "PUT /snapshot/load HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
	  .status = 400 },
	{ .what = "chunks",
	  .bytes = PUT "Transfer-Encoding: Chunked\r\n\r\n1\r\n{\r\n1\r\n}\r\n0\r\n\r\n",
	  .status = 400,
	  .kept = true },
	{ .what = "chunks with extensions and a trailer",
	  .bytes = PUT "Transfer-Encoding: chunked\r\n\r\n2;a=b\r\n{}\r\n0\r\nContent-Length: 7\r\nHost: y\r\n\r\n",
	  .status = 400,
	  .kept = true },
	{ .what = "a chunk over the limit",
	  .bytes = PUT "Transfer-Encoding: chunked\r\n\r\n7fffffffffffffff\r\n{}",
	  .status = 413 },
	{ .what = "a chunk's size with a plus",
	  .bytes = PUT "Transfer-Encoding: chunked\r\n\r\n+2\r\n{}\r\n0\r\n\r\n",
	  .status = 400 },
	{ .what = "a chunk without its end",
	  .bytes = PUT "Transfer-Encoding: chunked\r\n\r\n2\r\n{}0\r\n\r\n",
	  .status = 400 },

	{ .what = "a field over two lines", .bytes = GET "X: a\r\n b\r\n\r\n", .status = 400 },
	{ .what = "a length over two lines", .bytes = PUT "Content-Length: 1\r\n 0\r\n\r\n{}", .status = 400 },
	{ .what = "a space before the colon", .bytes = GET "X : a\r\n\r\n", .status = 400 },
	{ .what = "no colon", .bytes = GET "X\r\n\r\n", .status = 400 },
	{ .what = "no name", .bytes = GET ": a\r\n\r\n", .status = 400 },
	{ .what = "a line that ends in LF", .bytes = "GET /healthz HTTP/1.1\nHost: x\n\n", .status = 400 },
	{ .what = "a CR in a line", .bytes = GET "X: a\rb\r\n\r\n", .status = 400 },
	{ .what = "a control character", .bytes = GET "X: a\001b\r\n\r\n", .status = 400 },
	{ .what = "NUL",
	  .bytes = "GET /heal\0thz HTTP/1.1\r\nHost: x\r\n\r\n",
	  .size = sizeof("GET /heal\0thz HTTP/1.1\r\nHost: x\r\n\r\n") - 1,
	  .status = 400 },

	{ .what = "an expectation that is not known", .bytes = GET "Expect: cake\r\n\r\n", .status = 417 },
	{ .what = "an expectation of HTTP/1.0",
	  .bytes = "GET /healthz HTTP/1.0\r\nExpect: 100-continue\r\n\r\n",
	  .status = 200 },
	{ .what = "a body over the limit is not asked for",
	  .bytes = PUT "Expect: 100-continue\r\nContent-Length: 2000\r\n\r\n",
	  .status = 413 },
	{ .what = "a body that came along is not asked for",
	  .bytes = PUT "Expect: 100-continue\r\nContent-Length: 2\r\n\r\n{}",
	  .status = 400,
	  .kept = true },
};

/* Check one answer. Returns what comes after it, NULL at the end. */
static const char *check_answer(const struct http_case *wanted, const char *answer)
{
	const char *body = strstr(answer, "\r\n\r\n"), *field;
	size_t length;
	char head[1024];
	json_t *json;

	cr_assert(strncmp(answer, "HTTP/1.1 ", 9) == 0 && body, "%s: %s", wanted->what, answer);
	(void)snprintf(head, sizeof(head), "%.*s\r\n", (int)(body - answer), answer);
	body += 4;
	cr_expect_eq(strtol(answer + 9, NULL, 10), wanted->status, "%s: %s", wanted->what, answer);
	cr_expect(!wanted->head || strstr(head, wanted->head), "%s: no \"%s\" in %s", wanted->what, wanted->head, head);
	cr_expect(strstr(head, "\r\nDate: "), "%s: %s", wanted->what, head);
	field = strstr(head, "Content-Length: ");
	cr_expect(field || wanted->no_body, "%s: %s", wanted->what, head);
	length = field && !wanted->no_body ? strtoul(field + 16, NULL, 10) : 0;
	cr_assert_leq(length, strlen(body), "%s: %s", wanted->what, answer);
	if (!wanted->no_body) {
		cr_expect(strstr(head, "Content-Type: application/json\r\n"), "%s: %s", wanted->what, head);
		json = json_loadb(body, length, 0, NULL);
		cr_expect_not_null(json, "%s: no JSON: %s", wanted->what, body);
		cr_expect(wanted->status < 300 || (json && text_at(json, "error.message")[0]), "%s: %s", wanted->what,
			  body);
		json_decref(json);
	}
	cr_expect(wanted->kept || strstr(head, "Connection: close\r\n"), "%s: %s", wanted->what, head);
	return body[length] ? body + length : NULL;
}

static void try_case(const struct http_case *wanted)
{
	static const struct http_case last = { .what = "the next request", .status = 200 };
	size_t size = wanted->size ? wanted->size : strlen(wanted->bytes);
	char *bytes = calloc(1, size + sizeof(LAST)), *answers;
	const char *rest;

	memcpy(bytes, wanted->bytes, size);
	memcpy(bytes + size, LAST, sizeof(LAST) - 1);
	answers = http_exchange(daemon_under_test.http_path, bytes, size + sizeof(LAST) - 1);
	rest = check_answer(wanted, answers);
	cr_expect_eq(rest != NULL, wanted->kept, "%s: %s", wanted->what, answers);
	if (rest)
		cr_expect_null(check_answer(&last, rest), "%s: %s", wanted->what, answers);
	free(answers);
	free(bytes);
}

DAEMON_TEST(http_bytes, every_case_has_its_answer)
{
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		try_case(&cases[i]);
}

DAEMON_TEST(http_bytes, a_head_that_is_too_long_is_told_by_its_part)
{
	struct http_case target = { .what = "a long target", .status = 414 };
	struct http_case field = { .what = "a long field", .status = 431 };
	struct http_case fields = { .what = "many fields", .status = 431 };
	char letters[4001] = "", one[8192], more[8192], many[8192] = GET;
	size_t length = strlen(many);

	memset(letters, 'a', sizeof(letters) - 1);
	(void)snprintf(one, sizeof(one), "GET /%s HTTP/1.1\r\nHost: x\r\n\r\n", letters);
	(void)snprintf(more, sizeof(more), GET "X: %s\r\n\r\n", letters);
	for (int i = 0; i < 500; i++)
		length += (size_t)snprintf(many + length, sizeof(many) - length, "X: a\r\n");
	(void)snprintf(many + length, sizeof(many) - length, "\r\n");
	target.bytes = one;
	field.bytes = more;
	fields.bytes = many;
	try_case(&target);
	try_case(&field);
	try_case(&fields);
}

/* A byte at a time, so that every cut between two reads is tried. */
DAEMON_TEST(http_bytes, a_request_in_pieces_is_one_request)
{
	static const char request[] = PUT "Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\nA: b\r\n\r\n" LAST;
	struct raw raw;

	raw_connect(&raw, daemon_under_test.http_path);
	for (size_t i = 0; i < sizeof(request) - 1; i++)
		raw_send_bytes(&raw, request + i, 1);
	while (raw_receive_some(&raw) > 0)
		;
	cr_expect_eq(strncmp(raw.buffer, "HTTP/1.1 400 ", 13), 0, "%.*s", (int)raw.length, raw.buffer);
	cr_expect(memmem(raw.buffer, raw.length, "HTTP/1.1 200 ", 13), "%.*s", (int)raw.length, raw.buffer);
	raw_close(&raw);
}

DAEMON_TEST(http_bytes, a_body_that_waits_to_be_asked_for_is)
{
	static const char asked[] = "HTTP/1.1 100 Continue\r\n\r\n";
	struct raw raw;

	raw_connect(&raw, daemon_under_test.http_path);
	raw_send(&raw, PUT "Connection: close\r\nExpect: 100-Continue\r\nContent-Length: 2\r\n\r\n");
	while (raw.length < sizeof(asked) - 1)
		cr_assert_gt(raw_receive_some(&raw), 0);
	cr_expect_eq(raw.length, sizeof(asked) - 1);
	cr_expect_eq(memcmp(raw.buffer, asked, sizeof(asked) - 1), 0);
	raw_send(&raw, "{}");
	while (raw_receive_some(&raw) > 0)
		;
	cr_expect(memmem(raw.buffer, raw.length, "HTTP/1.1 400 ", 13), "%.*s", (int)raw.length, raw.buffer);
	raw_close(&raw);
}

DAEMON_TEST(http_bytes, who_shuts_down_its_sending_side_is_answered)
{
	struct raw raw;

	raw_connect(&raw, daemon_under_test.http_path);
	raw_send(&raw, GET "\r\n" GET "\r\n");
	cr_assert_eq(shutdown(raw.fd, SHUT_WR), 0);
	while (raw_receive_some(&raw) > 0)
		;
	cr_expect_eq(strncmp(raw.buffer, "HTTP/1.1 200 ", 13), 0);
	cr_expect(memmem(raw.buffer + 13, raw.length - 13, "HTTP/1.1 200 ", 13), "%.*s", (int)raw.length, raw.buffer);
	raw_close(&raw);

	raw_connect(&raw, daemon_under_test.http_path);
	raw_send(&raw, GET);
	cr_assert_eq(shutdown(raw.fd, SHUT_WR), 0);
	while (raw_receive_some(&raw) > 0)
		;
	cr_expect_eq(strncmp(raw.buffer, "HTTP/1.1 400 ", 13), 0, "half a request");
	raw_close(&raw);
}

static void curl(const char *wanted, const char *options)
{
	char output[8192];
	int status = run_program(output, sizeof(output), "curl -sS -m 60 --unix-socket %s %s",
				 daemon_under_test.http_path, options);

	cr_expect_eq(status, 0, "curl %s: %d: %s", options, status, output);
	cr_expect(strstr(output, wanted), "curl %s: %s", options, output);
}

DAEMON_TEST(http_bytes, curl_is_understood)
{
	curl("{\"status\":\"ok\"}", "http://ember/healthz");
	curl("HTTP/1.1 200 OK", "-I http://ember/healthz");
	curl("Allow: GET, HEAD, OPTIONS", "-i -X OPTIONS http://ember/healthz");
	curl("Allow: GET, HEAD, PUT, OPTIONS", "-i -X OPTIONS --request-target '*' http://ember/");
	curl("HTTP/1.1 405 ", "-i -X DELETE http://ember/healthz");
	curl("{\"status\":\"ok\"}", "-0 http://ember/healthz");
	curl("{\"status\":\"ok\"}\n{\"status\":\"ok\"}", "http://ember/healthz http://ember/healthz");
	curl("must be given", "-X PUT -d '{}' http://ember/snapshot/load");
	curl("must be given", "-X PUT -H 'Expect: 100-continue' -d '{}' http://ember/snapshot/load");
	curl("must be given", "-X PUT -H 'Transfer-Encoding: chunked' -d '{}' http://ember/snapshot/load");
	curl("HTTP/1.1 413 ",
	     "-i -X PUT -H 'Expect: 100-continue' -d \"$(head -c 5000 /dev/zero | tr '\\0' ' ')\" http://ember/snapshot/load");
}
