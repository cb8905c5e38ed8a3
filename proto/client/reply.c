/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a line from the daemon means: the answer to a request, a notification, or the end of the connection.
 *
 * An error without an id says that the daemon could not even tell which request it is about (a line over its limit), or
 * that it refuses the connection. No open request can count on an answer then, so it fails the connection.
 */
#include "proto/client/client.h"

#include "proto/cleanup.h"
#include "proto/jsonrpc.h"
#include "proto/text_encoding.h"

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Copy text, cut where it does not fit, but never within a character. */
static void copy_text(char *target, size_t size, const char *text)
{
	size_t length = strnlen(text, size);

	if (length == size)
		length = utf8_complete_length((const uint8_t *)text, size - 1);
	memcpy(target, text, length);
	target[length] = '\0';
}

void ember_client_complete(struct ember *client, const struct pending *request, int result, json_t *reply,
			   const struct ember_error *error)
{
	bool nested = client->in_callback;

	client->completed++;
	if (!request->function)
		return;

	client->in_callback = true;
	request->function(request->context, request->id, result, reply, error);
	client->in_callback = nested;
}

static void fail_open_requests(struct ember *client)
{
	struct pending request;

	while (pending_take_any(&client->pending, &request))
		ember_client_complete(client, &request, client->failure, NULL, &client->failure_error);
}

void ember_client_fail(struct ember *client, int failure, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	(void)vsnprintf(client->failure_error.message, sizeof(client->failure_error.message), format, arguments);
	va_end(arguments);
	client->failure = failure;
	fail_open_requests(client);
}

/* Read JSON-RPC's error object (section 5.1). False where it is none. The data is borrowed. */
static bool read_error(const json_t *json, struct ember_error *ret_error)
{
	const json_t *code = json_object_get(json, "code");
	const char *message = json_string_value(json_object_get(json, "message"));
	json_t *data = json_object_get(json, "data");
	const char *status = json_string_value(json_object_get(data, "status"));

	if (!json_is_integer(code) || json_integer_value(code) < INT_MIN || json_integer_value(code) > INT_MAX ||
	    !message)
		return false;

	ret_error->code = (int)json_integer_value(code);
	copy_text(ret_error->message, sizeof(ret_error->message), message);
	copy_text(ret_error->status, sizeof(ret_error->status), status ? status : "");
	ret_error->data = data;

	return true;
}

static void refuse_connection(struct ember *client, const struct ember_error *error)
{
	client->failure = -EREMOTEIO;
	client->failure_error = *error;
	json_incref(client->failure_error.data);
	fail_open_requests(client);
}

static void handle_response(struct ember *client, const json_t *json)
{
	const json_t *id = json_object_get(json, "id"), *error_json = json_object_get(json, "error");
	json_t *result = json_object_get(json, "result");
	struct ember_error error = { 0 };
	struct pending request;

	if (!result == !error_json || (error_json && !read_error(error_json, &error))) {
		ember_client_fail(client, -EPROTO, "the daemon sent what is no JSON-RPC response");
		return;
	}
	if (error_json && json_is_null(id)) {
		refuse_connection(client, &error);
		return;
	}
	if (json_integer_value(id) < 1 || (uint64_t)json_integer_value(id) >= client->next_id) {
		ember_client_fail(client, -EPROTO, "the daemon answered a request that was never sent");
		return;
	}

	/* a request that the caller forgot meanwhile is not in the table */
	if (!pending_take(&client->pending, (uint64_t)json_integer_value(id), &request))
		return;
	if (result)
		ember_client_complete(client, &request, 0, result, NULL);
	else
		ember_client_complete(client, &request, -EREMOTEIO, NULL, &error);
}

static void handle_notification(struct ember *client, const json_t *json)
{
	const char *method = json_string_value(json_object_get(json, "method"));

	if (!method || json_object_get(json, "id")) {
		ember_client_fail(client, -EPROTO, "the daemon sent a request where only notifications are expected");
		return;
	}
	if (!client->on_notification)
		return;

	client->in_callback = true;
	client->on_notification(client->notification_context, method, json_object_get(json, "params"));
	client->in_callback = false;
}

void ember_client_line(struct ember *client, const char *line, size_t length)
{
	struct rpc_error error = RPC_ERROR_INIT;
	cleanup_json json_t *json = NULL;
	const char *version;

	if (jsonrpc_load(line, length, JSONRPC_DEPTH_MAX, &json, &error) < 0) {
		ember_client_fail(client, -EPROTO, "what the daemon sent cannot be read: %.160s", error.message);
		return;
	}
	version = json_string_value(json_object_get(json, "jsonrpc"));
	if (!version || strcmp(version, "2.0") != 0)
		ember_client_fail(client, -EPROTO, "the daemon sent JSON that is not JSON-RPC 2.0");
	else if (json_object_get(json, "method"))
		handle_notification(client, json);
	else
		handle_response(client, json);
}
