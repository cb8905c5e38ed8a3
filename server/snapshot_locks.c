/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A list of those who hold something. It is as long as there are such calls in progress, so it is walked.
 */
#include <stdio.h>
#include <string.h>

#include "server/snapshot_locks.h"

static struct snapshot_lock *find_name(const struct snapshot_locks *locks, const char *name)
{
	struct snapshot_lock *lock;

	LIST_FOREACH(lock, locks, link)
		if (strcmp(lock->name, name) == 0)
			return lock;
	return NULL;
}

static void link_lock(struct snapshot_locks *locks, struct snapshot_lock *lock, const char *deed)
{
	lock->deed = deed;
	if (!lock->is_linked)
		LIST_INSERT_HEAD(locks, lock, link);
	lock->is_linked = true;
}

int snapshot_lock_name(struct snapshot_locks *locks, struct snapshot_lock *lock, const char *name, const char *deed,
		       struct rpc_error *error)
{
	const struct snapshot_lock *other = find_name(locks, name);

	if (other && other != lock)
		return rpc_error_set(error, RPC_ABORTED, "the snapshot %s is being %s by another call", name,
				     other->deed);

	(void)snprintf(lock->name, sizeof(lock->name), "%s", name);
	link_lock(locks, lock, deed);
	return 0;
}

int snapshot_lock_folder(struct snapshot_locks *locks, struct snapshot_lock *lock, const struct catalog_folder *folder,
			 const char *deed, struct rpc_error *error)
{
	const struct snapshot_lock *other;

	LIST_FOREACH(other, locks, link)
		if (other != lock && other->has_folder && other->device == folder->device &&
		    other->inode == folder->inode)
			return rpc_error_set(error, RPC_ABORTED, "the snapshot's folder is being %s by another call",
					     other->deed);

	lock->has_folder = true;
	lock->device = folder->device;
	lock->inode = folder->inode;
	link_lock(locks, lock, deed);
	return 0;
}

void snapshot_unlock(struct snapshot_lock *lock)
{
	if (lock->is_linked)
		LIST_REMOVE(lock, link);
	lock->is_linked = lock->has_folder = false;
	lock->name[0] = '\0';
}

bool snapshot_name_is_locked(const struct snapshot_locks *locks, const char *name)
{
	return find_name(locks, name) != NULL;
}
