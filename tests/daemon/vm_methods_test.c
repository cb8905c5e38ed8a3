/* SPDX-License-Identifier: Apache-2.0 */
/*
 * VMs through the daemon: started, paused, typed at, waited for, ended; leased by a connection or detached.
 */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vms.h"

static struct daemon daemon_under_test;
static struct ember *client;

static void start(void)
{
	daemon_start(&daemon_under_test, SMALL_POOL);
	client = daemon_connect(&daemon_under_test);
}

static void stop(void)
{
	json_decref(client_call(client, "server.ping", NULL));
	(void)ember_free(client);
	daemon_stop(&daemon_under_test);
}

DAEMON_TEST(vm_methods, a_warm_start_pays_for_its_own_phases_only)
{
	json_t *result;

	wait_until_warm(client, 1);
	result = client_call(client, "vm.boot", "{\"memory_mib\": 8, \"temperature\": \"warm\", \"name\": \"first\"}");
	cr_expect_str_eq(text_at(result, "temperature"), "warm");
	cr_expect_str_eq(text_at(result, "state"), "running");
	cr_expect_str_eq(text_at(result, "shape"), "1x8-host");
	cr_expect(json_is_null(at(result, "snapshot")));
	cr_expect_null(json_object_get(at(result, "phases_us"), "vm_create"));
	cr_expect_geq(int_at(result, "entered_ns"), int_at(result, "state_injected_ns"));
	json_decref(result);
}

DAEMON_TEST(vm_methods, a_cold_start_pays_for_all_of_them)
{
	json_t *result = client_call(client, "vm.boot", "{\"memory_mib\": 8, \"temperature\": \"cold\"}");

	cr_expect_str_eq(text_at(result, "temperature"), "cold");
	cr_expect_geq(int_at(result, "phases_us.fork"), 0);
	cr_expect_gt(int_at(result, "phases_us.vm_create"), 0);
	cr_expect_gt(int_at(result, "total_us"), int_at(result, "phases_us.vm_create"));
	json_decref(result);
}

DAEMON_TEST(vm_methods, a_shape_that_nobody_configured_is_built_for_the_request)
{
	json_t *result =
		client_call(client, "vm.boot", "{\"memory_mib\": 12, \"vcpus\": 2, \"cpu_template\": \"portable\"}");

	cr_expect_str_eq(text_at(result, "shape"), "2x12-portable");
	cr_expect_str_eq(text_at(result, "temperature"), "cold");
	json_decref(result);
	cr_expect_eq(client_fail(client, "vm.boot", "{\"memory_mib\": 13, \"temperature\": \"warm\"}", NULL),
		     RPC_POOL_EXHAUSTED);
}

DAEMON_TEST(vm_methods, the_demo_guest_answers_lines)
{
	char vm[VM_ID_TEXT], *answer;

	vm_boot(client, vm);
	answer = vm_command(client, vm, "echo hello there");
	cr_expect_str_eq(answer, "hello there");
	free(answer);
	answer = vm_command(client, vm, "crc 123456789");
	cr_expect_str_eq(answer, "crc32 cbf43926");
	free(answer);
	answer = vm_command(client, vm, "no such command");
	cr_expect_eq(strncmp(answer, "error: ", 7), 0);
	free(answer);
}

DAEMON_TEST(vm_methods, console_output_is_read_by_offset_and_in_both_encodings)
{
	char vm[VM_ID_TEXT], *answer;
	json_t *text, *bytes, *part;

	vm_boot(client, vm);
	answer = vm_command(client, vm, "echo x");
	free(answer);
	text = callf(client, "vm.console", "{\"vm\": \"%s\", \"action\": \"read\"}", vm);
	cr_expect_eq(int_at(text, "offset"), 0);
	cr_expect_eq(int_at(text, "dropped"), 0);
	cr_expect(strstr(text_at(text, "data"), "Ember demo guest"));
	part = callf(client, "vm.console", "{\"vm\": \"%s\", \"action\": \"read\", \"offset\": 6, \"max_bytes\": 4}",
		     vm);
	cr_expect_str_eq(text_at(part, "data"), "demo");
	cr_expect_eq(int_at(part, "next_offset"), 10);
	bytes = callf(client, "vm.console",
		      "{\"vm\": \"%s\", \"action\": \"read\", \"max_bytes\": 5, \"encoding\": \"base64\"}", vm);
	cr_expect_str_eq(text_at(bytes, "data"), "RW1iZXI=");
	json_decref(text);
	json_decref(part);
	json_decref(bytes);
}

