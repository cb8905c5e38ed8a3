/* SPDX-License-Identifier: Apache-2.0 */
/*
 * At the limit a place is made: slow and idle clients, however many, keep another out for a second at most. Only
 * calls that are open keep their places.
 *
 * Accepting pauses for one round of the event loop after every ACCEPT_BURST connections: libevent accepts until no client waits, and clients can
 * come faster than that.
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>

#include <event2/event.h>
#include <event2/listener.h>

#include "server/clock.h"
#include "server/http_acceptor.h"
#include "server/http_private.h"
#include "server/log.h"
#include "server/server.h"

/* How long accepting rests after it failed, or with all places taken. */
#define REST_MS 100

/* What a client may do with its place before another may get it. */
#define PATIENCE_NS (1000 * NANOSECONDS_PER_MS)

struct http_acceptor {
	struct http *http;
	struct evconnlistener *listener;
	struct event *pause;
	unsigned int burst; /* clients taken since the last pause */
};

static bool is_full(const struct http_acceptor *acceptor)
{
	return acceptor->http->connection_count >= acceptor->http->server->config.connections_max;
}

static bool somebody_waits(const struct http_acceptor *acceptor)
{
	struct pollfd state = { .fd = evconnlistener_get_fd(acceptor->listener), .events = POLLIN };

	return poll(&state, 1, 0) == 1;
}

static void make_place(const struct http_acceptor *acceptor)
{
	struct http_connection *connection, *slowest = NULL;
	static struct log_limit lines;

	TAILQ_FOREACH(connection, &acceptor->http->connections, link)
		if (connection->phase != HTTP_PHASE_SERVING && (!slowest || connection->since_ns < slowest->since_ns))
			slowest = connection;
	if (!slowest || monotonic_ns() - slowest->since_ns < PATIENCE_NS)
		return;

	log_write_limited(&lines, LOG_LEVEL_WARNING, "HTTP connection ended to make room for another",
			  LOG_FIELDS(log_number("uid", slowest->peer.uid),
				     log_number("limit", acceptor->http->server->config.connections_max)));
	http_connection_end(slowest);
}

static void pause_for(struct http_acceptor *acceptor, uint32_t milliseconds)
{
	const struct timeval time = clock_timeval(milliseconds);

	acceptor->burst = 0;
	(void)evconnlistener_disable(acceptor->listener);
	(void)event_add(acceptor->pause, &time);
}

static void on_pause_over(evutil_socket_t fd, short events, void *opaque)
{
	struct http_acceptor *acceptor = opaque;

	(void)fd;
	(void)events;
	if (acceptor->http->server->state == SERVER_STOPPING)
		return;
	if (is_full(acceptor) && somebody_waits(acceptor))
		make_place(acceptor);
	if (is_full(acceptor))
		pause_for(acceptor, REST_MS);
	else
		(void)evconnlistener_enable(acceptor->listener);
}

static void on_accept(struct evconnlistener *listener, evutil_socket_t socket, struct sockaddr *address, int length,
		      void *opaque)
{
	struct http_acceptor *acceptor = opaque;

	(void)listener;
	(void)address;
	(void)length;
	http_connection_new(acceptor->http, socket);
	if (++acceptor->burst >= ACCEPT_BURST || is_full(acceptor))
		pause_for(acceptor, 0);
}

/* Without a pause the loop would spin: the connection that could not be accepted stays in the queue. */
static void on_accept_error(struct evconnlistener *listener, void *opaque)
{
	struct http_acceptor *acceptor = opaque;
	int error = EVUTIL_SOCKET_ERROR();

	(void)listener;
	log_error("HTTP connection not accepted", log_errno(error));
	pause_for(acceptor, REST_MS);
}

int http_acceptor_new(struct http *http, int socket, struct http_acceptor **ret_acceptor)
{
	struct http_acceptor *acceptor = calloc(1, sizeof(*acceptor));

	if (!acceptor)
		return -ENOMEM;

	acceptor->http = http;
	acceptor->pause = event_new(http->server->base, -1, 0, on_pause_over, acceptor);
	acceptor->listener =
		evconnlistener_new(http->server->base, on_accept, acceptor, LEV_OPT_CLOSE_ON_EXEC, SOMAXCONN, socket);
	if (!acceptor->pause || !acceptor->listener) {
		(void)http_acceptor_free(acceptor);
		return -ENOMEM;
	}

	evconnlistener_set_error_cb(acceptor->listener, on_accept_error);
	*ret_acceptor = acceptor;
	return 0;
}

void http_acceptor_stop(struct http_acceptor *acceptor)
{
	if (acceptor)
		(void)evconnlistener_disable(acceptor->listener);
}

struct http_acceptor *http_acceptor_free(struct http_acceptor *acceptor)
{
	if (!acceptor)
		return NULL;

	if (acceptor->listener)
		evconnlistener_free(acceptor->listener);
	if (acceptor->pause)
		event_free(acceptor->pause);
	free(acceptor);
	return NULL;
}
