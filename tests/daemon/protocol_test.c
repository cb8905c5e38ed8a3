/* SPDX-License-Identifier: Apache-2.0 */
/*
 * JSON-RPC over the daemon's socket: what the specification asks, and every way to say it wrong. After each wrong
 * request the same connection must serve a right one.
 */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "harness.h"
#include "proto/client/ember.h"
#include "proto/method.h"
#include "proto/openrpc.h"

static struct daemon daemon_under_test;
static struct raw raw;

static void start(void)
{
	daemon_start(&daemon_under_test, NULL);
	raw_connect(&raw, daemon_under_test.socket_path);
}

static void stop(void)
{
	json_t *answer = raw_call(&raw, "server.ping", NULL);

	cr_expect(json_is_true(at(answer, "result.pong")), "the connection is not served any more");
	json_decref(answer);
	raw_close(&raw);
	daemon_stop(&daemon_under_test);
}

/* The answer to one line must be an error of this code with this id (as JSON text). */
static void refuses_with_id(const char *line, int code, const char *id)
{
	json_t *wanted = json_loads(id, JSON_DECODE_ANY, NULL), *answer;

	raw_send_line(&raw, line);
	answer = raw_receive(&raw);
	cr_expect_eq(int_at(answer, "error.code"), code, "%s: %s", line, json_dumps(answer, 0));
	cr_expect(json_equal(at(answer, "id"), wanted), "%s: %s", line, json_dumps(answer, 0));
	cr_expect(text_at(answer, "error.message")[0]);
	cr_expect(text_at(answer, "error.data.status")[0]);
	json_decref(answer);
	json_decref(wanted);
}

static void refuses(const char *line, int code)
{
	refuses_with_id(line, code, "null");
}

DAEMON_TEST(protocol, lines_that_are_not_json)
{
	refuses("x", RPC_PARSE_ERROR);
	refuses("{", RPC_PARSE_ERROR);
	refuses("{\"jsonrpc\": \"2.0\", \"method\": \"server.ping\", \"id\": 1", RPC_PARSE_ERROR);
	refuses("{\"jsonrpc\": \"2.0\", \"method\": \"server.ping\", \"id\": 1} x", RPC_PARSE_ERROR);
	refuses("{\"jsonrpc\": \"2.0\", \"method\": \"server.ping\", \"id\": 1, \"id\": 1}", RPC_PARSE_ERROR);
	refuses("{'jsonrpc': '2.0'}", RPC_PARSE_ERROR);
	refuses("\xff\xfe", RPC_PARSE_ERROR);
	refuses("\"\\ud800\"", RPC_PARSE_ERROR);
	refuses("[1e999]", RPC_PARSE_ERROR);
	refuses("[", RPC_PARSE_ERROR);
}

DAEMON_TEST(protocol, json_that_is_no_request)
{
	refuses("1", RPC_INVALID_REQUEST);
	refuses("null", RPC_INVALID_REQUEST);
	refuses("\"server.ping\"", RPC_INVALID_REQUEST);
	refuses("{}", RPC_INVALID_REQUEST);
	refuses("[]", RPC_INVALID_REQUEST);
	refuses("{\"jsonrpc\": \"1.0\", \"method\": \"server.ping\"}", RPC_INVALID_REQUEST);
	refuses("{\"jsonrpc\": 2.0, \"method\": \"server.ping\"}", RPC_INVALID_REQUEST);
	refuses("{\"method\": \"server.ping\"}", RPC_INVALID_REQUEST);
	refuses("{\"jsonrpc\": \"2.0\"}", RPC_INVALID_REQUEST);
	refuses("{\"jsonrpc\": \"2.0\", \"method\": 1}", RPC_INVALID_REQUEST);
	refuses("{\"jsonrpc\": \"2.0\", \"method\": \"server.ping\", \"id\": {}}", RPC_INVALID_REQUEST);
	refuses("{\"jsonrpc\": \"2.0\", \"method\": \"server.ping\", \"id\": [1]}", RPC_INVALID_REQUEST);
	refuses("{\"jsonrpc\": \"2.0\", \"method\": \"server.ping\", \"id\": true}", RPC_INVALID_REQUEST);
	refuses_with_id("{\"jsonrpc\": \"2.0\", \"method\": \"server.ping\", \"params\": 1, \"id\": 4}",
			RPC_INVALID_REQUEST, "4");
}

DAEMON_TEST(protocol, unknown_methods)
{
	refuses_with_id("{\"jsonrpc\": \"2.0\", \"method\": \"server.pong\", \"id\": \"a\"}", RPC_METHOD_NOT_FOUND,
			"\"a\"");
	refuses_with_id("{\"jsonrpc\": \"2.0\", \"method\": \"\", \"id\": 1}", RPC_METHOD_NOT_FOUND, "1");
	refuses_with_id("{\"jsonrpc\": \"2.0\", \"method\": \"Server.Ping\", \"id\": 1}", RPC_METHOD_NOT_FOUND, "1");
}