/* More than one message of the pool's carries, and more than the serial port keeps. */
DAEMON_TEST(vm_methods, long_console_output_is_read_whole_or_with_a_gap_that_is_told)
{
	char vm[VM_ID_TEXT], line[1100] = "echo ", *answer;
	json_t *result;
	int i;

	vm_boot(client, vm);
	memset(line + 5, 'y', 900);
	for (i = 0; i < 12; i++) {
		answer = vm_command(client, vm, line);
		cr_assert_eq(strlen(answer), 900);
		free(answer);
	}
	result = callf(client, "vm.console", "{\"vm\": \"%s\", \"action\": \"read\"}", vm);
	cr_expect_gt(int_at(result, "next_offset"), 10800);
	cr_expect_eq(strlen(text_at(result, "data")), (size_t)int_at(result, "next_offset"));
	json_decref(result);

	for (i = 0; i < 70; i++) {
		answer = vm_command(client, vm, line);
		free(answer);
	}
	result = callf(client, "vm.console", "{\"vm\": \"%s\", \"action\": \"read\"}", vm);
	cr_expect_gt(int_at(result, "dropped"), 0);
	cr_expect_eq(int_at(result, "offset"), int_at(result, "dropped"));
	json_decref(result);
}

DAEMON_TEST(vm_methods, console_input_in_base64_and_what_is_none)
{
	char vm[VM_ID_TEXT];
	json_t *result;

	vm_boot(client, vm);
	result = callf(client, "vm.console",
		       "{\"vm\": \"%s\", \"action\": \"write\", \"encoding\": \"base64\", \"data\": \"ZXZlbnQgOQo=\"}",
		       vm);
	cr_expect_eq(int_at(result, "written"), 8);
	json_decref(result);
	json_decref(callf(client, "vm.wait", "{\"vm\": \"%s\", \"for\": \"event\", \"event\": 9, \"deadline_ms\": %d}",
			  vm, WAIT_MS));
	cr_expect_eq(failf(client, "vm.console",
			   "{\"vm\": \"%s\", \"action\": \"write\", \"encoding\": \"base64\", \"data\": \"?\"}", vm),
		     RPC_INVALID_PARAMS);
	cr_expect_eq(failf(client, "vm.console", "{\"vm\": \"%s\", \"action\": \"write\"}", vm), RPC_INVALID_PARAMS);
}

DAEMON_TEST(vm_methods, a_paused_vm_stands_still)
{
	char vm[VM_ID_TEXT], *answer;
	json_t *result;

	vm_boot(client, vm);
	result = callf(client, "vm.pause", "{\"vm\": \"%s\"}", vm);
	cr_expect_str_eq(text_at(result, "state"), "paused");
	json_decref(result);
	cr_expect_eq(failf(client, "vm.pause", "{\"vm\": \"%s\"}", vm), RPC_WRONG_VM_STATE);

	json_decref(
		callf(client, "vm.console", "{\"vm\": \"%s\", \"action\": \"write\", \"data\": \"event 5\\n\"}", vm));
	cr_expect_eq(failf(client, "vm.wait",
			   "{\"vm\": \"%s\", \"for\": \"event\", \"event\": 5, \"deadline_ms\": 200}", vm),
		     RPC_DEADLINE_EXCEEDED);
	result = callf(client, "vm.resume", "{\"vm\": \"%s\"}", vm);
	cr_expect_str_eq(text_at(result, "state"), "running");
	json_decref(result);
	json_decref(callf(client, "vm.wait", "{\"vm\": \"%s\", \"for\": \"event\", \"event\": 5, \"deadline_ms\": %d}",
			  vm, WAIT_MS));
	cr_expect_eq(failf(client, "vm.resume", "{\"vm\": \"%s\"}", vm), RPC_WRONG_VM_STATE);
	answer = vm_command(client, vm, "echo awake");
	free(answer);
}

