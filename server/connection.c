/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bytes in and out of one client, and the connection's life.
 *
 * Input is read as far as it can be served: a client whose unread output is over output_pause_bytes is not read from,
 * and lines it sent already stay in the buffer, until it has read half of that. So a client that sends and never
 * reads costs a bounded amount of memory and its own time. What a client did not ask for (events, answers of calls
 * that were open already) may still come on top, up to output_drop_bytes; past that it is disconnected.
 *
 * One turn serves lines for TURN_NS and then lets other clients have theirs.
 *
 * A client that shuts down its sending side ("echo ... | nc") still gets the answers to what it asked; when nothing is
 * open any more, the connection ends. In that state epoll reports the end of input for ever, so the socket is not
 * watched for reading, and a timer looks whether the other half is closed too.
 *
 * Nothing frees a connection but its work event: connection_fail() may be called from anywhere, as by a method that is
 * answering from within the very loop that reads lines.
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "proto/jsonrpc.h"
#include "server/cleanup.h"
#include "server/clock.h"
#include "server/connection_private.h"
#include "server/log.h"

#define TURN_NS             (2 * NANOSECONDS_PER_MS)
#define HALF_CLOSED_POLL_MS 200

bool connection_is_slow(const struct connection *connection)
{
	return evbuffer_get_length(connection->output) > connection->server->config.output_pause_bytes;
}

void connection_wake(struct connection *connection)
{
	event_active(connection->work, EV_TIMEOUT, 0);
}

static void free_connection(struct connection *connection)
{
	if (connection->readable)
		event_free(connection->readable);
	if (connection->writable)
		event_free(connection->writable);
	if (connection->work)
		event_free(connection->work);
	if (connection->half_closed_poll)
		event_free(connection->half_closed_poll);
	if (connection->input)
		evbuffer_free(connection->input);
	if (connection->output)
		evbuffer_free(connection->output);
	(void)line_reader_free(connection->reader);
	connection_drop_files(connection);
	peer_release(&connection->peer);
	connection_close_socket(connection);
	free(connection);
}

static void end_connection(struct connection *connection)
{
	struct connection_lease *lease;

	connection->dead = true;
	connection_drop_requests(connection);
	connection_undo_unsent(connection);
	while ((lease = LIST_FIRST(&connection->leases)) != NULL) {
		LIST_REMOVE(lease, link);
		lease->lost(lease);
	}

	TAILQ_REMOVE(&connection->server->connections, connection, link);
	connection->server->connection_count--;
	log_debug("connection closed", log_number("connection", (int64_t)connection->number));
	free_connection(connection);
}

void connection_fail(struct connection *connection, const char *reason)
{
	if (connection->dead)
		return;

	connection->dead = true;
	log_info("connection dropped", log_number("connection", (int64_t)connection->number),
		 log_number("uid", connection->peer.uid), log_text("detail", reason));
	connection_wake(connection);
}

/* The client closed both directions: nobody will read an answer. */
static void client_gone(struct connection *connection)
{
	connection->dead = true;
	connection_wake(connection);
}

