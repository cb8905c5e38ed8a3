/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Many VMs from one snapshot at one time: what each writes is its own.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "snapshot_files.h"
#include "steps.h"

#define CLONES 100

static struct daemon daemon_under_test;
static struct ember *client;
static struct guest clones[CLONES];
static struct open_call calls[CLONES];

static void start(void)
{
	daemon_start(&daemon_under_test, "{\"pool\": {\"shapes\": ["
					 "{\"vcpus\": 1, \"memory_mib\": 8, \"min\": 4, \"max\": 128},"
					 "{\"vcpus\": 2, \"memory_mib\": 8, \"min\": 1, \"max\": 128}]},"
					 "\"limits\": {\"open_calls\": 128}}");
	client = daemon_connect(&daemon_under_test);
}

static void stop(void)
{
	(void)ember_free(client);
	daemon_stop(&daemon_under_test);
}

static void restore_all(const char *snapshot, int count)
{
	int i;

	for (i = 0; i < count; i++)
		open_call_begin(&calls[i], client, "vm.restore", "{s:s}", "snapshot", snapshot);
	for (i = 0; i < count; i++) {
		cr_assert_eq(open_call_wait(&calls[i], client), 0, "clone %d: %s", i, calls[i].message);
		guest_of(&clones[i], client, calls[i].result);
		open_call_end(&calls[i]);
	}
}

static void release_all(int count)
{
	int i;

	for (i = 0; i < count; i++)
		open_call_begin(&calls[i], client, "vm.release", "{s:s}", "vm", clones[i].vm);
	for (i = 0; i < count; i++) {
		cr_expect_eq(open_call_wait(&calls[i], client), 0, "clone %d: %s", i, calls[i].message);
		cr_expect_str_eq(text_at(calls[i].result, "exit_reason"), "released");
		open_call_end(&calls[i]);
	}
}

/*
 * All run at once; each writes pages from a seed of its own and counts as far as nobody else; when all have written, each
 * still has its own.
 */
static void write_and_compare(int count, const char *original_sum, int original_count)
{
	static char sums[CLONES][64];
	int i, j;

	for (i = 0; i < count; i++) {
		cr_assert_eq(guest_number(&clones[i], "get"), original_count, "clone %d", i);
		cr_assert_str_eq(guest_ask(&clones[i], "sum"), original_sum, "clone %d", i);
		cr_assert_eq(strncmp(guest_ask(&clones[i], "touch 50 %d", 1000 + i), "pages 50 checksum ", 18), 0, "%s",
			     clones[i].line);
		(void)snprintf(sums[i], sizeof(sums[i]), "%s", clones[i].line);
		for (j = 0; j < i % 7; j++)
			(void)guest_ask(&clones[i], "count");
	}
	for (i = 0; i < count; i++) {
		cr_expect_str_eq(guest_ask(&clones[i], "sum"), sums[i], "clone %d", i);
		cr_expect_eq(guest_number(&clones[i], "get"), original_count + i % 7, "clone %d", i);
		for (j = 0; j < i; j++)
			cr_expect_str_neq(sums[i], sums[j], "clones %d and %d have written the same", i, j);
	}
}

/* The files, and a VM restored from them, are what they were. */
static void expect_unchanged(const char *path, uint64_t memory, uint64_t state, const char *snapshot, const char *sum)
{
	struct guest guest;

	cr_expect_eq(file_checksum(path, "memory.snap"), memory, "the clones have written to memory.snap");
	cr_expect_eq(file_checksum(path, "state.json"), state);
	perform(client, "snapshot.verify", "{s:s}", "name", snapshot);
	guest_restore(&guest, client, snapshot);
	cr_expect_str_eq(guest_ask(&guest, "sum"), sum);
	guest_release(&guest);
}

static void expect_private_clones(int vcpus, int count, size_t warm)
{
	uint64_t memory, state;
	json_t *result, *list;
	char path[512], sum[64];
	struct guest guest;

	guest_boot(&guest, client, vcpus, GUEST_MIB);
	(void)guest_ask(&guest, "count");
	(void)guest_ask(&guest, "touch 60 5");
	(void)snprintf(sum, sizeof(sum), "%s", guest.line);
	result = call(client, "vm.snapshot", "{s:s, s:s}", "vm", guest.vm, "name", "one");
	(void)snprintf(path, sizeof(path), "%s", text_at(result, "path"));
	json_decref(result);
	guest_release(&guest);
	memory = file_checksum(path, "memory.snap");
	state = file_checksum(path, "state.json");

	restore_all("one", count);
	list = call(client, "vm.list", NULL);
	cr_expect_eq(json_array_size(at(list, "vms")), (size_t)count);
	json_decref(list);
	write_and_compare(count, sum, 1);
	release_all(count);
	expect_unchanged(path, memory, state, "one", sum);
	pool_settle(client, warm, 0);
}

DAEMON_TEST(clones, a_hundred_at_once)
{
	expect_private_clones(1, CLONES, 5);
}

DAEMON_TEST(clones, of_two_vcpus)
{
	expect_private_clones(2, 20, 5);
}

DAEMON_TEST(clones, of_which_one_is_snapshotted)
{
	struct guest guest;

	make_snapshot(client, "parent", 1, 1, 40, 2);
	restore_all("parent", 10);
	(void)guest_ask(&clones[3], "count");
	perform(client, "vm.snapshot", "{s:s, s:s}", "vm", clones[3].vm, "name", "child");
	guest_restore(&guest, client, "child");
	cr_expect_eq(guest_number(&guest, "get"), 2);
	cr_expect_eq(guest_number(&clones[4], "get"), 1);
	guest_release(&guest);
	release_all(10);
}
