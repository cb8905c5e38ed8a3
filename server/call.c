/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Exactly one answer: every way to end a call goes through finish(), which frees it. An implementation that was told to
 * abandon has forgotten the call, so it cannot answer a second time; one that answered has lost it, so no timer can.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <event2/event.h>

#include "server/call.h"
#include "server/cleanup.h"
#include "server/clock.h"
#include "server/log.h"
#include "server/server.h"

/* Progress at most this often for one call. */
#define PROGRESS_INTERVAL_NS (50 * NANOSECONDS_PER_MS)

static void log_answer(const struct call *call, const struct rpc_error *error)
{
	static struct log_limit failures;
	uint64_t duration_us = (monotonic_ns() - call->received_ns) / NANOSECONDS_PER_US;

	if (!error) {
		log_debug("call answered", log_number("request", (int64_t)call->number),
			  log_text("method", call->method->name), log_number("duration_us", (int64_t)duration_us));
		return;
	}
	log_write_limited(&failures, LOG_LEVEL_INFO, "call failed",
			  LOG_FIELDS(log_number("request", (int64_t)call->number),
				     log_text("method", call->method->name), log_number("code", error->code),
				     log_text("detail", error->message),
				     log_number("duration_us", (int64_t)duration_us)));
}

static void finish(struct call *call, const json_t *result, const struct rpc_error *error, const struct undo *undo)
{
	struct call_origin origin = call->origin;

	log_answer(call, error);
	if (call->timer)
		event_free(call->timer);
	json_decref(call->params);
	free(call);
	origin.ops->answer(origin.opaque, result, error, undo);
}

void call_reply(struct call *call, json_t *result)
{
	if (!result) {
		call_fail_with(call, RPC_INTERNAL, "the daemon is out of memory");
		return;
	}

	finish(call, result, NULL, NULL);
	json_decref(result);
}

void call_done(struct server *server, struct call *call, json_t *result, const struct undo *undo)
{
	if (call && result) {
		finish(call, result, NULL, undo);
		json_decref(result);
		return;
	}

	undo_apply(server, undo);
	json_decref(result);
	if (call)
		call_reply(call, NULL);
}

void call_fail(struct call *call, struct rpc_error *error)
{
	finish(call, NULL, error, NULL);
	rpc_error_release(error);
}

void call_fail_with(struct call *call, enum rpc_code code, const char *format, ...)
{
	struct rpc_error error = RPC_ERROR_INIT;
	char message[RPC_MESSAGE_SIZE];
	va_list arguments;

	va_start(arguments, format);
	(void)vsnprintf(message, sizeof(message), format, arguments);
	va_end(arguments);
	(void)rpc_error_set(&error, code, "%s", message);
	call_fail(call, &error);
}

void call_on_abandon(struct call *call, void (*abandon)(void *opaque, struct rpc_error *error), void *opaque)
{
	call->abandon = abandon;
	call->abandon_opaque = opaque;
}

void call_abandon(struct call *call, struct rpc_error *error)
{
	if (call->abandon)
		call->abandon(call->abandon_opaque, error);
	call_fail(call, error);
}

void call_progress(struct call *call, const char *phase, uint64_t done, uint64_t total, const char *unit)
{
	uint64_t now = monotonic_ns();

	if (!call->origin.ops->progress || (done < total && now - call->progress_ns < PROGRESS_INTERVAL_NS))
		return;

	call->progress_ns = now;
	call->origin.ops->progress(call->origin.opaque,
				   json_pack("{s:s, s:I, s:I, s:s}", "phase", phase, "done", (json_int_t)done, "total",
					     (json_int_t)total, "unit", unit));
}

static void on_deadline(evutil_socket_t fd, short events, void *opaque)
{
	struct rpc_error error = RPC_ERROR_INIT;
	struct call *call = opaque;

	(void)fd;
	(void)events;
	(void)rpc_error_set(&error, RPC_DEADLINE_EXCEEDED, "the deadline passed before %s was done",
			    call->method->name);
	call_abandon(call, &error);
}

static int start_timer(struct call *call, int64_t deadline_ms)
{
	const struct timeval delay = clock_timeval((uint32_t)deadline_ms);

	call->deadline_ns = call->received_ns + (uint64_t)deadline_ms * NANOSECONDS_PER_MS;
	call->timer = event_new(call->server->base, -1, 0, on_deadline, call);
	return call->timer && event_add(call->timer, &delay) == 0 ? 0 : -ENOMEM;
}

int call_new(struct server *server, const struct method *method, json_t *params, const struct call_origin *origin,
	     enum role role, int64_t deadline_ms, struct call **ret_call)
{
	cleanup_json json_t *owned_params = params;
	struct call *call = calloc(1, sizeof(*call));

	if (!call)
		return -ENOMEM;

	call->server = server;
	call->method = method;
	call->origin = *origin;
	call->role = role;
	call->number = ++server->last_call_number;
	call->received_ns = monotonic_ns();
	if (deadline_ms > 0 && start_timer(call, deadline_ms)) {
		if (call->timer)
			event_free(call->timer);
		free(call);
		return -ENOMEM;
	}

	call->params = steal_pointer(owned_params);
	origin->ops->begun(origin->opaque, call);
	*ret_call = call;
	return 0;
}
