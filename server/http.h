/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTP on a Unix socket of its own, for tools that speak nothing else:
 *
 *	GET /healthz           200 {"status": "ok"}, or 503 {"status": "draining"} or {"status": "stopping"}
 *	PUT /snapshot/create   {"snapshot_path": "/...", "vm": "...", "deadline_ms": N}: as vm.snapshot with a path;
 *	                       without a vm, the only one there is
 *	PUT /snapshot/load     {"snapshot_path": "/...", "deadline_ms": N}: as vm.restore with that path, detached
 *
 * An answer's body is the call's result, or {"error": ...} as JSON-RPC has it. Peers are known and have roles as on the
 * other socket; /healthz needs none.
 */
#ifndef EMBER_SERVER_HTTP_H
#define EMBER_SERVER_HTTP_H

#include <stddef.h>

#include "kvm/error_detail.h"
#include "proto/status.h"

struct http;
struct server;

/*
 * Take the configured path.
 *
 * Returns 0 or -errno as unix_listener_open().
 */
int http_new(struct server *server, struct http **ret_http, struct error_detail *detail);

/* Let clients in. Returns 0 or -ENOMEM. */
int http_listen(struct http *http);

/* Take over what a reload changed: limits and time-outs, for new connections. Takes NULL. */
void http_configure(struct http *http);

/* The HTTP status that stands for an error's code. */
int http_status_for(enum rpc_code code);

/* Stop taking clients, and answer every open call with the daemon's end as the reason. Takes NULL. */
void http_abandon_calls(struct http *http);

/* Requests whose answers have not been sent in full. Takes NULL. */
size_t http_unsent(const struct http *http);

/* Close all. Takes NULL. Returns NULL. */
struct http *http_free(struct http *http);

#endif
