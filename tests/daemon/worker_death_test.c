/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Workers, the zygote and the loader, killed at each state of their lives. What they served gets one answer, the pool
 * refills, and nobody else notices.
 *
 * A state that lasts microseconds is held by stopping a process (SIGSTOP): a warm worker before its start, the zygote
 * before its fork. A worker in the middle of being built is caught by tracing the zygote, whose children the kernel then
 * stops at their first instruction.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/wait.h>

#include "steps.h"

#define POOL_OF_ONE "{\"pool\": {\"shapes\": [{\"vcpus\": 1, \"memory_mib\": 8, \"min\": 1, \"max\": 8}]}}"

static struct daemon daemon_under_test;
static struct ember *client;
static struct guest bystander;

static void start_with(const char *overrides)
{
	daemon_start(&daemon_under_test, overrides);
	client = daemon_connect(&daemon_under_test);
	guest_boot(&bystander, client, 2, 4);
}

static void start(void)
{
	start_with(POOL_OF_ONE);
	pool_settle(client, 1, 1);
}

static void stop(void)
{
	cr_expect_eq(guest_number(&bystander, "count"), 1);
	/* The pool has refilled, and serves. */
	pool_settle(client, 1, 1);
	json_decref(call(client, "vm.boot", "{s:i, s:s}", "memory_mib", GUEST_MIB, "temperature", "warm"));
	(void)ember_free(client);
	daemon_stop(&daemon_under_test);
}

/* The pid of a worker of the small shape in this state, 0: none. */
static pid_t worker_in(const char *state)
{
	json_t *status = call(client, "pool.status", NULL), *worker;
	pid_t pid = 0;
	size_t i;

	json_array_foreach(at(status, "workers"), i, worker)
		if (!strcmp(text_at(worker, "shape"), "1x8-host") && !strcmp(text_at(worker, "state"), state))
			pid = (pid_t)int_at(worker, "pid");
	json_decref(status);
	return pid;
}

static void wait_for_workers(const char *state, size_t count)
{
	int64_t until = now_ms() + WAIT_MS;

	while (count_workers(client, state) != count) {
		cr_assert_lt(now_ms(), until, "no %zu workers are %s: %s", count, state,
			     json_dumps(call(client, "pool.status", NULL), 0));
		sleep_ms(5);
	}
}

/* The daemon's child of that name; the test fails where there is none. */
static pid_t daemon_child(const char *name)
{
	pid_t pid = child_named(daemon_under_test.pid, name);

	cr_assert_neq(pid, 0, "there is no %s", name);
	return pid;
}

static void boot(struct open_call *open, const char *temperature)
{
	open_call_begin(open, client, "vm.boot", "{s:i, s:s}", "memory_mib", GUEST_MIB, "temperature", temperature);
}

/* It was, or will be, answered once: open_call asserts that there is no second answer, which a ping gives time to come. */
static int answer_of(struct open_call *open)
{
	int code = open_call_wait(open, client);

	perform(client, "server.ping", NULL);
	if (code == 0)
		perform(client, "vm.kill", "{s:s}", "vm", text_at(open->result, "vm"));
	return code;
}

DAEMON_TEST(worker_death, while_it_is_warm)
{
	pid_t pid = worker_in("warm");

	cr_assert_neq(pid, 0);
	cr_assert_eq(kill(pid, SIGKILL), 0);
	/* Its successor takes its place. */
	while (worker_in("warm") == pid)
		sleep_ms(1);
}

DAEMON_TEST(worker_death, while_it_starts_a_vm)
{
	struct open_call open;
	pid_t pid = worker_in("warm");

	cr_assert_eq(kill(pid, SIGSTOP), 0);
	boot(&open, "warm");
	wait_for_workers("starting", 1);
	cr_expect_eq(worker_in("starting"), pid);
	cr_assert_eq(kill(pid, SIGKILL), 0);
	cr_expect_eq(answer_of(&open), RPC_WORKER_DIED, "%s", open.message);
	open_call_end(&open);
}

DAEMON_TEST(worker_death, while_a_client_leaves_it_starting)
{
	struct ember *leaver = daemon_connect(&daemon_under_test);
	struct open_call open;
	pid_t pid = worker_in("warm");

	cr_assert_eq(kill(pid, SIGSTOP), 0);
	open_call_begin(&open, leaver, "vm.boot", "{s:i}", "memory_mib", GUEST_MIB);
	while (ember_unsent(leaver) > 0)
		(void)ember_dispatch(leaver, 0);
	wait_for_workers("starting", 1);
	(void)ember_free(leaver);
	process_wait_end(pid);
}

