/* SPDX-License-Identifier: Apache-2.0 */
/*
 * evhttp neither bounds its connections nor says when one ends. It does ask for each connection's bufferevent
 * (on_connection), which tells that there is one more. Its socket is noted a moment later, when evhttp has set it: by
 * descriptor and inode. A descriptor that is closed, or that has become another file, is a connection that has ended
 * (drop_ended); this is looked at only when all places seem taken.
 *
 * The bufferevent itself must not be kept for that: one that outlives its connection stays registered for a descriptor
 * that evhttp has closed, and the next file to get that number is then never polled.
 *
 * At the limit, accepting pauses until a place is free. It pauses for one round of the event loop after every
 * ACCEPT_BURST connections, too: libevent accepts until no client waits, and clients can come faster than that.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>

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

/* A connection: the socket that it has. */
struct place {
	int fd;
	ino_t inode;
};

struct http_acceptor {
	struct server *server;
	struct evconnlistener *listener; /* belongs to evhttp once bound */
	struct event *pause;
	struct event *note;                          /* activated by hand */
	struct bufferevent *newcomers[ACCEPT_BURST]; /* one reference each, until they are noted */
	unsigned int newcomer_count;                 /* since the last pause */
	struct place *places;
	size_t count;
	size_t capacity;
};

static void drop_ended(struct http_acceptor *acceptor)
{
	struct stat status;
	size_t i, kept = 0;

	for (i = 0; i < acceptor->count; i++)
		if (fstat(acceptor->places[i].fd, &status) == 0 && status.st_ino == acceptor->places[i].inode)
			acceptor->places[kept++] = acceptor->places[i];
	acceptor->count = kept;
}

static bool is_full(struct http_acceptor *acceptor)
{
	size_t limit = acceptor->server->config.connections_max;

	if (acceptor->count + acceptor->newcomer_count >= limit)
		drop_ended(acceptor);
	return acceptor->count + acceptor->newcomer_count >= limit;
}

static void pause_for(struct http_acceptor *acceptor, unsigned int milliseconds)
{
	const struct timeval time = { .tv_usec = (suseconds_t)milliseconds * 1000 };

	(void)evconnlistener_disable(acceptor->listener);
	(void)event_add(acceptor->pause, &time);
}

static void on_pause_over(evutil_socket_t fd, short events, void *opaque)
{
	struct http_acceptor *acceptor = opaque;

	(void)fd;
	(void)events;
	if (acceptor->server->state == SERVER_STOPPING)
		return;
	if (is_full(acceptor))
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

static int reserve_places(struct http_acceptor *acceptor)
{
	size_t capacity = acceptor->capacity * 2 + ACCEPT_BURST;
	struct place *places;

	if (acceptor->count + ACCEPT_BURST <= acceptor->capacity)
		return 0;
	places = reallocarray(acceptor->places, capacity, sizeof(*places));
	if (!places)
		return -ENOMEM;

	acceptor->places = places;
	acceptor->capacity = capacity;
	return 0;
}

/* evhttp has given the newcomers their sockets. */
static void on_note(evutil_socket_t fd, short events, void *opaque)
{
	struct http_acceptor *acceptor = opaque;
	struct stat status;
	unsigned int i;

	(void)fd;
	(void)events;
	for (i = 0; i < acceptor->newcomer_count; i++) {
		int socket = bufferevent_getfd(acceptor->newcomers[i]);

		if (socket >= 0 && fstat(socket, &status) == 0)
			acceptor->places[acceptor->count++] = (struct place){ .fd = socket, .inode = status.st_ino };
		(void)bufferevent_decref(acceptor->newcomers[i]);
	}
	acceptor->newcomer_count = 0;
}

/* NULL would have evhttp make a bufferevent of its own: one that is not counted, so it is left to lack of memory. */
static struct bufferevent *on_connection(struct event_base *base, void *opaque)
{
	struct http_acceptor *acceptor = opaque;
	struct bufferevent *stream;

	if (acceptor->newcomer_count == ACCEPT_BURST || reserve_places(acceptor))
		return NULL;
	stream = bufferevent_socket_new(base, -1, 0);
	if (!stream)
		return NULL;

	bufferevent_incref(stream);
	acceptor->newcomers[acceptor->newcomer_count++] = stream;
	event_active(acceptor->note, EV_TIMEOUT, 0);
	if (acceptor->newcomer_count == ACCEPT_BURST || is_full(acceptor))
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
	acceptor->note = event_new(server->base, -1, 0, on_note, acceptor);
	if (!acceptor->pause || !acceptor->note || !acceptor->listener ||
	    !evhttp_bind_listener(evhttp, acceptor->listener)) {
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
	if (!acceptor)
		return NULL;

	if (acceptor->note) {
		on_note(-1, 0, acceptor);
		event_free(acceptor->note);
	}
	if (acceptor->pause)
		event_free(acceptor->pause);
	free(acceptor->places);
	free(acceptor);
	return NULL;
}
