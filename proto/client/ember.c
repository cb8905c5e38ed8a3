/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libember's functions.
 *
 * The connection is always non-blocking inside: a blocking call is a send and then dispatches until its own answer has
 * come, so other requests and notifications are served meanwhile, and a daemon that waits for us to read never waits
 * for ever. Callbacks run from ember_dispatch() alone (and from ember_free() and ember_forget(), which say so): a
 * caller never finds one running inside a function that only sends.
 */
#include "proto/client/client.h"

#include "proto/cleanup.h"
#include "proto/jsonrpc.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

void ember_error_release(struct ember_error *error)
{
	if (!error)
		return;

	json_decref(error->data);
	memset(error, 0, sizeof(*error));
}

int ember_connect_fd(int fd, struct ember **ret_client)
{
	int flags = fcntl(fd, F_GETFL), result;
	struct ember *client;

	if (flags < 0)
		return -errno;

	client = calloc(1, sizeof(*client));
	if (!client)
		return -ENOMEM;

	client->fd = -1;
	client->next_id = 1;
	result = line_reader_new(EMBER_DEFAULT_MAX_REPLY, &client->reader);
	if (result == 0 && fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
		result = -errno;
	if (result < 0) {
		(void)ember_free(client);
		return result;
	}

	client->fd = fd;
	*ret_client = client;
	return 0;
}

/* connect(2) on a Unix socket waits only while the listener's backlog is full, for as long as SO_SNDTIMEO says. */
static int connect_socket(int fd, const struct sockaddr_un *address, int timeout_ms)
{
	struct timeval timeout = { .tv_sec = timeout_ms / 1000, .tv_usec = timeout_ms % 1000 * 1000L };

	if (timeout_ms > 0 && setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout)) < 0)
		return -errno;

	while (connect(fd, (const struct sockaddr *)address, sizeof(*address)) < 0) {
		if (errno == EAGAIN)
			return -ETIMEDOUT;
		if (errno != EINTR)
			return -errno;
	}

	return 0;
}

int ember_connect(const char *socket_path, int timeout_ms, struct ember **ret_client)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd, result;

	if (socket_path[0] == '\0')
		return -EINVAL;
	if (strlen(socket_path) >= sizeof(address.sun_path))
		return -ENAMETOOLONG;

	memcpy(address.sun_path, socket_path, strlen(socket_path) + 1);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | (timeout_ms == 0 ? SOCK_NONBLOCK : 0), 0);
	if (fd < 0)
		return -errno;

	result = connect_socket(fd, &address, timeout_ms);
	if (result == 0)
		result = ember_connect_fd(fd, ret_client);
	if (result < 0)
		(void)close(fd);

	return result;
}

struct ember *ember_free(struct ember *client)
{
	struct ember_error error = { .message = "the connection was closed on this side" };
	struct pending request;

	if (!client)
		return NULL;

	if (client->failure == 0)
		client->failure = -ECANCELED;
	while (pending_take_any(&client->pending, &request))
		ember_client_complete(client, &request, -ECANCELED, NULL, &error);
	pending_table_release(&client->pending);
	ember_error_release(&client->failure_error);
	(void)line_reader_free(client->reader);
	ember_client_drop_files(client);
	free(client->input);
	free(client->output);
	if (client->fd >= 0)
		(void)close(client->fd);
	free(client);

	return NULL;
}

int ember_set_max_reply(struct ember *client, size_t bytes)
{
	struct line_reader *reader;
	int result;

	if (line_reader_pending(client->reader) > 0 || client->in_callback)
		return -EBUSY;

	result = line_reader_new(bytes, &reader);
	if (result < 0)
		return result;

	(void)line_reader_free(client->reader);
	client->reader = reader;
	return 0;
}

void ember_on_notification(struct ember *client, ember_notification_function *function, void *context)
{
	client->on_notification = function;
	client->notification_context = context;
}

int ember_send_with_files(struct ember *client, const char *method, const json_t *params, const int *files,
			  size_t file_count, ember_reply_function *function, void *context, uint64_t *ret_id)
{
	struct pending request = { .id = client->next_id, .function = function, .context = context };
	cleanup_json json_t *id = json_integer((json_int_t)request.id);
	cleanup_free char *text = NULL;
	int result;

	if (client->failure != 0)
		return client->failure;
	if (!id)
		return -ENOMEM;
	if (file_count > EMBER_FILES_MAX)
		return -EINVAL;

	result = jsonrpc_write_request(id, method, params, &text);
	if (result < 0)
		return result;
	result = pending_add(&client->pending, &request);
	if (result < 0)
		return result;
	result = ember_client_send(client, text, files, file_count);
	if (result < 0) {
		(void)pending_take(&client->pending, request.id, &request);
		return result;
	}

	client->next_id++;
	if (ret_id)
		*ret_id = request.id;
	return 0;
}

int ember_send(struct ember *client, const char *method, const json_t *params, ember_reply_function *function,
	       void *context, uint64_t *ret_id)
{
	return ember_send_with_files(client, method, params, NULL, 0, function, context, ret_id);
}

