/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a client asked for and has not been answered yet: requests, single or gathered in batches, and subscriptions.
 *
 * Each request of a line is the origin of one call. Its answer becomes a line, or a member of its batch's array, which
 * becomes a line when the last one is in. A notification is served like a request and answered to nobody.
 *
 * A client that leaves before its answer was sent whole never learns what was done for it. How to undo that is therefore kept until
 * the socket has taken the answer's last byte. What a notification did stands once it is done: its client did not want to know.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "proto/jsonrpc.h"
#include "server/cleanup.h"
#include "server/connection_private.h"
#include "server/dispatch.h"

/* The one method that a client may call with all its calls open: it makes room. */
#define CANCEL_METHOD "rpc.cancel"

/* Answers of one batch; freed with the last request that belongs to it. */
struct batch {
	struct jsonrpc_batch *answers;
	uint32_t requests;
	uint64_t number;
};

/* What is undone if an answer is lost. */
struct connection_undo {
	LIST_ENTRY(connection_undo) link;
	struct undo undo;
	uint64_t batch; /* the batch whose line the answer is a part of; 0: it is a line by itself */
	uint64_t end;   /* the line's end in the stream; UINT64_MAX: it has not been formed */
};

struct connection_request {
	TAILQ_ENTRY(connection_request) link;
	struct connection *connection;
	struct call *call;   /* NULL before it began */
	json_t *id;          /* NULL: a notification */
	struct batch *batch; /* NULL: a request by itself */
};

struct connection_subscription {
	LIST_ENTRY(connection_subscription) link;
	struct connection *connection;
	struct event_subscription subscription;
};

static void keep_undo(struct connection *connection, const struct batch *batch, const struct undo *undo)
{
	struct connection_undo *own;

	if (!undo || undo->kind == UNDO_NOTHING)
		return;
	own = calloc(1, sizeof(*own));
	if (!own) {
		connection_fail(connection, "out of memory for an answer");
		undo_apply(connection->server, undo);
		return;
	}

	*own = (struct connection_undo){ .undo = *undo, .batch = batch ? batch->number : 0, .end = UINT64_MAX };
	LIST_INSERT_HEAD(&connection->undone_if_lost, own, link);
}

/* An answer's line has been handed to the stream: of a batch, or of one request (0). */
static void place_answers(struct connection *connection, uint64_t batch)
{
	struct connection_undo *own;

	LIST_FOREACH(own, &connection->undone_if_lost, link)
		if (own->end == UINT64_MAX && own->batch == batch)
			own->end = connection->queued;
	connection_forget_sent(connection);
}

static void free_undo(struct connection_undo *own)
{
	LIST_REMOVE(own, link);
	free(own);
}

void connection_forget_sent(struct connection *connection)
{
	struct connection_undo *own, *next;

	for (own = LIST_FIRST(&connection->undone_if_lost); own; own = next) {
		next = LIST_NEXT(own, link);
		if (own->end <= connection->sent)
			free_undo(own);
	}
}

void connection_undo_unsent(struct connection *connection)
{
	struct connection_undo *own;

	while ((own = LIST_FIRST(&connection->undone_if_lost)) != NULL) {
		undo_apply(connection->server, &own->undo);
		free_undo(own);
	}
}

/* Send one answer's text, or put it with its batch. */
static void deliver(struct connection *connection, struct batch *batch, char *text)
{
	char *all = NULL;
	int missing;

	if (!batch || !text) {
		connection_send(connection, text);
		place_answers(connection, 0);
		return;
	}

	missing = jsonrpc_batch_add(batch->answers, text);
	if (missing < 0 || jsonrpc_batch_size(batch->answers) > connection->server->config.output_drop_bytes)
		connection_fail(connection, "the answers of a batch take too much memory");
	if (missing != 0 || connection->dead)
		return;
	connection_send(connection, jsonrpc_batch_steal_text(batch->answers, &all) ? NULL : all);
	place_answers(connection, batch->number);
}

static void deliver_error(struct connection *connection, struct batch *batch, const json_t *id,
			  const struct rpc_error *error)
{
	char *text = NULL;

	deliver(connection, batch, jsonrpc_write_error(id, error, &text) ? NULL : text);
}

