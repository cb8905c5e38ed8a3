/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What http.c (requests and answers), http_connection.c (bytes in and out, life and death) and http_acceptor.c (who may
 * come in) share.
 */
#ifndef EMBER_SERVER_HTTP_PRIVATE_H
#define EMBER_SERVER_HTTP_PRIVATE_H

#include <stdint.h>
#include <sys/queue.h>

#include <event2/event.h>

#include "server/call.h"
#include "server/http.h"
#include "server/http_reader.h"

struct http_acceptor;
struct http_connection;
struct unix_listener;

struct http {
	struct server *server;
	struct unix_listener *listener;
	struct http_acceptor *acceptor;
	TAILQ_HEAD(, http_connection) connections;
	size_t connection_count;
};

/* What a connection waits for. */
enum http_phase {
	HTTP_PHASE_IDLE,      /* a request */
	HTTP_PHASE_RECEIVING, /* the rest of one */
	HTTP_PHASE_SERVING,   /* its call's end */
	HTTP_PHASE_SENDING,   /* the client, to read its answer */
	HTTP_PHASE_LINGERING, /* the client, to close: all has been said */
};

struct http_connection {
	TAILQ_ENTRY(http_connection) link;
	struct http *http;
	struct peer peer;
	int socket;
	struct event *ready; /* the socket has news: edge-triggered */
	struct event *work;  /* activated by hand */
	struct event *timer;
	struct evbuffer *input;
	struct evbuffer *output;
	struct http_reader *reader;

	enum http_phase phase;
	uint64_t since_ns; /* when it began; CLOCK_MONOTONIC */
	uint64_t requests; /* answered so far */
	bool half_closed;  /* the client sends nothing more, and may still read */
	bool closing;      /* the answer that was given is the last */
	bool dead;         /* to be freed by go_on() */

	struct call *call; /* that is open, or NULL */
	struct undo undo;  /* if the answer is lost */
};

struct http_answer {
	int status;
	const char *text;       /* JSON; NULL: none */
	const char *allow;      /* the methods that its target takes; NULL: not told */
	int64_t retry_after_ms; /* negative: not told */
};

/* ---- http_connection.c ---- */

/* Serve a client that was accepted; the socket is taken over, also on failure. */
void http_connection_new(struct http *http, int socket);

/* Answer the request that the connection is at. */
void http_connection_answer(struct http_connection *connection, const struct http_answer *answer);

/* End it: an open call is abandoned, and what an unsent answer was about is undone. */
void http_connection_end(struct http_connection *connection);

/* ---- http.c ---- */

/* The head has arrived: answer it now, or let the body come. Returns whether it was answered. */
bool http_answer_head(struct http_connection *connection);

/* The request is there whole: answer it, now or later. */
void http_serve(struct http_connection *connection);

/* Answer with what is wrong. */
void http_refuse(struct http_connection *connection, int status, const char *text);

#endif
