/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Snapshots made, restored, kept and removed through the daemon.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "steps.h"

DAEMON_AND_CLIENT(GUEST_POOL);

/* What progress said of one phase. */
struct seen {
	size_t count;
	int64_t done, total;
};

static void note_progress(void *context, const char *method, json_t *params)
{
	struct seen *seen = context;

	if (strcmp(method, "progress") != 0)
		return;
	cr_expect_str_eq(text_at(params, "unit"), "bytes");
	(void)text_at(params, "phase");
	(void)int_at(params, "id");
	cr_expect_leq(int_at(params, "done"), int_at(params, "total"));
	cr_expect_geq(int_at(params, "done"), seen->done, "progress goes back");
	seen->count++;
	seen->done = int_at(params, "done");
	seen->total = int_at(params, "total");
}

static void expect_complete(const struct seen *seen)
{
	cr_expect_gt(seen->count, 0, "no progress is told");
	cr_expect_eq(seen->done, seen->total);
	cr_expect_eq(seen->total, GUEST_MIB << 20);
}

/* A VM counted to a number, with pages written; its answer to "sum" in sum. */
static void boot_with_state(struct guest *guest, int count, char sum[64])
{
	guest_boot(guest, client, 1, GUEST_MIB);
	while (count-- > 0)
		(void)guest_ask(guest, "count");
	(void)guest_ask(guest, "touch 100 %d", 7);
	(void)snprintf(sum, 64, "%s", guest->line);
	cr_assert_eq(strncmp(sum, "pages 100 checksum ", 19), 0, "%s", sum);
}

DAEMON_TEST(snapshots, state_survives_in_another_process)
{
	static const char *const phases[] = { "pause",  "vcpu",     "irqchip", "clock",  "devices",
					      "memory", "overlays", "state",   "publish" };
	struct seen seen = { .count = 0 };
	struct guest guest, restored;
	json_t *result;
	char sum[64];
	int64_t ticks;
	size_t i;

	boot_with_state(&guest, 3, sum);
	ember_on_notification(client, note_progress, &seen);
	result = call(client, "vm.snapshot", "{s:s, s:s}", "vm", guest.vm, "name", "three");
	ember_on_notification(client, NULL, NULL);
	expect_complete(&seen);
	for (i = 0; i < sizeof(phases) / sizeof(phases[0]); i++)
		cr_expect_geq(json_integer_value(json_object_get(at(result, "phases_us"), phases[i])), 0);
	for (i = 0; i < sizeof(phases) / sizeof(phases[0]); i++)
		cr_expect_not_null(json_object_get(at(result, "phases_us"), phases[i]), "no %s in %s", phases[i],
				   json_dumps(result, 0));
	cr_expect_str_eq(text_at(result, "name"), "three");
	cr_expect_str_eq(text_at(result, "state"), "running");
	cr_expect_eq(int_at(result, "memory_bytes"), GUEST_MIB << 20);
	cr_expect_geq(int_at(result, "data_bytes"), 409600);
	cr_expect_lt(int_at(result, "data_bytes"), GUEST_MIB << 20);
	json_decref(result);

	/* The original goes on, and is no part of what follows. */
	cr_expect_eq(guest_number(&guest, "count"), 4);
	guest_restore(&restored, client, "three");
	cr_expect_neq(restored.pid, guest.pid);
	guest_release(&guest);
	cr_expect_eq(guest_number(&restored, "get"), 3);
	cr_expect_str_eq(guest_ask(&restored, "sum"), sum);
	cr_expect_eq(guest_number(&restored, "count"), 4);
	ticks = guest_number(&restored, "ticks");
	while (guest_number(&restored, "ticks") == ticks)
		;
	result = call(client, "vm.info", "{s:s}", "vm", restored.vm);
	cr_expect_str_eq(text_at(result, "snapshot"), "three");
	json_decref(result);
	guest_release(&restored);
}