static struct batch *batch_release(struct batch *batch)
{
	if (batch && --batch->requests == 0) {
		(void)jsonrpc_batch_free(batch->answers);
		free(batch);
	}
	return NULL;
}

static void free_request(struct connection_request *request)
{
	TAILQ_REMOVE(&request->connection->requests, request, link);
	request->connection->request_count--;
	(void)batch_release(request->batch);
	json_decref(request->id);
	free(request);
}

static void on_begun(void *opaque, struct call *call)
{
	struct connection_request *request = opaque;

	request->call = call;
}

static void on_answer(void *opaque, const json_t *result, const struct rpc_error *error, const struct undo *undo)
{
	struct connection_request *request = opaque;
	struct connection *connection = request->connection;
	char *text = NULL;

	if (connection->dead)
		undo_apply(connection->server, undo);
	if (request->id && !connection->dead) {
		keep_undo(connection, request->batch, undo);
		if (error)
			deliver_error(connection, request->batch, request->id, error);
		else
			deliver(connection, request->batch,
				jsonrpc_write_result(request->id, result, &text) ? NULL : text);
	}

	free_request(request);
	if (connection->half_closed && !connection->dead)
		connection_wake(connection);
}

/* Progress is the first thing that a slow reader goes without. */
static void on_progress(void *opaque, json_t *details)
{
	cleanup_json json_t *params = details;
	struct connection_request *request = opaque;
	char *text = NULL;

	if (!request->id || request->connection->dead || connection_is_slow(request->connection))
		return;
	if (params && json_object_set(params, "id", request->id) == 0 &&
	    jsonrpc_write_notification("progress", params, &text) == 0)
		connection_send(request->connection, text);
}

static const struct call_origin_ops request_ops = {
	.begun = on_begun,
	.answer = on_answer,
	.progress = on_progress,
};

static int check_open_calls(const struct connection *connection, const char *method, struct rpc_error *error)
{
	uint32_t limit = connection->server->config.open_calls_max;

	if (connection->request_count < limit || !strcmp(method, CANCEL_METHOD))
		return 0;
	return rpc_error_set(error, RPC_IN_FLIGHT_LIMIT, "this connection has %u calls open already", limit);
}

static void serve_request(struct connection *connection, const struct jsonrpc_request *wanted, struct batch *batch)
{
	struct rpc_error error = RPC_ERROR_INIT;
	struct connection_request *request = NULL;
	struct call_origin origin;

	if (check_open_calls(connection, wanted->method, &error) == 0) {
		request = calloc(1, sizeof(*request));
		if (!request)
			(void)rpc_error_set(&error, RPC_INTERNAL, "the daemon is out of memory");
	}
	if (!request) {
		if (wanted->id)
			deliver_error(connection, batch, wanted->id, &error);
		rpc_error_release(&error);
		return;
	}

	request->connection = connection;
	request->id = json_incref(wanted->id);
	request->batch = batch;
	if (batch)
		batch->requests++;
	TAILQ_INSERT_TAIL(&connection->requests, request, link);
	connection->request_count++;

	origin = (struct call_origin){
		.ops = &request_ops, .opaque = request, .connection = connection, .peer = &connection->peer
	};
	dispatch(connection->server, &origin, wanted->method, wanted->params);
}

/* Returns 0 with no batch where the message is a single request, or where nothing in it wants an answer. */
static int make_batch(const struct jsonrpc_message *message, uint64_t number, struct batch **ret_batch)
{
	size_t answers = jsonrpc_message_answers(message);
	struct batch *batch;

	if (!message->batch || answers == 0)
		return 0;

	batch = calloc(1, sizeof(*batch));
	if (!batch || jsonrpc_batch_new(answers, &batch->answers)) {
		free(batch);
		return -ENOMEM;
	}
	batch->requests = 1; /* held by who is serving the line */
	batch->number = number;
	*ret_batch = batch;
	return 0;
}

