/* SPDX-License-Identifier: Apache-2.0 */
/*
 * evhttp parses and writes HTTP; this file maps requests to calls and calls' ends to answers.
 *
 * evhttp serves one request of a connection at a time and frees it with the connection. An http_request therefore
 * lives from the request's arrival until its answer is sent (on_sent) or the connection is gone (on_closed),
 * whichever comes first; in the second case its call is abandoned, like that of any client that leaves.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/http.h>

#include "proto/jsonrpc.h"
#include "server/cleanup.h"
#include "server/clock.h"
#include "server/dispatch.h"
#include "server/guest.h"
#include "server/http.h"
#include "server/http_acceptor.h"
#include "server/server.h"
#include "server/unix_listener.h"

#define ALL_HTTP_METHODS                                                                           \
	(EVHTTP_REQ_GET | EVHTTP_REQ_POST | EVHTTP_REQ_HEAD | EVHTTP_REQ_PUT | EVHTTP_REQ_DELETE | \
	 EVHTTP_REQ_OPTIONS | EVHTTP_REQ_TRACE | EVHTTP_REQ_CONNECT | EVHTTP_REQ_PATCH)

struct http_request {
	TAILQ_ENTRY(http_request) link;
	struct http *http;
	struct evhttp_request *request;
	struct peer peer;
	struct call *call; /* NULL: not begun, or answered */
	struct undo undo;  /* if the answer is lost */
};

struct http {
	struct server *server;
	struct unix_listener *listener;
	struct http_acceptor *acceptor;
	struct evhttp *evhttp;
	TAILQ_HEAD(, http_request) requests;
	size_t request_count;
};

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

static void free_request(struct http_request *own)
{
	TAILQ_REMOVE(&own->http->requests, own, link);
	own->http->request_count--;
	peer_release(&own->peer);
	free(own);
}

static void on_sent(struct evhttp_request *request, void *opaque)
{
	evhttp_connection_set_closecb(evhttp_request_get_connection(request), NULL, NULL);
	free_request(opaque);
}

static void on_closed(struct evhttp_connection *connection, void *opaque)
{
	struct rpc_error error = RPC_ERROR_INIT;
	struct http_request *own = opaque;

	(void)connection;
	own->request = NULL;
	if (own->call) {
		(void)rpc_error_set(&error, RPC_CANCELLED, "the client has gone");
		call_abandon(own->call, &error);
	}
	undo_apply(own->http->server, &own->undo);
	free_request(own);
}

/* Send a JSON text. NULL (out of memory) sends the status alone. */
static void send_text(struct http_request *own, int status, const char *text)
{
	struct evbuffer *body = evbuffer_new();

	if (!own->request) {
		if (body)
			evbuffer_free(body);
		return;
	}

	(void)evhttp_add_header(evhttp_request_get_output_headers(own->request), "Content-Type", "application/json");
	if (body && text)
		(void)evbuffer_add_printf(body, "%s\n", text);
	evhttp_send_reply(own->request, status, NULL, body);
	if (body)
		evbuffer_free(body);
}

static void send_json(struct http_request *own, int status, json_t *json)
{
	cleanup_free char *text = json_dumps(json, JSON_COMPACT);

	send_text(own, status, text);
	json_decref(json);
}

static void send_error(struct http_request *own, int status, const struct rpc_error *error)
{
	json_t *json = NULL;
	char seconds[32];

	if (error->retry_after_ms >= 0 && own->request) {
		(void)snprintf(seconds, sizeof(seconds), "%" PRId64, (error->retry_after_ms + 999) / 1000);
		(void)evhttp_add_header(evhttp_request_get_output_headers(own->request), "Retry-After", seconds);
	}
	(void)rpc_error_to_json(error, &json);
	send_json(own, status, json_pack("{s:o?}", "error", json));
}

__attribute__((format(printf, 4, 5))) static void refuse(struct http_request *own, int status, enum rpc_code code,
							 const char *format, ...)
{
	struct rpc_error error = RPC_ERROR_INIT;
	char message[RPC_MESSAGE_SIZE];
	va_list arguments;

	va_start(arguments, format);
	(void)vsnprintf(message, sizeof(message), format, arguments);
	va_end(arguments);
	(void)rpc_error_set(&error, code, "%s", message);
	send_error(own, status, &error);
	rpc_error_release(&error);
}

