/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libember: talk to emberd from C.
 *
 * Blocking:
 *
 *	struct ember *client;
 *	struct ember_error error = {0};
 *	json_t *params = json_pack("{s:s}", "snapshot", "py312"), *result;
 *
 *	if (ember_connect(EMBER_DEFAULT_SOCKET, -1, &client) < 0)
 *		...
 *	if (ember_call(client, "vm.restore", params, 1000, &result, &error) < 0)
 *		fprintf(stderr, "%s: %s\n", error.status, error.message);
 *
 * Non-blocking: ember_send() any number of requests, poll(2) ember_fd() for ember_events(), call ember_dispatch() with
 * a timeout of 0 when it is ready; each request's callback runs once, from inside ember_dispatch() or ember_call().
 *
 * A client belongs to one thread at a time. It never reconnects by itself: once the connection has failed, every
 * open request is completed with the failure, and so is every later one. It raises no SIGPIPE.
 *
 * This header needs jansson and the C library, and the library nothing else.
 */
#ifndef EMBER_PROTO_CLIENT_EMBER_H
#define EMBER_PROTO_CLIENT_EMBER_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define EMBER_DEFAULT_SOCKET    "/run/ember/ember.sock"
#define EMBER_DEFAULT_MAX_REPLY ((size_t)64 << 20) /* bytes in a line from the daemon */
#define EMBER_ERROR_TEXT        256
#define EMBER_FILES_MAX         16 /* descriptors that go with one request */

struct ember; /* a connection */

/*
 * Why a call failed. code is the daemon's (a negative JSON-RPC code, see the table in the README) where the daemon
 * answered, and 0 where the failure is on this side; message is filled in both cases.
 */
struct ember_error {
	int code;
	char status[32];                /* "NOT_FOUND", ...; empty where the failure is on this side */
	char message[EMBER_ERROR_TEXT]; /* a sentence without a full stop */
	json_t *data;                   /* the error's data object, or NULL; owned: end it with ember_error_release() */
};

/* Drop what the error owns and clear it. Takes NULL and a zeroed struct. */
void ember_error_release(struct ember_error *error);

/*
 * Connect to the daemon's socket.
 *
 * socket_path  of the Unix socket
 * timeout_ms   how long to wait while the daemon's queue of new connections is full; 0: do not; negative: no bound
 * ret_client   the caller ends it with ember_free()
 *
 * Returns 0, -EINVAL (an empty path), -ENAMETOOLONG, -ETIMEDOUT, -ENOMEM, or -errno from socket(2) or connect(2)
 * (-ENOENT, -ECONNREFUSED: no daemon there; -EACCES).
 */
int ember_connect(const char *socket_path, int timeout_ms, struct ember **ret_client);

/*
 * Use a stream socket that is connected already.
 *
 * fd  taken over on success: made non-blocking, closed by ember_free()
 *
 * Returns 0, -ENOMEM, or -errno from fcntl(2).
 */
int ember_connect_fd(int fd, struct ember **ret_client);

/*
 * Close the connection. Requests still open are completed with -ECANCELED first. Takes NULL. Returns NULL. Not to be
 * called from a callback.
 */
struct ember *ember_free(struct ember *client);

/*
 * Set the longest line that is accepted from the daemon, in bytes.
 *
 * Returns 0, -EINVAL (0), -EBUSY (a line has begun to arrive) or -ENOMEM.
 */
int ember_set_max_reply(struct ember *client, size_t bytes);

/*
 * How a request ended.
 *
 * id      from ember_send()
 * result  0: reply is the result. -EREMOTEIO: the daemon answered with an error. Else the connection failed (see
 *         ember_dispatch()), or -ECANCELED: ember_free() or ember_forget()
 * reply   the result where result is 0, else NULL; belongs to the client: json_incref() it to keep it
 * error   filled where result is not 0, else NULL; valid during the call
 *
 * A callback may send, cancel and forget; it may not call ember_dispatch(), ember_call() or ember_free(): -EDEADLK.
 */
typedef void ember_reply_function(void *context, uint64_t id, int result, json_t *reply,
				  const struct ember_error *error);

