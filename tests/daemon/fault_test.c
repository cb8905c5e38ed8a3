/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Processes that die at every moment of their life: what was asked of them gets one answer, the others do not notice,
 * and the pool fills up again.
 */
#include <criterion/criterion.h>
#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "vms.h"

#define POLL_MS      5
#define CHILDREN_MAX 64

static struct daemon daemon_under_test;
static struct ember *client;

static void start(void)
{
	daemon_start(&daemon_under_test, "{\"pool\": {\"reply_timeout_ms\": 2000, \"shapes\": [{\"vcpus\": 1, "
					 "\"memory_mib\": 8, \"min\": 2, \"max\": 8}]}}");
	client = daemon_connect(&daemon_under_test);
}

/* Whatever died, the daemon serves, and its pool is full again. */
static void stop(void)
{
	char vm[VM_ID_TEXT];

	vm_boot(client, vm);
	json_decref(callf(client, "vm.release", "{\"vm\": \"%s\"}", vm));
	wait_until_warm(client, 2);
	(void)ember_free(client);
	daemon_stop(&daemon_under_test);
}

static void pause_a_moment(void)
{
	const struct timespec delay = { .tv_nsec = POLL_MS * 1000000L };

	(void)nanosleep(&delay, NULL);
}

/* The pid of a worker in this state, or of the one that has this VM. Waits until there is one. */
static pid_t worker_of(const char *state, const char *vm)
{
	int waited_ms;

	for (waited_ms = 0; waited_ms < WAIT_MS; waited_ms += POLL_MS) {
		json_t *status = client_call(client, "pool.status", NULL), *worker;
		pid_t pid = 0;
		size_t i;

		json_array_foreach(at(status, "workers"), i, worker) {
			const char *of = json_string_value(json_object_get(worker, "vm"));

			if (vm ? of && !strcmp(of, vm) : !strcmp(text_at(worker, "state"), state))
				pid = (pid_t)int_at(worker, "pid");
		}
		json_decref(status);
		if (pid > 0)
			return pid;
		pause_a_moment();
	}
	cr_assert_fail("there is no %s worker", state);
	return 0;
}

static void kill_process(pid_t pid, int number)
{
	cr_assert_eq(kill(pid, number), 0);
}

/* Stop every worker that is warm, so that the next start waits for one. Returns how many. */
static size_t freeze_warm(pid_t *pids)
{
	json_t *status, *worker;
	size_t count = 0, i;

	wait_until_warm(client, 2);
	status = client_call(client, "pool.status", NULL);
	json_array_foreach(at(status, "workers"), i, worker)
		if (!strcmp(text_at(worker, "state"), "warm") && count < CHILDREN_MAX) {
			pids[count] = (pid_t)int_at(worker, "pid");
			kill_process(pids[count++], SIGSTOP);
		}
	json_decref(status);
	return count;
}

DAEMON_TEST(fault, a_warm_worker_that_dies_is_replaced)
{
	char vm[VM_ID_TEXT], *answer;
	pid_t pid;

	vm_boot(client, vm);
	wait_until_warm(client, 2);
	pid = worker_of("warm", NULL);
	kill_process(pid, SIGKILL);
	daemon_wait_log(&daemon_under_test, "worker_ended");
	wait_until_warm(client, 2);
	answer = vm_command(client, vm, "echo unharmed");
	cr_expect_str_eq(answer, "unharmed");
	free(answer);
}

DAEMON_TEST(fault, a_worker_that_dies_while_it_is_built_is_replaced)
{
	json_t *row = client_call(client, "pool.configure",
				  "{\"vcpus\": 1, \"memory_mib\": 8, \"min\": 8, \"max\": 8, "
				  "\"refill_concurrency\": 1}");
	int deaths = 0, waited_ms;

	json_decref(row);
	for (waited_ms = 0; waited_ms < WAIT_MS && deaths < 2; waited_ms++) {
		json_t *status = client_call(client, "pool.status", NULL), *worker;
		size_t i;

		json_array_foreach(at(status, "workers"), i, worker)
			if (!strcmp(text_at(worker, "state"), "building") && int_at(worker, "pid") > 0 &&
			    kill((pid_t)int_at(worker, "pid"), SIGKILL) == 0)
				deaths++;
		if (int_at(status, "shapes.0.warm") == 8)
			deaths = 2;
		json_decref(status);
	}
	wait_until_warm(client, 8);
	json_decref(client_call(client, "pool.configure", "{\"vcpus\": 1, \"memory_mib\": 8, \"min\": 2, \"max\": 8}"));
}

