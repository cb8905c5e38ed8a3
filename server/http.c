/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests to calls, and calls' ends to answers. What HTTP itself asks for is in http_reader.c and http_connection.c.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/jsonrpc.h"
#include "server/cleanup.h"
#include "server/dispatch.h"
#include "server/guest.h"
#include "server/http.h"
#include "server/http_acceptor.h"
#include "server/http_private.h"
#include "server/server.h"
#include "server/unix_listener.h"

/* What http-parser allows beside a trailer that is as long as a head may be. */
#define PARSER_SLACK 1024

int http_status_for(enum rpc_code code)
{
	static const struct {
		const char *status;
		int http;
	} rows[] = {
		{ "INVALID_ARGUMENT", 400 }, { "OUT_OF_RANGE", 400 },       { "PERMISSION_DENIED", 403 },
		{ "NOT_FOUND", 404 },        { "ALREADY_EXISTS", 409 },     { "FAILED_PRECONDITION", 409 },
		{ "ABORTED", 409 },          { "RESOURCE_EXHAUSTED", 429 }, { "UNIMPLEMENTED", 501 },
		{ "UNAVAILABLE", 503 },      { "CANCELLED", 503 },          { "DEADLINE_EXCEEDED", 504 },
	};
	const char *status = rpc_code_info(code)->status;
	size_t i;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (!strcmp(rows[i].status, status))
			return rows[i].http;
	return 500;
}

/* Send an object, which is released. NULL (out of memory) sends the status alone. */
static void send_json(struct http_connection *own, struct http_answer answer, json_t *json)
{
	cleanup_free char *text = json ? json_dumps(json, JSON_COMPACT) : NULL;

	json_decref(json);
	answer.text = text;
	http_connection_answer(own, &answer);
}

static void send_error(struct http_connection *own, int status, const struct rpc_error *error, const char *allow)
{
	const struct http_answer answer = { .status = status, .allow = allow, .retry_after_ms = error->retry_after_ms };
	json_t *json = NULL;

	(void)rpc_error_to_json(error, &json);
	send_json(own, answer, json_pack("{s:o?}", "error", json));
}

__attribute__((format(printf, 4, 5))) static void refuse(struct http_connection *own, int status, enum rpc_code code,
							 const char *format, ...)
{
	struct rpc_error error = RPC_ERROR_INIT;
	char message[RPC_MESSAGE_SIZE];
	va_list arguments;

	va_start(arguments, format);
	(void)vsnprintf(message, sizeof(message), format, arguments);
	va_end(arguments);
	(void)rpc_error_set(&error, code, "%s", message);
	send_error(own, status, &error, NULL);
	rpc_error_release(&error);
}

void http_refuse(struct http_connection *connection, int status, const char *text)
{
	refuse(connection, status,
	       status == 501   ? RPC_UNIMPLEMENTED
	       : status == 503 ? RPC_INTERNAL
			       : RPC_INVALID_REQUEST,
	       "%s", text);
}

/* ---- calls ---- */

static void on_begun(void *opaque, struct call *call)
{
	struct http_connection *own = opaque;

	own->call = call;
}

static void on_answer(void *opaque, const json_t *result, const struct rpc_error *error, const struct undo *undo)
{
	cleanup_free char *text = result ? json_dumps(result, JSON_COMPACT) : NULL;
	struct http_connection *own = opaque;

	own->call = NULL;
	if (error) {
		send_error(own, http_status_for(error->code), error, NULL);
		return;
	}
	if (!text) { /* the client does not learn what was done */
		undo_apply(own->http->server, undo);
		http_connection_answer(own, &(struct http_answer){ .status = 500, .retry_after_ms = -1 });
		return;
	}
	if (undo)
		own->undo = *undo;
	http_connection_answer(own, &(struct http_answer){ .status = 200, .text = text, .retry_after_ms = -1 });
}

static const struct call_origin_ops http_ops = { .begun = on_begun, .answer = on_answer };

