/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The life of a VM as its client sees it: started, talked to, paused, waited for, ended in every way there is.
 */
#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "steps.h"

DAEMON_AND_CLIENT(GUEST_POOL);

DAEMON_TEST(vm_life, a_boot_says_what_it_is_and_what_it_took)
{
	json_t *started = call(client, "vm.boot", "{s:i, s:s, s:s}", "memory_mib", GUEST_MIB, "name", "first.label",
			       "temperature", "cold");
	struct guest guest;
	json_t *info;

	cr_expect_str_eq(text_at(started, "state"), "running");
	cr_expect_str_eq(text_at(started, "shape"), "1x8-host");
	cr_expect(json_is_null(at(started, "snapshot")));
	cr_expect_str_eq(text_at(started, "temperature"), "cold");
	/* What a cold start pays for is there, and a boot has no state to inject. */
	(void)int_at(started, "phases_us.fork");
	(void)int_at(started, "phases_us.vm_create");
	(void)int_at(started, "phases_us.prime");
	cr_expect_gt(int_at(started, "entered_ns"), int_at(started, "state_injected_ns"));
	cr_expect_gt(int_at(started, "total_us"), 0);

	perform(client, "vm.wait", "{s:s, s:s}", "vm", text_at(started, "vm"), "for", "ready");
	guest_of(&guest, client, started);
	info = call(client, "vm.info", "{s:s}", "vm", guest.vm);
	cr_expect_str_eq(text_at(info, "name"), "first.label");
	cr_expect_eq(int_at(info, "vcpus"), 1);
	cr_expect_eq(int_at(info, "memory_mib"), GUEST_MIB);
	cr_expect_str_eq(text_at(info, "cpu_template"), "host");
	cr_expect(json_is_false(at(info, "detached")));
	cr_expect(json_is_null(at(info, "exit_reason")));
	cr_expect_eq(int_at(info, "events.0.event"), 0);
	cr_expect_eq(int_at(info, "events.0.count"), 1);
	cr_expect(process_lives((pid_t)int_at(info, "pid")));
	json_decref(info);
	json_decref(started);
	guest_release(&guest);
	refused(client, RPC_NOT_FOUND, guest.vm, "vm.info", "{s:s}", "vm", guest.vm);
	process_wait_end(guest.pid);
}

DAEMON_TEST(vm_life, the_guest_answers_over_its_console)
{
	struct guest guest;
	json_t *banner;

	guest_boot(&guest, client, 1, GUEST_MIB);
	banner = call(client, "vm.console", "{s:s, s:s, s:i}", "vm", guest.vm, "action", "read", "max_bytes", 34);
	cr_expect_str_eq(text_at(banner, "data"), "Ember demo guest: 8 MiB, 1 vCPU; t");
	cr_expect_eq(int_at(banner, "next_offset"), 34);
	json_decref(banner);

	cr_expect_str_eq(guest_ask(&guest, "echo hello, world"), "hello, world");
	cr_expect_str_eq(guest_ask(&guest, "crc 123456789"), "crc32 cbf43926");
	cr_expect_str_eq(guest_ask(&guest, "crc hex:00ff10"), "crc32 71d23404");
	cr_expect_str_eq(guest_ask(&guest, "count"), "1");
	cr_expect_str_eq(guest_ask(&guest, "count"), "2");
	cr_expect_str_eq(guest_ask(&guest, "get"), "2");
	cr_expect_eq(strncmp(guest_ask(&guest, "no such command"), "error: ", 7), 0);
	cr_expect_eq(strncmp(guest_ask(&guest, "touch 64 9"), "pages 64 checksum ", 18), 0, "%s", guest.line);
	cr_expect_eq(strncmp(guest_ask(&guest, "sum"), "pages 64 checksum ", 18), 0, "%s", guest.line);
	cr_expect_eq(strncmp(guest_ask(&guest, "info"), "memory=8388608 vcpus=1 ", 23), 0, "%s", guest.line);
	guest_release(&guest);
}

