/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One client over HTTP: bytes in and out, and the connection's life.
 *
 * Requests are served one after another: the next is looked at when the last one's answer has been sent, and what comes meanwhile waits in the
 * input buffer, to a bound, and then in the socket.
 *
 * The socket is watched edge-triggered, for all of its news. So a client that shuts down its sending side ("half-closed") is told from one that
 * has closed the socket, at any time and without asking again and again: poll(2) reports POLLHUP for the second only, and POLLERR besides where the
 * client has left bytes unread. Whoever has gone gets nothing begun for it, and what was begun is undone. So is what was done
 * for an answer that the client did not read: it counts as sent when the kernel holds no byte of it any more (SIOCOUTQ).
 *
 * Every phase but that of the call itself has a bound of time, counted from its beginning: a client that sends or reads a byte now and then wins nothing
 * by it. When a connection has been refused in the midst of a request it lingers a moment, reading and dropping what still comes: closing a
 * Unix socket with unread bytes would reset it, and the client might lose the answer.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <linux/sockios.h>

#include "server/clock.h"
#include "server/http_private.h"
#include "server/log.h"
#include "server/server.h"

#define LINGER_MS      1000
#define RECEIVE_BYTES  16384
#define TURN_REQUESTS  16 /* answered in one turn of the loop */
#define DATE_TEXT_SIZE 64

static struct http_limits limits_of(const struct http_connection *connection)
{
	const struct config *config = &connection->http->server->config;

	return (struct http_limits){ .head = config->http_header_bytes_max, .body = config->http_body_bytes_max };
}

static bool has_output(const struct http_connection *connection)
{
	return evbuffer_get_length(connection->output) > 0;
}

/* ---- answers ---- */

static const char *reason_phrase(int status)
{
	static const struct {
		int status;
		const char *phrase;
	} rows[] = {
		{ 200, "OK" },
		{ 204, "No Content" },
		{ 400, "Bad Request" },
		{ 403, "Forbidden" },
		{ 404, "Not Found" },
		{ 405, "Method Not Allowed" },
		{ 408, "Request Timeout" },
		{ 409, "Conflict" },
		{ 413, "Content Too Large" },
		{ 414, "URI Too Long" },
		{ 417, "Expectation Failed" },
		{ 429, "Too Many Requests" },
		{ 431, "Request Header Fields Too Large" },
		{ 500, "Internal Server Error" },
		{ 501, "Not Implemented" },
		{ 503, "Service Unavailable" },
		{ 504, "Gateway Timeout" },
		{ 505, "HTTP Version Not Supported" },
	};
	size_t i;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (rows[i].status == status)
			return rows[i].phrase;
	return "";
}

/* RFC 9110, 5.6.7. The names are those of the C locale, which the daemon never leaves. */
static const char *date_text(char *text)
{
	time_t now = time(NULL);
	struct tm broken;

	if (!gmtime_r(&now, &broken) || strftime(text, DATE_TEXT_SIZE, "%a, %d %b %Y %H:%M:%S GMT", &broken) == 0)
		text[0] = '\0';
	return text;
}

static void write_head(struct http_connection *connection, const struct http_answer *answer)
{
	const struct http_head *head = http_reader_head(connection->reader);
	struct evbuffer *output = connection->output;
	char date[DATE_TEXT_SIZE];

	(void)evbuffer_add_printf(output, "HTTP/1.1 %d %s\r\nDate: %s\r\n", answer->status,
				  reason_phrase(answer->status), date_text(date));
	if (answer->text)
		(void)evbuffer_add_printf(output, "Content-Type: application/json\r\n");
	if (answer->status != 204)
		(void)evbuffer_add_printf(output, "Content-Length: %zu\r\n",
					  answer->text ? strlen(answer->text) + 1 : 0);
	if (answer->allow)
		(void)evbuffer_add_printf(output, "Allow: %s\r\n", answer->allow);
	if (answer->retry_after_ms >= 0)
		(void)evbuffer_add_printf(output, "Retry-After: %lld\r\n",
					  (long long)(answer->retry_after_ms + 999) / 1000);
	if (connection->closing)
		(void)evbuffer_add_printf(output, "Connection: close\r\n");
	else if (!head->version_1_1)
		(void)evbuffer_add_printf(output, "Connection: keep-alive\r\n");
	if (evbuffer_add(output, "\r\n", 2))
		connection->dead = true; /* for want of memory: half an answer would be worse than none */
}

