/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who may connect over HTTP, and when.
 */
#ifndef EMBER_SERVER_HTTP_ACCEPTOR_H
#define EMBER_SERVER_HTTP_ACCEPTOR_H

struct http;
struct http_acceptor;

/*
 * Take clients from a listening socket: as many at one time as limits.connections says. The others wait in the kernel's queue; where they do,
 * the connection goes that has kept its place for the longest without a call that is open, once that is a second.
 *
 * socket         listening; stays the caller's, and open until http_acceptor_free()
 * ret_acceptor   to be freed with http_acceptor_free()
 *
 * Returns 0 or -ENOMEM.
 */
int http_acceptor_new(struct http *http, int socket, struct http_acceptor **ret_acceptor);

/* Take no more clients. Takes NULL. */
void http_acceptor_stop(struct http_acceptor *acceptor);

/* Takes NULL. Returns NULL. */
struct http_acceptor *http_acceptor_free(struct http_acceptor *acceptor);

#endif
