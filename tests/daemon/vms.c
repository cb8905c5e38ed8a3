/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Talking to demo guests through the daemon: a command's answer is the console's next line.
 */
#include "vms.h"

#include <criterion/criterion.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define POLL_MS 5

static void pause_a_moment(void)
{
	const struct timespec delay = { .tv_nsec = POLL_MS * 1000000L };

	(void)nanosleep(&delay, NULL);
}

json_t *callf(struct ember *client, const char *method, const char *format, ...)
{
	char params[4096];
	va_list arguments;

	va_start(arguments, format);
	(void)vsnprintf(params, sizeof(params), format, arguments);
	va_end(arguments);
	return client_call(client, method, params);
}

int failf(struct ember *client, const char *method, const char *format, ...)
{
	char params[4096];
	va_list arguments;

	va_start(arguments, format);
	(void)vsnprintf(params, sizeof(params), format, arguments);
	va_end(arguments);
	return client_fail(client, method, params, NULL);
}

void vm_boot(struct ember *client, char *vm)
{
	json_t *result = client_call(client, "vm.boot", "{\"memory_mib\": 8, \"detach\": true}");

	(void)snprintf(vm, VM_ID_TEXT, "%s", text_at(result, "vm"));
	json_decref(result);
	json_decref(callf(client, "vm.wait", "{\"vm\": \"%s\", \"for\": \"ready\", \"deadline_ms\": %d}", vm, WAIT_MS));
}

void vm_restore(struct ember *client, const char *snapshot, char *vm)
{
	json_t *result = callf(client, "vm.restore", "{\"snapshot\": \"%s\", \"detach\": true}", snapshot);

	(void)snprintf(vm, VM_ID_TEXT, "%s", text_at(result, "vm"));
	json_decref(result);
}

/* Where the console's output ends now. */
static int64_t console_end(struct ember *client, const char *vm)
{
	int64_t offset = 0;

	for (;;) {
		json_t *result =
			callf(client, "vm.console",
			      "{\"vm\": \"%s\", \"action\": \"read\", \"encoding\": \"base64\", \"offset\": %lld}", vm,
			      (long long)offset);
		bool at_end = int_at(result, "next_offset") == int_at(result, "offset");

		offset = int_at(result, "next_offset");
		json_decref(result);
		if (at_end)
			return offset;
	}
}

char *vm_command(struct ember *client, const char *vm, const char *line)
{
	int64_t offset = console_end(client, vm);
	char *answer = calloc(1, 65536), *end;
	size_t length = 0;

	cr_assert_not_null(answer);
	json_decref(
		callf(client, "vm.console", "{\"vm\": \"%s\", \"action\": \"write\", \"data\": \"%s\\n\"}", vm, line));
	for (end = NULL; !end; end = strchr(answer, '\n')) {
		json_t *result = callf(client, "vm.console",
				       "{\"vm\": \"%s\", \"action\": \"read\", \"wait\": true, \"offset\": %lld, "
				       "\"deadline_ms\": %d}",
				       vm, (long long)offset, WAIT_MS);
		const char *data = text_at(result, "data");

		cr_assert_lt(length + strlen(data), 65536);
		memcpy(answer + length, data, strlen(data) + 1);
		length += strlen(data);
		offset = int_at(result, "next_offset");
		json_decref(result);
	}
	*end = '\0';
	return answer;
}

void wait_until_warm(struct ember *client, int64_t warm)
{
	int waited_ms;

	for (waited_ms = 0; waited_ms < WAIT_MS; waited_ms += POLL_MS) {
		json_t *status = client_call(client, "pool.status", NULL);
		bool there = int_at(status, "shapes.0.warm") >= warm;

		json_decref(status);
		if (there)
			return;
		pause_a_moment();
	}
	cr_assert_fail("the pool has not %lld warm slots", (long long)warm);
}

size_t vm_count(struct ember *client)
{
	json_t *list = client_call(client, "vm.list", NULL);
	size_t count = json_array_size(at(list, "vms"));

	json_decref(list);
	return count;
}

void wait_until_vms(struct ember *client, size_t count)
{
	int waited_ms;

	for (waited_ms = 0; vm_count(client) != count; waited_ms += POLL_MS) {
		cr_assert_lt(waited_ms, WAIT_MS, "there are not %zu VMs", count);
		pause_a_moment();
	}
}