/*
 * A notification from the daemon: "progress" (params.id is the id of the request) or "event".
 *
 * params  an object or an array, or NULL; belongs to the client
 */
typedef void ember_notification_function(void *context, const char *method, json_t *params);

/* Who is told of notifications; NULL: nobody, they are dropped. */
void ember_on_notification(struct ember *client, ember_notification_function *function, void *context);

/*
 * Call a method and wait for its answer. Callbacks of other requests, and notifications, run meanwhile.
 *
 * params      an object or an array, or NULL for none; not consumed
 * timeout_ms  negative: wait as long as it takes. On a timeout the daemon is asked to cancel, and its answer is dropped
 * ret_result  a new reference, on success; may be NULL
 * ret_error   filled on failure, after ember_error_release() of what it held, so start with a zeroed one; may be NULL
 *
 * Returns 0; -EREMOTEIO: the daemon answered with an error; -ETIMEDOUT; or the connection's failure as ember_dispatch()
 * gives it.
 */
int ember_call(struct ember *client, const char *method, const json_t *params, int timeout_ms, json_t **ret_result,
	       struct ember_error *ret_error);

/*
 * Send a request and return. What the socket does not take at once is kept and sent by ember_dispatch().
 *
 * function  called once with the outcome; NULL: the answer is dropped
 * ret_id    the request's id, never 0; may be NULL
 *
 * Returns 0, -ENOMEM, -EINVAL (params of another type, or not UTF-8), or the failure of the connection. On failure the
 * function is not called.
 */
int ember_send(struct ember *client, const char *method, const json_t *params, ember_reply_function *function,
	       void *context, uint64_t *ret_id);

/*
 * As ember_call() and ember_send(), with descriptors that parameters refer to by their place: "tap_fd": 0.
 *
 * files       duplicated
 * file_count  at most EMBER_FILES_MAX
 *
 * Return besides: -EINVAL (too many), -EBUSY (those of an earlier request have not been sent yet: see ember_unsent()), or
 * -errno from fcntl(2).
 */
int ember_call_with_files(struct ember *client, const char *method, const json_t *params, const int *files,
			  size_t file_count, int timeout_ms, json_t **ret_result, struct ember_error *ret_error);
int ember_send_with_files(struct ember *client, const char *method, const json_t *params, const int *files,
			  size_t file_count, ember_reply_function *function, void *context, uint64_t *ret_id);

/*
 * Ask the daemon to cancel a request. It is answered all the same: with the result if that came first, else with the
 * error CANCELLED.
 *
 * Returns 0, -ENOENT (no such request is open), or as ember_send().
 */
int ember_cancel(struct ember *client, uint64_t id);

/* Complete a request here and now with -ECANCELED; its answer will be dropped. Returns 0 or -ENOENT. */
int ember_forget(struct ember *client, uint64_t id);

/* For poll(2): the socket, and POLLIN with POLLOUT where output waits. */
int ember_fd(const struct ember *client);
short ember_events(const struct ember *client);

/* Requests that have not been completed, and bytes that the socket has not taken. */
size_t ember_in_flight(const struct ember *client);
size_t ember_unsent(const struct ember *client);

/*
 * Send and receive what can be, and run the callbacks.
 *
 * timeout_ms  how long to wait for something to happen; 0: do not wait; negative: as long as it takes
 *
 * Returns how many requests were completed (0: none; a notification or a signal may have come), or the failure:
 * -ECONNRESET (the daemon closed it), -EPROTO (it sent what is not JSON-RPC), -EMSGSIZE (a line over the limit),
 * -EREMOTEIO (it refused the connection itself, or a line of ours, with an error), -ENOMEM, or -errno from poll(2),
 * send(2) or recv(2). Then every open request has been completed with that failure, and every later call returns it.
 */
int ember_dispatch(struct ember *client, int timeout_ms);

/* Why the connection failed, as a sentence; "" while it has not. Valid as long as the client. */
const char *ember_failure(const struct ember *client);

#ifdef __cplusplus
}
#endif

#endif
