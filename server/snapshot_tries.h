/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a line of the catalog's text to a snapshot that can be restored, and back: files are tried at the start, when the snapshot
 * is named, and every ten seconds while they cannot be read.
 */
#ifndef EMBER_SERVER_SNAPSHOT_TRIES_H
#define EMBER_SERVER_SNAPSHOT_TRIES_H

#include "proto/status.h"
#include "server/snapshot_load.h"
#include "snapshot/catalog.h"

struct server;
struct snapshot_tries;

/* Returns 0 or -ENOMEM. */
int snapshot_tries_new(struct server *server, struct snapshot_tries **ret_tries);

/*
 * Try all that the catalog has, one after the other; then again every ten seconds what is not available, and whether what is
 * available still stands at its path.
 *
 * all_tried  called once, from the loop, when all have been tried for the first time
 */
void snapshot_tries_start(struct snapshot_tries *tries, void (*all_tried)(struct server *server));

/* Takes NULL; returns NULL. */
struct snapshot_tries *snapshot_tries_free(struct snapshot_tries *tries);

/*
 * A load for an entry that is not available has ended: the entry is available, or unavailable with the error's message.
 *
 * id         of the entry that it was begun for
 * error      of the load; NULL: loaded is what it found, and taken over
 * ret_error  filled where it failed; the caller releases it
 *
 * Returns the entry, or NULL with ret_error filled: ABORTED where that entry has gone meanwhile.
 */
struct catalog_entry *snapshot_tried(struct server *server, const char *name, const char *id,
				     const struct rpc_error *error, struct snapshot_loaded *loaded,
				     struct rpc_error *ret_error);

#endif
