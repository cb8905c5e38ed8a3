/* SPDX-License-Identifier: Apache-2.0 */
/*
 * snapshot.remove: out of the catalog, then out of the catalog's file, then, if asked, off the disk. In this order a
 * crash in between leaves files that nobody knows, never a name without files. On a full disk the catalog's file cannot
 * be written anew; then the files go first, as they may be what fills it, and the catalog is saved after them.
 *
 * Files are removed through the folder that the catalog held open, renamed away first: what has its path by then may be another.
 *
 * With wait, a snapshot that VMs run from is handed out no more and goes with the last of them; a caller that gives up
 * waiting leaves it as it was.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "proto/reason.h"
#include "server/cleanup.h"
#include "server/file_thread.h"
#include "server/log.h"
#include "server/methods/methods.h"
#include "server/server.h"
#include "server/snapshot_load.h"
#include "server/snapshots.h"
#include "snapshot/publish.h"

#define ROOM_PAUSE_MS 50
#define ROOM_WAITS    40

struct removal {
	struct snapshot_watch watch;
	struct server *server;
	struct call *call; /* NULL: abandoned */
	char *name;
	char *path;
	bool files;
	bool is_waiting;
	bool files_first;            /* the disk was full */
	unsigned int waits;          /* for room on it */
	struct catalog_entry *entry; /* while it waits */
	struct snapshot_lock lock;
	int folder;                 /* held open; -1: its files could not be read */
	uint64_t inode;             /* of a folder that could not: where it is known, it must be this; else 0 */
	bool is_moved;              /* it exists, whatever its name; found on the file thread */
	bool is_kept;               /* the files are there still: detail says why */
	struct error_detail detail; /* written by the file thread */
};

static bool is_full(int result)
{
	return result == -ENOSPC || result == -EDQUOT;
}

static void free_removal(struct removal *removal)
{
	snapshot_unlock(&removal->lock);
	if (removal->folder >= 0)
		(void)close(removal->folder);
	free(removal->name);
	free(removal->path);
	free(removal);
}

static void fail_removal(struct removal *removal, int number, const struct error_detail *detail)
{
	struct rpc_error error = RPC_ERROR_INIT;
	struct call *call = removal->call;

	(void)rpc_error_set_errno(&error, DEED_PUBLISH, number, detail ? detail->text : NULL);
	free_removal(removal);
	if (call)
		call_fail(call, &error);
	else
		rpc_error_release(&error);
}

static void succeed(struct removal *removal)
{
	struct call *call = removal->call;
	json_t *answer = json_pack("{s:s, s:b, s:b, s:s?}", "name", removal->name, "removed", 1, "files_removed",
				   (int)(removal->files && !removal->is_kept), "files_kept",
				   removal->is_kept ? removal->detail.text : NULL);

	log_info("snapshot removed", log_text("snapshot", removal->name), log_text("path", removal->path),
		 log_text("files", removal->files && !removal->is_kept ? "removed" : "kept"));
	free_removal(removal);
	if (call)
		call_reply(call, answer);
	else
		json_decref(answer);
}

