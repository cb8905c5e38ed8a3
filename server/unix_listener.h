/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A Unix socket for listening that one daemon owns: a stale one is replaced, a living one is left alone.
 */
#ifndef EMBER_SERVER_UNIX_LISTENER_H
#define EMBER_SERVER_UNIX_LISTENER_H

#include <stdint.h>
#include <sys/types.h>

#include "kvm/error_detail.h"

struct unix_listener;

/*
 * Take the path: lock it and bind to it. Nobody can connect until listen(2) is called on the descriptor.
 *
 * path  absolute; its folder is made (one level, mode 0755) where it does not exist
 * mode  of the socket, set before anyone can connect
 * gid   of the socket; CONFIG_NO_ID leaves it
 *
 * Returns 0; -EADDRINUSE (another process serves it or holds its lock), -EEXIST (there is something that is no
 * socket), -ENAMETOOLONG, or -errno of the call that detail names.
 */
int unix_listener_open(const char *path, uint32_t mode, uint32_t gid, struct unix_listener **ret_listener,
		       struct error_detail *detail);

/* The bound socket, non-blocking; belongs to the listener. */
int unix_listener_fd(const struct unix_listener *listener);

/* Stop listening and remove the socket and its lock file. Takes NULL. Returns NULL. */
struct unix_listener *unix_listener_close(struct unix_listener *listener);

#endif