DAEMON_TEST(vm_life, console_data_as_base64)
{
	struct guest guest;
	json_t *result;

	guest_boot(&guest, client, 1, GUEST_MIB);
	/* "echo AB\n" */
	result = call(client, "vm.console", "{s:s, s:s, s:s, s:s}", "vm", guest.vm, "action", "write", "data",
		      "ZWNobyBBQgo=", "encoding", "base64");
	cr_expect_eq(int_at(result, "written"), 8);
	json_decref(result);
	result = call(client, "vm.console", "{s:s, s:s, s:I, s:i, s:b, s:s}", "vm", guest.vm, "action", "read",
		      "offset", (json_int_t)guest.offset, "max_bytes", 1, "wait", 1, "encoding", "base64");
	cr_expect_str_eq(text_at(result, "data"), "QQ==");
	cr_expect_str_eq(text_at(result, "encoding"), "base64");
	json_decref(result);
	refused(client, RPC_INVALID_PARAMS, "data", "vm.console", "{s:s, s:s, s:s, s:s}", "vm", guest.vm, "action",
		"write", "data", "not base64", "encoding", "base64");
	guest_release(&guest);
}

DAEMON_TEST(vm_life, several_vcpus)
{
	struct guest guest;

	guest_boot(&guest, client, 4, 16);
	cr_expect_eq(strncmp(guest_ask(&guest, "info"), "memory=16777216 vcpus=4 ", 24), 0, "%s", guest.line);
	guest_release(&guest);
}

DAEMON_TEST(vm_life, vms_are_listed_oldest_first)
{
	struct guest guests[3];
	json_t *list;
	char path[32];
	int i;

	for (i = 0; i < 3; i++)
		guest_boot(&guests[i], client, 1, GUEST_MIB);
	list = call(client, "vm.list", NULL);
	cr_expect_eq(json_array_size(at(list, "vms")), 3);
	for (i = 0; i < 3; i++) {
		(void)snprintf(path, sizeof(path), "vms.%d.vm", i);
		cr_expect_str_eq(text_at(list, path), guests[i].vm);
	}
	json_decref(list);
	for (i = 0; i < 3; i++)
		guest_release(&guests[i]);
	list = call(client, "vm.list", NULL);
	cr_expect_eq(json_array_size(at(list, "vms")), 0);
	json_decref(list);
}

DAEMON_TEST(vm_life, a_paused_vm_stands_still)
{
	const long paused_ms = 1500;
	struct guest guest;
	int64_t before, after, first, second;
	json_t *result;

	guest_boot(&guest, client, 1, GUEST_MIB);
	before = now_ms();
	first = guest_number(&guest, "ticks");
	result = call(client, "vm.pause", "{s:s}", "vm", guest.vm);
	cr_expect_str_eq(text_at(result, "state"), "paused");
	json_decref(result);
	before = now_ms() - before;
	refused(client, RPC_WRONG_VM_STATE, "paused", "vm.pause", "{s:s}", "vm", guest.vm);

	/* It takes a question, and does not answer it. */
	guest_say(&guest, "ticks");
	sleep_ms(paused_ms);
	result = call(client, "vm.console", "{s:s, s:s, s:I}", "vm", guest.vm, "action", "read", "offset",
		      (json_int_t)guest.offset);
	cr_expect_str_eq(text_at(result, "data"), "");
	json_decref(result);
	result = call(client, "vm.info", "{s:s}", "vm", guest.vm);
	cr_expect_str_eq(text_at(result, "state"), "paused");
	json_decref(result);

	after = now_ms();
	result = call(client, "vm.resume", "{s:s}", "vm", guest.vm);
	cr_expect_str_eq(text_at(result, "state"), "running");
	json_decref(result);
	second = strtoll(guest_hear(&guest), NULL, 10);
	after = now_ms() - after;
	/* 20 ticks a second, of the time in which it may have run. */
	cr_expect_leq(second - first, (before + after) / 50 + 2, "%ld ticks in %ld ms", (long)(second - first),
		      (long)(before + after));
	refused(client, RPC_WRONG_VM_STATE, "running", "vm.resume", "{s:s}", "vm", guest.vm);

	first = second;
	while (guest_number(&guest, "ticks") == first)
		;
	guest_release(&guest);
}