static int send_cancel(struct ember *client, uint64_t id)
{
	cleanup_json json_t *params = json_pack("{s:I}", "id", (json_int_t)id);
	cleanup_free char *text = NULL;
	int result;

	if (!params)
		return -ENOMEM;

	result = jsonrpc_write_notification("rpc.cancel", params, &text);
	if (result < 0)
		return result;

	return ember_client_send(client, text, NULL, 0);
}

int ember_cancel(struct ember *client, uint64_t id)
{
	if (client->failure != 0)
		return client->failure;
	if (!pending_has(&client->pending, id))
		return -ENOENT;

	return send_cancel(client, id);
}

int ember_forget(struct ember *client, uint64_t id)
{
	struct ember_error error = { .message = "the request was forgotten on this side" };
	struct pending request;

	if (!pending_take(&client->pending, id, &request))
		return -ENOENT;

	ember_client_complete(client, &request, -ECANCELED, NULL, &error);
	return 0;
}

int ember_fd(const struct ember *client)
{
	return client->fd;
}

short ember_events(const struct ember *client)
{
	return ember_unsent(client) > 0 ? POLLIN | POLLOUT : POLLIN;
}

size_t ember_in_flight(const struct ember *client)
{
	return client->pending.count;
}

size_t ember_unsent(const struct ember *client)
{
	return client->output_size - client->output_sent;
}

const char *ember_failure(const struct ember *client)
{
	return client->failure_error.message;
}

int ember_dispatch(struct ember *client, int timeout_ms)
{
	struct pollfd poll_fd = { .fd = client->fd };
	size_t before = client->completed, completed;

	if (client->in_callback)
		return -EDEADLK;
	if (client->failure != 0)
		return client->failure;

	ember_client_flush(client);
	poll_fd.events = ember_events(client);
	if (poll(&poll_fd, 1, timeout_ms) < 0) {
		if (errno == EINTR)
			return 0;
		ember_client_fail(client, -errno, "waiting for the daemon: %s", strerror(errno));
		return client->failure;
	}
	if (poll_fd.revents & POLLOUT)
		ember_client_flush(client);
	if (poll_fd.revents & ~POLLOUT)
		ember_client_receive(client);
	if (client->failure != 0)
		return client->failure;

	completed = client->completed - before;
	return completed < INT_MAX ? (int)completed : INT_MAX;
}

/* ---- blocking calls ---- */

struct call {
	bool done;
	int result;
	json_t *reply;
	struct ember_error error;
};

static void call_done(void *context, uint64_t id, int result, json_t *reply, const struct ember_error *error)
{
	struct call *call = context;

	(void)id;
	call->done = true;
	call->result = result;
	call->reply = json_incref(reply);
	if (error) {
		call->error = *error;
		json_incref(call->error.data);
	}
}

static int64_t now_ms(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);

	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Serve the connection until the call is done. Returns 0 (see call) or -ETIMEDOUT. */
static int wait_for_call(struct ember *client, const struct call *call, int timeout_ms)
{
	int64_t deadline = now_ms() + timeout_ms;

	while (!call->done) {
		int64_t left = timeout_ms < 0 ? -1 : deadline - now_ms();

		if (timeout_ms >= 0 && left < 0)
			left = 0;
		(void)ember_dispatch(client, (int)left);
		if (!call->done && left == 0)
			return -ETIMEDOUT;
	}

	return 0;
}

/* The call did not come to an answer on the wire: say so in the caller's error. */
static int fail_call(struct ember *client, int result, struct ember_error *ret_error)
{
	if (!ret_error)
		return result;

	ember_error_release(ret_error);
	if (client->failure != 0 && client->failure == result) {
		*ret_error = client->failure_error;
		json_incref(ret_error->data);
	} else {
		(void)snprintf(ret_error->message, sizeof(ret_error->message), "%s",
			       result == -ETIMEDOUT ? "the daemon did not answer in time" : strerror(-result));
	}

	return result;
}

int ember_call_with_files(struct ember *client, const char *method, const json_t *params, const int *files,
			  size_t file_count, int timeout_ms, json_t **ret_result, struct ember_error *ret_error)
{
	struct call call = { 0 };
	struct pending request;
	uint64_t id = 0;
	int result;

	if (client->in_callback)
		return fail_call(client, -EDEADLK, ret_error);

	result = ember_send_with_files(client, method, params, files, file_count, call_done, &call, &id);
	if (result < 0)
		return fail_call(client, result, ret_error);
	result = wait_for_call(client, &call, timeout_ms);
	if (result < 0) {
		(void)pending_take(&client->pending, id, &request);
		(void)send_cancel(client, id);
		return fail_call(client, result, ret_error);
	}

	if (call.result < 0 && ret_error) {
		ember_error_release(ret_error);
		*ret_error = call.error;
	} else {
		ember_error_release(&call.error);
	}
	if (call.result == 0 && ret_result)
		*ret_result = call.reply;
	else
		json_decref(call.reply);

	return call.result;
}

int ember_call(struct ember *client, const char *method, const json_t *params, int timeout_ms, json_t **ret_result,
	       struct ember_error *ret_error)
{
	return ember_call_with_files(client, method, params, NULL, 0, timeout_ms, ret_result, ret_error);
}
