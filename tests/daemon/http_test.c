/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The HTTP socket: health, the two snapshot requests, and everything that is refused.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness.h"
#include "proto/status.h"

static struct daemon daemon_under_test;

static void start(void)
{
	daemon_start(&daemon_under_test, "{\"limits\": {\"http_body_bytes\": 1024, \"http_header_bytes\": 1024}}");
}

static void stop(void)
{
	int status;
	json_t *body = http_call(daemon_under_test.http_path, "GET", "/healthz", NULL, &status);

	cr_expect_eq(status, 200);
	cr_expect_str_eq(text_at(body, "status"), "ok");
	json_decref(body);
	daemon_stop(&daemon_under_test);
}

static void refuses(const char *method, const char *target, const char *content, int status, int code)
{
	int got;
	json_t *body = http_call(daemon_under_test.http_path, method, target, content, &got);

	cr_expect_eq(got, status, "%s %s %s: status %d", method, target, content ? content : "", got);
	cr_assert_not_null(body, "%s %s: no JSON", method, target);
	cr_expect_eq(int_at(body, "error.code"), code, "%s %s %s: %s", method, target, content ? content : "",
		     json_dumps(body, 0));
	cr_expect(text_at(body, "error.message")[0]);
	json_decref(body);
}

DAEMON_TEST(http, what_is_not_there_is_not_found)
{
	refuses("GET", "/", NULL, 404, RPC_NOT_FOUND);
	refuses("GET", "/healthz/", NULL, 404, RPC_NOT_FOUND);
	refuses("PUT", "/snapshot", "{}", 404, RPC_NOT_FOUND);
	refuses("GET", "/../healthz", NULL, 404, RPC_NOT_FOUND);
}

DAEMON_TEST(http, wrong_methods_are_told_which_is_right)
{
	static const char request[] = "POST /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
	char *answer;

	refuses("DELETE", "/healthz", NULL, 405, RPC_UNIMPLEMENTED);
	refuses("POST", "/snapshot/create", "{}", 405, RPC_UNIMPLEMENTED);
	refuses("GET", "/snapshot/load", NULL, 405, RPC_UNIMPLEMENTED);
	answer = http_exchange(daemon_under_test.http_path, request, strlen(request));
	cr_expect(strstr(answer, "Allow: GET"), "%s", answer);
	free(answer);
}

DAEMON_TEST(http, bodies_that_are_wrong)
{
	int status;
	json_t *body = http_call(daemon_under_test.http_path, "PUT", "/snapshot/load", NULL, &status);

	cr_expect_eq(status, 400);
	cr_expect(strstr(text_at(body, "error.message"), "expected"), "%s", text_at(body, "error.message"));
	json_decref(body);
	refuses("PUT", "/snapshot/load", "x", 400, RPC_PARSE_ERROR);
	refuses("PUT", "/snapshot/load", "[]", 400, RPC_INVALID_ARGUMENT);
	refuses("PUT", "/snapshot/load", "{\"path\": \"/x\"}", 400, RPC_INVALID_ARGUMENT);
	refuses("PUT", "/snapshot/load", "{\"snapshot_path\": 1}", 400, RPC_INVALID_PARAMS);
	refuses("PUT", "/snapshot/load", "{\"snapshot_path\": \"relative\"}", 400, RPC_INVALID_PARAMS);
	refuses("PUT", "/snapshot/create", "{\"vm\": \"vm-1\"}", 400, RPC_INVALID_PARAMS);
	refuses("PUT", "/snapshot/load", "{\"snapshot_path\": \"/x\", \"deadline_ms\": 0}", 504, RPC_DEADLINE_EXCEEDED);
}

static int status_of(const char *bytes, size_t size)
{
	char *answer = http_exchange(daemon_under_test.http_path, bytes, size);
	int status = strncmp(answer, "HTTP/1.", 7) ? 0 : (int)strtol(answer + 9, NULL, 10);

	free(answer);
	return status;
}

DAEMON_TEST(http, too_much_is_refused)
{
	char *request = calloc(1, 4096 + 512);
	int length;

	length = sprintf(request, "PUT /snapshot/load HTTP/1.1\r\nHost: x\r\nContent-Length: 1025\r\n\r\n");
	memset(request + length, ' ', 1025);
	cr_expect_eq(status_of(request, (size_t)length + 1025), 413, "a body over the limit");

	length = sprintf(request, "GET /healthz HTTP/1.1\r\nHost: x\r\nX-Long: ");
	memset(request + length, 'x', 4096);
	memcpy(request + length + 4096, "\r\n\r\n", 4);
	cr_expect_geq(status_of(request, (size_t)length + 4100), 400, "a head over the limit");
	free(request);
}

DAEMON_TEST(http, what_is_no_http_is_refused)
{
	static const char *const requests[] = {
		"hello\r\n\r\n",
		"GET\r\n\r\n",
		"GET /healthz HTTP/9.9\r\n\r\n",
		"BREW /pot HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
		"{\"jsonrpc\": \"2.0\", \"method\": \"server.ping\", \"id\": 1}\r\n\r\n",
	};
	size_t i;

	for (i = 0; i < sizeof(requests) / sizeof(requests[0]); i++)
		cr_expect_neq(status_of(requests[i], strlen(requests[i])), 200, "%s", requests[i]);
}

DAEMON_TEST(http, a_connection_serves_several_requests)
{
	static const char requests[] = "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
				       "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
				       "GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
	char *answer = http_exchange(daemon_under_test.http_path, requests, strlen(requests)), *next = answer;
	int count = 0;

	while ((next = strstr(next, "{\"status\":\"ok\"}")) != NULL) {
		count++;
		next++;
	}
	cr_expect_eq(count, 3, "%s", answer);
	free(answer);
}

DAEMON_TEST(http, a_client_that_leaves_in_the_middle_harms_nobody)
{
	struct raw raw;
	int i;

	for (i = 0; i < 20; i++) {
		raw_connect(&raw, daemon_under_test.http_path);
		raw_send(&raw, "PUT /snapshot/load HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{");
		raw_close(&raw);
		raw_connect(&raw, daemon_under_test.http_path);
		raw_send(&raw, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n");
		raw_close(&raw);
	}
}