DAEMON_TEST(vm_life, a_paused_vm_can_be_ended)
{
	struct guest guest;

	guest_boot(&guest, client, 1, GUEST_MIB);
	perform(client, "vm.pause", "{s:s}", "vm", guest.vm);
	guest_release(&guest);
	process_wait_end(guest.pid);
}

DAEMON_TEST(vm_life, events_are_waited_for)
{
	struct open_call open;
	struct guest guest;
	json_t *result;

	guest_boot(&guest, client, 1, GUEST_MIB);
	open_call_begin(&open, client, "vm.wait", "{s:s, s:s, s:i}", "vm", guest.vm, "for", "event", "event", 7);
	cr_expect_str_eq(guest_ask(&guest, "event 6"), "event 6");
	cr_expect(!open.answered);
	cr_expect_str_eq(guest_ask(&guest, "event 7"), "event 7");
	cr_expect_eq(open_call_wait(&open, client), 0);
	cr_expect_str_eq(text_at(open.result, "what"), "event");
	cr_expect_eq(int_at(open.result, "event"), 7);
	cr_expect_eq(int_at(open.result, "count"), 1);
	cr_expect_gt(int_at(open.result, "first_ns"), 0);
	open_call_end(&open);

	/* One that is known already is answered at once; one more is waited for. */
	perform(client, "vm.wait", "{s:s, s:s, s:i}", "vm", guest.vm, "for", "event", "event", 7);
	open_call_begin(&open, client, "vm.wait", "{s:s, s:s, s:i, s:i}", "vm", guest.vm, "for", "event", "event", 7,
			"after", 1);
	cr_expect_str_eq(guest_ask(&guest, "echo still waiting"), "still waiting");
	cr_expect(!open.answered);
	cr_expect_str_eq(guest_ask(&guest, "event 7"), "event 7");
	cr_expect_eq(open_call_wait(&open, client), 0);
	cr_expect_eq(int_at(open.result, "count"), 2);
	cr_expect_gt(int_at(open.result, "last_ns"), int_at(open.result, "first_ns"));
	open_call_end(&open);

	result = call(client, "vm.info", "{s:s}", "vm", guest.vm);
	cr_expect_eq(json_array_size(at(result, "events")), 3, "%s", json_dumps(result, 0));
	json_decref(result);
	guest_release(&guest);
}

DAEMON_TEST(vm_life, a_wait_ends_with_its_deadline_its_cancellation_or_its_vm)
{
	struct open_call event, cancelled, exit_, ready;
	struct guest guest;

	guest_boot(&guest, client, 1, GUEST_MIB);
	refused(client, RPC_DEADLINE_EXCEEDED, NULL, "vm.wait", "{s:s, s:s, s:i, s:i}", "vm", guest.vm, "for", "event",
		"event", 1, "deadline_ms", 50);
	refused(client, RPC_DEADLINE_EXCEEDED, NULL, "vm.console", "{s:s, s:s, s:I, s:b, s:i}", "vm", guest.vm,
		"action", "read", "offset", (json_int_t)guest.offset, "wait", 1, "deadline_ms", 50);

	open_call_begin(&cancelled, client, "vm.wait", "{s:s, s:s}", "vm", guest.vm, "for", "exit");
	cr_expect_eq(ember_cancel(client, cancelled.id), 0);
	cr_expect_eq(open_call_wait(&cancelled, client), RPC_CANCELLED);
	open_call_end(&cancelled);

	open_call_begin(&event, client, "vm.wait", "{s:s, s:s, s:i}", "vm", guest.vm, "for", "event", "event", 1);
	open_call_begin(&exit_, client, "vm.wait", "{s:s, s:s}", "vm", guest.vm, "for", "exit");
	open_call_begin(&ready, client, "vm.wait", "{s:s, s:s}", "vm", guest.vm, "for", "ready");
	cr_expect_eq(open_call_wait(&ready, client), 0);
	guest_release(&guest);
	cr_expect_eq(open_call_wait(&exit_, client), 0);
	cr_expect_str_eq(text_at(exit_.result, "what"), "exit");
	cr_expect_str_eq(text_at(exit_.result, "exit_reason"), "released");
	cr_expect_neq(open_call_wait(&event, client), 0, "an event of a VM that has ended");
	open_call_end(&event);
	open_call_end(&exit_);
	open_call_end(&ready);
}