DAEMON_TEST(fault, a_worker_that_dies_while_it_starts_a_vm_fails_that_start)
{
	pid_t pids[CHILDREN_MAX];
	size_t count = freeze_warm(pids), i;
	struct raw raw;
	json_t *answer;

	raw_connect(&raw, daemon_under_test.socket_path);
	raw_send_line(&raw, "{\"jsonrpc\": \"2.0\", \"id\": 1, \"method\": \"vm.boot\", "
			    "\"params\": {\"memory_mib\": 8, \"temperature\": \"warm\"}}");
	kill_process(worker_of("starting", NULL), SIGKILL);
	for (i = 0; i < count; i++)
		(void)kill(pids[i], SIGCONT);
	answer = raw_receive(&raw);
	cr_expect_eq(int_at(answer, "error.code"), RPC_WORKER_DIED);
	json_decref(answer);
	json_decref(raw_call(&raw, "server.ping", NULL));
	raw_close(&raw);
}

DAEMON_TEST(fault, a_worker_that_hangs_while_it_starts_a_vm_is_killed)
{
	pid_t pids[CHILDREN_MAX];
	size_t count = freeze_warm(pids), i;

	cr_expect_eq(client_fail(client, "vm.boot", "{\"memory_mib\": 8, \"temperature\": \"warm\"}", NULL),
		     RPC_WORKER_DIED);
	cr_expect_eq(daemon_count_log(&daemon_under_test, "worker_stalled"), 1);
	/* The other one hangs, too, and nothing has asked it yet. */
	for (i = 0; i < count; i++)
		(void)kill(pids[i], SIGCONT);
}

DAEMON_TEST(fault, a_worker_that_dies_with_its_vm_answers_everybody_once)
{
	char vm[VM_ID_TEXT], other[VM_ID_TEXT], line[512], *text;
	struct raw raw;
	json_t *answer;
	int exits = 0, i;

	vm_boot(client, vm);
	vm_boot(client, other);
	raw_connect(&raw, daemon_under_test.socket_path);
	(void)snprintf(
		line, sizeof(line),
		"{\"jsonrpc\": \"2.0\", \"id\": 1, \"method\": \"vm.wait\", \"params\": {\"vm\": \"%s\", \"for\": \"exit\"}}\n"
		"{\"jsonrpc\": \"2.0\", \"id\": 2, \"method\": \"vm.wait\", \"params\": {\"vm\": \"%s\", \"for\": \"event\", "
		"\"event\": 8}}",
		vm, vm);
	raw_send_line(&raw, line);
	(void)snprintf(
		line, sizeof(line),
		"{\"jsonrpc\": \"2.0\", \"id\": 3, \"method\": \"vm.console\", \"params\": {\"vm\": \"%s\", \"action\": "
		"\"read\", \"offset\": 1000000, \"wait\": true}}\n"
		"{\"jsonrpc\": \"2.0\", \"id\": 4, \"method\": \"server.ping\"}",
		vm);
	raw_send_line(&raw, line);
	answer = raw_receive(&raw);
	cr_assert_eq(int_at(answer, "id"), 4);
	json_decref(answer);

	kill_process(worker_of(NULL, vm), SIGKILL);
	for (i = 0; i < 3; i++) {
		answer = raw_receive(&raw);
		exits |= 1 << int_at(answer, "id");
		if (int_at(answer, "id") == 1)
			cr_expect_str_eq(text_at(answer, "result.exit_reason"), "worker_killed");
		json_decref(answer);
	}
	cr_expect_eq(exits, 0xe, "each of the three is answered");
	json_decref(raw_call(&raw, "server.ping", NULL));
	raw_close(&raw);
	cr_expect_eq(failf(client, "vm.info", "{\"vm\": \"%s\"}", vm), RPC_NOT_FOUND);
	text = vm_command(client, other, "echo unharmed");
	cr_expect_str_eq(text, "unharmed");
	free(text);
	json_decref(callf(client, "vm.kill", "{\"vm\": \"%s\"}", other));
}

DAEMON_TEST(fault, a_worker_that_hangs_with_its_vm_is_killed)
{
	char vm[VM_ID_TEXT];

	vm_boot(client, vm);
	kill_process(worker_of(NULL, vm), SIGSTOP);
	cr_expect_eq(failf(client, "vm.pause", "{\"vm\": \"%s\"}", vm), RPC_WORKER_DIED);
	wait_until_vms(client, 0);
}