DAEMON_TEST(vm_methods, events_are_counted_and_stamped)
{
	char vm[VM_ID_TEXT];
	json_t *result;
	int i;

	vm_boot(client, vm);
	for (i = 0; i < 3; i++)
		free(vm_command(client, vm, "event 17"));
	result = callf(client, "vm.wait",
		       "{\"vm\": \"%s\", \"for\": \"event\", \"event\": 17, \"after\": 2, \"deadline_ms\": %d}", vm,
		       WAIT_MS);
	cr_expect_eq(int_at(result, "count"), 3);
	cr_expect_gt(int_at(result, "first_ns"), 0);
	cr_expect_gt(int_at(result, "last_ns"), int_at(result, "first_ns"));
	json_decref(result);

	result = callf(client, "vm.info", "{\"vm\": \"%s\"}", vm);
	cr_expect_eq(int_at(result, "events.0.event"), 0);
	cr_expect_eq(int_at(result, "events.0.count"), 1);
	cr_expect_eq(int_at(result, "events.1.event"), 17);
	cr_expect_eq(int_at(result, "events.1.count"), 3);
	json_decref(result);
}

static void expect_exit(const char *command, const char *reason)
{
	char vm[VM_ID_TEXT];
	json_t *result;

	vm_boot(client, vm);
	json_decref(callf(client, "vm.console", "{\"vm\": \"%s\", \"action\": \"write\", \"data\": \"%s\\n\"}", vm,
			  command));
	result = callf(client, "vm.wait", "{\"vm\": \"%s\", \"for\": \"exit\", \"deadline_ms\": %d}", vm, WAIT_MS);
	cr_expect_str_eq(text_at(result, "exit_reason"), reason);
	json_decref(result);

	result = callf(client, "vm.info", "{\"vm\": \"%s\"}", vm);
	cr_expect_str_eq(text_at(result, "state"), "exited");
	cr_expect_str_eq(text_at(result, "exit_reason"), reason);
	json_decref(result);
	cr_expect_eq(failf(client, "vm.pause", "{\"vm\": \"%s\"}", vm), RPC_WRONG_VM_STATE);
	cr_expect_eq(failf(client, "vm.wait", "{\"vm\": \"%s\", \"for\": \"event\", \"event\": 99}", vm),
		     RPC_WRONG_VM_STATE);
	result = callf(client, "vm.console", "{\"vm\": \"%s\", \"action\": \"read\"}", vm);
	cr_expect(strstr(text_at(result, "data"), "ting"), "the last words are kept");
	json_decref(result);

	result = callf(client, "vm.release", "{\"vm\": \"%s\"}", vm);
	cr_expect_str_eq(text_at(result, "exit_reason"), reason);
	json_decref(result);
	cr_expect_eq(failf(client, "vm.info", "{\"vm\": \"%s\"}", vm), RPC_NOT_FOUND);
}

DAEMON_TEST(vm_methods, a_guest_that_resets_has_exited_and_stays_until_it_is_released)
{
	expect_exit("reset", "reset");
}

DAEMON_TEST(vm_methods, a_guest_that_faults_three_times_has_shut_down)
{
	expect_exit("fault", "shutdown");
}

