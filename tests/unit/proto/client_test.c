/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libember against a daemon that is the other end of a socket pair. Ids are predictable (1, 2, ...), so most answers
 * are written before the request is sent: no second thread, no timing.
 */
#include "proto/client/ember.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static struct ember *client;
static int daemon_end;

static void connect_pair(void)
{
	int ends[2];

	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
	cr_assert_eq(ember_connect_fd(ends[0], &client), 0);
	daemon_end = ends[1];
}

static void disconnect_pair(void)
{
	client = ember_free(client);
	if (daemon_end >= 0)
		(void)close(daemon_end);
}

TestSuite(client, .init = connect_pair, .fini = disconnect_pair);

static void daemon_says(const char *text)
{
	cr_assert_eq(send(daemon_end, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
}

static void daemon_closes(void)
{
	(void)close(daemon_end);
	daemon_end = -1;
}

/* What the daemon has received so far. */
static const char *daemon_heard(void)
{
	static char heard[65536];
	ssize_t length = recv(daemon_end, heard, sizeof(heard) - 1, MSG_DONTWAIT);

	heard[length > 0 ? length : 0] = '\0';

	return heard;
}

struct outcome {
	int calls;
	uint64_t id;
	int result;
	int64_t value; /* of a reply that is an integer */
	int code;
	char message[EMBER_ERROR_TEXT];
};

static void note_outcome(void *context, uint64_t id, int result, json_t *reply, const struct ember_error *error)
{
	struct outcome *outcome = context;

	cr_assert_eq(result == 0, reply != NULL);
	cr_assert_eq(result == 0, error == NULL);
	outcome->calls++;
	outcome->id = id;
	outcome->result = result;
	outcome->value = json_integer_value(reply);
	if (error) {
		outcome->code = error->code;
		(void)snprintf(outcome->message, sizeof(outcome->message), "%s", error->message);
	}
}

/* ---- blocking ---- */

Test(client, call_sends_one_line_and_returns_the_result)
{
	struct ember_error error = { 0 };
	json_t *params = json_pack("{s:s}", "snapshot", "py312"), *result = NULL;

	daemon_says("{\"jsonrpc\":\"2.0\",\"result\":{\"vm\":\"vm-7\"},\"id\":1}\n");
	cr_assert_eq(ember_call(client, "vm.restore", params, -1, &result, &error), 0);
	cr_assert_str_eq(json_string_value(json_object_get(result, "vm")), "vm-7");
	cr_assert_str_eq(
		daemon_heard(),
		"{\"jsonrpc\":\"2.0\",\"method\":\"vm.restore\",\"params\":{\"snapshot\":\"py312\"},\"id\":1}\n");
	cr_assert_eq(ember_in_flight(client), 0);
	json_decref(params);
	json_decref(result);
}

Test(client, call_without_params_or_interest_in_the_result)
{
	daemon_says("{\"jsonrpc\":\"2.0\",\"result\":null,\"id\":1}\n");
	cr_assert_eq(ember_call(client, "server.ping", NULL, 1000, NULL, NULL), 0);
	cr_assert_str_eq(daemon_heard(), "{\"jsonrpc\":\"2.0\",\"method\":\"server.ping\",\"id\":1}\n");
}

Test(client, an_error_answer_is_given_whole)
{
	struct ember_error error = { 0 };
	json_t *result = NULL;

	daemon_says("{\"jsonrpc\":\"2.0\",\"error\":{\"code\":-32001,\"message\":\"No slot is free\",\"data\":{"
		    "\"status\":\"RESOURCE_EXHAUSTED\",\"retry_after_ms\":12}},\"id\":1}\n");
	cr_assert_eq(ember_call(client, "vm.restore", NULL, 1000, &result, &error), -EREMOTEIO);
	cr_assert_null(result);
	cr_assert_eq(error.code, -32001);
	cr_assert_str_eq(error.status, "RESOURCE_EXHAUSTED");
	cr_assert_str_eq(error.message, "No slot is free");
	cr_assert_eq(json_integer_value(json_object_get(error.data, "retry_after_ms")), 12);
	ember_error_release(&error);
	cr_assert_null(error.data);
	cr_assert_str_empty(ember_failure(client), "an error answer is no failure of the connection");
}

Test(client, an_error_holds_what_fits_without_cutting_a_character)
{
	struct ember_error error = { 0 };
	char line[1200], text[700] = "";

	for (int i = 0; i < 200; i++)
		strcat(text, "\xe2\x82\xac");
	(void)snprintf(line, sizeof(line),
		       "{\"jsonrpc\":\"2.0\",\"error\":{\"code\":-32000,\"message\":\"%s\"},\"id\":1}\n", text);
	daemon_says(line);
	cr_assert_eq(ember_call(client, "x.y", NULL, 1000, NULL, &error), -EREMOTEIO);
	cr_assert_eq(strlen(error.message), 255 / 3 * 3);
	cr_assert_str_empty(error.status);
	cr_assert_null(error.data);
}

Test(client, a_call_that_times_out_is_cancelled_and_its_answer_dropped)
{
	struct ember_error error = { 0 };
	json_t *result = NULL;

	cr_assert_eq(ember_call(client, "vm.wait", NULL, 5, NULL, &error), -ETIMEDOUT);
	cr_assert_eq(error.code, 0);
	cr_assert_str_eq(error.message, "the daemon did not answer in time");
	cr_assert_not_null(
		strstr(daemon_heard(), "{\"jsonrpc\":\"2.0\",\"method\":\"rpc.cancel\",\"params\":{\"id\":1}}\n"));
	cr_assert_eq(ember_in_flight(client), 0);

	daemon_says("{\"jsonrpc\":\"2.0\",\"result\":1,\"id\":1}\n{\"jsonrpc\":\"2.0\",\"result\":2,\"id\":2}\n");
	cr_assert_eq(ember_call(client, "server.ping", NULL, 1000, &result, &error), 0);
	cr_assert_eq(json_integer_value(result), 2);
	json_decref(result);
}

Test(client, a_call_with_no_time_at_all_still_looks_once)
{
	cr_assert_eq(ember_call(client, "server.ping", NULL, 0, NULL, NULL), -ETIMEDOUT);
	daemon_says("{\"jsonrpc\":\"2.0\",\"result\":true,\"id\":2}\n");
	cr_assert_eq(ember_call(client, "server.ping", NULL, 0, NULL, NULL), 0);
}

Test(client, params_of_another_type_are_refused_before_anything_is_sent)
{
	struct ember_error error = { 0 };
	json_t *params = json_string("no");

	cr_assert_eq(ember_call(client, "x.y", params, 1000, NULL, &error), -EINVAL);
	cr_assert_str_not_empty(error.message);
	cr_assert_str_empty(daemon_heard());
	cr_assert_eq(ember_in_flight(client), 0);
	json_decref(params);
}

/* ---- asynchronous ---- */

Test(client, answers_may_come_in_any_order_and_in_one_piece)
{
	struct outcome outcomes[3] = { 0 };
	uint64_t id;

	for (size_t i = 0; i < 3; i++) {
		cr_assert_eq(ember_send(client, "server.ping", NULL, note_outcome, &outcomes[i], &id), 0);
		cr_assert_eq(id, i + 1);
	}
	cr_assert_eq(ember_dispatch(client, 0), 0);
	cr_assert_eq(ember_in_flight(client), 3);
	daemon_says("{\"jsonrpc\":\"2.0\",\"result\":30,\"id\":3}\n{\"jsonrpc\":\"2.0\",\"result\":10,\"id\":1}\n"
		    "{\"jsonrpc\":\"2.0\",\"result\":20,\"id\":2}\n");
	cr_assert_eq(ember_dispatch(client, 1000), 3);
	for (int i = 0; i < 3; i++) {
		cr_assert_eq(outcomes[i].calls, 1);
		cr_assert_eq(outcomes[i].id, (uint64_t)i + 1);
		cr_assert_eq(outcomes[i].value, (i + 1) * 10);
	}
}

Test(client, an_answer_cut_at_every_byte_is_put_together)
{
	const char *line = "{\"jsonrpc\":\"2.0\",\"result\":77,\"id\":1}\r\n";
	struct outcome outcome = { 0 };

	cr_assert_eq(ember_send(client, "server.ping", NULL, note_outcome, &outcome, NULL), 0);
	for (size_t i = 0; line[i] != '\0'; i++) {
		cr_assert_eq(outcome.calls, 0);
		cr_assert_eq(send(daemon_end, line + i, 1, MSG_NOSIGNAL), 1);
		cr_assert_eq(ember_dispatch(client, 1000), line[i] == '\n');
	}
	cr_assert_eq(outcome.value, 77);
}

static void count_progress(void *context, const char *method, json_t *params)
{
	cr_assert_str_eq(method, "progress");
	*(int64_t *)context += json_integer_value(json_object_get(params, "done"));
}

Test(client, notifications_come_before_the_answer_that_follows_them)
{
	int64_t done = 0;

	ember_on_notification(client, count_progress, &done);
	daemon_says("{\"jsonrpc\":\"2.0\",\"method\":\"progress\",\"params\":{\"id\":1,\"done\":5}}\n"
		    "{\"jsonrpc\":\"2.0\",\"method\":\"progress\",\"params\":{\"id\":1,\"done\":7}}\n"
		    "{\"jsonrpc\":\"2.0\",\"result\":{},\"id\":1}\n");
	cr_assert_eq(ember_call(client, "snapshot.verify", NULL, 1000, NULL, NULL), 0);
	cr_assert_eq(done, 12);
	ember_on_notification(client, NULL, NULL);
	daemon_says("{\"jsonrpc\":\"2.0\",\"method\":\"progress\"}\n");
	cr_assert_eq(ember_dispatch(client, 1000), 0);
}

Test(client, cancel_and_forget)
{
	struct outcome outcome = { 0 };
	uint64_t id;

	cr_assert_eq(ember_cancel(client, 1), -ENOENT);
	cr_assert_eq(ember_send(client, "vm.wait", NULL, note_outcome, &outcome, &id), 0);
	cr_assert_eq(ember_cancel(client, id), 0);
	cr_assert_eq(outcome.calls, 0, "a cancelled request is still answered");
	cr_assert_eq(ember_forget(client, id), 0);
	cr_assert_eq(outcome.calls, 1);
	cr_assert_eq(outcome.result, -ECANCELED);
	cr_assert_eq(ember_forget(client, id), -ENOENT);
	cr_assert_eq(ember_cancel(client, id), -ENOENT);
	daemon_says("{\"jsonrpc\":\"2.0\",\"result\":1,\"id\":1}\n");
	cr_assert_eq(ember_dispatch(client, 1000), 0);
	cr_assert_eq(outcome.calls, 1);
}

static void send_another(void *context, uint64_t id, int result, json_t *reply, const struct ember_error *error)
{
	struct outcome *outcome = context;

	note_outcome(context, id, result, reply, error);
	cr_assert_eq(ember_dispatch(client, 0), -EDEADLK);
	cr_assert_eq(ember_call(client, "x.y", NULL, 0, NULL, NULL), -EDEADLK);
	if (outcome->calls == 1)
		cr_assert_eq(ember_send(client, "server.ping", NULL, send_another, context, NULL), 0);
}

Test(client, a_callback_may_send_but_not_dispatch)
{
	struct outcome outcome = { 0 };

	cr_assert_eq(ember_send(client, "server.ping", NULL, send_another, &outcome, NULL), 0);
	daemon_says("{\"jsonrpc\":\"2.0\",\"result\":1,\"id\":1}\n");
	cr_assert_eq(ember_dispatch(client, 1000), 1);
	cr_assert_eq(ember_in_flight(client), 1);
	daemon_says("{\"jsonrpc\":\"2.0\",\"result\":2,\"id\":2}\n");
	cr_assert_eq(ember_dispatch(client, 1000), 1);
	cr_assert_eq(outcome.calls, 2);
	cr_assert_eq(outcome.value, 2);
}

Test(client, a_thousand_requests_are_all_answered)
{
	enum { COUNT = 1000 };
	static struct outcome outcomes[COUNT];
	char line[128];

	for (int i = 0; i < COUNT; i++) {
		cr_assert_eq(ember_send(client, "server.ping", NULL, note_outcome, &outcomes[i], NULL), 0);
		(void)daemon_heard();
	}
	for (int i = 0; i < COUNT; i++) {
		int id = i * 7 % COUNT + 1;

		(void)snprintf(line, sizeof(line), "{\"jsonrpc\":\"2.0\",\"result\":%d,\"id\":%d}\n", id * 3, id);
		daemon_says(line);
		cr_assert_eq(ember_dispatch(client, 1000), 1);
	}
	for (int i = 0; i < COUNT; i++) {
		cr_assert_eq(outcomes[i].calls, 1);
		cr_assert_eq(outcomes[i].value, (i + 1) * 3);
	}
}

Test(client, freeing_completes_what_is_open)
{
	struct outcome outcome = { 0 };

	cr_assert_eq(ember_send(client, "vm.wait", NULL, note_outcome, &outcome, NULL), 0);
	client = ember_free(client);
	cr_assert_null(client);
	cr_assert_eq(outcome.calls, 1);
	cr_assert_eq(outcome.result, -ECANCELED);
}

/* ---- a socket that takes no more ---- */

static void *read_all(void *context)
{
	size_t *total = context;
	char buffer[4096];
	ssize_t length;

	while ((length = recv(daemon_end, buffer, sizeof(buffer), 0)) > 0) {
		*total += (size_t)length;
		if (buffer[length - 1] == '\n')
			break;
	}
	daemon_says("{\"jsonrpc\":\"2.0\",\"result\":1,\"id\":1}\n");

	return NULL;
}

Test(client, what_the_socket_does_not_take_is_sent_later)
{
	enum { SIZE = 4 * 1024 * 1024 };
	struct outcome outcome = { 0 };
	char *data = malloc(SIZE + 1);
	pthread_t reader;
	size_t total = 0;
	json_t *params;

	memset(data, 'x', SIZE);
	data[SIZE] = '\0';
	params = json_pack("[s]", data);
	cr_assert_eq(ember_send(client, "vm.console", params, note_outcome, &outcome, NULL), 0);
	cr_assert_gt(ember_unsent(client), 0);
	cr_assert_eq(ember_events(client), POLLIN | POLLOUT);
	cr_assert_eq(pthread_create(&reader, NULL, read_all, &total), 0);
	while (outcome.calls == 0)
		cr_assert_geq(ember_dispatch(client, -1), 0);
	cr_assert_eq(pthread_join(reader, NULL), 0);
	cr_assert_gt(total, SIZE);
	cr_assert_eq(ember_unsent(client), 0);
	cr_assert_eq(ember_events(client), POLLIN);
	json_decref(params);
	free(data);
}

/* ---- a daemon that misbehaves or goes away ---- */

/* Whatever the line, the open request gets one answer, and the failure stays. */
static void expect_failure(const char *line, int failure)
{
	struct outcome outcome = { 0 };

	cr_assert_eq(ember_send(client, "server.ping", NULL, note_outcome, &outcome, NULL), 0);
	daemon_says(line);
	cr_assert_eq(ember_dispatch(client, 1000), failure, "%s", line);
	cr_assert_eq(outcome.calls, 1);
	cr_assert_eq(outcome.result, failure);
	cr_assert_str_eq(outcome.message, ember_failure(client));
	cr_assert_str_not_empty(ember_failure(client));
	cr_assert_eq(ember_dispatch(client, 0), failure);
	cr_assert_eq(ember_send(client, "server.ping", NULL, note_outcome, &outcome, NULL), failure);
	cr_assert_eq(ember_call(client, "server.ping", NULL, 0, NULL, NULL), failure);
	cr_assert_eq(outcome.calls, 1);
}

Test(client, lines_that_are_not_json_rpc_fail_the_connection)
{
	static const char *const lines[] = {
		"hello\n",
		"{\"jsonrpc\":\"2.0\",\"result\":1,\"id\":1\n",
		"[]\n",
		"17\n",
		"{}\n",
		"{\"jsonrpc\":\"1.0\",\"result\":1,\"id\":1}\n",
		"{\"jsonrpc\":\"2.0\",\"id\":1}\n",
		"{\"jsonrpc\":\"2.0\",\"result\":1,\"error\":{\"code\":-1,\"message\":\"\"},\"id\":1}\n",
		"{\"jsonrpc\":\"2.0\",\"result\":1}\n",
		"{\"jsonrpc\":\"2.0\",\"result\":1,\"id\":null}\n",
		"{\"jsonrpc\":\"2.0\",\"result\":1,\"id\":\"1\"}\n",
		"{\"jsonrpc\":\"2.0\",\"result\":1,\"id\":2}\n",
		"{\"jsonrpc\":\"2.0\",\"result\":1,\"id\":0}\n",
		"{\"jsonrpc\":\"2.0\",\"result\":1,\"id\":-1}\n",
		"{\"jsonrpc\":\"2.0\",\"error\":{\"code\":\"x\",\"message\":\"\"},\"id\":1}\n",
		"{\"jsonrpc\":\"2.0\",\"error\":{\"code\":4294967296,\"message\":\"\"},\"id\":1}\n",
		"{\"jsonrpc\":\"2.0\",\"error\":{\"code\":1},\"id\":1}\n",
		"{\"jsonrpc\":\"2.0\",\"error\":7,\"id\":1}\n",
		"{\"jsonrpc\":\"2.0\",\"method\":\"run\",\"id\":1}\n",
		"{\"jsonrpc\":\"2.0\",\"method\":5}\n",
		"{\"jsonrpc\":\"2.0\",\"result\":1,\"result\":2,\"id\":1}\n",
		"{\"jsonrpc\":\"2.0\",\"result\":\"\xff\",\"id\":1}\n",
	};

	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		expect_failure(lines[i], -EPROTO);
		disconnect_pair();
		connect_pair();
	}
}

Test(client, a_line_over_the_limit_fails_the_connection)
{
	cr_assert_eq(ember_set_max_reply(client, 0), -EINVAL);
	cr_assert_eq(ember_set_max_reply(client, 40), 0);
	daemon_says("{\"jsonrpc\":\"2.0\",\"result\":12345,\"id\":1}\n"); /* 39 bytes */
	cr_assert_eq(ember_call(client, "server.ping", NULL, 1000, NULL, NULL), 0);
	daemon_says("{\"jsonrpc\"");
	cr_assert_eq(ember_dispatch(client, 1000), 0);
	cr_assert_eq(ember_set_max_reply(client, 100), -EBUSY);
	expect_failure(":\"2.0\",\"result\":1234567,\"id\":2}\n", -EMSGSIZE);
}

Test(client, an_error_without_an_id_fails_the_connection_with_its_reason)
{
	struct ember_error error = { 0 };

	expect_failure("{\"jsonrpc\":\"2.0\",\"error\":{\"code\":-32600,\"message\":\"The line is too long\",\"data\":{"
		       "\"status\":\"INVALID_ARGUMENT\"}},\"id\":null}\n",
		       -EREMOTEIO);
	cr_assert_str_eq(ember_failure(client), "The line is too long");
	cr_assert_eq(ember_call(client, "server.ping", NULL, 0, NULL, &error), -EREMOTEIO);
	cr_assert_eq(error.code, -32600);
	cr_assert_str_eq(error.status, "INVALID_ARGUMENT");
	ember_error_release(&error);
}

Test(client, a_daemon_that_closes_at_once_is_heard_to_its_last_word)
{
	struct ember_error error = { 0 };

	daemon_says(
		"{\"jsonrpc\":\"2.0\",\"error\":{\"code\":-32004,\"message\":\"Too many connections\"},\"id\":null}\n");
	daemon_closes();
	cr_assert_eq(ember_call(client, "server.ping", NULL, 1000, NULL, &error), -EREMOTEIO);
	cr_assert_eq(error.code, -32004);
	cr_assert_str_eq(error.message, "Too many connections");
	ember_error_release(&error);
}

Test(client, a_daemon_that_closes_in_the_middle_of_an_answer)
{
	struct outcome outcomes[2] = { 0 };

	cr_assert_eq(ember_send(client, "vm.restore", NULL, note_outcome, &outcomes[0], NULL), 0);
	cr_assert_eq(ember_send(client, "vm.restore", NULL, note_outcome, &outcomes[1], NULL), 0);
	daemon_says("{\"jsonrpc\":\"2.0\",\"result\":5,\"id\":1}\n{\"jsonrpc\":\"2.0\",\"resu");
	(void)daemon_heard();
	daemon_closes();
	while (ember_dispatch(client, 1000) >= 0)
		;
	cr_assert_eq(outcomes[0].calls, 1);
	cr_assert_eq(outcomes[0].result, 0);
	cr_assert_eq(outcomes[0].value, 5);
	cr_assert_eq(outcomes[1].calls, 1);
	cr_assert_eq(outcomes[1].result, -ECONNRESET);
	cr_assert_str_eq(outcomes[1].message, "the daemon closed the connection in the middle of a line");
}

Test(client, a_daemon_that_closes_with_requests_unread)
{
	struct ember_error error = { 0 };
	struct outcome outcome = { 0 };

	cr_assert_eq(ember_send(client, "vm.restore", NULL, note_outcome, &outcome, NULL), 0);
	daemon_closes();
	cr_assert_eq(ember_call(client, "vm.restore", NULL, 1000, NULL, &error), -ECONNRESET);
	cr_assert_str_eq(error.message, "the daemon closed the connection");
	cr_assert_eq(outcome.calls, 1);
	cr_assert_eq(outcome.result, -ECONNRESET);
	ember_error_release(&error);
}

/* ---- connecting ---- */

Test(client_connect, errors_say_what_is_wrong)
{
	char long_path[200], folder[] = "/tmp/ember-client-XXXXXX", path[64];
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	struct ember *unused = NULL;
	int listener;

	memset(long_path, 'a', sizeof(long_path));
	long_path[sizeof(long_path) - 1] = '\0';
	cr_assert_eq(ember_connect("", -1, &unused), -EINVAL);
	cr_assert_eq(ember_connect(long_path, -1, &unused), -ENAMETOOLONG);
	cr_assert_not_null(mkdtemp(folder));
	(void)snprintf(path, sizeof(path), "%s/socket", folder);
	cr_assert_eq(ember_connect(path, -1, &unused), -ENOENT);

	listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	(void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	cr_assert_eq(bind(listener, (struct sockaddr *)&address, sizeof(address)), 0);
	cr_assert_eq(ember_connect(path, -1, &unused), -ECONNREFUSED);
	cr_assert_null(unused);
	(void)close(listener);
	(void)unlink(path);
	(void)rmdir(folder);
}

Test(client_connect, a_full_queue_of_connections_is_waited_for_up_to_the_timeout)
{
	char folder[] = "/tmp/ember-client-XXXXXX", path[64];
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	struct ember *first = NULL, *second = NULL;
	int listener, result = 0;

	cr_assert_not_null(mkdtemp(folder));
	(void)snprintf(path, sizeof(path), "%s/socket", folder);
	listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	(void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	cr_assert_eq(bind(listener, (struct sockaddr *)&address, sizeof(address)), 0);
	cr_assert_eq(listen(listener, 0), 0);
	cr_assert_eq(ember_connect(path, 1000, &first), 0);
	for (int i = 0; i < 10 && result == 0; i++) {
		second = ember_free(second);
		result = ember_connect(path, i % 2 ? 1 : 0, &second);
	}
	cr_assert_eq(result, -ETIMEDOUT);
	cr_assert_eq(fcntl(ember_fd(first), F_GETFL) & O_NONBLOCK, O_NONBLOCK);
	(void)ember_free(first);
	(void)close(listener);
	(void)unlink(path);
	(void)rmdir(folder);
}

Test(client_connect, freeing_nothing_is_fine)
{
	cr_assert_null(ember_free(NULL));
	ember_error_release(NULL);
}