DAEMON_TEST(protocol, wrong_parameters_name_the_field)
{
	static const struct {
		const char *method;
		const char *params;
		const char *field;
	} rows[] = {
		{ "server.drain", "{\"stop\": 1}", "stop" },
		{ "server.drain", "[1]", "stop" },
		{ "server.ping", "{\"loud\": true}", "loud" },
		{ "server.ping", "{\"deadline_ms\": -1}", "deadline_ms" },
		{ "server.ping", "{\"deadline_ms\": 86400001}", "deadline_ms" },
		{ "server.ping", "{\"deadline_ms\": \"1\"}", "deadline_ms" },
		{ "events.subscribe", "{\"kinds\": [\"weather\"]}", "kinds" },
		{ "events.subscribe", "{\"kinds\": []}", "kinds" },
		{ "rpc.cancel", "{}", "id" },
		{ "vm.kill", "{\"vm\": 7}", "vm" },
		{ "vm.wait", "{\"vm\": \"vm-1\", \"for\": \"event\"}", "event" },
		{ "vm.restore", "{}", "snapshot" },
		{ "pool.configure", "{\"vcpus\": 9, \"memory_mib\": 1}", "vcpus" },
		{ "snapshot.inspect", "{\"name\": \"../x\"}", "name" },
		{ "snapshot.register", "{\"name\": \"x\", \"path\": \"relative\"}", "path" },
	};
	size_t i;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		json_t *answer = raw_call(&raw, rows[i].method, rows[i].params);

		cr_expect_eq(int_at(answer, "error.code"), RPC_INVALID_PARAMS, "%s %s", rows[i].method, rows[i].params);
		cr_expect_str_eq(text_at(answer, "error.data.field"), rows[i].field, "%s %s", rows[i].method,
				 rows[i].params);
		json_decref(answer);
	}
	raw_expect_error(&raw, "server.ping", "[1, 2, 3]", RPC_INVALID_PARAMS);
}

DAEMON_TEST(protocol, ids_come_back_as_they_were)
{
	static const char *const ids[] = { "0", "-1", "9007199254740993", "\"\"", "\"caf\xc3\xa9\"", "null", "1.5" };
	char line[256];
	size_t i;

	for (i = 0; i < sizeof(ids) / sizeof(ids[0]); i++) {
		json_t *wanted = json_loads(ids[i], JSON_DECODE_ANY, NULL), *answer;

		(void)snprintf(line, sizeof(line), "{\"jsonrpc\": \"2.0\", \"method\": \"server.ping\", \"id\": %s}",
			       ids[i]);
		raw_send_line(&raw, line);
		answer = raw_receive(&raw);
		cr_expect(json_equal(at(answer, "id"), wanted), "%s came back as %s", ids[i], json_dumps(answer, 0));
		json_decref(wanted);
		json_decref(answer);
	}
}

DAEMON_TEST(protocol, notifications_are_not_answered_whatever_they_say)
{
	json_t *answer;

	raw_send_line(&raw, "{\"jsonrpc\": \"2.0\", \"method\": \"server.ping\"}");
	raw_send_line(&raw, "{\"jsonrpc\": \"2.0\", \"method\": \"no.such.method\"}");
	raw_send_line(&raw, "{\"jsonrpc\": \"2.0\", \"method\": \"server.ping\", \"params\": {\"x\": 1}}");
	raw_send_line(&raw, "[{\"jsonrpc\": \"2.0\", \"method\": \"server.ping\"}]");
	answer = raw_call(&raw, "server.ping", NULL);
	cr_expect(json_is_true(at(answer, "result.pong")));
	json_decref(answer);
}

DAEMON_TEST(protocol, a_batch_is_answered_with_one_array)
{
	json_t *answer, *one;
	size_t i, ones = 0;

	raw_send_line(&raw, "[{\"jsonrpc\": \"2.0\", \"method\": \"server.ping\", \"id\": 1},"
			    " {\"jsonrpc\": \"2.0\", \"method\": \"server.ping\"}, 7,"
			    " {\"jsonrpc\": \"2.0\", \"method\": \"no.such\", \"id\": \"b\"},"
			    " {\"jsonrpc\": \"2.0\", \"method\": \"server.info\", \"id\": 3}]");
	answer = raw_receive(&raw);
	cr_assert(json_is_array(answer));
	cr_expect_eq(json_array_size(answer), 4);
	json_array_foreach(answer, i, one)
		ones += json_is_integer(at(one, "id")) && json_is_object(at(one, "result"));
	cr_expect_eq(ones, 2);
	json_decref(answer);
}

DAEMON_TEST(protocol, a_batch_over_the_limit_is_one_error)
{
	char *line = malloc(70UL * 64), *next = line;
	json_t *answer;
	int i;

	for (i = 0; i < 65; i++)
		next += sprintf(next, "%s{\"jsonrpc\":\"2.0\",\"method\":\"server.ping\",\"id\":%d}", i ? "," : "[", i);
	(void)strcpy(next, "]");
	raw_send_line(&raw, line);
	answer = raw_receive(&raw);
	cr_expect(json_is_object(answer));
	cr_expect_eq(int_at(answer, "error.code"), RPC_INVALID_REQUEST);
	json_decref(answer);
	free(line);
}

