/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Snapshots through the daemon: taken, named, restored, checked, kept over a restart, removed; by RPC and by HTTP.
 */
#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "vms.h"

static struct daemon daemon_under_test;
static struct ember *client;
static char vm[VM_ID_TEXT];

static void start(void)
{
	daemon_start(&daemon_under_test, SMALL_POOL);
	client = daemon_connect(&daemon_under_test);
	vm_boot(client, vm);
}

static void stop(void)
{
	json_decref(client_call(client, "server.ping", NULL));
	(void)ember_free(client);
	daemon_stop(&daemon_under_test);
}

static void take(const char *name)
{
	json_decref(callf(client, "vm.snapshot", "{\"vm\": \"%s\", \"name\": \"%s\"}", vm, name));
}

static void expect_answer(const char *of, const char *command, const char *expected)
{
	char *answer = vm_command(client, of, command);

	cr_expect_str_eq(answer, expected, "%s: %s", of, command);
	free(answer);
}

DAEMON_TEST(snapshot_methods, a_restored_vm_goes_on_where_the_other_was_and_apart_from_it)
{
	char clone[VM_ID_TEXT];
	json_t *result;

	expect_answer(vm, "count", "1");
	expect_answer(vm, "count", "2");
	result = callf(client, "vm.snapshot", "{\"vm\": \"%s\", \"name\": \"two\"}", vm);
	cr_expect_str_eq(text_at(result, "state"), "running");
	cr_expect_str_eq(text_at(result, "shape"), "1x8-host");
	cr_expect_eq(int_at(result, "memory_bytes"), 8388608);
	cr_expect_gt(int_at(result, "data_bytes"), 0);
	cr_expect_geq(int_at(result, "phases_us.publish"), 0);
	json_decref(result);
	expect_answer(vm, "count", "3");

	vm_restore(client, "two", clone);
	expect_answer(clone, "get", "2");
	expect_answer(clone, "count", "3");
	expect_answer(clone, "count", "4");
	expect_answer(vm, "get", "3");
}

DAEMON_TEST(snapshot_methods, a_snapshot_of_a_restored_vm)
{
	char clone[VM_ID_TEXT], second[VM_ID_TEXT];

	take("first");
	vm_restore(client, "first", clone);
	expect_answer(clone, "count", "1");
	json_decref(callf(client, "vm.snapshot", "{\"vm\": \"%s\", \"name\": \"second\"}", clone));
	vm_restore(client, "second", second);
	expect_answer(second, "get", "1");
	expect_answer(vm, "get", "0");
}

DAEMON_TEST(snapshot_methods, resume_says_whether_the_vm_goes_on)
{
	json_t *result;

	result = callf(client, "vm.snapshot", "{\"vm\": \"%s\", \"name\": \"a\", \"resume\": false}", vm);
	cr_expect_str_eq(text_at(result, "state"), "paused");
	json_decref(result);
	result = callf(client, "vm.snapshot", "{\"vm\": \"%s\", \"name\": \"b\"}", vm);
	cr_expect_str_eq(text_at(result, "state"), "paused", "what was paused stays paused");
	json_decref(result);
	result = client_call(client, "vm.restore", "{\"snapshot\": \"a\", \"resume\": false, \"detach\": true}");
	cr_expect_str_eq(text_at(result, "state"), "paused");
	cr_expect(json_is_null(at(result, "entered_ns")));
	json_decref(callf(client, "vm.resume", "{\"vm\": \"%s\"}", text_at(result, "vm")));
	expect_answer(text_at(result, "vm"), "get", "0");
	json_decref(result);
}

DAEMON_TEST(snapshot_methods, warm_and_cold_restores_pay_for_different_phases)
{
	json_t *result;

	take("s");
	wait_until_warm(client, 1);
	result = client_call(client, "vm.restore", "{\"snapshot\": \"s\", \"temperature\": \"warm\"}");
	cr_expect_str_eq(text_at(result, "temperature"), "warm");
	cr_expect_str_eq(text_at(result, "snapshot"), "s");
	cr_expect_null(json_object_get(at(result, "phases_us"), "vm_create"));
	cr_expect_not_null(json_object_get(at(result, "phases_us"), "vcpu_state"));
	json_decref(result);
	result = client_call(client, "vm.restore", "{\"snapshot\": \"s\", \"temperature\": \"cold\"}");
	cr_expect_str_eq(text_at(result, "temperature"), "cold");
	cr_expect_not_null(json_object_get(at(result, "phases_us"), "vm_create"));
	json_decref(result);
}