static void answer_health(struct http_connection *own)
{
	static const char *const names[] = { "ok", "draining", "stopping" };
	enum server_state state = own->http->server->state;

	send_json(own, (struct http_answer){ .status = state == SERVER_SERVING ? 200 : 503, .retry_after_ms = -1 },
		  json_pack("{s:s}", "status", names[state]));
}

/* The body as an object of known members. Returns 0, or -EINVAL when the request was answered. */
static int read_body(struct http_connection *own, const char *const *members, json_t **ret_body)
{
	struct evbuffer *input = http_reader_body(own->reader);
	size_t length = evbuffer_get_length(input);
	struct rpc_error error = RPC_ERROR_INIT;
	cleanup_json json_t *body = NULL;
	const char *name;
	json_t *value;
	size_t i;

	if (jsonrpc_load(length ? (const char *)evbuffer_pullup(input, -1) : "", length,
			 own->http->server->config.nesting_max, &body, &error)) {
		send_error(own, 400, &error, NULL);
		rpc_error_release(&error);
		return -EINVAL;
	}
	if (!json_is_object(body)) {
		refuse(own, 400, RPC_INVALID_ARGUMENT, "the body must be a JSON object");
		return -EINVAL;
	}

	json_object_foreach(body, name, value) {
		for (i = 0; members[i] && strcmp(members[i], name) != 0; i++)
			;
		if (!members[i]) {
			refuse(own, 400, RPC_INVALID_ARGUMENT, "unknown member \"%.64s\"", name);
			return -EINVAL;
		}
	}
	*ret_body = steal_pointer(body);
	return 0;
}

static void serve_call(struct http_connection *own, const char *method, const json_t *params)
{
	const struct call_origin origin = { .ops = &http_ops, .opaque = own, .peer = &own->peer };

	dispatch(own->http->server, &origin, method, params);
}

/* Say which VM is meant where the client did not. Returns 0, or -EINVAL when the request was answered. */
static int name_only_vm(struct http_connection *own, json_t *body)
{
	const struct guest *vm = TAILQ_FIRST(&own->http->server->vms);

	if (vm && !TAILQ_NEXT(vm, link) && json_object_set_new(body, "vm", json_string(vm->id)) == 0)
		return 0;

	refuse(own, 400, RPC_INVALID_ARGUMENT, "%s",
	       vm ? "there are several VMs: name one with \"vm\"" : "there is no VM");
	return -EINVAL;
}

static void serve_create(struct http_connection *own)
{
	static const char *const members[] = { "snapshot_path", "vm", "deadline_ms", NULL };
	cleanup_json json_t *body = NULL, *params = NULL;

	if (read_body(own, members, &body))
		return;
	if (!json_object_get(body, "vm") && name_only_vm(own, body))
		return;
	params = json_pack("{s:O*, s:O*, s:O*}", "path", json_object_get(body, "snapshot_path"), "vm",
			   json_object_get(body, "vm"), "deadline_ms", json_object_get(body, "deadline_ms"));
	serve_call(own, "vm.snapshot", params);
}

static void serve_load(struct http_connection *own)
{
	static const char *const members[] = { "snapshot_path", "deadline_ms", NULL };
	cleanup_json json_t *body = NULL, *params = NULL;

	if (read_body(own, members, &body))
		return;
	params = json_pack("{s:O*, s:O*, s:b}", "snapshot_path", json_object_get(body, "snapshot_path"), "deadline_ms",
			   json_object_get(body, "deadline_ms"), "detach", 1);
	serve_call(own, "vm.restore", params);
}

/* ---- routes ---- */

#define GET_METHODS "GET, HEAD, OPTIONS"
#define PUT_METHODS "PUT, OPTIONS"
#define ALL_METHODS "GET, HEAD, PUT, OPTIONS"