/* Try the socket before the buffer: an answer usually fits, and saves a turn of the loop. Returns bytes sent. */
static size_t send_now(struct connection *connection, const struct iovec *parts, size_t count)
{
	struct msghdr message = { .msg_iov = (struct iovec *)parts, .msg_iovlen = count };
	ssize_t sent;

	if (evbuffer_get_length(connection->output) > 0)
		return 0;
	sent = sendmsg(connection->socket, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
	if (sent < 0 && errno != EAGAIN && errno != EINTR)
		client_gone(connection);
	if (sent < 0)
		return 0;
	connection->sent += (size_t)sent;
	return (size_t)sent;
}

void connection_send(struct connection *connection, char *text)
{
	cleanup_free char *owned_text = text;
	struct iovec parts[2];
	size_t sent;

	if (connection->dead)
		return;
	if (!owned_text) {
		connection_fail(connection, "out of memory for an answer");
		return;
	}

	parts[0] = (struct iovec){ .iov_base = owned_text, .iov_len = strlen(owned_text) };
	parts[1] = (struct iovec){ .iov_base = (char[]){ '\n' }, .iov_len = 1 };
	connection->queued += parts[0].iov_len + 1;
	sent = send_now(connection, parts, 2);
	if (connection->dead || sent == parts[0].iov_len + 1)
		return;

	if ((sent < parts[0].iov_len && evbuffer_add(connection->output, owned_text + sent, parts[0].iov_len - sent)) ||
	    evbuffer_add(connection->output, "\n", 1) || event_add(connection->writable, NULL))
		connection_fail(connection, "out of memory for an answer");
	else if (evbuffer_get_length(connection->output) > connection->server->config.output_drop_bytes)
		connection_fail(connection, "the client does not read what it is sent");
}

static void serve_line(struct connection *connection, const char *line, size_t length)
{
	connection_lend_files(connection);
	connection_serve_line(connection, line, length);
	connection_end_loan(connection);
}

static void refuse_line(struct connection *connection)
{
	connection_drop_files(connection);
	connection_refuse_line(connection);
}

/* Serve lines that have arrived, as far as one turn goes. Returns false where the turn ended before the input. */
static bool serve_input(struct connection *connection)
{
	uint64_t end_ns = monotonic_ns() + TURN_NS;

	do {
		struct evbuffer_iovec chunk;
		const char *input, *line;
		size_t length, line_length;
		int event;

		if (connection->dead || connection_is_slow(connection))
			return false;
		/* An empty buffer may still have a chunk, of no bytes. */
		if (evbuffer_get_length(connection->input) == 0 ||
		    evbuffer_peek(connection->input, -1, NULL, &chunk, 1) < 1)
			return true;

		input = chunk.iov_base;
		length = chunk.iov_len;
		event = line_reader_next(connection->reader, &input, &length, &line, &line_length);
		connection->served += chunk.iov_len - length;
		if (event == LINE_READER_LINE)
			serve_line(connection, line, line_length);
		else if (event == LINE_READER_TOO_LONG)
			refuse_line(connection);
		else if (event < 0)
			connection_fail(connection, "out of memory for a request");
		(void)evbuffer_drain(connection->input, chunk.iov_len - length);
	} while (monotonic_ns() < end_ns);
	return false;
}

/* The text after the last line end counts as a line, too. */
static void serve_last_line(struct connection *connection)
{
	const char *line;
	size_t length;

	if (line_reader_finish(connection->reader, &line, &length) == LINE_READER_LINE)
		serve_line(connection, line, length);
}

static bool is_idle(const struct connection *connection)
{
	return TAILQ_EMPTY(&connection->requests) && LIST_EMPTY(&connection->subscriptions) &&
	       evbuffer_get_length(connection->output) == 0 && evbuffer_get_length(connection->input) == 0 &&
	       line_reader_pending(connection->reader) == 0;
}

/* Serve, then say what to wait for next: input, room for output, another turn, or the end. */
static void go_on(struct connection *connection)
{
	bool done = serve_input(connection);

	if (done && connection->half_closed)
		serve_last_line(connection);
	if (connection->dead || (connection->half_closed && is_idle(connection))) {
		end_connection(connection);
		return;
	}

	if (!done && !connection_is_slow(connection))
		connection_wake(connection);
	if (done && !connection->half_closed && !connection->receiving)
		(void)event_add(connection->readable, NULL);
	else
		(void)event_del(connection->readable);
}

static void on_work(evutil_socket_t fd, short events, void *opaque)
{
	(void)fd;
	(void)events;
	go_on(opaque);
}

static void on_half_closed_poll(evutil_socket_t fd, short events, void *opaque)
{
	struct connection *connection = opaque;
	struct pollfd state = { .fd = connection->socket };

	(void)fd;
	(void)events;
	if (poll(&state, 1, 0) == 1 && state.revents & (POLLHUP | POLLERR))
		client_gone(connection);
}

static void begin_half_closed(struct connection *connection)
{
	const struct timeval interval = clock_timeval(HALF_CLOSED_POLL_MS);

	connection->half_closed = true;
	(void)event_add(connection->half_closed_poll, &interval);
	on_half_closed_poll(-1, 0, connection);
}

static void on_readable(evutil_socket_t fd, short events, void *opaque)
{
	struct connection *connection = opaque;
	ssize_t got = connection_receive(connection);

	(void)fd;
	(void)events;
	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (got < 0)
		client_gone(connection);
	else if (got == 0)
		begin_half_closed(connection);
	go_on(connection);
}

static void on_writable(evutil_socket_t fd, short events, void *opaque)
{
	struct connection *connection = opaque;
	int sent = evbuffer_write(connection->output, fd);

	(void)events;
	if (sent < 0 && errno != EAGAIN && errno != EINTR)
		client_gone(connection);
	if (sent > 0)
		connection->sent += (size_t)sent;
	connection_forget_sent(connection);
	if (evbuffer_get_length(connection->output) == 0)
		(void)event_del(connection->writable);
	if (evbuffer_get_length(connection->output) <= connection->server->config.output_pause_bytes / 2)
		connection_wake(connection);
}

void connection_lease_add(struct connection *connection, struct connection_lease *lease)
{
	LIST_INSERT_HEAD(&connection->leases, lease, link);
}

void connection_lease_remove(struct connection_lease *lease)
{
	LIST_REMOVE(lease, link);
}

static void refuse(const struct server *server, int socket)
{
	struct rpc_error error = RPC_ERROR_INIT;
	cleanup_free char *text = NULL;
	static struct log_limit refusals;

	log_write_limited(&refusals, LOG_LEVEL_WARNING, "connection refused",
			  LOG_FIELDS(log_number("limit", server->config.connections_max)));
	(void)rpc_error_set(&error, RPC_CONNECTION_LIMIT, "there are %u connections already",
			    server->config.connections_max);
	if (jsonrpc_write_error(NULL, &error, &text) == 0) {
		struct iovec parts[2] = { { text, strlen(text) }, { (char[]){ '\n' }, 1 } };

		(void)!writev(socket, parts, 2);
	}
	rpc_error_release(&error);
	(void)close(socket);
}

static int make_parts(struct connection *connection)
{
	struct event_base *base = connection->server->base;

	connection->readable = event_new(base, connection->socket, EV_READ | EV_PERSIST, on_readable, connection);
	connection->writable = event_new(base, connection->socket, EV_WRITE | EV_PERSIST, on_writable, connection);
	connection->work = event_new(base, -1, 0, on_work, connection);
	connection->half_closed_poll = event_new(base, -1, EV_PERSIST, on_half_closed_poll, connection);
	connection->input = evbuffer_new();
	connection->output = evbuffer_new();
	if (!connection->readable || !connection->writable || !connection->work || !connection->half_closed_poll ||
	    !connection->input || !connection->output)
		return -ENOMEM;

	return line_reader_new(connection->server->config.line_bytes_max, &connection->reader);
}

void connection_accept(struct server *server, int socket)
{
	struct connection *connection;
	int error;

	if (server->connection_count >= server->config.connections_max) {
		refuse(server, socket);
		return;
	}

	connection = calloc(1, sizeof(*connection));
	if (!connection) {
		(void)close(socket);
		return;
	}
	connection->server = server;
	connection->socket = socket;
	TAILQ_INIT(&connection->requests);
	LIST_INIT(&connection->subscriptions);
	LIST_INIT(&connection->leases);
	LIST_INIT(&connection->undone_if_lost);
	error = peer_read(socket, &connection->peer);
	if (!error)
		error = make_parts(connection);
	if (error) {
		log_error("connection cannot be served", log_errno(error));
		free_connection(connection);
		return;
	}

	connection->number = ++server->last_connection_number;
	TAILQ_INSERT_TAIL(&server->connections, connection, link);
	server->connection_count++;
	(void)event_add(connection->readable, NULL);
	log_debug("connection accepted", log_number("connection", (int64_t)connection->number),
		  log_number("uid", connection->peer.uid), log_number("pid", connection->peer.pid),
		  log_text("role", role_name(peer_role(&connection->peer, &server->config))));
}

size_t connections_unsent(const struct server *server)
{
	const struct connection *connection;
	size_t unsent = 0;

	TAILQ_FOREACH(connection, &server->connections, link)
		if (!connection->dead)
			unsent += evbuffer_get_length(connection->output);
	return unsent;
}

void connections_close(struct server *server)
{
	while (!TAILQ_EMPTY(&server->connections))
		end_connection(TAILQ_FIRST(&server->connections));
}
