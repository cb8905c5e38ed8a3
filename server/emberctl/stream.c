/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Commands that go on after their first answer.
 *
 * The console is fetched as base64, because a guest may write any byte and all of them shall reach standard output as
 * they are. --json passes on what the daemon said, one object a line.
 */
#include "emberctl/stream.h"

#include "emberctl/text.h"
#include "emberctl/value_text.h"
#include "proto/cleanup.h"
#include "proto/text_encoding.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* Write a console answer's bytes. binary: they came as base64. *ret_length: how many there were. */
static enum exit_status print_console(const struct session *session, const json_t *result, bool binary,
				      size_t *ret_length)
{
	const json_t *data = json_object_get(result, "data");
	json_int_t dropped = json_integer_value(json_object_get(result, "dropped"));
	cleanup_free uint8_t *bytes = NULL;
	size_t length = json_string_length(data);

	*ret_length = length;
	if (session->json)
		return session_print(session, result);
	if (dropped > 0)
		fprintf(stderr, "emberctl: %" JSON_INTEGER_FORMAT " older bytes are no longer kept\n", dropped);
	if (!binary) {
		fwrite(json_string_value(data), 1, length, stdout);
		return session_flush();
	}
	if (!json_is_string(data) || base64_decode(json_string_value(data), length, &bytes, &length) < 0) {
		fprintf(stderr, "emberctl: the daemon sent console data that is not base64\n");
		return STATUS_FAILED;
	}
	fwrite(bytes, 1, length, stdout);
	return session_flush();
}

static enum exit_status follow_console(struct session *session, json_t *params, bool binary)
{
	enum exit_status status;
	size_t length;

	if (json_object_set_new(params, "wait", json_true()) < 0)
		return STATUS_FAILED;
	do {
		cleanup_json json_t *result = NULL;

		status = session_call(session, "vm.console", params, &result);
		if (status == STATUS_OK)
			status = print_console(session, result, binary, &length);
		if (status != STATUS_OK)
			return status;
		if (json_object_set(params, "offset", json_object_get(result, "next_offset")) < 0)
			return STATUS_FAILED;
	} while (length > 0);
	return STATUS_OK;
}

enum exit_status stream_console(struct session *session, const struct command *command)
{
	cleanup_json json_t *params = json_copy(command->params), *result = NULL;
	bool binary = json_object_get(command->params, "encoding") == NULL && !session->json;
	enum exit_status status;
	size_t length;

	if (params == NULL || (binary && json_object_set_new(params, "encoding", json_string("base64")) < 0))
		return STATUS_FAILED;
	if (command->follow)
		return follow_console(session, params, binary);
	status = session_call(session, "vm.console", params, &result);
	return status == STATUS_OK ? print_console(session, result, binary, &length) : status;
}

/* "2026-01-02T03:04:05Z  vm_started  vm=vm-1 snapshot=py312": the time and the kind first, then what else there is. */
static void print_event_line(const json_t *event)
{
	const char *time = json_string_value(json_object_get(event, "time"));
	const char *kind = json_string_value(json_object_get(event, "kind"));
	const char *name;
	json_t *value;

	text_put_printable(time == NULL ? "" : time, stdout);
	fputs(time == NULL ? "" : "  ", stdout);
	text_put_printable(kind == NULL ? "" : kind, stdout);
	json_object_foreach((json_t *)event, name, value) {
		cleanup_free char *text = NULL;
		char label[64];

		if (strcmp(name, "time") == 0 || strcmp(name, "kind") == 0 || strcmp(name, "subscription") == 0 ||
		    value_text(name, value, &text) < 0)
			continue;
		value_label(name, label, sizeof(label));
		text_make_printable(text);
		printf("  %s=%s", label, text);
	}
	putchar('\n');
}

static void show_event(void *context, const char *method, json_t *params)
{
	const struct session *session = context;

	if (strcmp(method, "event") != 0)
		return;
	if (session->json)
		session_print(session, params);
	else
		print_event_line(params);
	fflush(stdout);
}

enum exit_status stream_events(struct session *session, const struct command *command)
{
	cleanup_json json_t *result = NULL;
	enum exit_status status;
	int dispatched;

	ember_on_notification(session->client, show_event, session);
	status = session_call(session, command->method->name, command->params, &result);
	if (status != STATUS_OK)
		return status;
	do {
		dispatched = ember_dispatch(session->client, -1);
	} while (dispatched >= 0 && !ferror(stdout));
	return dispatched < 0 ? session_lost(session, dispatched) : session_flush();
}

enum exit_status stream_attached(struct session *session, const json_t *result)
{
	cleanup_json json_t *params = NULL, *ending = NULL;
	enum exit_status status;

	params = json_pack("{s:O, s:s}", "vm", json_object_get(result, "vm"), "for", "exit");
	if (params == NULL)
		return STATUS_FAILED;
	status = session_call(session, "vm.wait", params, &ending);
	return status == STATUS_OK ? session_print(session, ending) : status;
}
