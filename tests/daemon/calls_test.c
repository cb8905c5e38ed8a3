/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calls that are open for a while: deadlines, cancellation, clients that leave, limits, the pool's queue, and drains.
 */
#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "vms.h"

#define ONE_VM                                                                                                      \
	"{\"pool\": {\"shapes\": [{\"vcpus\": 1, \"memory_mib\": 8, \"min\": 1, \"max\": 1}], \"queue_limit\": 1}," \
	" \"limits\": {\"open_calls\": 3}}"

static struct daemon daemon_under_test;
static struct ember *client;
static char vm[VM_ID_TEXT];

static void start(void)
{
	daemon_start(&daemon_under_test, ONE_VM);
	client = daemon_connect(&daemon_under_test);
	vm_boot(client, vm);
}

static void stop(void)
{
	json_decref(client_call(client, "server.ping", NULL));
	(void)ember_free(client);
	daemon_stop(&daemon_under_test);
}

/* Send a call that stays open: a wait for the end of the VM. */
static void send_wait(struct raw *raw, const char *id)
{
	char line[256];

	(void)snprintf(
		line, sizeof(line),
		"{\"jsonrpc\": \"2.0\", \"id\": %s, \"method\": \"vm.wait\", \"params\": {\"vm\": \"%s\", \"for\": "
		"\"exit\"}}",
		id, vm);
	raw_send_line(raw, line);
}

static void expect_error(struct raw *raw, int code, const char *id)
{
	json_t *wanted = json_loads(id, JSON_DECODE_ANY, NULL), *answer = raw_receive_answer(raw);

	cr_expect_eq(int_at(answer, "error.code"), code, "%s", json_dumps(answer, 0));
	cr_expect(json_equal(at(answer, "id"), wanted), "%s", json_dumps(answer, 0));
	json_decref(answer);
	json_decref(wanted);
}

DAEMON_TEST(calls, a_deadline_ends_a_wait)
{
	json_t *data = NULL;
	int code = client_fail(client, "vm.wait", "{\"vm\": \"vm-1\", \"for\": \"exit\", \"deadline_ms\": 50}", &data);

	cr_expect_eq(code, RPC_DEADLINE_EXCEEDED);
	cr_expect_str_eq(text_at(data, "status"), "DEADLINE_EXCEEDED");
	json_decref(data);
}

DAEMON_TEST(calls, cancel_ends_the_call_of_that_id_and_no_other)
{
	struct raw raw;
	json_t *answer;

	raw_connect(&raw, daemon_under_test.socket_path);
	send_wait(&raw, "\"a\"");
	send_wait(&raw, "7");
	raw_send_line(&raw, "{\"jsonrpc\": \"2.0\", \"id\": 1, \"method\": \"rpc.cancel\", \"params\": {\"id\": 7}}");
	expect_error(&raw, RPC_CANCELLED, "7");
	answer = raw_receive(&raw);
	cr_expect(json_is_true(at(answer, "result.cancelled")));
	json_decref(answer);
	raw_send_line(&raw,
		      "{\"jsonrpc\": \"2.0\", \"id\": 1, \"method\": \"rpc.cancel\", \"params\": {\"id\": \"7\"}}");
	answer = raw_receive(&raw);
	cr_expect(json_is_false(at(answer, "result.cancelled")), "a string is not a number");
	json_decref(answer);
	raw_send_line(&raw, "{\"jsonrpc\": \"2.0\", \"id\": 1, \"method\": \"rpc.cancel\", \"params\": [\"a\"]}");
	expect_error(&raw, RPC_CANCELLED, "\"a\"");
	json_decref(raw_receive(&raw));
	raw_close(&raw);
}

DAEMON_TEST(calls, another_connections_call_cannot_be_cancelled)
{
	struct raw one, other;
	json_t *answer;

	raw_connect(&one, daemon_under_test.socket_path);
	raw_connect(&other, daemon_under_test.socket_path);
	send_wait(&one, "7");
	json_decref(raw_call(&one, "server.ping", NULL));
	answer = raw_call(&other, "rpc.cancel", "{\"id\": 7}");
	cr_expect(json_is_false(at(answer, "result.cancelled")));
	json_decref(answer);
	raw_close(&one);
	raw_close(&other);
}

DAEMON_TEST(calls, calls_over_the_limit_are_refused_and_can_make_room)
{
	struct raw raw;

	raw_connect(&raw, daemon_under_test.socket_path);
	send_wait(&raw, "1");
	send_wait(&raw, "2");
	send_wait(&raw, "3");
	send_wait(&raw, "4");
	expect_error(&raw, RPC_IN_FLIGHT_LIMIT, "4");
	raw_send_line(&raw, "{\"jsonrpc\": \"2.0\", \"id\": 9, \"method\": \"rpc.cancel\", \"params\": {\"id\": 2}}");
	expect_error(&raw, RPC_CANCELLED, "2");
	json_decref(raw_receive(&raw));
	json_decref(raw_call(&raw, "server.ping", NULL));
	raw_close(&raw);
}