DAEMON_TEST(snapshots, a_restore_says_what_it_took)
{
	json_t *warm, *cold;
	struct guest guest;

	make_snapshot(client, "base", 1, 1, 0, 0);
	pool_settle(client, 2, 0);
	warm = call(client, "vm.restore", "{s:s, s:s}", "snapshot", "base", "temperature", "warm");
	cold = call(client, "vm.restore", "{s:s, s:s}", "snapshot", "base", "temperature", "cold");
	cr_expect_str_eq(text_at(warm, "temperature"), "warm");
	cr_expect_str_eq(text_at(cold, "temperature"), "cold");
	(void)int_at(warm, "phases_us.memory_map");
	(void)int_at(warm, "phases_us.vcpu_state");
	(void)int_at(warm, "phases_us.irqchip_state");
	(void)int_at(warm, "phases_us.device_state");
	(void)int_at(warm, "phases_us.clock");
	cr_expect_null(json_object_get(at(warm, "phases_us"), "vm_create"), "a warm restore has paid for its VM");
	(void)int_at(cold, "phases_us.fork");
	(void)int_at(cold, "phases_us.vm_create");
	(void)int_at(cold, "phases_us.vcpu_state");
	cr_expect_geq(int_at(warm, "entered_ns"), int_at(warm, "state_injected_ns"));
	guest_of(&guest, client, warm);
	cr_expect_eq(guest_number(&guest, "get"), 1);
	guest_release(&guest);
	guest_of(&guest, client, cold);
	cr_expect_eq(guest_number(&guest, "get"), 1);
	guest_release(&guest);
	json_decref(warm);
	json_decref(cold);
}

DAEMON_TEST(snapshots, a_snapshot_of_a_restored_vm)
{
	struct guest guest;
	char sum[64];
	int i;

	boot_with_state(&guest, 1, sum);
	perform(client, "vm.snapshot", "{s:s, s:s}", "vm", guest.vm, "name", "generation-1");
	guest_release(&guest);
	for (i = 1; i < 4; i++) {
		char from[32], to[32];

		(void)snprintf(from, sizeof(from), "generation-%d", i);
		(void)snprintf(to, sizeof(to), "generation-%d", i + 1);
		guest_restore(&guest, client, from);
		cr_expect_eq(guest_number(&guest, "count"), i + 1);
		cr_expect_str_eq(guest_ask(&guest, "sum"), sum);
		perform(client, "vm.snapshot", "{s:s, s:s}", "vm", guest.vm, "name", to);
		guest_release(&guest);
	}
}

DAEMON_TEST(snapshots, several_vcpus)
{
	struct guest guest;

	make_snapshot(client, "smp", 4, 5, 50, 3);
	guest_restore(&guest, client, "smp");
	cr_expect_eq(guest_number(&guest, "get"), 5);
	cr_expect_eq(strncmp(guest_ask(&guest, "sum"), "pages 50 checksum ", 18), 0, "%s", guest.line);
	cr_expect_eq(strncmp(guest_ask(&guest, "info"), "memory=8388608 vcpus=4 ", 23), 0, "%s", guest.line);
	guest_release(&guest);
}

DAEMON_TEST(snapshots, a_name_is_taken_or_overwritten)
{
	struct guest first, second, again;
	char sum[64];

	boot_with_state(&first, 1, sum);
	perform(client, "vm.snapshot", "{s:s, s:s}", "vm", first.vm, "name", "name");
	guest_restore(&second, client, "name");
	cr_expect_eq(guest_number(&first, "count"), 2);
	refused(client, RPC_ALREADY_EXISTS, "name", "vm.snapshot", "{s:s, s:s}", "vm", first.vm, "name", "name");
	cr_expect_eq(guest_number(&first, "get"), 2);
	/* A VM runs from the old one: it keeps what it has. */
	perform(client, "vm.snapshot", "{s:s, s:s, s:b}", "vm", first.vm, "name", "name", "overwrite", 1);
	cr_expect_str_eq(guest_ask(&second, "sum"), sum);
	cr_expect_eq(guest_number(&second, "get"), 1);
	guest_restore(&again, client, "name");
	cr_expect_eq(guest_number(&again, "get"), 2);
	guest_release(&first);
	guest_release(&second);
	guest_release(&again);
}