DAEMON_TEST(worker_death, while_it_runs_a_vm)
{
	struct open_call wait, console, event;
	struct guest guest;

	guest_boot(&guest, client, 1, GUEST_MIB);
	open_call_begin(&wait, client, "vm.wait", "{s:s, s:s}", "vm", guest.vm, "for", "exit");
	open_call_begin(&event, client, "vm.wait", "{s:s, s:s, s:i}", "vm", guest.vm, "for", "event", "event", 3);
	open_call_begin(&console, client, "vm.console", "{s:s, s:s, s:I, s:b}", "vm", guest.vm, "action", "read",
			"offset", (json_int_t)guest.offset, "wait", 1);
	perform(client, "server.ping", NULL);
	cr_assert_eq(kill(guest.pid, SIGKILL), 0);
	cr_expect_eq(open_call_wait(&wait, client), 0, "%s", wait.message);
	cr_expect_str_eq(text_at(wait.result, "exit_reason"), "worker_killed");
	cr_expect_neq(open_call_wait(&event, client), 0);
	(void)open_call_wait(&console, client);
	refused(client, RPC_NOT_FOUND, guest.vm, "vm.info", "{s:s}", "vm", guest.vm);
	open_call_end(&wait);
	open_call_end(&event);
	open_call_end(&console);
}

DAEMON_TEST(worker_death, while_it_carries_something_out)
{
	struct open_call pause_, snapshot, console;
	struct guest guest;

	guest_boot(&guest, client, 1, GUEST_MIB);
	cr_assert_eq(kill(guest.pid, SIGSTOP), 0);
	open_call_begin(&snapshot, client, "vm.snapshot", "{s:s, s:s}", "vm", guest.vm, "name", "never");
	open_call_begin(&console, client, "vm.console", "{s:s, s:s, s:s}", "vm", guest.vm, "action", "write", "data",
			"x");
	wait_for_workers("leased", 2);
	cr_assert_eq(kill(guest.pid, SIGKILL), 0);
	cr_expect_eq(open_call_wait(&snapshot, client), RPC_WORKER_DIED, "%s", snapshot.message);
	cr_expect_eq(open_call_wait(&console, client), RPC_WORKER_DIED, "%s", console.message);
	open_call_begin(&pause_, client, "vm.pause", "{s:s}", "vm", guest.vm);
	cr_expect_eq(open_call_wait(&pause_, client), RPC_NOT_FOUND, "%s", pause_.message);
	refused(client, RPC_NOT_FOUND, "never", "snapshot.inspect", "{s:s}", "name", "never");
	open_call_end(&snapshot);
	open_call_end(&console);
	open_call_end(&pause_);
}

DAEMON_TEST(worker_death, while_it_is_stopping)
{
	struct open_call release;
	struct guest guest;

	guest_boot(&guest, client, 1, GUEST_MIB);
	cr_assert_eq(kill(guest.pid, SIGSTOP), 0);
	open_call_begin(&release, client, "vm.release", "{s:s}", "vm", guest.vm);
	wait_for_workers("stopping", 1);
	cr_assert_eq(kill(guest.pid, SIGKILL), 0);
	cr_expect_eq(open_call_wait(&release, client), 0, "%s", release.message);
	cr_expect_str_eq(text_at(release.result, "exit_reason"), "released");
	open_call_end(&release);
}

DAEMON_TEST(worker_death, one_that_does_not_stop_is_made_to)
{
	struct guest guest;

	guest_boot(&guest, client, 1, GUEST_MIB);
	cr_assert_eq(kill(guest.pid, SIGSTOP), 0);
	/* A stopped process reads no message and heeds no SIGTERM. */
	guest_release(&guest);
	cr_expect(!process_lives(guest.pid));
}

Test(worker_death, one_that_does_not_answer_is_killed)
{
	struct open_call pause_, wait;
	struct guest guest;

	start_with("{\"pool\": {\"reply_timeout_ms\": 1000, \"shapes\": ["
		   "{\"vcpus\": 1, \"memory_mib\": 8, \"min\": 1, \"max\": 8}]}}");
	guest_boot(&guest, client, 1, GUEST_MIB);
	open_call_begin(&wait, client, "vm.wait", "{s:s, s:s}", "vm", guest.vm, "for", "exit");
	cr_assert_eq(kill(guest.pid, SIGSTOP), 0);
	open_call_begin(&pause_, client, "vm.pause", "{s:s}", "vm", guest.vm);
	cr_expect_eq(open_call_wait(&pause_, client), RPC_WORKER_DIED, "%s", pause_.message);
	cr_expect_eq(open_call_wait(&wait, client), 0, "%s", wait.message);
	open_call_end(&pause_);
	open_call_end(&wait);
	stop();
}

