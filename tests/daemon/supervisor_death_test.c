/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The supervisor killed under load: nothing of it survives for more than a second, and a restart over what it left
 * serves at once.
 *
 * The test makes itself the reaper of orphans (PR_SET_CHILD_SUBREAPER): every process of the daemon that outlives it
 * becomes a child of the test, so that none can hide.
 */
#include <criterion/criterion.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "steps.h"

#define KILLS           20
#define CLIENTS         4
#define SURVIVAL_MS     1000
#define RESTORES_A_LIFE 3 /* before the next kill */

static struct daemon daemon_under_test;
static atomic_bool over;
static atomic_uint restored;

/* One restore and, half of the time, its release: a VM that lives when the supervisor dies is what matters. */
static bool restore_once(struct ember *client, unsigned int number)
{
	json_t *params = json_pack("{s:s, s:s, s:b}", "snapshot", "base", "temperature", number % 3 ? "any" : "cold",
				   "detach", (int)(number % 4 == 1));
	json_t *result = NULL, *vm = NULL;
	bool worked = ember_call(client, "vm.restore", params, WAIT_MS, &result, NULL) == 0;

	if (worked) {
		atomic_fetch_add(&restored, 1);
		vm = json_pack("{s:O}", "vm", json_object_get(result, "vm"));
		if (number % 2 == 0)
			worked =
				ember_call(client, number % 4 ? "vm.release" : "vm.kill", vm, WAIT_MS, NULL, NULL) == 0;
	}
	json_decref(vm);
	json_decref(result);
	json_decref(params);
	return worked;
}

/* Restore in a loop; when the connection is lost, make another as soon as there is a daemon. */
static void *run_client(void *opaque)
{
	unsigned int number = 0;

	(void)opaque;
	while (!atomic_load(&over)) {
		struct ember *client = NULL;
		int i;

		if (ember_connect(daemon_under_test.socket_path, 1000, &client)) {
			sleep_ms(5);
			continue;
		}
		/* Few on one connection, so that its VMs do not pile up. */
		for (i = 0; i < 6 && restore_once(client, number); i++)
			number++;
		number++;
		(void)ember_free(client);
	}
	return NULL;
}

static size_t orphans(pid_t *pids, size_t max)
{
	/* Reap what has ended, so that only the living are counted. */
	while (waitpid(-1, NULL, WNOHANG) > 0)
		;
	return children_of(getpid(), pids, max);
}

static void describe(pid_t pid)
{
	char output[4096];

	(void)run_program(output, sizeof(output), "cat /proc/%d/comm /proc/%d/status | grep -v ctxt", (int)pid,
			  (int)pid);
	cr_expect_fail("process %d survives: %s", (int)pid, output);
}

static void kill_and_expect_nothing_left(void)
{
	pid_t left[512];
	int64_t killed;
	size_t count, i;
	int status;

	cr_assert_gt(children_of(daemon_under_test.pid, left, 512), 2, "a daemon under load has children");
	killed = now_ms();
	daemon_signal(&daemon_under_test, SIGKILL);
	cr_assert_eq(waitpid(daemon_under_test.pid, &status, 0), daemon_under_test.pid);
	cr_expect(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL, "%#x", (unsigned int)status);
	daemon_under_test.pid = 0;

	while ((count = orphans(left, 512)) > 0 && now_ms() - killed < SURVIVAL_MS)
		sleep_ms(5);
	for (i = 0; i < count && i < 512; i++)
		describe(left[i]);
	cr_assert_eq(count, 0);
}

static void wait_for_restores(unsigned int count)
{
	unsigned int before = atomic_load(&restored);
	int64_t until = now_ms() + WAIT_MS;

	while (atomic_load(&restored) - before < count) {
		cr_assert_lt(now_ms(), until, "no VM is restored any more");
		sleep_ms(1);
	}
}

static void serve_again(void)
{
	struct ember *client;
	struct guest guest;

	/* The log of all lives together is more than the harness reads. */
	cr_assert_eq(truncate(daemon_under_test.log_path, 0), 0);
	cr_assert_eq(access(daemon_under_test.socket_path, F_OK), 0, "the socket is not stale");
	daemon_start_again(&daemon_under_test);
	client = daemon_connect(&daemon_under_test);
	guest_restore(&guest, client, "base");
	cr_expect_eq(guest_number(&guest, "get"), 2);
	guest_release(&guest);
	(void)ember_free(client);
}

Test(supervisor_death, twenty_times_under_load, .timeout = 600)
{
	pthread_t threads[CLIENTS];
	struct ember *client;
	int i;

	cr_assert_eq(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
	daemon_start(&daemon_under_test, "{\"pool\": {\"shapes\": ["
					 "{\"vcpus\": 1, \"memory_mib\": 8, \"min\": 3, \"max\": 24}]}}");
	client = daemon_connect(&daemon_under_test);
	make_snapshot(client, "base", 1, 2, 20, 1);
	(void)ember_free(client);

	for (i = 0; i < CLIENTS; i++)
		cr_assert_eq(pthread_create(&threads[i], NULL, run_client, NULL), 0);
	for (i = 0; i < KILLS; i++) {
		wait_for_restores(RESTORES_A_LIFE + (unsigned int)i % 5);
		kill_and_expect_nothing_left();
		serve_again();
	}
	atomic_store(&over, true);
	for (i = 0; i < CLIENTS; i++)
		cr_assert_eq(pthread_join(threads[i], NULL), 0);
	daemon_stop(&daemon_under_test);
}

/* One that is killed before it serves leaves nothing either. */
Test(supervisor_death, while_it_starts, .timeout = 600)
{
	pid_t left[64];
	int i;

	cr_assert_eq(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
	daemon_start(&daemon_under_test, GUEST_POOL);
	for (i = 0; i < 10; i++) {
		int64_t killed;
		pid_t pid;

		daemon_signal(&daemon_under_test, SIGKILL);
		(void)daemon_wait_end(&daemon_under_test);
		pid = fork();
		cr_assert_geq(pid, 0);
		if (pid == 0) {
			if (!freopen(daemon_under_test.log_path, "ae", stderr))
				_exit(99);
			(void)execl(EMBERD_PATH, "emberd", "--config", daemon_under_test.config_path, (char *)NULL);
			_exit(98);
		}
		sleep_ms(3L * i);
		killed = now_ms();
		cr_assert_eq(kill(pid, SIGKILL), 0);
		cr_assert_eq(waitpid(pid, NULL, 0), pid);
		while (orphans(left, 64) > 0 && now_ms() - killed < SURVIVAL_MS)
			sleep_ms(5);
		cr_assert_eq(orphans(left, 64), 0);
		daemon_start_again(&daemon_under_test);
	}
	daemon_stop(&daemon_under_test);
}