/* The guest ends its machine by a command: why, and what is left of it. */
static void expect_exit(const char *command, const char *answer, const char *reason)
{
	struct open_call open;
	struct guest guest;
	json_t *result;

	guest_boot(&guest, client, 1, GUEST_MIB);
	open_call_begin(&open, client, "vm.wait", "{s:s, s:s}", "vm", guest.vm, "for", "exit");
	guest_say(&guest, "%s", command);
	cr_expect_eq(open_call_wait(&open, client), 0);
	cr_expect_str_eq(text_at(open.result, "exit_reason"), reason);
	open_call_end(&open);

	/* Who comes late is told the same; what the guest said can still be read, and waiting for more ends. */
	perform(client, "vm.wait", "{s:s, s:s}", "vm", guest.vm, "for", "exit");
	cr_expect_str_eq(guest_hear(&guest), answer);
	result = call(client, "vm.console", "{s:s, s:s, s:I, s:b}", "vm", guest.vm, "action", "read", "offset",
		      (json_int_t)guest.offset, "wait", 1);
	cr_expect_str_eq(text_at(result, "data"), "");
	json_decref(result);
	result = call(client, "vm.info", "{s:s}", "vm", guest.vm);
	cr_expect_str_eq(text_at(result, "state"), "exited");
	cr_expect_str_eq(text_at(result, "exit_reason"), reason);
	json_decref(result);
	refused(client, RPC_WRONG_VM_STATE, "exited", "vm.pause", "{s:s}", "vm", guest.vm);
	refused(client, RPC_WRONG_VM_STATE, "exited", "vm.resume", "{s:s}", "vm", guest.vm);
	refused(client, RPC_WRONG_VM_STATE, "exited", "vm.snapshot", "{s:s, s:s}", "vm", guest.vm, "name", "late");

	result = call(client, "vm.release", "{s:s}", "vm", guest.vm);
	cr_expect_str_eq(text_at(result, "exit_reason"), reason);
	json_decref(result);
	refused(client, RPC_NOT_FOUND, guest.vm, "vm.info", "{s:s}", "vm", guest.vm);
}

DAEMON_TEST(vm_life, a_reset_ends_the_vm)
{
	expect_exit("reset", "resetting", "reset");
}

DAEMON_TEST(vm_life, a_triple_fault_ends_the_vm)
{
	expect_exit("fault", "faulting", "shutdown");
}

DAEMON_TEST(vm_life, a_kill_ends_the_vm_at_once)
{
	struct open_call open;
	struct guest guest;
	json_t *result;

	guest_boot(&guest, client, 1, GUEST_MIB);
	open_call_begin(&open, client, "vm.wait", "{s:s, s:s}", "vm", guest.vm, "for", "exit");
	guest_say(&guest, "spin 1200");
	result = call(client, "vm.kill", "{s:s}", "vm", guest.vm);
	cr_expect_str_eq(text_at(result, "exit_reason"), "killed");
	json_decref(result);
	cr_expect_eq(open_call_wait(&open, client), 0);
	cr_expect_str_eq(text_at(open.result, "exit_reason"), "killed");
	open_call_end(&open);
	cr_expect(!process_lives(guest.pid), "its process is still there");
	refused(client, RPC_NOT_FOUND, guest.vm, "vm.kill", "{s:s}", "vm", guest.vm);
}