void http_connection_answer(struct http_connection *connection, const struct http_answer *answer)
{
	const struct http_head *head = http_reader_head(connection->reader);
	bool is_head = head->method == HTTP_HEAD && http_reader_is_done(connection->reader);

	/* Where the body has not been read, the next request could not be found. */
	connection->closing = !http_reader_is_done(connection->reader) || !head->keep_alive;
	write_head(connection, answer);
	if (answer->text && !is_head &&
	    (evbuffer_add(connection->output, answer->text, strlen(answer->text)) ||
	     evbuffer_add(connection->output, "\n", 1)))
		connection->dead = true;
	connection->requests++;
	http_reader_next(connection->reader);
	event_active(connection->work, EV_TIMEOUT, 0);
}

/* ---- the socket ---- */

/* POLLHUP: the client has closed its socket, so nobody is there to read an answer; POLLERR: it did not read all that it was sent. */
static unsigned int poll_state(const struct http_connection *connection)
{
	struct pollfd state = { .fd = connection->socket };

	return poll(&state, 1, 0) == 1 ? (unsigned int)state.revents : 0;
}

/* Are bytes that were sent still in the kernel? It counts what they occupy there, and for a moment 1 when they have just been read. */
static bool is_unread(const struct http_connection *connection)
{
	int count = 0;

	return ioctl(connection->socket, SIOCOUTQ, &count) == 0 && count > 1;
}

/* Has the client read its answer? A socket that is closed drops what was not read, after it has said so. */
static void forget_undo(struct http_connection *connection)
{
	if (connection->undo.kind != UNDO_NOTHING && !has_output(connection) && !is_unread(connection) &&
	    (poll_state(connection) & POLLERR) == 0)
		connection->undo = (struct undo){ .kind = UNDO_NOTHING };
}

/* There is more for the client to read before its next request is looked at. */
static bool is_sending(const struct http_connection *connection)
{
	return has_output(connection) || connection->undo.kind != UNDO_NOTHING;
}

static void send_output(struct http_connection *connection)
{
	while (has_output(connection) && !connection->dead) {
		if (evbuffer_write(connection->output, connection->socket) >= 0)
			continue;
		if (errno == EAGAIN)
			return;
		if (errno != EINTR)
			connection->dead = true;
	}
	forget_undo(connection);
}

/* Read what has arrived, to a bound: one request of the largest kind. What is lingered over is dropped. */
static void receive(struct http_connection *connection)
{
	const struct http_limits limits = limits_of(connection);
	char bytes[RECEIVE_BYTES];
	ssize_t got;

	while (!connection->half_closed && !connection->dead &&
	       evbuffer_get_length(connection->input) < limits.head + limits.body) {
		got = recv(connection->socket, bytes, sizeof(bytes), MSG_DONTWAIT);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0 && errno == EAGAIN)
			return;
		connection->half_closed = got == 0;
		if (got < 0 || (got > 0 && !connection->closing && evbuffer_add(connection->input, bytes, (size_t)got)))
			connection->dead = true;
	}
}

/* ---- phases ---- */

/* Take the next step of a request. Returns false where there is none to take. */
static bool step(struct http_connection *connection)
{
	const struct http_limits limits = limits_of(connection);
	const struct http_refusal *refusal = http_reader_refusal(connection->reader);

	if (connection->call || connection->closing || is_sending(connection))
		return false;
	switch (http_reader_read(connection->reader, connection->input, &limits)) {
	case HTTP_STEP_HEAD:
		if (!http_answer_head(connection) && http_reader_head(connection->reader)->expects_continue &&
		    !http_reader_is_done(connection->reader) && evbuffer_get_length(connection->input) == 0)
			(void)evbuffer_add_printf(connection->output, "HTTP/1.1 100 Continue\r\n\r\n");
		return true;
	case HTTP_STEP_DONE:
		http_serve(connection);
		return true;
	case HTTP_STEP_REFUSED:
		http_refuse(connection, refusal->status, refusal->text);
		return true;
	default:
		return false;
	}
}

static enum http_phase phase_of(const struct http_connection *connection)
{
	if (connection->call)
		return HTTP_PHASE_SERVING;
	if (is_sending(connection))
		return HTTP_PHASE_SENDING;
	if (connection->closing)
		return HTTP_PHASE_LINGERING;
	return http_reader_is_fresh(connection->reader) && evbuffer_get_length(connection->input) == 0
		       ? HTTP_PHASE_IDLE
		       : HTTP_PHASE_RECEIVING;
}

static void set_timer(struct http_connection *connection)
{
	uint32_t bound_ms = connection->http->server->config.http_timeout_ms;
	struct timeval bound;

	if (connection->phase == HTTP_PHASE_SERVING) {
		(void)event_del(connection->timer);
		return;
	}
	if (connection->phase == HTTP_PHASE_LINGERING && bound_ms > LINGER_MS)
		bound_ms = LINGER_MS;
	bound = clock_timeval(bound_ms);
	(void)event_add(connection->timer, &bound);
}

