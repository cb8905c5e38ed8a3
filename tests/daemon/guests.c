/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Dialogues with the demo guest (server/demo_guest/demo_guest.h): a line goes to its serial port, a line comes back.
 */
#include <criterion/criterion.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "steps.h"

/* Read more of the console. Returns how many bytes came; with wait, 0 only where the VM has ended. */
static size_t read_console(struct guest *guest, bool wait)
{
	json_t *result = call(guest->client, "vm.console", "{s:s, s:s, s:I, s:b}", "vm", guest->vm, "action", "read",
			      "offset", (json_int_t)guest->offset, "wait", (int)wait);
	const char *data = text_at(result, "data");
	size_t size = (size_t)(int_at(result, "next_offset") - int_at(result, "offset")), length = strlen(guest->text);

	cr_assert_eq(int_at(result, "offset"), guest->offset);
	cr_assert_eq(int_at(result, "dropped"), 0);
	cr_assert_eq(strlen(data), size);
	cr_assert_lt(length + size, sizeof(guest->text));
	memcpy(guest->text + length, data, size + 1);
	guest->offset = int_at(result, "next_offset");
	json_decref(result);
	return size;
}

void guest_of(struct guest *guest, struct ember *client, const json_t *started)
{
	json_t *info;

	memset(guest, 0, sizeof(*guest));
	guest->client = client;
	(void)snprintf(guest->vm, sizeof(guest->vm), "%s", text_at(started, "vm"));
	info = call(client, "vm.info", "{s:s}", "vm", guest->vm);
	guest->pid = (pid_t)int_at(info, "pid");
	json_decref(info);
	while (read_console(guest, false) > 0)
		;
	guest->text[0] = '\0';
}

void guest_boot(struct guest *guest, struct ember *client, int vcpus, int memory_mib)
{
	json_t *started = call(client, "vm.boot", "{s:i, s:i}", "vcpus", vcpus, "memory_mib", memory_mib);

	perform(client, "vm.wait", "{s:s, s:s}", "vm", text_at(started, "vm"), "for", "ready");
	guest_of(guest, client, started);
	json_decref(started);
}

void guest_restore(struct guest *guest, struct ember *client, const char *snapshot)
{
	json_t *started = call(client, "vm.restore", "{s:s}", "snapshot", snapshot);

	guest_of(guest, client, started);
	json_decref(started);
}

static void write_console(struct guest *guest, const char *text)
{
	size_t length = strlen(text), sent = 0;
	int64_t until = now_ms() + WAIT_MS;

	/* The serial port takes what fits into its queue. */
	while (sent < length) {
		json_t *result = call(guest->client, "vm.console", "{s:s, s:s, s:s}", "vm", guest->vm, "action",
				      "write", "data", text + sent);

		sent += (size_t)int_at(result, "written");
		json_decref(result);
		cr_assert_lt(now_ms(), until, "the guest of %s does not read", guest->vm);
	}
}

static void say(struct guest *guest, const char *format, va_list arguments)
{
	char line[2048];
	int length = vsnprintf(line, sizeof(line) - 1, format, arguments);

	cr_assert(length >= 0 && (size_t)length < sizeof(line) - 1);
	line[length] = '\n';
	line[length + 1] = '\0';
	write_console(guest, line);
}

void guest_say(struct guest *guest, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	say(guest, format, arguments);
	va_end(arguments);
}

const char *guest_hear(struct guest *guest)
{
	char *end;

	while ((end = strchr(guest->text, '\n')) == NULL)
		cr_assert_gt(read_console(guest, true), 0, "%s ended in the middle of a dialogue", guest->vm);

	*end = '\0';
	cr_assert_lt(strlen(guest->text), sizeof(guest->line));
	(void)snprintf(guest->line, sizeof(guest->line), "%s", guest->text);
	memmove(guest->text, end + 1, strlen(end + 1) + 1);
	return guest->line;
}

const char *guest_ask(struct guest *guest, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	say(guest, format, arguments);
	va_end(arguments);
	return guest_hear(guest);
}

int64_t guest_number(struct guest *guest, const char *question)
{
	const char *answer = guest_ask(guest, "%s", question);
	char *end;
	int64_t number = strtoll(answer, &end, 10);

	cr_assert(end != answer && *end == '\0', "\"%s\" was answered with \"%s\"", question, answer);
	return number;
}

void guest_release(struct guest *guest)
{
	json_t *result = call(guest->client, "vm.release", "{s:s}", "vm", guest->vm);

	cr_expect_str_eq(text_at(result, "vm"), guest->vm);
	cr_expect_str_eq(text_at(result, "exit_reason"), "released");
	json_decref(result);
}

void make_snapshot(struct ember *client, const char *name, int vcpus, int count, int pages, unsigned int seed)
{
	struct guest guest;
	int i;

	guest_boot(&guest, client, vcpus, GUEST_MIB);
	for (i = 1; i <= count; i++)
		cr_assert_eq(guest_number(&guest, "count"), i);
	if (pages)
		cr_assert_eq(strncmp(guest_ask(&guest, "touch %d %u", pages, seed), "pages ", 6), 0, "%s", guest.line);
	perform(client, "vm.snapshot", "{s:s, s:s}", "vm", guest.vm, "name", name);
	guest_release(&guest);
}
