/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who may connect over HTTP, and when: evhttp takes every client that there is, so this stands before it.
 */
#ifndef EMBER_SERVER_HTTP_ACCEPTOR_H
#define EMBER_SERVER_HTTP_ACCEPTOR_H

struct evhttp;
struct http_acceptor;
struct server;

/*
 * Take clients from a listening socket for evhttp: as many at one time as limits.connections says, the others wait in
 * the kernel's queue.
 *
 * socket         listening; stays the caller's, and open until http_acceptor_free()
 * ret_acceptor   to be freed after evhttp
 *
 * Returns 0 or -ENOMEM.
 */
int http_acceptor_new(struct server *server, struct evhttp *evhttp, int socket, struct http_acceptor **ret_acceptor);

/* Take no more clients. Takes NULL. */
void http_acceptor_stop(struct http_acceptor *acceptor);

/* Takes NULL. Returns NULL. */
struct http_acceptor *http_acceptor_free(struct http_acceptor *acceptor);

#endif
