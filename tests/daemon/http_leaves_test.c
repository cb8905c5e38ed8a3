/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTP clients that leave, or are slow: nothing is done for who has gone, and nobody is kept out.
 */
#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "steps.h"
#include "vms.h"

static struct daemon daemon_under_test;
static struct ember *client;
static char vm[VM_ID_TEXT];

static void begin(const char *overrides)
{
	daemon_start(&daemon_under_test, overrides);
	client = daemon_connect(&daemon_under_test);
}

static void start(void)
{
	begin("{\"pool\": {\"shapes\": [{\"vcpus\": 1, \"memory_mib\": 8, \"min\": 1, \"max\": 2}]}}");
	vm_boot(client, vm);
	json_decref(
		callf(client, "vm.snapshot", "{\"vm\": \"%s\", \"path\": \"%s/made\"}", vm, daemon_under_test.folder));
}

static void stop(void)
{
	perform(client, "server.ping", NULL);
	(void)ember_free(client);
	daemon_stop(&daemon_under_test);
}

static void send_put(struct raw *raw, const char *what, const char *name)
{
	char body[256], request[512];

	(void)snprintf(body, sizeof(body), "{\"snapshot_path\": \"%s/%s\"}", daemon_under_test.folder, name);
	(void)snprintf(request, sizeof(request),
		       "PUT /snapshot/%s HTTP/1.1\r\nHost: x\r\nContent-Length: %zu\r\n\r\n%s", what, strlen(body),
		       body);
	raw_connect(raw, daemon_under_test.http_path);
	raw_send(raw, request);
}

static int64_t queued(void)
{
	json_t *status = client_call(client, "pool.status", NULL);
	int64_t count = int_at(status, "shapes.0.queued");

	json_decref(status);
	return count;
}

static void wait_queued(int64_t wanted)
{
	while (queued() != wanted)
		sleep_ms(2);
}

DAEMON_TEST(http_leaves, a_queued_load_goes_with_its_client)
{
	struct raw raw[3];
	char other[VM_ID_TEXT];

	vm_boot(client, other);
	for (int i = 0; i < 3; i++)
		send_put(&raw[i], "load", "made");
	wait_queued(3);
	for (int i = 0; i < 3; i++)
		raw_close(&raw[i]);
	wait_queued(0);
	json_decref(callf(client, "vm.kill", "{\"vm\": \"%s\"}", other));
	wait_until_vms(client, 1);
	wait_until_warm(client, 1);
	cr_expect_eq(vm_count(client), 1, "a VM that nobody knows of");
}

DAEMON_TEST(http_leaves, a_client_that_leaves_at_once_gets_nothing)
{
	struct raw raw;

	for (int i = 0; i < 20; i++) {
		send_put(&raw, "load", "made");
		raw_close(&raw);
	}
	wait_queued(0);
	wait_until_vms(client, 1);
	wait_until_warm(client, 1);
	cr_expect_eq(vm_count(client), 1);
}

DAEMON_TEST(http_leaves, a_load_whose_answer_is_not_read_is_undone)
{
	struct raw raw;

	send_put(&raw, "load", "made");
	wait_until_vms(client, 2);
	raw_close(&raw);
	wait_until_vms(client, 1);
}

DAEMON_TEST(http_leaves, a_load_whose_answer_is_read_stays)
{
	struct raw raw;

	send_put(&raw, "load", "made");
	while (!raw.length || !memchr(raw.buffer, '}', raw.length))
		cr_assert_gt(raw_receive_some(&raw), 0);
	raw_close(&raw);
	/* A client that comes afterwards is served afterwards. */
	json_decref(http_call(daemon_under_test.http_path, "GET", "/healthz", NULL, &(int){ 0 }));
	sleep_ms(100);
	cr_expect_eq(vm_count(client), 2);
}

DAEMON_TEST(http_leaves, a_snapshot_is_given_up_with_its_client)
{
	json_t *info = callf(client, "vm.info", "{\"vm\": \"%s\"}", vm);
	pid_t worker = (pid_t)int_at(info, "pid");
	char output[1024] = "x", *answer;
	struct raw raw;

	json_decref(info);
	cr_assert_eq(kill(worker, SIGSTOP), 0);
	send_put(&raw, "create", "new");
	for (bool busy = false; !busy; sleep_ms(2)) {
		info = callf(client, "vm.info", "{\"vm\": \"%s\"}", vm);
		busy = strcmp(text_at(info, "state"), "busy") == 0;
		json_decref(info);
	}
	raw_close(&raw);
	daemon_wait_log(&daemon_under_test, "the client has gone");
	cr_assert_eq(kill(worker, SIGCONT), 0);
	answer = vm_command(client, vm, "help");
	free(answer);
	while (output[0]) {
		cr_assert_eq(
			run_program(output, sizeof(output), "ls -A %s | grep new || true", daemon_under_test.folder),
			0);
		sleep_ms(10);
	}
}

Test(http_slow, many_slow_clients_keep_nobody_out)
{
	struct raw slow[8];
	int status;
	json_t *body;

	begin("{\"limits\": {\"connections\": 8, \"http_timeout_ms\": 3600000}}");
	for (int i = 0; i < 8; i++) {
		raw_connect(&slow[i], daemon_under_test.http_path);
		raw_send(&slow[i],
			 i % 2 ? "GET /heal" : "PUT /snapshot/load HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{");
	}
	for (int i = 0; i < 3; i++) {
		body = http_call(daemon_under_test.http_path, "GET", "/healthz", NULL, &status);
		cr_expect_eq(status, 200);
		json_decref(body);
	}
	for (int i = 0; i < 8; i++)
		raw_close(&slow[i]);
	stop();
}

/* Bytes that come now and then move no bound. */
Test(http_slow, a_request_has_a_bound_of_time_as_a_whole)
{
	struct raw raw;
	char byte = 'a';

	begin("{\"limits\": {\"http_timeout_ms\": 500}}");
	raw_connect(&raw, daemon_under_test.http_path);
	raw_send(&raw, "GET /healthz HTTP/1.1\r\nHost: ");
	for (int i = 0; i < 1000; i++) {
		if (send(raw.fd, &byte, 1, MSG_NOSIGNAL) != 1)
			break;
		sleep_ms(50);
	}
	while (raw_receive_some(&raw) > 0)
		;
	cr_expect_eq(strncmp(raw.buffer, "HTTP/1.1 408 ", 13), 0, "%.*s", (int)raw.length, raw.buffer);
	raw_close(&raw);

	/* Nor is who says nothing at all kept for ever. */
	raw_connect(&raw, daemon_under_test.http_path);
	cr_expect_eq(raw_receive_some(&raw), 0);
	raw_close(&raw);
	stop();
}
