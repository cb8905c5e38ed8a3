/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a client is told where something cannot be done: the right culprit, and a way out where there is one.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "steps.h"

#define MANY 100

DAEMON_AND_CLIENT(
	"{\"limits\": {\"open_calls\": 300}, \"pool\": {\"shapes\": [{\"vcpus\": 1, \"memory_mib\": 8, \"min\": "
	"2, \"max\": 128}]}}");

/* There is one loader at a time, and each load waits for its turn. */
DAEMON_TEST(errors, a_hundred_loads_at_once_take_their_turn)
{
	static struct open_call calls[MANY];

	make_snapshot(client, "one", 1, 1, 1, 1);
	for (int i = 0; i < MANY; i++)
		open_call_begin(&calls[i], client, "snapshot.verify", "{s:s}", "name", "one");
	for (int i = 0; i < MANY; i++) {
		cr_expect_eq(open_call_wait(&calls[i], client), 0, "load %d: %s", i, calls[i].message);
		open_call_end(&calls[i]);
	}
}

/* Those that nobody waits for any more leave the queue. */
DAEMON_TEST(errors, loads_that_are_cancelled_hold_up_no_other)
{
	static struct open_call calls[MANY], last;

	make_snapshot(client, "one", 1, 1, 1, 1);
	for (int i = 0; i < MANY; i++)
		open_call_begin(&calls[i], client, "snapshot.verify", "{s:s}", "name", "one");
	for (int i = 0; i < MANY; i++)
		(void)ember_cancel(client, calls[i].id);
	open_call_begin(&last, client, "snapshot.verify", "{s:s}", "name", "one");
	cr_expect_eq(open_call_wait(&last, client), 0, "%s", last.message);
	open_call_end(&last);
	for (int i = 0; i < MANY; i++) {
		int code = open_call_wait(&calls[i], client);

		cr_expect(code == 0 || code == RPC_CANCELLED, "%d: %s", code, calls[i].message);
		open_call_end(&calls[i]);
	}
}

/* From here on renameat2(2) with flags is refused in this process and in the daemon, as it is on NFS. */
static void forbid_rename_flags(void)
{
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);

	cr_assert_not_null(filter);
	cr_assert_eq(seccomp_rule_add(filter, SCMP_ACT_ERRNO(EINVAL), SCMP_SYS(renameat2), 1, SCMP_A4(SCMP_CMP_NE, 0)),
		     0);
	cr_assert_eq(seccomp_load(filter), 0);
	seccomp_release(filter);
}

/* Snapshots can be kept there; what cannot be had is refused with its reason, before and after a restart. */
Test(errors, a_file_system_without_flags_of_rename_keeps_snapshots)
{
	struct guest guest;
	json_t *data;

	forbid_rename_flags();
	start();
	make_snapshot(client, "one", 1, 3, 1, 1);
	guest_restore(&guest, client, "one");
	cr_expect_eq(guest_number(&guest, "count"), 4);
	data = refusal(client, RPC_FAILED_PRECONDITION, "in one step", "vm.snapshot", "{s:s, s:s, s:b}", "vm", guest.vm,
		       "name", "one", "overwrite", 1);
	cr_expect_str_eq(text_at(data, "reason"), "FILE_SYSTEM_LACKS");
	json_decref(data);
	cr_expect_eq(guest_number(&guest, "count"), 5);
	guest_release(&guest);

	(void)ember_free(client);
	daemon_signal(&daemon_under_test, SIGTERM);
	cr_assert_eq(daemon_wait_end(&daemon_under_test), 0);
	daemon_start_again(&daemon_under_test);
	client = daemon_connect(&daemon_under_test);
	guest_restore(&guest, client, "one");
	cr_expect_eq(guest_number(&guest, "count"), 4);
	guest_release(&guest);
	stop();
}

/* A folder without unnamed files (proc has none) is no wrong argument: another file system will do. */
DAEMON_TEST(errors, what_a_file_system_lacks_is_said_to_be_so)
{
	char disk[160];
	json_t *data;
	FILE *file;

	(void)snprintf(disk, sizeof(disk), "%s/disk", daemon_under_test.folder);
	file = fopen(disk, "we");
	cr_assert_not_null(file);
	cr_assert_eq(ftruncate(fileno(file), 1048576), 0);
	(void)fclose(file);
	data = refusal(client, RPC_FAILED_PRECONDITION, "drives[0].overlay_folder", "vm.boot", "{s:[{s:s, s:s}]}",
		       "drives", "path", disk, "overlay_folder", "/proc");
	cr_expect_str_eq(text_at(data, "reason"), "FILE_SYSTEM_LACKS");
	json_decref(data);
	(void)unlink(disk);
}

/* However a limit is met, the error says when to try again. */
DAEMON_TEST(errors, a_limit_that_passes_says_when_to_try_again)
{
	json_t *data;

	data = refusal(client, RPC_POOL_EXHAUSTED, NULL, "vm.boot", "{s:i, s:s}", "memory_mib", 9, "temperature",
		       "warm");
	cr_expect_gt(int_at(data, "retry_after_ms"), 0);
	json_decref(data);
}

DAEMON_TEST(errors, too_many_open_calls_say_when_to_try_again)
{
	struct raw raw;
	struct guest guest;
	char line[160];
	int64_t retry_after_ms = 0;

	guest_boot(&guest, client, 1, GUEST_MIB);
	raw_connect(&raw, daemon_under_test.socket_path);
	for (int i = 0; i < 301; i++) {
		(void)snprintf(
			line, sizeof(line),
			"{\"jsonrpc\":\"2.0\",\"id\":%d,\"method\":\"vm.wait\",\"params\":{\"vm\":\"%s\",\"for\":"
			"\"exit\"}}",
			i, guest.vm);
		raw_send_line(&raw, line);
	}
	while (retry_after_ms == 0) {
		json_t *answer = raw_receive_answer(&raw);

		cr_assert_eq(int_at(answer, "error.code"), RPC_IN_FLIGHT_LIMIT);
		retry_after_ms = int_at(answer, "error.data.retry_after_ms");
		json_decref(answer);
	}
	raw_close(&raw);
	guest_release(&guest);
}