DAEMON_TEST(fault, a_worker_that_dies_while_it_writes_a_snapshot_leaves_nothing)
{
	char vm[VM_ID_TEXT], line[256], folder[160];
	struct dirent *entry;
	struct raw raw;
	json_t *answer;
	pid_t pid;
	DIR *there;

	vm_boot(client, vm);
	pid = worker_of(NULL, vm);
	kill_process(pid, SIGSTOP);
	raw_connect(&raw, daemon_under_test.socket_path);
	(void)snprintf(
		line, sizeof(line),
		"{\"jsonrpc\": \"2.0\", \"id\": 1, \"method\": \"vm.snapshot\", \"params\": {\"vm\": \"%s\", \"name\": "
		"\"s\"}}",
		vm);
	raw_send_line(&raw, line);
	for (;;) {
		json_t *list = client_call(client, "vm.list", NULL);
		bool busy = !strcmp(text_at(list, "vms.0.state"), "busy");

		json_decref(list);
		if (busy)
			break;
		pause_a_moment();
	}
	kill_process(pid, SIGKILL);
	answer = raw_receive_answer(&raw);
	cr_expect_eq(int_at(answer, "error.code"), RPC_WORKER_DIED);
	json_decref(answer);
	raw_close(&raw);

	(void)snprintf(folder, sizeof(folder), "%s/snapshots", daemon_under_test.state_dir);
	there = opendir(folder);
	cr_assert_not_null(there);
	while ((entry = readdir(there)) != NULL) // NOLINT(concurrency-mt-unsafe)
		cr_expect_eq(entry->d_name[0], '.', "%s is left", entry->d_name);
	rewinddir(there);
	while ((entry = readdir(there)) != NULL) // NOLINT(concurrency-mt-unsafe)
		cr_expect(!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."), "%s is left", entry->d_name);
	(void)closedir(there);
}

/* The children of a process: the zygote, the loader, the workers. Returns how many. */
static size_t children_of(pid_t pid, pid_t *children)
{
	char path[64], text[4096] = "", *next = text, *end;
	size_t count = 0;
	FILE *file;

	(void)snprintf(path, sizeof(path), "/proc/%d/task/%d/children", (int)pid, (int)pid);
	file = fopen(path, "re");
	cr_assert_not_null(file);
	(void)!fread(text, 1, sizeof(text) - 1, file);
	(void)fclose(file);
	while (count < CHILDREN_MAX) {
		children[count] = (pid_t)strtol(next, &end, 10);
		if (end == next)
			break;
		next = end;
		count++;
	}
	return count;
}

/* The daemon's child of that name. */
static pid_t helper_named(const char *name)
{
	pid_t children[CHILDREN_MAX];
	size_t count = children_of(daemon_under_test.pid, children), i;
	char path[64], comm[64];

	for (i = 0; i < count; i++) {
		FILE *file;

		(void)snprintf(path, sizeof(path), "/proc/%d/comm", (int)children[i]);
		file = fopen(path, "re");
		if (!file)
			continue;
		comm[0] = '\0';
		(void)!fgets(comm, sizeof(comm), file);
		(void)fclose(file);
		comm[strcspn(comm, "\n")] = '\0';
		if (!strcmp(comm, name))
			return children[i];
	}
	cr_assert_fail("there is no %s", name);
	return 0;
}

DAEMON_TEST(fault, a_loader_or_zygote_that_dies_is_replaced)
{
	static const char *const names[] = { "ember-zygote", "ember-loader" };
	static const char *const events[] = { "zygote_ended", "loader_ended" };
	char vm[VM_ID_TEXT], *answer;
	int i;

	vm_boot(client, vm);
	for (i = 0; i < 2; i++) {
		wait_until_warm(client, 2);
		kill_process(helper_named(names[i]), SIGKILL);
		daemon_wait_log(&daemon_under_test, events[i]);
		answer = vm_command(client, vm, "echo unharmed");
		cr_expect_str_eq(answer, "unharmed");
		free(answer);
		/* A snapshot takes the loader, a cold start the zygote. */
		json_decref(callf(client, "vm.snapshot", "{\"vm\": \"%s\", \"name\": \"s%d\"}", vm, i));
		json_decref(client_call(client, "vm.boot", "{\"memory_mib\": 8, \"temperature\": \"cold\"}"));
	}
	json_decref(callf(client, "vm.kill", "{\"vm\": \"%s\"}", vm));
}
