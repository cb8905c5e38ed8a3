/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A call: one request in progress, and the promise that it gets exactly one answer.
 *
 * A method's implementation is handed a call and ends it, now or later, with call_reply() or call_fail(), which take
 * the call over. One that answers later says with call_on_abandon() how to give up: the deadline, rpc.cancel, a lost
 * client or the daemon's end may take the call away at any time in between.
 */
#ifndef EMBER_SERVER_CALL_H
#define EMBER_SERVER_CALL_H

#include <stdint.h>

#include <jansson.h>

#include "proto/method.h"
#include "proto/status.h"
#include "server/peer.h"
#include "server/undo.h"

struct call;
struct connection;
struct server;

/* Where a call came from, and where its answer goes. Called with the opaque of call_origin. */
struct call_origin_ops {
	/* The call has begun; it may be abandoned until answer() is called. */
	void (*begun)(void *opaque, struct call *call);
	/*
	 * Exactly once. One of result and error is NULL; both belong to the caller. The call is gone when it returns.
	 *
	 * undo  to be applied where the answer cannot be sent whole, because its client has gone; copied. NULL: nothing
	 */
	void (*answer)(void *opaque, const json_t *result, const struct rpc_error *error, const struct undo *undo);
	/* params: {"phase", "done", "total", "unit"}, taken over. NULL where the origin has no use for progress. */
	void (*progress)(void *opaque, json_t *params);
};

struct call_origin {
	const struct call_origin_ops *ops;
	void *opaque;
	struct connection *connection; /* NULL: the call came by HTTP and owns nothing that a connection's end takes */
	const struct peer *peer;       /* lives at least as long as the call */
};

struct call {
	struct server *server;
	const struct method *method;
	json_t *params; /* validated, defaults filled in */
	struct call_origin origin;
	enum role role;
	uint64_t number;      /* 1, 2, ...: "request" in log lines */
	uint64_t received_ns; /* CLOCK_MONOTONIC */
	uint64_t deadline_ns; /* CLOCK_MONOTONIC; 0: none */

	/* call.c's own */
	struct event *timer;
	void (*abandon)(void *opaque, struct rpc_error *error);
	void *abandon_opaque;
	uint64_t progress_ns;
};

/*
 * Begin a call.
 *
 * params       from method_validate(); taken over, also on failure
 * deadline_ms  as param_deadline_ms() gives it: negative for none; 0 has passed already
 *
 * Returns 0 or -ENOMEM (the origin has been told nothing).
 */
int call_new(struct server *server, const struct method *method, json_t *params, const struct call_origin *origin,
	     enum role role, int64_t deadline_ms, struct call **ret_call);

/*
 * Answer with a result.
 *
 * result  an object, taken over; NULL (out of memory while it was formed) answers with an internal error
 */
void call_reply(struct call *call, json_t *result);

/*
 * What the call was for has been done: answer, if there still is somebody to answer; else undo it. It is also undone where the
 * answer cannot be formed or sent.
 *
 * call    NULL: it was abandoned while the work went on
 * result  as for call_reply()
 * undo    copied
 */
void call_done(struct server *server, struct call *call, json_t *result, const struct undo *undo);

/* Answer with an error, which is released. */
void call_fail(struct call *call, struct rpc_error *error);

/* Answer with an error of a code and a message. */
__attribute__((format(printf, 3, 4))) void call_fail_with(struct call *call, enum rpc_code code, const char *format,
							  ...);

/*
 * Say how to give up.
 *
 * abandon  called at most once, from the loop, before the error that ends the call is sent: stop the work, forget the
 *          call, and add to the error what helps (retry_after_ms). NULL: there is nothing to stop any more
 */
void call_on_abandon(struct call *call, void (*abandon)(void *opaque, struct rpc_error *error), void *opaque);

/* Tell the client how far the work is; left out when the last one was a moment ago and this is not the end. */
void call_progress(struct call *call, const char *phase, uint64_t done, uint64_t total, const char *unit);

/* End a call from outside: its implementation is told, and the error is its answer. The error is released. */
void call_abandon(struct call *call, struct rpc_error *error);

#endif
