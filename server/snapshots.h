/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The daemon's snapshots: the catalog, its file in the state folder, and those who wait for a snapshot to be free.
 *
 *	STATE_DIR/catalog.json       names, ids and paths, and what was behind devices
 *	STATE_DIR/snapshots/NAME/    snapshots that vm.snapshot was given a name for
 */
#ifndef EMBER_SERVER_SNAPSHOTS_H
#define EMBER_SERVER_SNAPSHOTS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include <jansson.h>

#include "kvm/error_detail.h"
#include "proto/status.h"
#include "server/snapshot_locks.h"
#include "snapshot/catalog.h"

#define SNAPSHOTS_FOLDER "snapshots"

struct server;
struct snapshots;

/*
 * Open the state folder, sweep what a crash left there, and read the catalog's file. Blocks; before the loop runs.
 *
 * Returns 0 or -errno with the step in detail.
 */
int snapshots_open(struct server *server, struct snapshots **ret_snapshots, struct error_detail *detail);

/*
 * Load what the catalog's file names. A snapshot that cannot be loaded is logged, stays as unavailable, and is tried again
 * every ten seconds.
 *
 * loaded  called once, from the loop, when all have been tried
 */
void snapshots_load(struct snapshots *snapshots, void (*loaded)(struct server *server));

/* Takes NULL; returns NULL. */
struct snapshots *snapshots_close(struct snapshots *snapshots);

struct catalog *snapshots_catalog(struct snapshots *snapshots);

/* Who works on which of them. */
struct snapshot_locks *snapshots_locks(struct snapshots *snapshots);

/* Open a folder of the state folder, which is made where there is none. Returns 0 or -errno with the step in detail. */
int snapshots_open_folder(const struct snapshots *snapshots, const char *name, int *ret_fd,
			  struct error_detail *detail);

/* STATE_DIR/snapshots, open; and the path of a snapshot in it, in path of at least size bytes. */
int snapshots_folder(const struct snapshots *snapshots);
void snapshots_path(const struct snapshots *snapshots, const char *name, char *path, size_t size);

/*
 * Write the catalog's file: what the catalog is at the time of the call.
 *
 * done  once, from the loop: 0, or -errno with what failed in detail
 *
 * Returns 0, -EAGAIN or -ENOMEM: done is not called then.
 */
int snapshots_save(struct snapshots *snapshots,
		   void (*done)(void *opaque, int result, const struct error_detail *detail), void *opaque);

/* A number to hold an entry by while a start from it is in progress. */
uint64_t snapshots_start_holder(struct snapshots *snapshots);

/*
 * Hold an entry for a VM instead of for the start that became it; where that cannot be (the entry is being removed,
 * or memory is short) the start's hold stays.
 *
 * Returns the holder to release when the VM is gone.
 */
uint64_t snapshot_hand_over(struct server *server, struct catalog_entry *entry, uint64_t start, uint64_t vm);

/* catalog_release(). */
void snapshot_release(struct server *server, struct catalog_entry *entry, uint64_t holder);

/* Somebody who waits until an entry is freed; embedded. */
struct snapshot_watch {
	LIST_ENTRY(snapshot_watch) link;
	const struct catalog_entry *entry;           /* NULL: it is no more, and freed will be called */
	void (*freed)(struct snapshot_watch *watch); /* from the loop; it is off the list, and the entry is no more */
};
void snapshot_watch_add(struct snapshots *snapshots, struct snapshot_watch *watch);
void snapshot_watch_remove(struct snapshot_watch *watch);
bool snapshot_is_watched(const struct snapshots *snapshots, const struct catalog_entry *entry);

/* The name, or the path of one that has none. */
const char *snapshot_text(const struct catalog_entry *entry);

/* The ids of these holders, VMs and starts in progress ("starting" for one that has no VM yet). NULL: out of memory. */
json_t *holders_to_json(const struct server *server, const uint64_t *holders, size_t count);

/* The ids of the VMs that hold it; "starting" for one that has none yet. NULL: out of memory. */
json_t *snapshot_users(const struct server *server, const struct catalog_entry *entry);

/*
 * The record that snapshot.* answers with; name NULL for what is not in the catalog, entry NULL likewise, summary NULL where
 * its files have not been read, users NULL for none.
 */
json_t *snapshot_to_json(const char *name, const char *path, const struct catalog_entry *entry,
			 const struct catalog_summary *summary, json_t *users);
json_t *snapshot_entry_to_json(const struct server *server, const struct catalog_entry *entry);

#endif