DAEMON_TEST(calls, a_batch_waits_for_its_slowest_answer)
{
	struct raw raw;
	char line[512];
	json_t *answer;

	raw_connect(&raw, daemon_under_test.socket_path);
	(void)snprintf(
		line, sizeof(line),
		"[{\"jsonrpc\": \"2.0\", \"id\": 1, \"method\": \"vm.wait\", \"params\": {\"vm\": \"%s\", \"for\": \"exit\"}},"
		" {\"jsonrpc\": \"2.0\", \"id\": 2, \"method\": \"vm.kill\", \"params\": {\"vm\": \"%s\"}},"
		" {\"jsonrpc\": \"2.0\", \"id\": 3, \"method\": \"server.ping\"}]",
		vm, vm);
	raw_send_line(&raw, line);
	answer = raw_receive(&raw);
	cr_expect_eq(json_array_size(answer), 3);
	cr_expect_eq(int_at(answer, "0.id"), 3);
	json_decref(answer);
	raw_close(&raw);
}

DAEMON_TEST(calls, a_client_that_leaves_takes_its_calls_with_it)
{
	struct raw raw;
	json_t *result;

	raw_connect(&raw, daemon_under_test.socket_path);
	send_wait(&raw, "1");
	send_wait(&raw, "2");
	json_decref(raw_call(&raw, "server.ping", NULL));
	raw_close(&raw);
	daemon_wait_log_count(&daemon_under_test, "the client has gone", 2);
	result = callf(client, "vm.kill", "{\"vm\": \"%s\"}", vm);
	json_decref(result);
}

DAEMON_TEST(calls, a_half_closed_client_that_leaves_altogether_is_noticed)
{
	struct raw raw;

	raw_connect(&raw, daemon_under_test.socket_path);
	send_wait(&raw, "1");
	json_decref(raw_call(&raw, "server.ping", NULL));
	cr_assert_eq(shutdown(raw.fd, SHUT_WR), 0);
	raw_close(&raw);
	daemon_wait_log(&daemon_under_test, "the client has gone");
}

DAEMON_TEST(calls, a_full_pool_queues_then_refuses_with_advice)
{
	struct raw first;
	json_t *data = NULL, *answer;

	raw_connect(&first, daemon_under_test.socket_path);
	raw_send_line(&first,
		      "{\"jsonrpc\": \"2.0\", \"id\": 1, \"method\": \"vm.boot\", \"params\": {\"memory_mib\": 8}}");
	json_decref(raw_call(&first, "server.ping", NULL));

	cr_expect_eq(client_fail(client, "vm.boot", "{\"memory_mib\": 8}", &data), RPC_POOL_EXHAUSTED);
	cr_expect_str_eq(text_at(data, "status"), "RESOURCE_EXHAUSTED");
	cr_expect_str_eq(text_at(data, "reason"), "POOL_EXHAUSTED");
	cr_expect_gt(int_at(data, "retry_after_ms"), 0);
	json_decref(data);

	/* A slot that becomes free serves the one that waited. */
	json_decref(callf(client, "vm.release", "{\"vm\": \"%s\"}", vm));
	answer = raw_receive(&first);
	cr_expect_str_eq(text_at(answer, "result.state"), "running");
	json_decref(answer);
	raw_close(&first);
}

DAEMON_TEST(calls, a_queued_start_ends_at_its_deadline_with_advice)
{
	json_t *data = NULL;

	cr_expect_eq(client_fail(client, "vm.boot", "{\"memory_mib\": 8, \"deadline_ms\": 100}", &data),
		     RPC_DEADLINE_EXCEEDED);
	cr_expect_gt(int_at(data, "retry_after_ms"), 0);
	json_decref(data);
}

DAEMON_TEST(calls, a_queued_start_that_is_cancelled_starts_nothing)
{
	struct raw raw;
	json_t *status;

	raw_connect(&raw, daemon_under_test.socket_path);
	raw_send_line(&raw,
		      "{\"jsonrpc\": \"2.0\", \"id\": 1, \"method\": \"vm.boot\", \"params\": {\"memory_mib\": 8}}");
	raw_send_line(&raw, "{\"jsonrpc\": \"2.0\", \"id\": 2, \"method\": \"rpc.cancel\", \"params\": {\"id\": 1}}");
	expect_error(&raw, RPC_CANCELLED, "1");
	json_decref(raw_receive(&raw));
	status = client_call(client, "pool.status", NULL);
	cr_expect_eq(int_at(status, "shapes.0.queued"), 0);
	json_decref(status);
	json_decref(callf(client, "vm.kill", "{\"vm\": \"%s\"}", vm));
	wait_until_warm(client, 1);
	cr_expect_eq(vm_count(client), 0);
	raw_close(&raw);
}