static void on_begun(void *opaque, struct call *call)
{
	struct http_request *own = opaque;

	own->call = call;
}

static void on_answer(void *opaque, const json_t *result, const struct rpc_error *error, const struct undo *undo)
{
	struct http_request *own = opaque;
	cleanup_free char *text = NULL;

	own->call = NULL;
	if (undo)
		own->undo = *undo;
	if (error) {
		send_error(own, http_status_for(error->code), error);
	} else {
		text = json_dumps(result, JSON_COMPACT);
		send_text(own, HTTP_OK, text);
	}
}

static const struct call_origin_ops http_ops = { .begun = on_begun, .answer = on_answer };

static void answer_health(struct http_request *own)
{
	static const char *const names[] = { "ok", "draining", "stopping" };
	enum server_state state = own->http->server->state;

	send_json(own, state == SERVER_SERVING ? HTTP_OK : HTTP_SERVUNAVAIL,
		  json_pack("{s:s}", "status", names[state]));
}

/* The body as an object of known members. Returns 0, or -EINVAL when the request was answered. */
static int read_body(struct http_request *own, const char *const *members, json_t **ret_body)
{
	struct evbuffer *input = evhttp_request_get_input_buffer(own->request);
	size_t length = evbuffer_get_length(input);
	struct rpc_error error = RPC_ERROR_INIT;
	cleanup_json json_t *body = NULL;
	const char *name;
	json_t *value;
	size_t i;

	if (jsonrpc_load((const char *)evbuffer_pullup(input, -1), length, own->http->server->config.nesting_max, &body,
			 &error)) {
		send_error(own, HTTP_BADREQUEST, &error);
		rpc_error_release(&error);
		return -EINVAL;
	}
	if (!json_is_object(body)) {
		refuse(own, HTTP_BADREQUEST, RPC_INVALID_ARGUMENT, "the body must be a JSON object");
		return -EINVAL;
	}

	json_object_foreach(body, name, value) {
		for (i = 0; members[i] && strcmp(members[i], name) != 0; i++)
			;
		if (!members[i]) {
			refuse(own, HTTP_BADREQUEST, RPC_INVALID_ARGUMENT, "unknown member \"%.64s\"", name);
			return -EINVAL;
		}
	}
	*ret_body = steal_pointer(body);
	return 0;
}

static void serve_call(struct http_request *own, const char *method, const json_t *params)
{
	const struct call_origin origin = { .ops = &http_ops, .opaque = own, .peer = &own->peer };

	dispatch(own->http->server, &origin, method, params);
}

/* Say which VM is meant where the client did not. Returns 0, or -EINVAL when the request was answered. */
static int name_only_vm(struct http_request *own, json_t *body)
{
	const struct guest *vm = TAILQ_FIRST(&own->http->server->vms);

	if (vm && !TAILQ_NEXT(vm, link) && json_object_set_new(body, "vm", json_string(vm->id)) == 0)
		return 0;

	refuse(own, HTTP_BADREQUEST, RPC_INVALID_ARGUMENT, "%s",
	       vm ? "there are several VMs: name one with \"vm\"" : "there is no VM");
	return -EINVAL;
}

static void serve_create(struct http_request *own)
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

static void serve_load(struct http_request *own)
{
	static const char *const members[] = { "snapshot_path", "deadline_ms", NULL };
	cleanup_json json_t *body = NULL, *params = NULL;

	if (read_body(own, members, &body))
		return;
	params = json_pack("{s:O*, s:O*, s:b}", "snapshot_path", json_object_get(body, "snapshot_path"), "deadline_ms",
			   json_object_get(body, "deadline_ms"), "detach", 1);
	serve_call(own, "vm.restore", params);
}

static const struct route {
	const char *path;
	enum evhttp_cmd_type method;
	const char *method_name;
	void (*serve)(struct http_request *own);
} routes[] = {
	{ "/healthz", EVHTTP_REQ_GET, "GET", answer_health },
	{ "/snapshot/create", EVHTTP_REQ_PUT, "PUT", serve_create },
	{ "/snapshot/load", EVHTTP_REQ_PUT, "PUT", serve_load },
};