DAEMON_TEST(vm_methods, released_and_killed_vms_are_gone_and_say_so_to_who_waited)
{
	static const char *const methods[] = { "vm.release", "vm.kill" }, *const reasons[] = { "released", "killed" };
	char vm[VM_ID_TEXT], line[256];
	struct raw waiter;
	json_t *result;
	int i;

	for (i = 0; i < 2; i++) {
		vm_boot(client, vm);
		raw_connect(&waiter, daemon_under_test.socket_path);
		(void)snprintf(
			line, sizeof(line),
			"{\"jsonrpc\": \"2.0\", \"id\": 1, \"method\": \"vm.wait\", \"params\": {\"vm\": \"%s\", \"for\": "
			"\"exit\"}}\n{\"jsonrpc\": \"2.0\", \"id\": 2, \"method\": \"server.ping\"}",
			vm);
		raw_send_line(&waiter, line);
		/* The ping's answer says that the wait before it is open. */
		json_decref(raw_receive(&waiter));

		result = callf(client, methods[i], "{\"vm\": \"%s\"}", vm);
		cr_expect_str_eq(text_at(result, "exit_reason"), reasons[i]);
		json_decref(result);
		result = raw_receive(&waiter);
		cr_expect_str_eq(text_at(result, "result.exit_reason"), reasons[i]);
		json_decref(result);
		raw_close(&waiter);
		cr_expect_eq(vm_count(client), 0);
		cr_expect_eq(failf(client, methods[i], "{\"vm\": \"%s\"}", vm), RPC_NOT_FOUND);
	}
}

DAEMON_TEST(vm_methods, a_connection_takes_its_vms_with_it_and_leaves_the_detached)
{
	struct raw owner;
	json_t *leased, *detached, *list;

	raw_connect(&owner, daemon_under_test.socket_path);
	leased = raw_call(&owner, "vm.boot", "{\"memory_mib\": 8}");
	detached = raw_call(&owner, "vm.boot", "{\"memory_mib\": 8, \"detach\": true}");
	cr_expect_eq(vm_count(client), 2);
	raw_close(&owner);
	wait_until_vms(client, 1);
	list = client_call(client, "vm.list", NULL);
	cr_expect_str_eq(text_at(list, "vms.0.vm"), text_at(detached, "result.vm"));
	cr_expect(json_is_true(at(list, "vms.0.detached")));
	json_decref(list);
	json_decref(leased);
	json_decref(detached);
}

/* Its process is held so that there is time to look at the VM while it is being stopped. */
DAEMON_TEST(vm_methods, a_vm_whose_client_has_gone_does_not_pass_for_detached)
{
	json_t *info, *vms, *vm, *list, *leased;
	size_t i, seen;
	struct raw owner;

	raw_connect(&owner, daemon_under_test.socket_path);
	leased = raw_call(&owner, "vm.boot", "{\"memory_mib\": 8}");
	info = callf(client, "vm.info", "{\"vm\": \"%s\"}", text_at(leased, "result.vm"));
	cr_assert_eq(kill((pid_t)int_at(info, "pid"), SIGSTOP), 0);
	raw_close(&owner);
	do {
		list = client_call(client, "vm.list", NULL);
		vms = at(list, "vms");
		json_array_foreach(vms, i, vm)
			cr_assert(json_is_false(at(vm, "detached")), "%s", text_at(vm, "state"));
		seen = json_array_size(vms);
		json_decref(list);
	} while (seen > 0);
	json_decref(info);
	json_decref(leased);
}

DAEMON_TEST(vm_methods, subscribers_hear_of_a_vms_life)
{
	static const char *const expected[] = { "started", "ready", "paused", "resumed", "ended" };
	struct raw raw;
	char vm[VM_ID_TEXT];
	json_t *event;
	size_t i;

	raw_connect(&raw, daemon_under_test.socket_path);
	json_decref(raw_call(&raw, "events.subscribe", "{\"kinds\": [\"vm\"]}"));
	vm_boot(client, vm);
	json_decref(callf(client, "vm.pause", "{\"vm\": \"%s\"}", vm));
	json_decref(callf(client, "vm.resume", "{\"vm\": \"%s\"}", vm));
	json_decref(callf(client, "vm.release", "{\"vm\": \"%s\"}", vm));
	for (i = 0; i < sizeof(expected) / sizeof(expected[0]); i++) {
		event = raw_receive(&raw);
		cr_expect_str_eq(text_at(event, "params.event"), expected[i]);
		cr_expect_str_eq(text_at(event, "params.vm"), vm);
		json_decref(event);
	}
	raw_close(&raw);
}