DAEMON_TEST(vm_life, a_vm_whose_worker_is_killed)
{
	struct guest guest, other;
	struct open_call open;

	guest_boot(&guest, client, 1, GUEST_MIB);
	guest_boot(&other, client, 1, GUEST_MIB);
	open_call_begin(&open, client, "vm.wait", "{s:s, s:s}", "vm", guest.vm, "for", "exit");
	cr_assert_eq(kill(guest.pid, SIGSEGV), 0);
	cr_expect_eq(open_call_wait(&open, client), 0);
	cr_expect_str_eq(text_at(open.result, "exit_reason"), "worker_crashed");
	open_call_end(&open);
	cr_expect_str_eq(guest_ask(&other, "echo unharmed"), "unharmed");
	guest_release(&other);
}

DAEMON_TEST(vm_life, a_dropped_connection_ends_its_vms_unless_detached)
{
	struct ember *leaver = daemon_connect(&daemon_under_test);
	json_t *leased = call(leaver, "vm.boot", "{s:i}", "memory_mib", GUEST_MIB);
	json_t *detached = call(leaver, "vm.boot", "{s:i, s:b}", "memory_mib", GUEST_MIB, "detach", 1);
	struct open_call open;
	struct guest guest;
	json_t *list;

	open_call_begin(&open, client, "vm.wait", "{s:s, s:s}", "vm", text_at(leased, "vm"), "for", "exit");
	perform(client, "vm.wait", "{s:s, s:s}", "vm", text_at(detached, "vm"), "for", "ready");
	guest_of(&guest, client, detached);
	(void)ember_free(leaver);
	cr_expect_eq(open_call_wait(&open, client), 0);
	cr_expect_str_eq(text_at(open.result, "exit_reason"), "client_disconnected");
	open_call_end(&open);
	cr_expect_str_eq(guest_ask(&guest, "echo on"), "on");
	list = call(client, "vm.list", NULL);
	cr_expect_eq(json_array_size(at(list, "vms")), 1);
	cr_expect(json_is_true(at(list, "vms.0.detached")));
	json_decref(list);
	json_decref(leased);
	json_decref(detached);
	guest_release(&guest);
}

DAEMON_TEST(vm_life, a_client_that_leaves_while_its_vm_starts)
{
	struct ember *leaver = daemon_connect(&daemon_under_test);
	struct open_call open;

	open_call_begin(&open, leaver, "vm.boot", "{s:i, s:s}", "memory_mib", GUEST_MIB, "temperature", "cold");
	while (ember_unsent(leaver) > 0)
		(void)ember_dispatch(leaver, 0);
	(void)ember_free(leaver);
	pool_settle(client, 2, 0);
}

static void note_event(void *context, const char *method, json_t *params)
{
	json_t *events = context;

	if (!strcmp(method, "event"))
		(void)json_array_append(events, params);
}

DAEMON_TEST(vm_life, subscribers_are_told)
{
	struct ember *subscriber = daemon_connect(&daemon_under_test);
	int64_t until = now_ms() + WAIT_MS;
	json_t *events = json_array();
	struct guest guest;

	ember_on_notification(subscriber, note_event, events);
	perform(subscriber, "events.subscribe", "{s:[s]}", "kinds", "vm");
	guest_boot(&guest, client, 1, GUEST_MIB);
	cr_expect_str_eq(guest_ask(&guest, "event 9"), "event 9");
	guest_release(&guest);
	/* started, ready, signal 9, ended */
	while (json_array_size(events) < 4 && now_ms() < until)
		(void)ember_dispatch(subscriber, 100);
	cr_expect_eq(json_array_size(events), 4, "%s", json_dumps(events, 0));
	cr_expect_str_eq(text_at(events, "0.vm"), guest.vm, "%s", json_dumps(events, 0));
	(void)ember_free(subscriber);
	json_decref(events);
}
