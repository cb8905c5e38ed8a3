/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calls and processes. The dialogues with guests are in guests.c.
 */
#include "steps.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>

#include "proto/method.h"

#define POLL_MS 10

void sleep_ms(long ms)
{
	const struct timespec delay = { .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000 };

	(void)nanosleep(&delay, NULL);
}

int64_t now_ms(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static json_t *pack(const char *format, va_list arguments)
{
	json_error_t error;
	json_t *params;

	if (!format)
		return NULL;
	params = json_vpack_ex(&error, 0, format, arguments);
	cr_assert_not_null(params, "the test's own parameters \"%s\": %s", format, error.text);
	return params;
}

static void check_result(const char *method, const json_t *result)
{
	struct rpc_error mismatch = RPC_ERROR_INIT;

	cr_expect_eq(method_check_result(method_find(method), result, &mismatch), 0, "%s: %s in %s", method,
		     mismatch.message, json_dumps(result, 0));
	rpc_error_release(&mismatch);
}

static json_t *call_packed(struct ember *client, const char *method, json_t *params)
{
	struct ember_error error = { 0 };
	json_t *result = NULL;
	int failed = ember_call(client, method, params, WAIT_MS, &result, &error);

	cr_assert_eq(failed, 0, "%s %s: %s (%s)", method, params ? json_dumps(params, 0) : "", error.message,
		     error.data ? json_dumps(error.data, 0) : strerror(-failed));
	check_result(method, result);
	json_decref(params);
	return result;
}

json_t *call(struct ember *client, const char *method, const char *format, ...)
{
	va_list arguments;
	json_t *params;

	va_start(arguments, format);
	params = pack(format, arguments);
	va_end(arguments);
	return call_packed(client, method, params);
}

void perform(struct ember *client, const char *method, const char *format, ...)
{
	va_list arguments;
	json_t *params;

	va_start(arguments, format);
	params = pack(format, arguments);
	va_end(arguments);
	json_decref(call_packed(client, method, params));
}

static json_t *refuse_packed(struct ember *client, int code, const char *named, const char *method, json_t *params)
{
	struct ember_error error = { 0 };
	json_t *result = NULL, *data;
	int failed = ember_call(client, method, params, WAIT_MS, &result, &error);
	char *said, *asked = params ? json_dumps(params, 0) : NULL;

	cr_assert_eq(failed, -EREMOTEIO, "%s %s: %s", method, asked ? asked : "",
		     result ? json_dumps(result, 0) : error.message);
	said = json_dumps(error.data, JSON_COMPACT);
	cr_assert_not_null(said, "an error without data");
	cr_expect_eq(error.code, code, "%s %s: code %d: %s (%s)", method, asked ? asked : "", error.code, error.message,
		     said);
	cr_expect(error.message[0], "an error without a sentence");
	cr_expect_str_eq(error.status, rpc_code_info((enum rpc_code)error.code)->status);
	cr_expect(!named || strstr(error.message, named) || strstr(said, named), "%s %s: does not name %s: %s (%s)",
		  method, asked ? asked : "", named, error.message, said);
	data = json_incref(error.data);
	ember_error_release(&error);
	json_decref(params);
	free(asked);
	free(said);
	return data;
}

json_t *refusal(struct ember *client, int code, const char *named, const char *method, const char *format, ...)
{
	va_list arguments;
	json_t *params;

	va_start(arguments, format);
	params = pack(format, arguments);
	va_end(arguments);
	return refuse_packed(client, code, named, method, params);
}

void refused(struct ember *client, int code, const char *named, const char *method, const char *format, ...)
{
	va_list arguments;
	json_t *params;

	va_start(arguments, format);
	params = pack(format, arguments);
	va_end(arguments);
	json_decref(refuse_packed(client, code, named, method, params));
}

static void on_answer(void *context, uint64_t id, int result, json_t *reply, const struct ember_error *error)
{
	struct open_call *open = context;

	cr_expect_eq(id, open->id);
	cr_expect(!open->answered, "%s is answered twice", open->method);
	open->answered = true;
	if (result == 0) {
		open->result = json_incref(reply);
		check_result(open->method, reply);
		return;
	}
	/* -ECANCELED: the test has closed the connection. */
	cr_expect(result == -EREMOTEIO || result == -ECANCELED, "%s: %s", open->method, error->message);
	open->code = error->code ? error->code : RPC_UNKNOWN;
	open->data = json_incref(error->data);
	(void)snprintf(open->message, sizeof(open->message), "%s", error->message);
}

void open_call_begin(struct open_call *open, struct ember *client, const char *method, const char *format, ...)
{
	va_list arguments;
	json_t *params;

	va_start(arguments, format);
	params = pack(format, arguments);
	va_end(arguments);
	*open = (struct open_call){ .method = method };
	cr_assert_eq(ember_send(client, method, params, on_answer, open, &open->id), 0, "%s", ember_failure(client));
	json_decref(params);
}

int open_call_wait(struct open_call *open, struct ember *client)
{
	int64_t until = now_ms() + WAIT_MS;

	while (!open->answered) {
		int result = ember_dispatch(client, 1000);

		cr_assert(result >= 0, "%s: %s", open->method, ember_failure(client));
		cr_assert(open->answered || now_ms() < until, "%s is not answered", open->method);
	}
	return open->code;
}

void open_call_end(struct open_call *open)
{
	cr_expect(open->answered, "%s was not answered", open->method);
	json_decref(open->result);
	json_decref(open->data);
	open->result = open->data = NULL;
}

size_t count_workers(struct ember *client, const char *state)
{
	json_t *status = call(client, "pool.status", NULL), *worker;
	size_t count = 0, i;

	json_array_foreach(at(status, "workers"), i, worker)
		count += !state || !strcmp(text_at(worker, "state"), state);
	json_decref(status);
	return count;
}

void pool_settle(struct ember *client, size_t warm, size_t running)
{
	int64_t until = now_ms() + WAIT_MS;

	while (count_workers(client, "warm") != warm || count_workers(client, "leased") != running ||
	       count_workers(client, NULL) != warm + running) {
		cr_assert_lt(now_ms(), until, "the pool does not settle at %zu warm and %zu running: %s", warm, running,
			     json_dumps(call(client, "pool.status", NULL), 0));
		sleep_ms(POLL_MS);
	}
}

/* What /proc/PID/stat says: proc(5). Returns false where there is no such process. */
static bool read_stat(pid_t pid, char *ret_state, pid_t *ret_parent, unsigned long *ret_memory)
{
	char path[64], text[1024];
	const char *after;
	size_t length;
	FILE *file;

	(void)snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	file = fopen(path, "re");
	if (!file)
		return false;
	length = fread(text, 1, sizeof(text) - 1, file);
	(void)fclose(file);
	text[length] = '\0';
	/* The name is in parentheses, and may hold some itself. The state is field 3, the parent 4, virtual memory 23. */
	after = strrchr(text, ')');
	return after && sscanf(after, // NOLINT(cert-err34-c): the kernel's numbers
			       ") %c %d %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %lu",
			       ret_state, ret_parent, ret_memory) == 3;
}

/*
 * A process that is being ended gives up its memory first: from then on no instruction of its own runs. What is left is the
 * kernel's work, which closing a VM makes long where many are closed at once.
 */
static bool lives(char state, unsigned long memory)
{
	return state != 'Z' && state != 'X' && memory > 0;
}

bool process_lives(pid_t pid)
{
	unsigned long memory;
	pid_t parent;
	char state;

	return read_stat(pid, &state, &parent, &memory) && lives(state, memory);
}

void process_wait_end(pid_t pid)
{
	int64_t until = now_ms() + WAIT_MS;

	while (process_lives(pid)) {
		cr_assert_lt(now_ms(), until, "process %d does not end", (int)pid);
		sleep_ms(POLL_MS);
	}
}

size_t children_of(pid_t parent, pid_t *pids, size_t max)
{
	const struct dirent *entry;
	DIR *proc = opendir("/proc");
	size_t count = 0;

	cr_assert_not_null(proc);
	while ((entry = readdir(proc)) != NULL) {
		pid_t pid = (pid_t)strtol(entry->d_name, NULL, 10), of = 0;
		unsigned long memory = 0;
		char state = 'X';

		if (pid <= 0 || !read_stat(pid, &state, &of, &memory) || of != parent || !lives(state, memory))
			continue;
		if (count < max)
			pids[count] = pid;
		count++;
	}
	(void)closedir(proc);
	return count;
}

pid_t child_named(pid_t parent, const char *name)
{
	pid_t children[256];
	size_t count = children_of(parent, children, 256), i;
	char path[64], comm[64] = "";

	for (i = 0; i < count && i < 256; i++) {
		FILE *file;

		(void)snprintf(path, sizeof(path), "/proc/%d/comm", (int)children[i]);
		file = fopen(path, "re");
		if (!file)
			continue;
		(void)!fgets(comm, sizeof(comm), file);
		(void)fclose(file);
		comm[strcspn(comm, "\n")] = '\0';
		if (!strcmp(comm, name))
			return children[i];
	}
	return 0;
}

int run_program(char *output, size_t size, const char *format, ...)
{
	char command[4096], whole[4096 + 16];
	va_list arguments;
	size_t length;
	FILE *pipe;
	int status;

	va_start(arguments, format);
	(void)vsnprintf(command, sizeof(command), format, arguments);
	va_end(arguments);
	(void)snprintf(whole, sizeof(whole), "%s 2>&1", command);
	pipe = popen(whole, "re");
	cr_assert_not_null(pipe);
	length = fread(output, 1, size - 1, pipe);
	output[length] = '\0';
	status = pclose(pipe);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