DAEMON_TEST(worker_death, while_it_is_forked)
{
	pid_t zygote = daemon_child("ember-zygote");
	struct open_call open;
	int code;

	cr_assert_eq(kill(zygote, SIGSTOP), 0);
	boot(&open, "cold");
	wait_for_workers("forking", 1);
	cr_assert_eq(kill(zygote, SIGKILL), 0);
	code = answer_of(&open);
	cr_expect(code == 0 || code == RPC_WORKER_DIED, "%d: %s", code, open.message);
	open_call_end(&open);
}

/* The next child of a traced zygote, stopped at its first instruction. */
static pid_t catch_child(pid_t zygote)
{
	unsigned long child = 0;
	int status;

	do {
		cr_assert_eq(waitpid(zygote, &status, __WALL), zygote);
		cr_assert(WIFSTOPPED(status), "the zygote ended: %#x", (unsigned int)status);
		if (status >> 16 != 0 && status >> 16 != PTRACE_EVENT_STOP)
			cr_assert_eq(ptrace(PTRACE_GETEVENTMSG, zygote, 0, &child), 0);
		cr_assert_eq(ptrace(PTRACE_CONT, zygote, 0, 0), 0);
	} while (!child);
	cr_assert_eq(waitpid((pid_t)child, &status, __WALL), (pid_t)child);
	return (pid_t)child;
}

static void let_go(pid_t zygote)
{
	int status;

	cr_assert_eq(ptrace(PTRACE_INTERRUPT, zygote, 0, 0), 0);
	cr_assert_eq(waitpid(zygote, &status, __WALL), zygote);
	cr_assert_eq(ptrace(PTRACE_DETACH, zygote, 0, 0), 0);
}

DAEMON_TEST(worker_death, while_it_is_built)
{
	pid_t zygote = daemon_child("ember-zygote"), worker;
	struct open_call open;
	int code, status;

	cr_assert_eq(ptrace(PTRACE_SEIZE, zygote, 0, PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACECLONE), 0,
		     "%s", strerror(errno));
	boot(&open, "cold");
	while (ember_unsent(client) > 0)
		(void)ember_dispatch(client, 0);
	worker = catch_child(zygote);
	wait_for_workers("building", 1);
	cr_expect_eq(worker_in("building"), worker);
	cr_assert_eq(kill(worker, SIGKILL), 0);
	/* Its tracer is told first, its parent then. */
	cr_assert_eq(waitpid(worker, &status, __WALL), worker);
	let_go(zygote);
	code = answer_of(&open);
	cr_expect(code == 0 || code == RPC_WORKER_DIED, "%d: %s", code, open.message);
	open_call_end(&open);
}

DAEMON_TEST(worker_death, the_loader)
{
	struct open_call restore;
	struct guest guest;
	char path[256];
	pid_t loader;
	json_t *started;

	(void)snprintf(path, sizeof(path), "%s/snapshot", daemon_under_test.folder);
	guest_boot(&guest, client, 1, GUEST_MIB);
	perform(client, "vm.snapshot", "{s:s, s:s}", "vm", guest.vm, "path", path);
	guest_release(&guest);
	pool_settle(client, 1, 1);

	/* There is a new one for each load. */
	while (!(loader = child_named(daemon_under_test.pid, "ember-loader")) || kill(loader, SIGSTOP) != 0 ||
	       !process_lives(loader))
		sleep_ms(5);
	open_call_begin(&restore, client, "vm.restore", "{s:s}", "snapshot_path", path);
	/* The files are opened and on their way when a later job of the file thread has been done. */
	refused(client, RPC_NOT_FOUND, "none", "vm.restore", "{s:s}", "snapshot_path", "/none");
	cr_assert_eq(kill(loader, SIGKILL), 0);
	cr_expect_eq(answer_of(&restore), RPC_WORKER_DIED, "%s", restore.message);
	open_call_end(&restore);
	process_wait_end(loader);

	started = call(client, "vm.restore", "{s:s}", "snapshot_path", path);
	perform(client, "vm.release", "{s:s}", "vm", text_at(started, "vm"));
	json_decref(started);
}

DAEMON_TEST(worker_death, the_zygote)
{
	pid_t zygote = daemon_child("ember-zygote");
	struct open_call open;

	cr_assert_eq(kill(zygote, SIGKILL), 0);
	process_wait_end(zygote);
	/* Workers outlive it, and a new one makes more. */
	cr_expect_str_eq(guest_ask(&bystander, "echo here"), "here");
	boot(&open, "cold");
	cr_expect_eq(answer_of(&open), 0, "%s", open.message);
	open_call_end(&open);
	cr_expect_neq(daemon_child("ember-zygote"), zygote);
}
