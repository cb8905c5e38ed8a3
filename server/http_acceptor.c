/* SPDX-License-Identifier: Apache-2.0 */
/*
 * evhttp neither bounds its connections nor says when one ends. It does ask for each connection's bufferevent
 * (on_connection), so every one of them is made here, and a second reference to it kept: one without callbacks is one
 * that evhttp has freed (bufferevent_free() takes them away first), and its place is free again (drop_ended).
 *
 * At the limit, accepting pauses until a place is free. It pauses for one round of the event loop after every
 * ACCEPT_BURST connections, too: libevent accepts until no client waits, and clients can come faster than that.
 */
#include <errno.h>
#include <stdlib.h>

#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/http.h>
#include <event2/listener.h>

#include "server/cleanup.h"
#include "server/http_acceptor.h"
#include "server/log.h"
#include "server/server.h"

/* How long accepting rests after it failed, or with all places taken. */
#define REST_MS 100

struct http_acceptor {
	struct server *server;
	struct evconnlistener *listener; /* belongs to evhttp once bound */
	struct event *pause;
	struct bufferevent **streams; /* one reference each */
	size_t count;
	size_t capacity;
	unsigned int burst; /* connections since the last pause */
};

static void drop_ended(struct http_acceptor *acceptor)
{
	size_t i, kept = 0;

	for (i = 0; i < acceptor->count; i++) {
		bufferevent_event_cb on_event;

		bufferevent_getcb(acceptor->streams[i], NULL, NULL, &on_event, NULL);
		if (on_event)
			acceptor->streams[kept++] = acceptor->streams[i];
		else
			(void)bufferevent_decref(acceptor->streams[i]);
	}
	acceptor->count = kept;
}

static void pause_for(struct http_acceptor *acceptor, unsigned int milliseconds)
{
	const struct timeval time = { .tv_usec = (suseconds_t)milliseconds * 1000 };

	acceptor->burst = 0;
	(void)evconnlistener_disable(acceptor->listener);
	(void)event_add(acceptor->pause, &time);
}

static void on_pause_over(evutil_socket_t fd, short events, void *opaque)
{
	struct http_acceptor *acceptor = opaque;

	(void)fd;
	(void)events;
	drop_ended(acceptor);
	if (acceptor->server->state == SERVER_STOPPING)
		return;
	if (acceptor->count >= acceptor->server->config.connections_max)
		pause_for(acceptor, REST_MS);
	else
		(void)evconnlistener_enable(acceptor->listener);
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

static int reserve_place(struct http_acceptor *acceptor)
{
	size_t capacity = acceptor->capacity ? acceptor->capacity * 2 : 16;
	struct bufferevent **streams;

	if (acceptor->count < acceptor->capacity)
		return 0;
	streams = reallocarray(acceptor->streams, capacity, sizeof(struct bufferevent *));
	if (!streams)
		return -ENOMEM;

	acceptor->streams = streams;
	acceptor->capacity = capacity;
	return 0;
}

/* NULL would have evhttp make a bufferevent of its own: one that is not counted, so it is left to lack of memory. */
static struct bufferevent *on_connection(struct event_base *base, void *opaque)
{
	struct http_acceptor *acceptor = opaque;
	struct bufferevent *stream;

	if (reserve_place(acceptor))
		return NULL;
	stream = bufferevent_socket_new(base, -1, 0);
	if (!stream)
		return NULL;

	bufferevent_incref(stream);
	acceptor->streams[acceptor->count++] = stream;
	if (++acceptor->burst >= ACCEPT_BURST || acceptor->count >= acceptor->server->config.connections_max)
		pause_for(acceptor, 0);
	return stream;
}

int http_acceptor_new(struct server *server, struct evhttp *evhttp, int socket, struct http_acceptor **ret_acceptor)
{
	struct http_acceptor *acceptor = calloc(1, sizeof(*acceptor));

	if (!acceptor)
		return -ENOMEM;

	acceptor->server = server;
	acceptor->pause = event_new(server->base, -1, 0, on_pause_over, acceptor);
	acceptor->listener = evconnlistener_new(server->base, NULL, NULL, LEV_OPT_CLOSE_ON_EXEC, SOMAXCONN, socket);
	if (!acceptor->pause || !acceptor->listener || !evhttp_bind_listener(evhttp, acceptor->listener)) {
		if (acceptor->listener)
			evconnlistener_free(acceptor->listener);
		(void)http_acceptor_free(acceptor);
		return -ENOMEM;
	}

	evconnlistener_set_error_cb(acceptor->listener, on_accept_error);
	evhttp_set_bevcb(evhttp, on_connection, acceptor);
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
	size_t i;

	if (!acceptor)
		return NULL;

	for (i = 0; i < acceptor->count; i++)
		(void)bufferevent_decref(acceptor->streams[i]);
	if (acceptor->pause)
		event_free(acceptor->pause);
	free(acceptor->streams);
	free(acceptor);
	return NULL;
}