/* Which phase is it in now? requests: how many had been answered before. */
static void enter_phase(struct http_connection *connection, uint64_t requests)
{
	enum http_phase phase = phase_of(connection);

	if (phase == connection->phase && requests == connection->requests)
		return;
	connection->phase = phase;
	connection->since_ns = monotonic_ns();
	if (phase == HTTP_PHASE_LINGERING)
		(void)shutdown(connection->socket, SHUT_WR);
	set_timer(connection);
}

/* A client that sends nothing more, and has been told all: it ends; in the midst of a request it is told that. */
static void end_half_closed(struct http_connection *connection)
{
	if (!connection->half_closed || connection->call || is_sending(connection))
		return;
	if (connection->closing || phase_of(connection) == HTTP_PHASE_IDLE)
		connection->dead = true;
	else
		http_refuse(connection, 400, "the request is not whole");
}

/* Do what can be done, then wait for more of it; or end. */
static void go_on(struct http_connection *connection)
{
	uint64_t before = connection->requests;
	bool stepped = true;

	/* Nothing is begun for a client that has gone, though it may have asked for it. */
	forget_undo(connection);
	connection->dead = connection->dead || (poll_state(connection) & (POLLHUP | POLLERR)) != 0;
	while (stepped && !connection->dead && connection->requests - before < TURN_REQUESTS) {
		send_output(connection);
		receive(connection);
		stepped = step(connection);
	}
	if (stepped)
		event_active(connection->work, EV_TIMEOUT, 0); /* others first */
	else if (!connection->dead)
		end_half_closed(connection);
	if (!connection->dead)
		send_output(connection);
	if (connection->dead)
		http_connection_end(connection);
	else
		enter_phase(connection, before);
}

static void on_ready(evutil_socket_t fd, short events, void *opaque)
{
	(void)fd;
	(void)events;
	go_on(opaque);
}

static void on_timer(evutil_socket_t fd, short events, void *opaque)
{
	struct http_connection *connection = opaque;

	(void)fd;
	(void)events;
	if (connection->phase == HTTP_PHASE_RECEIVING)
		http_refuse(connection, 408, "the request took longer than limits.http_timeout_ms");
	else
		connection->dead = true;
	go_on(connection);
}

/* ---- life ---- */

static void free_connection(struct http_connection *connection)
{
	if (connection->ready)
		event_free(connection->ready);
	if (connection->work)
		event_free(connection->work);
	if (connection->timer)
		event_free(connection->timer);
	if (connection->input)
		evbuffer_free(connection->input);
	if (connection->output)
		evbuffer_free(connection->output);
	(void)http_reader_free(connection->reader);
	peer_release(&connection->peer);
	(void)close(connection->socket);
	free(connection);
}

void http_connection_end(struct http_connection *connection)
{
	struct rpc_error error = RPC_ERROR_INIT;
	struct http *http = connection->http;

	connection->dead = true;
	if (connection->call) {
		(void)rpc_error_set(&error, RPC_CANCELLED, "the client has gone");
		call_abandon(connection->call, &error);
	}
	undo_apply(http->server, &connection->undo);
	TAILQ_REMOVE(&http->connections, connection, link);
	http->connection_count--;
	free_connection(connection);
}

static int make_parts(struct http_connection *connection)
{
	struct event_base *base = connection->http->server->base;

	connection->ready = event_new(base, connection->socket, EV_READ | EV_WRITE | EV_CLOSED | EV_ET | EV_PERSIST,
				      on_ready, connection);
	connection->work = event_new(base, -1, 0, on_ready, connection);
	connection->timer = event_new(base, -1, 0, on_timer, connection);
	connection->input = evbuffer_new();
	connection->output = evbuffer_new();
	if (!connection->ready || !connection->work || !connection->timer || !connection->input ||
	    !connection->output || event_add(connection->ready, NULL))
		return -ENOMEM;

	return http_reader_new(&connection->reader);
}

void http_connection_new(struct http *http, int socket)
{
	struct http_connection *connection = calloc(1, sizeof(*connection));
	int error;

	if (!connection) {
		(void)close(socket);
		return;
	}
	connection->http = http;
	connection->socket = socket;
	error = peer_read(socket, &connection->peer);
	if (!error)
		error = make_parts(connection);
	if (error) {
		log_error("HTTP connection cannot be served", log_errno(error));
		free_connection(connection);
		return;
	}

	TAILQ_INSERT_TAIL(&http->connections, connection, link);
	http->connection_count++;
	connection->since_ns = monotonic_ns();
	set_timer(connection);
}
