/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who works on which snapshot: a call that replaces, removes or registers one holds it by its name, by its folder, or both,
 * until it has ended. Another such call is refused with ABORTED meanwhile. The loop's alone; nothing here waits.
 */
#ifndef EMBER_SERVER_SNAPSHOT_LOCKS_H
#define EMBER_SERVER_SNAPSHOT_LOCKS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "proto/status.h"
#include "snapshot/catalog.h"

/* One call's; embedded, zeroed at first. */
struct snapshot_lock {
	LIST_ENTRY(snapshot_lock) link;
	bool is_linked;
	bool has_folder;
	char name[CATALOG_NAME_MAX + 1]; /* "": none */
	uint64_t device;
	uint64_t inode;
	const char *deed; /* "replaced", "removed", "registered" */
};

LIST_HEAD(snapshot_locks, snapshot_lock);

/*
 * Take a name, or a folder; a lock may take one of each.
 *
 * deed  what is being done to the snapshot, a participle; must outlive the lock
 *
 * Returns 0, or the errno of an ABORTED in error: another lock has it.
 */
int snapshot_lock_name(struct snapshot_locks *locks, struct snapshot_lock *lock, const char *name, const char *deed,
		       struct rpc_error *error);
int snapshot_lock_folder(struct snapshot_locks *locks, struct snapshot_lock *lock, const struct catalog_folder *folder,
			 const char *deed, struct rpc_error *error);

/* Let go of both. Takes one that holds nothing. */
void snapshot_unlock(struct snapshot_lock *lock);

/* Does anybody hold the name? */
bool snapshot_name_is_locked(const struct snapshot_locks *locks, const char *name);

#endif
