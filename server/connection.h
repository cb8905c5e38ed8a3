/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A client of the JSON-RPC socket: its requests, its answers, and what it holds.
 *
 * A connection that ends, for whatever reason, abandons its calls, ends its subscriptions, and gives back its leases.
 */
#ifndef EMBER_SERVER_CONNECTION_H
#define EMBER_SERVER_CONNECTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include <jansson.h>

#include "server/call.h"
#include "server/peer.h"

struct server;

#define CONNECTION_FILES_MAX 16 /* descriptors of one line */

/* Something that ends with the connection: embedded in what is leased. */
struct connection_lease {
	LIST_ENTRY(connection_lease) link;
	/* The connection has ended; the lease is off its list. */
	void (*lost)(struct connection_lease *lease);
};

/*
 * Serve a client that was accepted. Over the limit of connections it gets an error and is closed.
 *
 * socket  connected; taken over
 */
void connection_accept(struct server *server, int socket);

/* Bind something to the connection's life. */
void connection_lease_add(struct connection *connection, struct connection_lease *lease);

/* It ended by itself, or was detached. */
void connection_lease_remove(struct connection_lease *lease);

/*
 * Abandon an open call by its request's id (rpc.cancel).
 *
 * asking  the call that asks, which is not its own target
 *
 * Returns whether there was one.
 */
bool connection_cancel(struct connection *connection, const json_t *id, const struct call *asking);

/*
 * Subscribe the connection to events.
 *
 * kinds       bits 1 << enum event_kind
 * ret_number  of the subscription
 *
 * Returns 0, -ENOSPC (it has as many as it may) or -ENOMEM.
 */
int connection_subscribe(struct connection *connection, unsigned int kinds, uint64_t *ret_number);

/*
 * A descriptor that came with the line that is being served, by its place among them.
 *
 * Returns -1 where there is none. It stays the connection's, who closes it as soon as the line's requests have been
 * begun: a method that wants it duplicates it before it returns. It may be anything.
 */
int connection_passed_file(const struct connection *connection, uint32_t index);

/* Close up to CONNECTION_FILES_MAX descriptors that a client passed, off the loop: closing them may block. */
void connection_close_files(struct server *server, const int *files, uint32_t count);

/* Bytes of answers that clients have not taken yet, of all connections. */
size_t connections_unsent(const struct server *server);

/*
 * Abandon every open call of every connection: the daemon is stopping. The answers are sent as far as the sockets
 * take them.
 */
void connections_abandon_calls(struct server *server);

/* End all connections now; calls still open are abandoned with the daemon's end as the reason. */
void connections_close(struct server *server);

#endif
