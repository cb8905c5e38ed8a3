/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A memory file that is cut short while VMs run from it: it costs those VMs, and nobody else.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "snapshot_files.h"
#include "steps.h"

#define VICTIMS 6

static struct daemon daemon_under_test;
static struct ember *client;

static void start(void)
{
	daemon_start(&daemon_under_test, GUEST_POOL);
	client = daemon_connect(&daemon_under_test);
}

static void stop(void)
{
	(void)ember_free(client);
	daemon_stop(&daemon_under_test);
}

DAEMON_TEST(cut_memory, kills_the_vms_that_run_from_it)
{
	struct guest victims[VICTIMS], other, booted;
	struct open_call waits[VICTIMS];
	json_t *record;
	int i;

	make_snapshot(client, "cut", 1, 1, 100, 1);
	make_snapshot(client, "whole", 1, 2, 100, 2);
	guest_boot(&booted, client, 1, GUEST_MIB);
	guest_restore(&other, client, "whole");
	for (i = 0; i < VICTIMS; i++) {
		guest_restore(&victims[i], client, "cut");
		open_call_begin(&waits[i], client, "vm.wait", "{s:s, s:s}", "vm", victims[i].vm, "for", "exit");
	}

	record = call(client, "snapshot.inspect", "{s:s}", "name", "cut");
	file_resize(text_at(record, "path"), "memory.snap", 0);
	/* One that sees nothing of it while it stands still, and one that reads what it had not touched. */
	guest_say(&victims[0], "sum");
	for (i = 0; i < VICTIMS; i++) {
		cr_expect_eq(open_call_wait(&waits[i], client), 0, "%s", waits[i].message);
		cr_expect_str_eq(text_at(waits[i].result, "exit_reason"), "memory_file_truncated");
		open_call_end(&waits[i]);
		process_wait_end(victims[i].pid);
	}

	cr_expect_eq(guest_number(&other, "get"), 2);
	cr_expect_eq(strncmp(guest_ask(&other, "sum"), "pages 100 ", 10), 0, "%s", other.line);
	cr_expect_eq(guest_number(&booted, "count"), 1);
	refused(client, RPC_SNAPSHOT_DAMAGED, "memory.snap", "snapshot.verify", "{s:s}", "name", "cut");
	guest_release(&other);
	guest_restore(&other, client, "whole");
	guest_release(&other);
	guest_release(&booted);
	json_decref(record);
	pool_settle(client, 2, 0);
}

DAEMON_TEST(cut_memory, a_snapshot_of_such_a_vm)
{
	struct open_call snapshot, wait;
	struct guest guest;
	json_t *record;

	make_snapshot(client, "cut", 1, 1, 500, 1);
	guest_restore(&guest, client, "cut");
	perform(client, "vm.pause", "{s:s}", "vm", guest.vm);
	record = call(client, "snapshot.inspect", "{s:s}", "name", "cut");
	file_resize(text_at(record, "path"), "memory.snap", 4096);
	open_call_begin(&wait, client, "vm.wait", "{s:s, s:s}", "vm", guest.vm, "for", "exit");
	/* The worker itself reads the guest's memory. */
	open_call_begin(&snapshot, client, "vm.snapshot", "{s:s, s:s}", "vm", guest.vm, "name", "new");
	cr_expect_eq(open_call_wait(&snapshot, client), RPC_WORKER_DIED, "%s", snapshot.message);
	cr_expect_eq(open_call_wait(&wait, client), 0);
	cr_expect_str_eq(text_at(wait.result, "exit_reason"), "memory_file_truncated");
	refused(client, RPC_NOT_FOUND, "new", "snapshot.inspect", "{s:s}", "name", "new");
	open_call_end(&snapshot);
	open_call_end(&wait);
	json_decref(record);
	pool_settle(client, 2, 0);
}

DAEMON_TEST(cut_memory, a_restore_after_the_cut)
{
	struct guest guest;
	json_t *record, *started, *result;
	struct ember_error error = { 0 };
	int failed;

	make_snapshot(client, "cut", 1, 1, 100, 1);
	record = call(client, "snapshot.inspect", "{s:s}", "name", "cut");
	file_resize(text_at(record, "path"), "memory.snap", 4096);
	/* Refused, or started and ended for this reason: but nothing else. */
	result = json_pack("{s:s}", "snapshot", "cut");
	failed = ember_call(client, "vm.restore", result, WAIT_MS, &started, &error);
	json_decref(result);
	if (failed) {
		cr_expect_eq(error.code, RPC_SNAPSHOT_DAMAGED, "%d: %s", error.code, error.message);
	} else {
		result = call(client, "vm.wait", "{s:s, s:s}", "vm", text_at(started, "vm"), "for", "exit");
		cr_expect_str_eq(text_at(result, "exit_reason"), "memory_file_truncated");
		json_decref(result);
		json_decref(started);
	}
	ember_error_release(&error);
	json_decref(record);
	guest_boot(&guest, client, 1, GUEST_MIB);
	guest_release(&guest);
	pool_settle(client, 2, 0);
}