DAEMON_TEST(protocol, nesting_is_measured_before_it_is_parsed)
{
	char line[4096];

	memset(line, '[', 2000);
	memset(line + 2000, ']', 2000);
	line[4000] = '\0';
	refuses(line, RPC_PARSE_ERROR);
}

DAEMON_TEST(protocol, a_line_over_the_limit_is_refused_once_and_the_next_is_read)
{
	char *chunk = malloc(1048576);
	json_t *answer;
	int i;

	memset(chunk, 'x', 1048576);
	for (i = 0; i < 3; i++)
		raw_send_bytes(&raw, chunk, 1048576);
	raw_send(&raw, "\n");
	answer = raw_receive(&raw);
	cr_expect_eq(int_at(answer, "error.code"), RPC_INVALID_REQUEST);
	cr_expect(json_is_null(at(answer, "id")));
	json_decref(answer);
	answer = raw_call(&raw, "server.ping", NULL);
	cr_expect(json_is_true(at(answer, "result.pong")));
	json_decref(answer);
	free(chunk);
}

DAEMON_TEST(protocol, a_request_may_come_byte_by_byte_and_many_at_once)
{
	static const char line[] = "\r\n\n{\"jsonrpc\": \"2.0\", \"method\": \"server.ping\", \"id\": 1}\r\n";
	char many[sizeof(line) * 100] = "";
	json_t *answer;
	size_t i;

	for (i = 0; i + 1 < sizeof(line); i++)
		raw_send_bytes(&raw, line + i, 1);
	json_decref(raw_receive(&raw));

	for (i = 0; i < 100; i++)
		(void)strcat(many, line);
	raw_send(&raw, many);
	for (i = 0; i < 100; i++) {
		answer = raw_receive(&raw);
		cr_expect(json_is_true(at(answer, "result.pong")));
		json_decref(answer);
	}
}

DAEMON_TEST(protocol, a_client_that_stops_sending_still_gets_its_answers)
{
	struct raw half;
	json_t *answer;

	raw_connect(&half, daemon_under_test.socket_path);
	raw_send_line(&half, "{\"jsonrpc\": \"2.0\", \"method\": \"server.ping\", \"id\": 1}");
	raw_send(&half, "{\"jsonrpc\": \"2.0\", \"method\": \"server.ping\", \"id\": 2}");
	cr_assert_eq(shutdown(half.fd, SHUT_WR), 0);
	answer = raw_receive(&half);
	cr_expect_eq(int_at(answer, "id"), 1);
	json_decref(answer);
	answer = raw_receive(&half);
	cr_expect_eq(int_at(answer, "id"), 2, "the last line counts without its end, too");
	json_decref(answer);
	raw_expect_end(&half);
	raw_close(&half);
}

DAEMON_TEST(protocol, a_deadline_of_zero_has_passed)
{
	raw_expect_error(&raw, "server.ping", "{\"deadline_ms\": 0}", RPC_DEADLINE_EXCEEDED);
	raw_expect_error(&raw, "pool.status", "{\"deadline_ms\": 0}", RPC_DEADLINE_EXCEEDED);
}

DAEMON_TEST(protocol, cancelling_what_is_not_open_cancels_nothing)
{
	json_t *answer = raw_call(&raw, "rpc.cancel", "{\"id\": 99}");

	cr_expect(json_is_false(at(answer, "result.cancelled")));
	json_decref(answer);
}

DAEMON_TEST(protocol, discover_gives_the_document_of_the_table)
{
	json_t *answer = raw_call(&raw, "rpc.discover", NULL), *document = NULL;
	size_t count;

	cr_assert_eq(openrpc_document(EMBER_VERSION, &document), 0);
	cr_expect(json_equal(at(answer, "result"), document));
	(void)method_table(&count);
	cr_expect_eq(json_array_size(at(answer, "result.methods")), count);
	json_decref(document);
	json_decref(answer);
}

DAEMON_TEST(protocol, ping_and_info_are_as_the_table_says)
{
	struct ember *client = daemon_connect(&daemon_under_test);
	json_t *result = client_call(client, "server.ping", NULL);

	cr_expect_str_eq(text_at(result, "version"), EMBER_VERSION);
	json_decref(result);
	result = client_call(client, "server.info", NULL);
	cr_expect_eq(int_at(result, "pid"), daemon_under_test.pid);
	cr_expect_eq(int_at(result, "connections"), 2);
	cr_expect_eq(int_at(result, "limits.nesting"), 32);
	cr_expect_str_eq(text_at(result, "roles.2"), "admin");
	cr_expect_str_eq(text_at(result, "state_dir"), daemon_under_test.state_dir);
	cr_expect_gt(int_at(result, "kvm.tsc_measured_khz"), 0);
	cr_expect(json_is_true(at(result, "kvm.tsc_advances")));
	cr_expect(json_is_boolean(at(result, "kvm.tsc_settable")) && json_is_boolean(at(result, "kvm.tsc_rate_wrong")));
	json_decref(result);
	(void)ember_free(client);
}
