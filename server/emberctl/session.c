/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The connection of one emberctl run: calls that block, errors in words, results in the chosen form.
 *
 * An error prints as "emberctl: STATUS: sentence (what else there is to know)". What the daemon adds that has no place
 * in a sentence, such as the VMs that hold a snapshot, follows on lines of its own. With --json the error object is
 * printed instead, so that a program needs to parse no prose.
 */
#include "emberctl/session.h"

#include "emberctl/render.h"
#include "emberctl/text.h"
#include "emberctl/value_text.h"
#include "proto/cleanup.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define CONNECT_TIMEOUT_MS 5000

/* Members of an error's data that the sentence has room for; the rest is printed below it. */
static const char *const told_members[] = { "status", "reason", "field", "detail", "retry_after_ms" };

enum exit_status session_lost(const struct session *session, int result)
{
	const char *path = session->socket_path;
	const char *why = session->client == NULL ? "" : ember_failure(session->client);

	switch (result) {
	case -ENOENT:
	case -ECONNREFUSED:
		fprintf(stderr,
			"emberctl: no daemon answers on %s: start emberd, or name its socket with --socket or "
			"EMBER_SOCKET\n",
			path);
		break;
	case -EACCES:
	case -EPERM:
		fprintf(stderr, "emberctl: you may not use %s: join the group that owns it, or run as root\n", path);
		break;
	case -ENAMETOOLONG:
		fprintf(stderr, "emberctl: %s is too long a path for a Unix socket\n", path);
		break;
	default:
		fprintf(stderr, "emberctl: the connection to %s failed: %s\n", path,
			*why == '\0' ? strerror(-result) : why);
	}
	return STATUS_UNREACHABLE;
}

static void show_notification(void *context, const char *method, json_t *params)
{
	struct session *session = context;

	if (strcmp(method, "progress") == 0)
		progress_show(&session->progress, params);
}

enum exit_status session_open(struct session *session)
{
	int result;

	result = ember_connect(session->socket_path, CONNECT_TIMEOUT_MS, &session->client);
	if (result < 0)
		return session_lost(session, result);
	progress_init(&session->progress);
	ember_on_notification(session->client, show_notification, session);
	return STATUS_OK;
}

void session_close(struct session *session)
{
	session->client = ember_free(session->client);
}

/* " (field name; the library's words; try again in 12 ms)", or nothing. */
static void print_remarks(const json_t *data)
{
	const char *reason = json_string_value(json_object_get(data, "reason"));
	const char *field = json_string_value(json_object_get(data, "field"));
	const char *detail = json_string_value(json_object_get(data, "detail"));
	const json_t *retry = json_object_get(data, "retry_after_ms");
	const char *before = " (";

	if (reason != NULL) {
		fprintf(stderr, "%s%s", before, reason);
		before = "; ";
	}
	if (field != NULL) {
		fprintf(stderr, "%sfield %s", before, field);
		before = "; ";
	}
	if (detail != NULL) {
		fputs(before, stderr);
		text_put_printable(detail, stderr);
		before = "; ";
	}
	if (json_is_integer(retry)) {
		fprintf(stderr, "%stry again in %" JSON_INTEGER_FORMAT " ms", before, json_integer_value(retry));
		before = "; ";
	}
	fputs(*before == ';' ? ")\n" : "\n", stderr);
}

static void print_further_members(const json_t *data)
{
	cleanup_json json_t *further = json_copy((json_t *)data);

	for (size_t i = 0; i < sizeof(told_members) / sizeof(told_members[0]); i++)
		json_object_del(further, told_members[i]);
	if (json_object_size(further) > 0)
		render_result(further, stderr, false);
}

static void print_error(const struct session *session, const struct ember_error *error)
{
	if (session->json) {
		cleanup_json json_t *object = json_pack("{s:i, s:s, s:O*}", "code", error->code, "message",
							error->message, "data", error->data);

		if (object != NULL && render_json(object, stderr, false) == 0)
			return;
	}
	fprintf(stderr, "emberctl: %s: ", error->status);
	text_put_printable(error->message, stderr);
	print_remarks(error->data);
	print_further_members(error->data);
}

enum exit_status session_call(struct session *session, const char *method, const json_t *params, json_t **ret_result)
{
	struct ember_error error = { 0 };
	enum exit_status status = STATUS_FAILED;
	int result;

	result = ember_call(session->client, method, params, -1, ret_result, &error);
	progress_end(&session->progress);
	if (result == 0)
		return STATUS_OK;

	if (result == -EREMOTEIO && error.code != 0)
		print_error(session, &error);
	else
		status = session_lost(session, result);
	ember_error_release(&error);
	return status;
}

enum exit_status session_print(const struct session *session, const json_t *result)
{
	int printed;

	if (session->json)
		printed = render_json(result, stdout, session->terminal);
	else
		printed = render_result(result, stdout, session->terminal);
	if (printed == -ENOMEM) {
		fprintf(stderr, "emberctl: out of memory\n");
		return STATUS_FAILED;
	}
	return session_flush();
}

enum exit_status session_flush(void)
{
	if (fflush(stdout) == 0 && !ferror(stdout))
		return STATUS_OK;
	fprintf(stderr, "emberctl: standard output: %s\n", strerror(errno));
	return STATUS_FAILED;
}