DAEMON_TEST(vm_methods, images_by_path)
{
	/* mov dx, 0x5e0; mov al, 7; out dx, al; hlt: loops on hlt */
	static const unsigned char image[] = { 0xba, 0xe0, 0x05, 0xb0, 0x07, 0xee, 0xf4, 0xeb, 0xfd };
	char path[128], link_path[140], fifo[140];
	int file;
	json_t *result;

	(void)snprintf(path, sizeof(path), "%s/image", daemon_under_test.folder);
	(void)snprintf(link_path, sizeof(link_path), "%s-link", path);
	(void)snprintf(fifo, sizeof(fifo), "%s-fifo", path);
	file = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	cr_assert_eq(write(file, image, sizeof(image)), (ssize_t)sizeof(image));
	(void)close(file);
	cr_assert_eq(symlink(path, link_path), 0);
	cr_assert_eq(mkfifo(fifo, 0600), 0);

	result = callf(client, "vm.boot",
		       "{\"memory_mib\": 8, \"image\": \"%s\", \"entry\": \"real\", \"detach\": true}", path);
	json_decref(callf(client, "vm.wait", "{\"vm\": \"%s\", \"for\": \"event\", \"event\": 7, \"deadline_ms\": %d}",
			  text_at(result, "vm"), WAIT_MS));
	json_decref(result);
	cr_expect_eq(failf(client, "vm.boot", "{\"image\": \"%s\"}", path), RPC_INVALID_PARAMS);
	cr_expect_eq(failf(client, "vm.boot", "{\"image\": \"%s-none\", \"entry\": \"real\"}", path), RPC_NOT_FOUND);
	cr_expect_eq(failf(client, "vm.boot", "{\"image\": \"%s\", \"entry\": \"real\"}", link_path),
		     RPC_INVALID_ARGUMENT);
	cr_expect_eq(failf(client, "vm.boot", "{\"image\": \"%s\", \"entry\": \"real\"}", fifo), RPC_INVALID_ARGUMENT);
	cr_expect_eq(failf(client, "vm.boot", "{\"image\": \"/\", \"entry\": \"real\"}"), RPC_INVALID_ARGUMENT);
	cr_assert_eq(truncate(path, 0), 0);
	cr_expect_eq(failf(client, "vm.boot", "{\"memory_mib\": 8, \"image\": \"%s\", \"entry\": \"real\"}", path),
		     RPC_INVALID_ARGUMENT);
	cr_assert_eq(truncate(path, 9437184), 0);
	cr_expect_eq(failf(client, "vm.boot", "{\"memory_mib\": 8, \"image\": \"%s\", \"entry\": \"real\"}", path),
		     RPC_INVALID_ARGUMENT);
}

DAEMON_TEST(vm_methods, every_method_of_a_vm_that_is_not_there_says_so)
{
	static const char *const methods[] = { "vm.pause", "vm.resume", "vm.release", "vm.kill", "vm.info" };
	size_t i;

	for (i = 0; i < sizeof(methods) / sizeof(methods[0]); i++)
		cr_expect_eq(client_fail(client, methods[i], "{\"vm\": \"vm-99\"}", NULL), RPC_NOT_FOUND);
	cr_expect_eq(client_fail(client, "vm.wait", "{\"vm\": \"vm-99\", \"for\": \"exit\"}", NULL), RPC_NOT_FOUND);
	cr_expect_eq(client_fail(client, "vm.console", "{\"vm\": \"vm-99\", \"action\": \"read\"}", NULL),
		     RPC_NOT_FOUND);
	cr_expect_eq(client_fail(client, "vm.snapshot", "{\"vm\": \"vm-99\", \"name\": \"x\"}", NULL), RPC_NOT_FOUND);
}
