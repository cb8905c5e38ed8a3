/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who is at the other end of a Unix socket, and what that lets them do.
 */
#ifndef EMBER_SERVER_PEER_H
#define EMBER_SERVER_PEER_H

#include <stddef.h>
#include <sys/types.h>

#include "proto/method.h"
#include "server/config.h"

struct peer {
	uid_t uid;
	gid_t gid;
	pid_t pid;
	gid_t *groups; /* supplementary groups; owned */
	size_t group_count;
};

/*
 * Ask the kernel who connected: the credentials that the peer had at connect(2).
 *
 * socket    a connected Unix stream socket
 * ret_peer  the caller ends it with peer_release()
 *
 * Returns 0 or -errno from getsockopt(2).
 */
int peer_read(int socket, struct peer *ret_peer);

/* The highest role that the configuration gives to any of the peer's ids; ROLE_NONE where it gives none. */
enum role peer_role(const struct peer *peer, const struct config *config);

/* Takes a zeroed struct. */
void peer_release(struct peer *peer);

#endif