DAEMON_TEST(snapshots, to_resume_or_not)
{
	struct guest guest;
	json_t *result;

	guest_boot(&guest, client, 1, GUEST_MIB);
	result = call(client, "vm.snapshot", "{s:s, s:s, s:b}", "vm", guest.vm, "name", "left-paused", "resume", 0);
	cr_expect_str_eq(text_at(result, "state"), "paused");
	json_decref(result);
	/* One that was paused stays so. */
	result = call(client, "vm.snapshot", "{s:s, s:s, s:b}", "vm", guest.vm, "name", "still-paused", "resume", 1);
	cr_expect_str_eq(text_at(result, "state"), "paused");
	json_decref(result);
	perform(client, "vm.resume", "{s:s}", "vm", guest.vm);
	cr_expect_str_eq(guest_ask(&guest, "echo on"), "on");
	guest_release(&guest);

	result = call(client, "vm.restore", "{s:s, s:b}", "snapshot", "still-paused", "resume", 0);
	cr_expect_str_eq(text_at(result, "state"), "paused");
	cr_expect(json_is_null(at(result, "entered_ns")));
	guest_of(&guest, client, result);
	json_decref(result);
	guest_say(&guest, "count");
	perform(client, "vm.resume", "{s:s}", "vm", guest.vm);
	cr_expect_str_eq(guest_hear(&guest), "1");
	guest_release(&guest);
}

DAEMON_TEST(snapshots, a_question_on_its_way_survives)
{
	struct guest guest;

	guest_boot(&guest, client, 1, GUEST_MIB);
	perform(client, "vm.pause", "{s:s}", "vm", guest.vm);
	/* Half in the serial port's FIFO, half in the queue before it. */
	guest_say(&guest, "echo the quick brown fox jumps over the lazy dog");
	perform(client, "vm.snapshot", "{s:s, s:s}", "vm", guest.vm, "name", "in-flight");
	guest_release(&guest);
	guest_restore(&guest, client, "in-flight");
	/* What was read while finding the place is the answer's beginning: ask for something else behind it. */
	guest.offset = 0;
	cr_expect_str_eq(guest_hear(&guest), "the quick brown fox jumps over the lazy dog");
	guest_release(&guest);
}

DAEMON_TEST(snapshots, many_at_once_of_one_vm_are_refused_but_one)
{
	struct open_call calls[4];
	struct guest guest;
	int made = 0, i;

	guest_boot(&guest, client, 1, GUEST_MIB);
	for (i = 0; i < 4; i++) {
		char name[16];

		(void)snprintf(name, sizeof(name), "race-%d", i);
		open_call_begin(&calls[i], client, "vm.snapshot", "{s:s, s:s}", "vm", guest.vm, "name", name);
	}
	for (i = 0; i < 4; i++) {
		int code = open_call_wait(&calls[i], client);

		cr_expect(code == 0 || code == RPC_WRONG_VM_STATE, "%d: %s", code, calls[i].message);
		made += code == 0;
		open_call_end(&calls[i]);
	}
	cr_expect_geq(made, 1);
	cr_expect_str_eq(guest_ask(&guest, "echo on"), "on");
	guest_release(&guest);
}

DAEMON_TEST(snapshots, a_restore_of_what_is_not_there)
{
	refused(client, RPC_NOT_FOUND, "nothing", "vm.restore", "{s:s}", "snapshot", "nothing");
	refused(client, RPC_NOT_FOUND, "nothing", "snapshot.inspect", "{s:s}", "name", "nothing");
	refused(client, RPC_NOT_FOUND, "nothing", "snapshot.verify", "{s:s}", "name", "nothing");
	refused(client, RPC_NOT_FOUND, "nothing", "snapshot.remove", "{s:s}", "name", "nothing");
	refused(client, RPC_INVALID_PARAMS, "snapshot", "vm.restore", NULL);
	refused(client, RPC_INVALID_PARAMS, "snapshot", "vm.restore", "{s:s, s:s}", "snapshot", "a", "snapshot_path",
		"/a");
	refused(client, RPC_INVALID_PARAMS, "snapshot", "vm.restore", "{s:s}", "snapshot", "../a");
	refused(client, RPC_INVALID_PARAMS, "snapshot_path", "vm.restore", "{s:s}", "snapshot_path", "/a/../b");
}