void connection_serve_line(struct connection *connection, const char *line, size_t length)
{
	const struct jsonrpc_limits limits = { .depth = connection->server->config.nesting_max,
					       .batch = connection->server->config.batch_max };
	struct jsonrpc_message *message = NULL;
	struct batch *batch = NULL;
	size_t i;

	if (jsonrpc_parse(line, length, &limits, &message) || make_batch(message, ++connection->batches, &batch)) {
		connection_fail(connection, "out of memory for a request");
		(void)jsonrpc_message_free(message);
		return;
	}

	for (i = 0; i < message->count && !connection->dead; i++) {
		const struct jsonrpc_entry *entry = &message->entries[i];

		if (entry->error.code != RPC_OK)
			deliver_error(connection, batch, entry->request.id, &entry->error);
		else
			serve_request(connection, &entry->request, batch);
	}
	(void)batch_release(batch);
	(void)jsonrpc_message_free(message);
}

void connection_refuse_line(struct connection *connection)
{
	struct rpc_error error = RPC_ERROR_INIT;

	(void)rpc_error_set(&error, RPC_INVALID_REQUEST, "the line is longer than %u bytes",
			    connection->server->config.line_bytes_max);
	deliver_error(connection, NULL, NULL, &error);
	rpc_error_release(&error);
}

bool connection_cancel(struct connection *connection, const json_t *id, const struct call *asking)
{
	struct rpc_error error = RPC_ERROR_INIT;
	struct connection_request *request;

	TAILQ_FOREACH(request, &connection->requests, link)
		if (request->call && request->call != asking && request->id && json_equal(request->id, id))
			break;
	if (!request)
		return false;

	(void)rpc_error_set(&error, RPC_CANCELLED, "the call was cancelled");
	call_abandon(request->call, &error);
	return true;
}

static void send_event(struct connection *connection, const json_t *params)
{
	char *text = NULL;

	connection_send(connection, jsonrpc_write_notification("event", params, &text) ? NULL : text);
}

static int on_event(struct event_subscription *subscription, const json_t *params)
{
	struct connection_subscription *own = // NOLINT(bugprone-casting-through-void)
		(void *)((char *)subscription - offsetof(struct connection_subscription, subscription));

	if (own->connection->dead)
		return 0;
	if (connection_is_slow(own->connection))
		return -EAGAIN;

	send_event(own->connection, params);
	return 0;
}

static void free_subscription(struct connection_subscription *own)
{
	LIST_REMOVE(own, link);
	own->connection->subscription_count--;
	free(own);
}

static void on_subscription_dropped(struct event_subscription *subscription, const json_t *params)
{
	struct connection_subscription *own = // NOLINT(bugprone-casting-through-void)
		(void *)((char *)subscription - offsetof(struct connection_subscription, subscription));
	struct connection *connection = own->connection;

	free_subscription(own);
	send_event(connection, params);
}

int connection_subscribe(struct connection *connection, unsigned int kinds, uint64_t *ret_number)
{
	struct connection_subscription *own;

	if (connection->subscription_count >= connection->server->config.subscriptions_max)
		return -ENOSPC;
	own = calloc(1, sizeof(*own));
	if (!own)
		return -ENOMEM;

	own->connection = connection;
	own->subscription.kinds = kinds;
	own->subscription.deliver = on_event;
	own->subscription.dropped = on_subscription_dropped;
	LIST_INSERT_HEAD(&connection->subscriptions, own, link);
	connection->subscription_count++;
	event_bus_subscribe(&connection->server->events, &own->subscription);
	*ret_number = own->subscription.number;
	return 0;
}

static void abandon_requests(struct connection *connection, enum rpc_code code, const char *message)
{
	struct connection_request *request;

	while ((request = TAILQ_FIRST(&connection->requests)) != NULL) {
		struct rpc_error error = RPC_ERROR_INIT;

		(void)rpc_error_set(&error, code, "%s", message);
		call_abandon(request->call, &error);
	}
}

void connection_drop_requests(struct connection *connection)
{
	struct connection_subscription *own;

	while ((own = LIST_FIRST(&connection->subscriptions)) != NULL) {
		event_bus_unsubscribe(&own->subscription);
		free_subscription(own);
	}
	abandon_requests(connection, RPC_CANCELLED, "the client has gone");
}

void connections_abandon_calls(struct server *server)
{
	struct connection *connection;

	TAILQ_FOREACH(connection, &server->connections, link)
		abandon_requests(connection, RPC_DRAINING, "the daemon is stopping");
}
