/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vm.restore: a snapshot of the catalog, or one that is read on the way and forgotten with its last VM.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "proto/reason.h"
#include "server/cleanup.h"
#include "server/devices/record.h"
#include "server/server.h"
#include "server/snapshot_tries.h"
#include "server/snapshots.h"
#include "server/start/private.h"
#include "server/start/start.h"

/* bit n: the snapshot has kept an overlay of drive n */
static unsigned int kept_overlays(const struct catalog_entry *entry)
{
	const int *overlays = catalog_entry_overlays(entry);
	unsigned int kept = 0, i;

	for (i = 0; i < CATALOG_OVERLAYS; i++)
		kept |= overlays[i] >= 0 ? 1U << i : 0;
	return kept;
}

/* Start from an entry of the catalog, named or not. */
static void start_from(struct start *start, struct catalog_entry *entry)
{
	const struct catalog_summary *summary = catalog_entry_summary(entry);
	const char *clock = param_string(start->params, "clock");
	cleanup_json json_t *images = NULL;
	struct rpc_error error = RPC_ERROR_INIT;
	json_t *record = NULL;

	if (catalog_hold(entry, start->holder)) {
		if (!catalog_entry_name(entry))
			(void)catalog_remove(snapshots_catalog(start->server->snapshots), entry, false);
		start_fail_memory(start);
		return;
	}

	start->entry = entry;
	start->wanted.restore = true;
	start->wanted.paused = !param_bool(start->params, "resume");
	start->wanted.clock = strcmp(clock, "host") == 0 ? INJECT_CLOCK_HOST : INJECT_CLOCK_CONTINUE;
	start->wanted.shape = summary->shape;
	start->wanted.memory = catalog_entry_memory(entry);
	start->wanted.state = catalog_entry_state(entry);
	if (record_for_restore(catalog_entry_devices(entry), &summary->shape, kept_overlays(entry), start->params,
			       &record, &images, &error))
		start_fail(start, &error);
	else
		start_with_devices(start, record, images);
}

/*
 * The entry that holds the folder that was read by its path: one that has a name before one that has none. Returns 0 with the entry
 * or NULL, or an errno with error filled.
 */
static int find_same(struct start *start, const struct snapshot_loaded *loaded, struct catalog_entry **ret_entry,
		     struct rpc_error *error)
{
	const struct catalog *catalog = snapshots_catalog(start->server->snapshots);
	struct catalog_entry *entry = catalog_find_folder(catalog, loaded->folder.device, loaded->folder.inode, NULL);

	*ret_entry = entry;
	if (!entry)
		return 0;
	if (catalog_entry_summary(entry)->state_crc64 != loaded->summary.state_crc64)
		return rpc_error_set(error, RPC_SNAPSHOT_DAMAGED,
				     "the files in %s are not those of the snapshot %s, which it is", start->path,
				     snapshot_text(entry));
	if (catalog_entry_is_being_removed(entry))
		return rpc_error_set(error, RPC_ABORTED, "%s is the snapshot %s, which is being removed", start->path,
				     snapshot_text(entry));
	return 0;
}

static void on_loaded(void *opaque, const struct rpc_error *error, struct snapshot_loaded *loaded)
{
	struct rpc_error problem = RPC_ERROR_INIT;
	struct catalog_registration registration;
	struct error_detail detail = { "" };
	struct start *start = opaque;
	struct catalog_entry *entry;

	start->load = NULL;
	if (error) {
		(void)rpc_error_set_like(&problem, error, "%s", error->message);
		rpc_error_add_field(&problem, "snapshot_path");
		start_fail(start, &problem);
		return;
	}
	if (find_same(start, loaded, &entry, &problem)) {
		snapshot_loaded_close(loaded);
		rpc_error_add_field(&problem, "snapshot_path");
		start_fail(start, &problem);
		return;
	}
	if (entry) {
		snapshot_loaded_close(loaded);
		start_from(start, entry);
		return;
	}

	registration = snapshot_loaded_registration(loaded, NULL, start->path, NULL);
	if (catalog_register(snapshots_catalog(start->server->snapshots), &registration, false, &entry, &detail)) {
		snapshot_loaded_close(loaded);
		(void)rpc_error_set(&problem, RPC_INTERNAL, "%s", detail.text);
		start_fail(start, &problem);
		return;
	}
	start_from(start, entry);
}

/* An entry that was not available has been tried. */
static void on_tried(void *opaque, const struct rpc_error *error, struct snapshot_loaded *loaded)
{
	struct rpc_error problem = RPC_ERROR_INIT;
	struct start *start = opaque;
	struct catalog_entry *entry;

	start->load = NULL;
	entry = snapshot_tried(start->server, param_string(start->params, "snapshot"), start->path, error, loaded,
			       &problem);
	if (entry) {
		start_from(start, entry);
		return;
	}
	rpc_error_add_field(&problem, "snapshot");
	start_fail(start, &problem);
}

static void try_entry(struct start *start, const struct catalog_entry *entry)
{
	const struct snapshot_load_options options = {
		.folder = AT_FDCWD, .path = catalog_entry_path(entry), .known = true, .opaque = start, .done = on_tried
	};

	start->path = strdup(catalog_entry_id(entry));
	if (!start->path || snapshot_load_begin(start->server, &options, &start->load))
		start_fail_memory(start);
}

static void restore_path(struct start *start, const char *path)
{
	const struct snapshot_load_options options = {
		.folder = AT_FDCWD, .path = path, .verify = true, .opaque = start, .done = on_loaded
	};

	start->path = strdup(path);
	if (!start->path || snapshot_load_begin(start->server, &options, &start->load))
		start_fail_memory(start);
}

void start_restore(struct call *call)
{
	const char *name = param_string(call->params, "snapshot");
	struct catalog_entry *entry = NULL;
	struct rpc_error error = RPC_ERROR_INIT;
	struct start *start;

	if (name) {
		entry = catalog_find(snapshots_catalog(call->server->snapshots), name);
		if (!entry) {
			(void)rpc_error_set(&error, RPC_NOT_FOUND, "there is no snapshot named %s", name);
			rpc_error_add_field(&error, "snapshot");
			call_fail(call, &error);
			return;
		}
	}
	start = start_new(call);
	if (!start)
		return;
	if (entry && catalog_entry_status(entry) == CATALOG_AVAILABLE)
		start_from(start, entry);
	else if (entry)
		try_entry(start, entry);
	else
		restore_path(start, param_string(call->params, "snapshot_path"));
}