DAEMON_TEST(snapshot_methods, the_catalog_lists_inspects_and_verifies)
{
	char clone[VM_ID_TEXT];
	json_t *result;

	take("b");
	take("a");
	vm_restore(client, "a", clone);
	result = client_call(client, "snapshot.list", NULL);
	cr_expect_str_eq(text_at(result, "snapshots.0.name"), "a");
	cr_expect_str_eq(text_at(result, "snapshots.1.name"), "b");
	cr_expect_str_eq(text_at(result, "snapshots.0.users.0"), clone);
	cr_expect_eq(json_array_size(at(result, "snapshots.1.users")), 0);
	json_decref(result);

	result = client_call(client, "snapshot.inspect", "{\"name\": \"a\"}");
	cr_expect_eq(int_at(result, "memory_mib"), 8);
	cr_expect_eq(int_at(result, "metadata.chunks"), 8);
	cr_expect_eq(strlen(text_at(result, "state_crc64")), 16);
	json_decref(result);

	result = client_call(client, "snapshot.verify", "{\"name\": \"a\"}");
	cr_expect(json_is_true(at(result, "ok")));
	cr_expect_eq(int_at(result, "chunks"), 8);
	json_decref(result);
	cr_expect_eq(client_fail(client, "snapshot.inspect", "{\"name\": \"c\"}", NULL), RPC_NOT_FOUND);
	cr_expect_eq(client_fail(client, "snapshot.verify", "{\"name\": \"c\"}", NULL), RPC_NOT_FOUND);
	cr_expect_eq(client_fail(client, "vm.restore", "{\"snapshot\": \"c\"}", NULL), RPC_NOT_FOUND);
}

DAEMON_TEST(snapshot_methods, paths_names_and_overwriting)
{
	char path[160], clone[VM_ID_TEXT];
	json_t *result;

	(void)snprintf(path, sizeof(path), "%s/elsewhere", daemon_under_test.folder);
	result = callf(client, "vm.snapshot", "{\"vm\": \"%s\", \"path\": \"%s\"}", vm, path);
	cr_expect(json_is_null(at(result, "name")));
	cr_expect_str_eq(text_at(result, "path"), path);
	json_decref(result);
	result = client_call(client, "snapshot.list", NULL);
	cr_expect_eq(json_array_size(at(result, "snapshots")), 0);
	json_decref(result);
	cr_expect_eq(failf(client, "vm.snapshot", "{\"vm\": \"%s\", \"path\": \"%s\"}", vm, path), RPC_ALREADY_EXISTS);

	result = callf(client, "snapshot.register", "{\"name\": \"there\", \"path\": \"%s\"}", path);
	cr_expect_str_eq(text_at(result, "path"), path);
	json_decref(result);
	cr_expect_eq(failf(client, "snapshot.register", "{\"name\": \"there\", \"path\": \"%s\"}", path),
		     RPC_ALREADY_EXISTS);
	cr_expect_eq(failf(client, "vm.snapshot", "{\"vm\": \"%s\", \"name\": \"there\"}", vm), RPC_ALREADY_EXISTS);

	take("own");
	vm_restore(client, "own", clone);
	expect_answer(vm, "count", "1");
	json_decref(callf(client, "vm.snapshot", "{\"vm\": \"%s\", \"name\": \"own\", \"overwrite\": true}", vm));
	expect_answer(clone, "get", "0");
	vm_restore(client, "own", clone);
	expect_answer(clone, "get", "1");
}

DAEMON_TEST(snapshot_methods, a_path_that_is_not_registered_can_be_restored)
{
	char path[160];
	json_t *result;

	(void)snprintf(path, sizeof(path), "%s/loose", daemon_under_test.folder);
	expect_answer(vm, "count", "1");
	json_decref(callf(client, "vm.snapshot", "{\"vm\": \"%s\", \"path\": \"%s\"}", vm, path));
	result = callf(client, "vm.restore", "{\"snapshot_path\": \"%s\", \"detach\": true}", path);
	cr_expect_str_eq(text_at(result, "snapshot"), path);
	expect_answer(text_at(result, "vm"), "get", "1");
	json_decref(result);
	cr_expect_eq(failf(client, "vm.restore", "{\"snapshot_path\": \"%s-none\"}", path), RPC_NOT_FOUND);
}