DAEMON_TEST(calls, a_drain_waits_for_vms_and_refuses_new_ones)
{
	struct raw raw;
	json_t *answer;
	int status;

	raw_connect(&raw, daemon_under_test.socket_path);
	raw_send_line(&raw,
		      "{\"jsonrpc\": \"2.0\", \"id\": 1, \"method\": \"server.drain\", \"params\": {\"stop\": false}}");
	json_decref(raw_call(&raw, "server.ping", NULL));
	cr_expect_eq(client_fail(client, "vm.boot", "{\"memory_mib\": 8}", NULL), RPC_DRAINING);
	answer = http_call(daemon_under_test.http_path, "GET", "/healthz", NULL, &status);
	cr_expect_eq(status, 503);
	cr_expect_str_eq(text_at(answer, "status"), "draining");
	json_decref(answer);

	json_decref(callf(client, "vm.kill", "{\"vm\": \"%s\"}", vm));
	answer = raw_receive(&raw);
	cr_expect(json_is_true(at(answer, "result.drained")));
	json_decref(answer);
	vm_boot(client, vm);
	raw_close(&raw);
}

DAEMON_TEST(calls, a_drain_that_is_cancelled_is_undone)
{
	struct raw raw;

	raw_connect(&raw, daemon_under_test.socket_path);
	raw_send_line(&raw, "{\"jsonrpc\": \"2.0\", \"id\": 1, \"method\": \"server.drain\"}");
	raw_send_line(&raw, "{\"jsonrpc\": \"2.0\", \"id\": 2, \"method\": \"rpc.cancel\", \"params\": {\"id\": 1}}");
	expect_error(&raw, RPC_CANCELLED, "1");
	json_decref(raw_receive(&raw));
	json_decref(callf(client, "vm.kill", "{\"vm\": \"%s\"}", vm));
	vm_boot(client, vm);
	raw_close(&raw);
}

Test(stopping, a_drain_past_its_deadline_stops_all_the_same)
{
	struct raw raw;

	start();
	raw_connect(&raw, daemon_under_test.socket_path);
	send_wait(&raw, "5");
	raw_send_line(
		&raw,
		"{\"jsonrpc\": \"2.0\", \"id\": 1, \"method\": \"server.drain\", \"params\": {\"deadline_ms\": 100}}");
	expect_error(&raw, RPC_DEADLINE_EXCEEDED, "1");
	expect_error(&raw, RPC_DRAINING, "5");
	raw_expect_end(&raw);
	cr_expect_eq(daemon_wait_end(&daemon_under_test), 0);
	raw_close(&raw);
	(void)ember_free(client);
	daemon_stop(&daemon_under_test);
}

Test(stopping, a_second_signal_does_not_wait)
{
	daemon_start(&daemon_under_test, "{\"drain_timeout_ms\": 3600000, \"pool\": {\"shapes\": [{\"vcpus\": 1, "
					 "\"memory_mib\": 8, \"min\": 1, \"max\": 1}]}}");
	client = daemon_connect(&daemon_under_test);
	vm_boot(client, vm);
	daemon_signal(&daemon_under_test, SIGTERM);
	daemon_wait_log(&daemon_under_test, "\"draining\"");
	json_decref(client_call(client, "server.ping", NULL));
	daemon_signal(&daemon_under_test, SIGTERM);
	cr_expect_eq(daemon_wait_end(&daemon_under_test), 0);
	(void)ember_free(client);
	daemon_stop(&daemon_under_test);
}

Test(stopping, a_signal_waits_for_vms_to_end)
{
	daemon_start(&daemon_under_test, "{\"drain_timeout_ms\": 3600000, \"pool\": {\"shapes\": [{\"vcpus\": 1, "
					 "\"memory_mib\": 8, \"min\": 1, \"max\": 1}]}}");
	client = daemon_connect(&daemon_under_test);
	vm_boot(client, vm);
	daemon_signal(&daemon_under_test, SIGTERM);
	daemon_wait_log(&daemon_under_test, "\"draining\"");
	cr_expect_eq(client_fail(client, "vm.boot", NULL, NULL), RPC_DRAINING);
	json_decref(callf(client, "vm.release", "{\"vm\": \"%s\"}", vm));
	cr_expect_eq(daemon_wait_end(&daemon_under_test), 0);
	(void)ember_free(client);
	daemon_stop(&daemon_under_test);
}
