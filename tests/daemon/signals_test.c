/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Signals and limits that end a process by default must not end the daemon, or what it runs.
 */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "signals/signals.h"
#include "steps.h"

#define KIB ((off_t)1024)

/* The daemon's configuration has a log at level debug: a line or two a call. */
DAEMON_AND_CLIENT(GUEST_POOL);

/* From here on this process, and the daemon that it starts, may write files so long only. */
static void limit(__rlimit_resource_t resource, rlim_t value)
{
	const struct rlimit both = { .rlim_cur = value, .rlim_max = value };

	cr_assert_eq(setrlimit(resource, &both), 0);
}

static void send_all(pid_t pid, enum signals_of kind)
{
	size_t count;
	const struct signal_row *rows = signals_table(&count);

	cr_assert_gt(pid, 0);
	for (size_t i = 0; i < count; i++) {
		if (rows[i].use[kind] != SIGNAL_IGNORED)
			continue;
		for (int number = rows[i].first; number <= rows[i].last; number++)
			cr_assert_eq(kill(pid, number), 0, "%s", rows[i].name);
	}
}

DAEMON_TEST(signals, a_stray_signal_ends_no_process)
{
	pid_t daemon = daemon_under_test.pid;
	struct guest guest;

	guest_boot(&guest, client, 1, GUEST_MIB);
	pool_settle(client, 2, 1);
	send_all(daemon, SIGNALS_OF_DAEMON);
	send_all(child_named(daemon, "ember-zygote"), SIGNALS_OF_CHILD);
	send_all(child_named(daemon, "ember-loader"), SIGNALS_OF_CHILD);
	send_all(guest.pid, SIGNALS_OF_CHILD);
	cr_expect_eq(guest_number(&guest, "count"), 1);
	make_snapshot(client, "after", 1, 1, 1, 1); /* by the loader, and by a worker that the zygote forks */
	cr_expect_eq(daemon_count_log(&daemon_under_test, "zygote_ended"), 0);
	cr_expect_eq(daemon_count_log(&daemon_under_test, "loader_ended"), 0);
	guest_release(&guest);
}

/* What a parent ignored or blocked is inherited through exec(2). */
Test(signals, what_a_parent_did_with_signals_does_not_matter)
{
	sigset_t blocked;

	(void)sigfillset(&blocked);
	cr_assert_eq(sigprocmask(SIG_SETMASK, &blocked, NULL), 0);
	(void)signal(SIGCHLD, SIG_IGN);
	(void)signal(SIGTERM, SIG_IGN);
	start();
	(void)signal(SIGCHLD, SIG_DFL);
	make_snapshot(client, "made", 1, 1, 1, 1);
	pool_settle(client, 2, 0);
	daemon_signal(&daemon_under_test, SIGHUP);
	daemon_wait_log(&daemon_under_test, "configuration reloaded");
	stop(); /* by SIGTERM */
}

DAEMON_TEST(signals, quit_drains_and_stops)
{
	(void)ember_free(client);
	daemon_signal(&daemon_under_test, SIGQUIT);
	cr_expect_eq(daemon_wait_end(&daemon_under_test), 0);
	daemon_start_again(&daemon_under_test);
	client = daemon_connect(&daemon_under_test);
}

static off_t log_size(void)
{
	struct stat status;

	cr_assert_eq(stat(daemon_under_test.log_path, &status), 0);
	return status.st_size;
}

/* It is counted what the log had no room for, and told when there is room again. */
Test(signals, a_log_that_cannot_grow_ends_nothing)
{
	struct guest guest;

	limit(RLIMIT_FSIZE, (rlim_t)(96 * KIB));
	start();
	guest_boot(&guest, client, 1, GUEST_MIB);
	for (int i = 0; i < 5000 && log_size() < 96 * KIB; i++)
		perform(client, "server.ping", NULL);
	cr_assert_eq(log_size(), 96 * KIB);
	perform(client, "server.ping", NULL);
	cr_expect_eq(guest_number(&guest, "count"), 1);

	cr_assert_eq(truncate(daemon_under_test.log_path, 0), 0);
	perform(client, "server.ping", NULL);
	daemon_wait_log(&daemon_under_test, "\"dropped_lines\":");
	guest_release(&guest);
	stop();
}