DAEMON_TEST(snapshot_methods, removal_names_the_holders_or_waits_for_them)
{
	char clone[VM_ID_TEXT], path[200];
	json_t *data = NULL, *answer;
	struct raw raw;

	take("s");
	vm_restore(client, "s", clone);
	cr_expect_eq(client_fail(client, "snapshot.remove", "{\"name\": \"s\"}", &data), RPC_SNAPSHOT_IN_USE);
	cr_expect_str_eq(text_at(data, "holders.0"), clone);
	json_decref(data);

	/* One that gives up waiting leaves it as it was. */
	cr_expect_eq(
		client_fail(client, "snapshot.remove", "{\"name\": \"s\", \"wait\": true, \"deadline_ms\": 50}", NULL),
		RPC_DEADLINE_EXCEEDED);
	json_decref(callf(client, "vm.kill", "{\"vm\": \"%s\"}", clone));
	vm_restore(client, "s", clone);

	raw_connect(&raw, daemon_under_test.socket_path);
	raw_send_line(&raw, "{\"jsonrpc\": \"2.0\", \"id\": 1, \"method\": \"snapshot.remove\", "
			    "\"params\": {\"name\": \"s\", \"wait\": true, \"files\": true}}");
	json_decref(raw_call(&raw, "server.ping", NULL));
	cr_expect_eq(client_fail(client, "vm.restore", "{\"snapshot\": \"s\"}", NULL), RPC_NOT_FOUND);
	expect_answer(clone, "get", "0");
	json_decref(callf(client, "vm.release", "{\"vm\": \"%s\"}", clone));
	answer = raw_receive(&raw);
	cr_expect(json_is_true(at(answer, "result.removed")));
	cr_expect(json_is_true(at(answer, "result.files_removed")));
	json_decref(answer);
	raw_close(&raw);
	(void)snprintf(path, sizeof(path), "%s/snapshots/s", daemon_under_test.state_dir);
	cr_expect_neq(access(path, F_OK), 0);
	cr_expect_eq(client_fail(client, "snapshot.remove", "{\"name\": \"s\"}", NULL), RPC_NOT_FOUND);
}

DAEMON_TEST(snapshot_methods, removal_without_files_keeps_them)
{
	char path[200];
	json_t *result;

	take("s");
	result = client_call(client, "snapshot.remove", "{\"name\": \"s\"}");
	cr_expect(json_is_false(at(result, "files_removed")));
	json_decref(result);
	(void)snprintf(path, sizeof(path), "%s/snapshots/s", daemon_under_test.state_dir);
	cr_expect_eq(access(path, F_OK), 0);
	json_decref(callf(client, "snapshot.register", "{\"name\": \"again\", \"path\": \"%s\"}", path));
}

DAEMON_TEST(snapshot_methods, the_catalog_outlives_the_daemon_and_tells_what_is_damaged)
{
	char clone[VM_ID_TEXT], path[200];
	json_t *result;

	expect_answer(vm, "count", "1");
	take("good");
	take("bad");
	(void)ember_free(client);
	daemon_signal(&daemon_under_test, SIGKILL);
	(void)daemon_wait_end(&daemon_under_test);
	(void)snprintf(path, sizeof(path), "%s/snapshots/bad/state.json", daemon_under_test.state_dir);
	cr_assert_eq(truncate(path, 100), 0);

	daemon_start_again(&daemon_under_test);
	client = daemon_connect(&daemon_under_test);
	result = client_call(client, "snapshot.list", NULL);
	cr_expect_eq(json_array_size(at(result, "snapshots")), 2);
	cr_expect_str_eq(text_at(result, "snapshots.0.state"), "unavailable");
	cr_expect_str_eq(text_at(result, "snapshots.1.state"), "available");
	json_decref(result);
	cr_expect_eq(daemon_count_log(&daemon_under_test, "snapshot not loaded"), 1);
	vm_restore(client, "good", clone);
	expect_answer(clone, "get", "1");
}