static void route_request(struct http_request *own)
{
	const char *path = evhttp_uri_get_path(evhttp_request_get_evhttp_uri(own->request));
	size_t i;

	for (i = 0; i < sizeof(routes) / sizeof(routes[0]); i++) {
		if (!path || strcmp(routes[i].path, path) != 0)
			continue;
		if (evhttp_request_get_command(own->request) == routes[i].method) {
			routes[i].serve(own);
			return;
		}
		(void)evhttp_add_header(evhttp_request_get_output_headers(own->request), "Allow",
					routes[i].method_name);
		refuse(own, HTTP_BADMETHOD, RPC_UNIMPLEMENTED, "%s takes %s only", path, routes[i].method_name);
		return;
	}
	refuse(own, HTTP_NOTFOUND, RPC_NOT_FOUND, "there is nothing at this path");
}

static void on_request(struct evhttp_request *request, void *opaque)
{
	struct evhttp_connection *connection = evhttp_request_get_connection(request);
	struct http_request *own = calloc(1, sizeof(*own));
	struct http *http = opaque;

	if (!own || peer_read(bufferevent_getfd(evhttp_connection_get_bufferevent(connection)), &own->peer)) {
		free(own);
		evhttp_send_error(request, HTTP_INTERNAL, NULL);
		return;
	}

	own->http = http;
	own->request = request;
	TAILQ_INSERT_TAIL(&http->requests, own, link);
	http->request_count++;
	evhttp_request_set_on_complete_cb(request, on_sent, own);
	evhttp_connection_set_closecb(connection, on_closed, own);
	route_request(own);
}

void http_configure(struct http *http)
{
	const struct config *config;
	struct timeval timeout;

	if (!http)
		return;

	config = &http->server->config;
	timeout = clock_timeval(config->http_timeout_ms);
	evhttp_set_timeout_tv(http->evhttp, &timeout);
	evhttp_set_max_headers_size(http->evhttp, config->http_header_bytes_max);
	evhttp_set_max_body_size(http->evhttp, config->http_body_bytes_max);
}

static int make_parts(struct http *http, struct error_detail *detail)
{
	const struct config *config = &http->server->config;
	int error;

	error = unix_listener_open(config->http_socket_path, config->socket_mode, config->socket_group, &http->listener,
				   detail);
	if (error)
		return error;

	http->evhttp = evhttp_new(http->server->base);
	if (!http->evhttp)
		return -ENOMEM;
	evhttp_set_allowed_methods(http->evhttp, ALL_HTTP_METHODS);
	evhttp_set_gencb(http->evhttp, on_request, http);
	http_configure(http);
	return 0;
}

int http_new(struct server *server, struct http **ret_http, struct error_detail *detail)
{
	struct http *http = calloc(1, sizeof(*http));
	int error;

	if (!http)
		return -ENOMEM;

	http->server = server;
	TAILQ_INIT(&http->requests);
	error = make_parts(http, detail);
	if (error) {
		(void)http_free(http);
		return error;
	}

	*ret_http = http;
	return 0;
}

int http_listen(struct http *http)
{
	return http_acceptor_new(http->server, http->evhttp, unix_listener_fd(http->listener), &http->acceptor);
}

void http_abandon_calls(struct http *http)
{
	struct http_request *own, *next;

	if (!http)
		return;

	http_acceptor_stop(http->acceptor);
	for (own = TAILQ_FIRST(&http->requests); own; own = next) {
		struct rpc_error error = RPC_ERROR_INIT;

		next = TAILQ_NEXT(own, link);
		if (!own->call)
			continue;
		(void)rpc_error_set(&error, RPC_DRAINING, "the daemon is stopping");
		call_abandon(own->call, &error);
	}
}

size_t http_unsent(const struct http *http)
{
	return http ? http->request_count : 0;
}

struct http *http_free(struct http *http)
{
	if (!http)
		return NULL;

	if (http->evhttp)
		evhttp_free(http->evhttp);
	(void)http_acceptor_free(http->acceptor);
	(void)unix_listener_close(http->listener);
	free(http);
	return NULL;
}