static const struct route {
	const char *path;
	enum http_method method;
	const char *allow;
	void (*serve)(struct http_connection *own);
} routes[] = {
	{ "/healthz", HTTP_GET, GET_METHODS, answer_health },
	{ "/snapshot/create", HTTP_PUT, PUT_METHODS, serve_create },
	{ "/snapshot/load", HTTP_PUT, PUT_METHODS, serve_load },
};

static const struct route *find_route(const char *path)
{
	size_t i;

	for (i = 0; i < sizeof(routes) / sizeof(routes[0]); i++)
		if (!strcmp(routes[i].path, path))
			return &routes[i];
	return NULL;
}

static void answer_options(struct http_connection *own, const char *allow)
{
	http_connection_answer(own, &(struct http_answer){ .status = 204, .allow = allow, .retry_after_ms = -1 });
}

static void refuse_method(struct http_connection *own, const struct route *route)
{
	struct rpc_error error = RPC_ERROR_INIT;

	(void)rpc_error_set(&error, RPC_UNIMPLEMENTED, "%s takes %s only", route->path, route->allow);
	send_error(own, 405, &error, route->allow);
	rpc_error_release(&error);
}

bool http_answer_head(struct http_connection *connection)
{
	const struct http_head *head = http_reader_head(connection->reader);
	const struct route *route = find_route(head->path);
	bool is_get = head->method == HTTP_GET || head->method == HTTP_HEAD;

	if (!strcmp(head->path, "*"))
		answer_options(connection, ALL_METHODS);
	else if (head->method == HTTP_CONNECT)
		http_refuse(connection, 501, "this is no proxy");
	else if (!route)
		refuse(connection, 404, RPC_NOT_FOUND, "there is nothing at this path");
	else if (head->method == HTTP_OPTIONS)
		answer_options(connection, route->allow);
	else if (head->method != route->method && !(is_get && route->method == HTTP_GET))
		refuse_method(connection, route);
	else
		return false;
	return true;
}

void http_serve(struct http_connection *connection)
{
	find_route(http_reader_head(connection->reader)->path)->serve(connection);
}

/* ---- the socket ---- */

void http_configure(struct http *http)
{
	if (http) /* of the parser, and for all that there are; the limits are looked at as they are needed */
		http_parser_set_max_header_size(http->server->config.http_header_bytes_max + PARSER_SLACK);
}

int http_new(struct server *server, struct http **ret_http, struct error_detail *detail)
{
	const struct config *config = &server->config;
	struct http *http = calloc(1, sizeof(*http));
	int error;

	if (!http)
		return -ENOMEM;

	http->server = server;
	TAILQ_INIT(&http->connections);
	http_configure(http);
	error = unix_listener_open(config->http_socket_path, config->socket_mode, config->socket_group, &http->listener,
				   detail);
	if (error) {
		(void)http_free(http);
		return error;
	}

	*ret_http = http;
	return 0;
}

int http_listen(struct http *http)
{
	return http_acceptor_new(http, unix_listener_fd(http->listener), &http->acceptor);
}

void http_abandon_calls(struct http *http)
{
	struct http_connection *connection;

	if (!http)
		return;

	http_acceptor_stop(http->acceptor);
	TAILQ_FOREACH(connection, &http->connections, link) {
		struct rpc_error error = RPC_ERROR_INIT;

		if (!connection->call)
			continue;
		(void)rpc_error_set(&error, RPC_DRAINING, "the daemon is stopping");
		call_abandon(connection->call, &error);
	}
}

size_t http_unsent(const struct http *http)
{
	const struct http_connection *connection;
	size_t unsent = 0;

	if (!http)
		return 0;
	TAILQ_FOREACH(connection, &http->connections, link)
		unsent += connection->call || evbuffer_get_length(connection->output) > 0;
	return unsent;
}

struct http *http_free(struct http *http)
{
	if (!http)
		return NULL;

	while (!TAILQ_EMPTY(&http->connections))
		http_connection_end(TAILQ_FIRST(&http->connections));
	(void)http_acceptor_free(http->acceptor);
	(void)unix_listener_close(http->listener);
	free(http);
	return NULL;
}