/* A snapshot over the limit is refused with its reason, by processes that live on. */
Test(signals, a_snapshot_over_the_limit_of_file_sizes_is_refused)
{
	struct guest guest;
	json_t *data;

	limit(RLIMIT_FSIZE, (rlim_t)(4096 * KIB));
	start();
	daemon_wait_log(&daemon_under_test, "RLIMIT_FSIZE");
	guest_boot(&guest, client, 1, GUEST_MIB);
	data = refusal(client, RPC_RESOURCE_EXHAUSTED, "memory.snap", "vm.snapshot", "{s:s, s:s}", "vm", guest.vm,
		       "name", "big");
	cr_expect_str_eq(text_at(data, "reason"), "FILE_SIZE_LIMIT");
	json_decref(data);
	cr_expect_eq(guest_number(&guest, "count"), 1);
	guest_release(&guest);
	stop();
}

/* The loader's state is a file in memory, for which the limit holds, too. */
Test(signals, a_loader_at_the_limit_of_file_sizes_says_so)
{
	char path[160];
	json_t *data;

	start();
	make_snapshot(client, "kept", 1, 1, 1, 1);
	(void)ember_free(client);
	daemon_signal(&daemon_under_test, SIGTERM);
	cr_assert_eq(daemon_wait_end(&daemon_under_test), 0);
	limit(RLIMIT_FSIZE, (rlim_t)(256 * KIB));
	cr_assert_eq(truncate(daemon_under_test.log_path, 0), 0);
	daemon_start_again(&daemon_under_test);
	client = daemon_connect(&daemon_under_test);

	(void)snprintf(path, sizeof(path), "%s/snapshots/kept", daemon_under_test.state_dir);
	data = refusal(client, RPC_RESOURCE_EXHAUSTED, NULL, "vm.restore", "{s:s}", "snapshot_path", path);
	cr_expect_str_eq(text_at(data, "reason"), "FILE_SIZE_LIMIT");
	json_decref(data);
	cr_expect_eq(daemon_count_log(&daemon_under_test, "loader_ended"), 0);
	stop();
}

Test(signals, a_limit_of_files_that_is_too_low_is_told)
{
	limit(RLIMIT_NOFILE, 200);
	start();
	daemon_wait_log(&daemon_under_test, "RLIMIT_NOFILE");
	stop();
}

static void write_queue_limit(int value)
{
	char config[128];

	(void)snprintf(config, sizeof(config), "{\"pool\": {\"shapes\": [], \"queue_limit\": %d}}", value);
	daemon_write_config(&daemon_under_test, config);
}

static int queue_limit(void)
{
	json_t *status = call(client, "pool.status", NULL);
	int value = (int)int_at(status, "queue_limit");

	json_decref(status);
	return value;
}

/* A signal that comes while the file is being read is about another file. */
DAEMON_TEST(signals, the_last_configuration_wins)
{
	for (int i = 1; i <= 100; i++) {
		for (int j = 0; j < 4; j++) {
			write_queue_limit(i * 10 + j);
			daemon_signal(&daemon_under_test, SIGHUP);
			(void)usleep((useconds_t)(i * 10 + j * 50));
		}
		for (int waited_ms = 0; queue_limit() != i * 10 + 3; waited_ms += 5) {
			cr_assert_lt(waited_ms, WAIT_MS, "%d is in force, not %d", queue_limit(), i * 10 + 3);
			sleep_ms(5);
		}
	}
}

Test(signals, a_command_that_cannot_write_its_output_fails)
{
	char output[1024];

	start();
	cr_expect_eq(run_program(output, sizeof(output),
				 "sh -c 'ulimit -f 0; " EMBERCTL_PATH " --socket %s rpc discover > "
				 "%s/out'",
				 daemon_under_test.socket_path, daemon_under_test.folder),
		     1, "%s", output);
	(void)run_program(output, sizeof(output), "rm -f %s/out", daemon_under_test.folder);
	stop();
}