DAEMON_TEST(snapshot_methods, long_work_sends_progress)
{
	struct raw raw;
	char line[256];
	bool progressed = false, answered = false;

	raw_connect(&raw, daemon_under_test.socket_path);
	(void)snprintf(
		line, sizeof(line),
		"{\"jsonrpc\": \"2.0\", \"id\": \"p\", \"method\": \"vm.snapshot\", \"params\": {\"vm\": \"%s\", "
		"\"name\": \"p\"}}",
		vm);
	raw_send_line(&raw, line);
	while (!answered) {
		json_t *json = raw_receive(&raw);

		answered = json_object_get(json, "result") != NULL;
		if (!answered) {
			cr_expect_str_eq(text_at(json, "method"), "progress");
			cr_expect_str_eq(text_at(json, "params.id"), "p");
			cr_expect_str_eq(text_at(json, "params.unit"), "bytes");
			cr_expect_leq(int_at(json, "params.done"), int_at(json, "params.total"));
			progressed = true;
		}
		json_decref(json);
	}
	cr_expect(progressed);
	raw_close(&raw);
}

DAEMON_TEST(snapshot_methods, subscribers_hear_of_registration_and_removal)
{
	struct raw raw;
	json_t *event;

	raw_connect(&raw, daemon_under_test.socket_path);
	json_decref(raw_call(&raw, "events.subscribe", "{\"kinds\": [\"snapshot\"]}"));
	take("s");
	event = raw_receive(&raw);
	cr_expect_str_eq(text_at(event, "params.event"), "registered");
	cr_expect_str_eq(text_at(event, "params.name"), "s");
	json_decref(event);
	json_decref(client_call(client, "snapshot.remove", "{\"name\": \"s\"}"));
	event = raw_receive(&raw);
	cr_expect_str_eq(text_at(event, "params.event"), "removed");
	json_decref(event);
	raw_close(&raw);
}

DAEMON_TEST(snapshot_methods, http_creates_and_loads)
{
	char body[256];
	json_t *answer;
	int status;

	expect_answer(vm, "count", "1");
	(void)snprintf(body, sizeof(body), "{\"snapshot_path\": \"%s/http\"}", daemon_under_test.folder);
	answer = http_call(daemon_under_test.http_path, "PUT", "/snapshot/create", body, &status);
	cr_expect_eq(status, 200, "%s", json_dumps(answer, 0));
	cr_expect_str_eq(text_at(answer, "vm"), vm, "the only VM is meant");
	json_decref(answer);
	answer = http_call(daemon_under_test.http_path, "PUT", "/snapshot/load", body, &status);
	cr_expect_eq(status, 200, "%s", json_dumps(answer, 0));
	expect_answer(text_at(answer, "vm"), "get", "1");
	json_decref(answer);

	answer = http_call(daemon_under_test.http_path, "PUT", "/snapshot/create", body, &status);
	cr_expect_eq(status, 400, "there are two VMs now");
	json_decref(answer);
	(void)snprintf(body, sizeof(body), "{\"snapshot_path\": \"%s/http\", \"vm\": \"%s\"}", daemon_under_test.folder,
		       vm);
	answer = http_call(daemon_under_test.http_path, "PUT", "/snapshot/create", body, &status);
	cr_expect_eq(status, 409, "it exists");
	json_decref(answer);
}

DAEMON_TEST(snapshot_methods, a_restored_vm_is_ready_if_its_snapshot_was)
{
	char clone[VM_ID_TEXT];
	json_t *ready;

	take("ready");
	vm_restore(client, "ready", clone);
	ready = callf(client, "vm.wait", "{\"vm\": \"%s\", \"for\": \"ready\"}", clone);
	cr_expect_eq(int_at(ready, "count"), 1);
	cr_expect_eq(int_at(ready, "first_ns"), 0, "it was ready before this VM began");
	json_decref(ready);
	expect_answer(clone, "event 9", "event 9");
	json_decref(callf(client, "vm.wait", "{\"vm\": \"%s\", \"for\": \"event\", \"event\": 9}", clone));
}