/* On the file thread. */
static int remove_files(void *opaque)
{
	struct removal *removal = opaque;
	cleanup_close int opened = -1;
	int folder = removal->folder;
	struct stat status;

	/* Of a snapshot that could not be read, the folder may still be there. */
	if (folder < 0) {
		folder = opened = open(removal->path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (opened < 0)
			return -errno;
		if (removal->inode && (fstat(folder, &status) || status.st_ino != removal->inode)) {
			error_detail_set(&removal->detail, "%.150s is another folder by now", removal->path);
			return -ESTALE;
		}
	} else {
		removal->is_moved = fstat(folder, &status) == 0 && status.st_nlink > 0;
	}
	return publish_remove_held(removal->path, folder, &snapshot_folder_form, &removal->detail);
}

static void save_again(struct removal *removal);

/* On the file thread. */
static int wait_for_room(void *opaque)
{
	const struct timespec pause = { .tv_nsec = ROOM_PAUSE_MS * 1000000L };

	(void)opaque;
	(void)nanosleep(&pause, NULL);
	return 0;
}

static void on_waited(void *opaque, int result)
{
	(void)result;
	save_again(opaque);
}

/* Files give their room back when the last process that had them open is gone: a loader may be ending just now. */
static void on_saved_again(void *opaque, int result, const struct error_detail *detail)
{
	struct removal *removal = opaque;

	if (result == 0)
		succeed(removal);
	else if (!is_full(result) || ++removal->waits > ROOM_WAITS ||
		 file_thread_submit(removal->server->files, wait_for_room, on_waited, removal))
		fail_removal(removal, result, detail);
}

static void save_again(struct removal *removal)
{
	int failed = snapshots_save(removal->server->snapshots, on_saved_again, removal);

	if (failed)
		fail_removal(removal, failed, NULL);
}

static void on_files_removed(void *opaque, int result)
{
	struct removal *removal = opaque;

	/* Where somebody else has removed them, that is what was wanted; where they have moved, they are not ours to look for. */
	removal->is_kept = result == -ESTALE || (result == -ENOENT && removal->is_moved);
	if (removal->is_kept && result == -ENOENT)
		error_detail_set(&removal->detail, "the folder is not at %.150s any more", removal->path);
	if (result && result != -ENOENT && !removal->is_kept)
		fail_removal(removal, result, &removal->detail);
	else if (removal->files_first)
		save_again(removal);
	else
		succeed(removal);
}

static void on_saved(void *opaque, int result, const struct error_detail *detail)
{
	struct removal *removal = opaque;
	int failed = result;

	removal->files_first = is_full(result);
	if ((!failed || removal->files_first) && removal->files) {
		failed = file_thread_submit(removal->server->files, remove_files, on_files_removed, removal);
		if (!failed)
			return;
	}
	if (failed)
		fail_removal(removal, failed, detail);
	else
		succeed(removal);
}

/* The entry is out of the catalog. */
static void forget(struct removal *removal)
{
	int failed;

	event_bus_publish(&removal->server->events, EVENT_SNAPSHOT,
			  json_pack("{s:s, s:s}", "event", "removed", "name", removal->name));
	failed = snapshots_save(removal->server->snapshots, on_saved, removal);
	if (failed)
		fail_removal(removal, failed, NULL);
}

static void on_freed(struct snapshot_watch *watch)
{
	struct removal *removal = (struct removal *)watch;

	removal->is_waiting = false;
	forget(removal);
}

static void on_abandoned(void *opaque, struct rpc_error *error)
{
	struct removal *removal = opaque;

	(void)error;
	removal->call = NULL;
	/* Where the entry is gone already, there is nothing to keep, and the catalog's file must still hear of it. */
	if (!removal->is_waiting || !removal->watch.entry)
		return;

	snapshot_watch_remove(&removal->watch);
	if (!snapshot_is_watched(removal->server->snapshots, removal->entry))
		catalog_keep(removal->entry);
	free_removal(removal);
}

static void wait_until_free(struct removal *removal, struct catalog_entry *entry)
{
	removal->entry = entry;
	removal->watch.entry = entry;
	removal->watch.freed = on_freed;
	removal->is_waiting = true;
	snapshot_watch_add(removal->server->snapshots, &removal->watch);
}

static void fail_in_use(struct call *call, const struct catalog_entry *entry)
{
	struct rpc_error error = RPC_ERROR_INIT;

	(void)rpc_error_set(&error, RPC_SNAPSHOT_IN_USE, "VMs run from the snapshot %s", catalog_entry_name(entry));
	(void)rpc_error_add_extra(&error, "holders", snapshot_users(call->server, entry));
	call_fail(call, &error);
}

static struct removal *removal_new(struct call *call, const struct catalog_entry *entry)
{
	struct removal *removal = calloc(1, sizeof(*removal));

	if (!removal)
		return NULL;

	removal->server = call->server;
	removal->call = call;
	removal->folder = -1;
	if (catalog_entry_folder(entry)->fd >= 0)
		removal->folder = fcntl(catalog_entry_folder(entry)->fd, F_DUPFD_CLOEXEC, 0);
	else if (catalog_entry_line(entry)->is_known)
		removal->inode = catalog_entry_line(entry)->inode;
	removal->name = strdup(catalog_entry_name(entry));
	removal->path = strdup(catalog_entry_path(entry));
	removal->files = param_bool(call->params, "files");
	if (!removal->name || !removal->path || (catalog_entry_folder(entry)->fd >= 0 && removal->folder < 0)) {
		free_removal(removal);
		return NULL;
	}
	return removal;
}

/* Another name of the same folder, or of the same path where it cannot be read; NULL: there is none. */
static const char *other_name(const struct catalog *catalog, const struct catalog_entry *entry)
{
	const struct catalog_folder *folder = catalog_entry_folder(entry);
	size_t i;

	for (i = 0; i < catalog_count(catalog); i++) {
		const struct catalog_entry *other = catalog_at(catalog, i);
		const struct catalog_folder *others = catalog_entry_folder(other);

		if (other == entry)
			continue;
		if (strcmp(catalog_entry_path(other), catalog_entry_path(entry)) == 0 ||
		    (folder->fd >= 0 && others->fd >= 0 && folder->device == others->device &&
		     folder->inode == others->inode))
			return catalog_entry_name(other);
	}

	return NULL;
}

/* What can be said at once; locks it. Returns 0, or an errno with error filled. */
static int check_removal(struct removal *removal, struct catalog *catalog, const struct catalog_entry *entry,
			 struct rpc_error *error)
{
	struct snapshot_locks *locks = snapshots_locks(removal->server->snapshots);
	const struct catalog_folder *folder = catalog_entry_folder(entry);
	const char *other = removal->files ? other_name(catalog, entry) : NULL;
	int failed;

	if (other)
		return rpc_error_set(error, RPC_FAILED_PRECONDITION,
				     "%s is the folder of the snapshot %s, too: remove one of them without files first",
				     removal->path, other);
	/* Those who wait for it to be free wait together. */
	if (catalog_entry_is_being_removed(entry))
		return 0;
	failed = snapshot_lock_name(locks, &removal->lock, removal->name, "removed", error);
	if (!failed && folder->fd >= 0 && !other_name(catalog, entry))
		failed = snapshot_lock_folder(locks, &removal->lock, folder, "removed", error);
	return failed;
}

void method_snapshot_remove(struct call *call)
{
	struct catalog *catalog = snapshots_catalog(call->server->snapshots);
	struct catalog_entry *entry = catalog_find_any(catalog, param_string(call->params, "name"));
	bool wait = param_bool(call->params, "wait");
	struct rpc_error error = RPC_ERROR_INIT;
	struct removal *removal;
	int result;

	if (!entry) {
		(void)rpc_error_set(&error, RPC_NOT_FOUND, "there is no snapshot named %s",
				    param_string(call->params, "name"));
		(void)snprintf(error.field, sizeof(error.field), "name");
		call_fail(call, &error);
		return;
	}
	removal = removal_new(call, entry);
	if (!removal) {
		call_reply(call, NULL);
		return;
	}

	if (check_removal(removal, catalog, entry, &error)) {
		free_removal(removal);
		rpc_error_add_field(&error, "name");
		call_fail(call, &error);
		return;
	}

	result = catalog_remove(catalog, entry, wait);
	if (result == -EBUSY || (result == -EINPROGRESS && !wait)) {
		free_removal(removal);
		fail_in_use(call, entry);
		return;
	}
	call_on_abandon(call, on_abandoned, removal);
	if (result == -EINPROGRESS)
		wait_until_free(removal, entry);
	else
		forget(removal);
}
