/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What connection.c (bytes in and out, life and death), connection_requests.c (requests, answers, subscriptions) and
 * connection_files.c (descriptors that came along) share.
 */
#ifndef EMBER_SERVER_CONNECTION_PRIVATE_H
#define EMBER_SERVER_CONNECTION_PRIVATE_H

#include <event2/buffer.h>
#include <event2/event.h>

#include "proto/line_reader.h"
#include "server/connection.h"
#include "server/server.h"

struct connection_request;
struct connection_subscription;
struct connection_undo;
struct job;

struct connection {
	TAILQ_ENTRY(connection) link;
	struct server *server;
	uint64_t number;
	struct peer peer;
	int socket;

	struct event *readable;
	struct event *writable;
	struct event *work; /* activated by hand: go on with input, or end */
	struct event *half_closed_poll;
	struct evbuffer *input;
	struct evbuffer *output;
	struct line_reader *reader;
	bool half_closed; /* the client sends nothing more, and may still read */
	bool dead;        /* to be freed by the work event; nothing is sent any more */

	TAILQ_HEAD(, connection_request) requests;
	uint32_t request_count;
	LIST_HEAD(, connection_subscription) subscriptions;
	uint32_t subscription_count;
	LIST_HEAD(, connection_lease) leases;

	uint64_t queued;                             /* bytes of answers and notifications so far */
	uint64_t sent;                               /* of them those that the socket has taken */
	uint64_t batches;                            /* batches that arrived so far */
	LIST_HEAD(, connection_undo) undone_if_lost; /* of answers that may not have been sent whole */

	uint64_t received;     /* bytes of the stream that have arrived */
	uint64_t served;       /* of them those that the line reader has taken */
	struct job *receiving; /* takes bytes that bring descriptors off the socket; NULL: none */
	char *peeked;          /* those bytes */
	size_t peeked_size;
	/* Descriptors that arrived, in their order, and the stream's byte that each came with. */
	int files[CONNECTION_FILES_MAX];
	uint64_t file_positions[CONNECTION_FILES_MAX];
	uint32_t file_count;
	uint32_t lent_count; /* the first of them: they came with the line that is being served */
};

/* Give up on the client: everything ends from the loop, not from within this call. reason is logged. */
void connection_fail(struct connection *connection, const char *reason);

/* Send one line; text is taken over (NULL, out of memory: the connection fails). */
void connection_send(struct connection *connection, char *text);

/* Is so much output unread that nothing more should be produced for this client? */
bool connection_is_slow(const struct connection *connection);

/* Let the work event look at the connection: a request was answered. */
void connection_wake(struct connection *connection);

/* Serve what one line says. */
void connection_serve_line(struct connection *connection, const char *line, size_t length);

/* Answer a line that was too long to be read. */
void connection_refuse_line(struct connection *connection);

/* Forget how to undo what has been answered whole; undo the rest. */
void connection_forget_sent(struct connection *connection);
void connection_undo_unsent(struct connection *connection);

/* Abandon all requests and end all subscriptions. */
void connection_drop_requests(struct connection *connection);

/*
 * Read what has arrived into the input buffer. Returns as recvmsg(2); what brings descriptors is received by a helper, which
 * takes a while: then -1 with EAGAIN, and the connection is woken when it is there.
 */
ssize_t connection_receive(struct connection *connection);

/* Close its socket, with what was not read from it. */
void connection_close_socket(struct connection *connection);

/* Lend the line that was just taken the descriptors that came with it; and close them when it has been served. */
void connection_lend_files(struct connection *connection);
void connection_end_loan(struct connection *connection);

/* Close all that were kept. */
void connection_drop_files(struct connection *connection);

#endif
