/* SPDX-License-Identifier: Apache-2.0 */
/*
 * snapshot.*: the catalog as clients see it. Removing is in snapshot_remove.c.
 *
 * A call that registers holds its name from the beginning and its folder from when it is open. One that only reads holds nothing: if
 * the snapshot has gone or been replaced meanwhile, it says so with ABORTED.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proto/reason.h"
#include "server/cleanup.h"
#include "server/clock.h"
#include "server/log.h"
#include "server/methods/methods.h"
#include "server/server.h"
#include "server/snapshot_tries.h"
#include "server/snapshots.h"
#include "snapshot/memory_file.h"
#include "snapshot/state.h"

void method_snapshot_list(struct call *call)
{
	const struct catalog *catalog = snapshots_catalog(call->server->snapshots);
	cleanup_json json_t *list = json_array();
	size_t i;

	for (i = 0; i < catalog_count(catalog); i++)
		if (json_array_append_new(list, snapshot_entry_to_json(call->server, catalog_at(catalog, i)))) {
			call_reply(call, NULL);
			return;
		}
	call_reply(call, json_pack("{s:O}", "snapshots", list));
}

/* The snapshot that the call's "name" names; where there is none, the call is answered and NULL returned. */
static struct catalog_entry *entry_of_call(struct call *call)
{
	const char *name = param_string(call->params, "name");
	struct catalog_entry *entry = catalog_find_any(snapshots_catalog(call->server->snapshots), name);
	struct rpc_error error = RPC_ERROR_INIT;

	if (entry)
		return entry;

	(void)rpc_error_set(&error, RPC_NOT_FOUND, "there is no snapshot named %s", name);
	(void)snprintf(error.field, sizeof(error.field), "name");
	call_fail(call, &error);
	return NULL;
}

/* ---- register, verify, inspect: what they do with a load ---- */

struct check {
	struct server *server;
	struct call *call; /* NULL: abandoned while the catalog is saved */
	struct snapshot_load *load;
	char *name;
	char *path;
	struct catalog_entry *entry; /* registered, and being saved */
	char id[CATALOG_ID_SIZE];    /* of the entry that is looked at */
	struct snapshot_lock lock;
};

static void free_check(struct check *check)
{
	snapshot_unlock(&check->lock);
	free(check->name);
	free(check->path);
	free(check);
}

static void on_check_abandoned(void *opaque, struct rpc_error *error)
{
	struct check *check = opaque;

	(void)error;
	check->call = NULL;
	if (check->load) {
		snapshot_load_forget(check->load);
		free_check(check);
	}
}

static void on_check_progress(void *opaque, uint64_t done, uint64_t total)
{
	const struct check *check = opaque;

	call_progress(check->call, "verify", done, total, "bytes");
}

/* End it with an error, which is released. */
static void end_check(struct check *check, struct rpc_error *error, const char *field)
{
	struct call *call = check->call;

	free_check(check);
	rpc_error_add_field(error, field);
	if (call)
		call_fail(call, error);
	else
		rpc_error_release(error);
}

static void fail_check(struct check *check, enum rpc_code code, const char *message, const char *field)
{
	struct rpc_error error = RPC_ERROR_INIT;

	(void)rpc_error_set(&error, code, "%s", message);
	end_check(check, &error, field);
}

static void fail_check_like(struct check *check, const struct rpc_error *cause, const char *field)
{
	struct rpc_error error = RPC_ERROR_INIT;

	(void)rpc_error_set_like(&error, cause, "%s", cause->message);
	end_check(check, &error, field);
}

static void fail_check_queue(struct check *check, int number)
{
	struct rpc_error error = RPC_ERROR_INIT;

	(void)rpc_error_set_errno(&error, DEED_QUEUE, number, NULL);
	end_check(check, &error, "");
}

/*
 * Begin to read a snapshot's files as options say, which lack path, opaque and progress. Takes the call over.
 *
 * entry  that they are of; NULL: of none yet, and the call's name is locked
 */
static void begin_check(struct call *call, const char *path, const struct catalog_entry *entry,
			struct snapshot_load_options options)
{
	struct snapshot_locks *locks = snapshots_locks(call->server->snapshots);
	const char *name = param_string(call->params, "name");
	struct check *check = calloc(1, sizeof(*check));
	struct rpc_error error = RPC_ERROR_INIT;
	int failed;

	if (!check) {
		call_reply(call, NULL);
		return;
	}
	check->server = call->server;
	check->call = call;
	if (entry)
		memcpy(check->id, catalog_entry_id(entry), sizeof(check->id));
	if (!entry && snapshot_lock_name(locks, &check->lock, name, "registered", &error)) {
		end_check(check, &error, "name");
		return;
	}
	options.folder = AT_FDCWD;
	options.path = path;
	options.opaque = check;
	options.progress = options.verify ? on_check_progress : NULL;
	check->name = strdup(name);
	check->path = strdup(path);
	failed = check->name && check->path ? snapshot_load_begin(call->server, &options, &check->load) : -ENOMEM;
	if (failed) {
		fail_check_queue(check, failed);
		return;
	}
	call_on_abandon(call, on_check_abandoned, check);
}

/* ---- register ---- */

static void on_registered_saved(void *opaque, int result, const struct error_detail *detail)
{
	struct check *check = opaque;
	struct catalog *catalog = snapshots_catalog(check->server->snapshots);
	/* It may have been removed again while the file was written. */
	struct catalog_entry *entry = catalog_find_any(catalog, check->name);
	struct call *call = check->call;
	json_t *answer;

	if (result) {
		if (entry && entry == check->entry)
			(void)catalog_remove(catalog, entry, true);
		fail_check(check, RPC_INTERNAL, detail->text, "");
		return;
	}

	log_info("snapshot registered", log_text("snapshot", check->name), log_text("path", check->path));
	event_bus_publish(
		&check->server->events, EVENT_SNAPSHOT,
		json_pack("{s:s, s:s, s:s}", "event", "registered", "name", check->name, "path", check->path));
	if (!call) {
		free_check(check);
		return;
	}
	if (!entry || entry != check->entry) {
		fail_check(check, RPC_ABORTED, "the snapshot was removed while it was being registered", "name");
		return;
	}
	answer = snapshot_entry_to_json(check->server, entry);
	free_check(check);
	call_reply(call, answer);
}

/* Its folder must be nobody's: neither another name's nor in the hands of another call. */
static int on_register_opened(void *opaque, const struct catalog_folder *folder, struct rpc_error *error)
{
	struct check *check = opaque;
	const struct catalog *catalog = snapshots_catalog(check->server->snapshots);
	const struct catalog_entry *entry = NULL;

	while ((entry = catalog_find_folder(catalog, folder->device, folder->inode, entry)) != NULL)
		if (catalog_entry_name(entry))
			return rpc_error_set(error, RPC_ALREADY_EXISTS,
					     "%s is the folder of the snapshot %s: a folder has one name", check->path,
					     catalog_entry_name(entry));
	return snapshot_lock_folder(snapshots_locks(check->server->snapshots), &check->lock, folder, "registered",
				    error);
}

static void on_register_loaded(void *opaque, const struct rpc_error *error, struct snapshot_loaded *loaded)
{
	struct check *check = opaque;
	struct catalog_registration registration;
	struct snapshots *snapshots = check->server->snapshots;
	struct error_detail detail = { "" };
	int failed;

	check->load = NULL;
	if (error) {
		fail_check_like(check, error, "path");
		return;
	}

	registration = snapshot_loaded_registration(loaded, check->name, check->path, NULL);
	failed = catalog_register(snapshots_catalog(snapshots), &registration, false, &check->entry, &detail);
	if (failed) {
		snapshot_loaded_close(loaded);
		fail_check(check,
			   failed == -EEXIST  ? RPC_ALREADY_EXISTS
			   : failed == -EBUSY ? RPC_SNAPSHOT_IN_USE
					      : RPC_INVALID_ARGUMENT,
			   detail.text[0] ? detail.text : strerrordesc_np(-failed), "name");
		return;
	}
	failed = snapshots_save(snapshots, on_registered_saved, check);
	if (failed) {
		(void)catalog_remove(snapshots_catalog(snapshots), check->entry, true);
		fail_check_queue(check, failed);
	}
}

void method_snapshot_register(struct call *call)
{
	const char *name = param_string(call->params, "name");
	struct rpc_error error = RPC_ERROR_INIT;

	/* Said again when the files have been read; said now it saves reading them. */
	if (catalog_find_any(snapshots_catalog(call->server->snapshots), name)) {
		(void)rpc_error_set(&error, RPC_ALREADY_EXISTS, "there is a snapshot named %s", name);
		(void)snprintf(error.field, sizeof(error.field), "name");
		call_fail(call, &error);
		return;
	}
	begin_check(call, param_string(call->params, "path"), NULL,
		    (struct snapshot_load_options){
			    .verify = true, .opened = on_register_opened, .done = on_register_loaded });
}

/* ---- verify ---- */

static void on_verified(void *opaque, const struct rpc_error *error, struct snapshot_loaded *loaded)
{
	struct check *check = opaque;
	struct call *call = check->call;
	const struct catalog_entry *entry = catalog_find_any(snapshots_catalog(check->server->snapshots), check->name);
	uint64_t total_us = (monotonic_ns() - call->received_ns) / NANOSECONDS_PER_US;
	json_t *answer;

	check->load = NULL;
	if (!error)
		snapshot_loaded_close(loaded);
	if (!entry || strcmp(catalog_entry_id(entry), check->id) != 0) {
		fail_check(check, RPC_ABORTED, "the snapshot was removed or replaced while it was being read", "name");
		return;
	}
	if (error) {
		fail_check_like(check, error, "name");
		return;
	}
	if (catalog_entry_line(entry)->is_known &&
	    catalog_entry_line(entry)->state_crc64 != loaded->summary.state_crc64) {
		fail_check(check, RPC_SNAPSHOT_DAMAGED, "the files are not those that were registered", "name");
		return;
	}

	answer = json_pack("{s:s, s:b, s:I, s:I, s:I}", "name", check->name, "ok", 1, "chunks",
			   (json_int_t)loaded->summary.chunk_count, "data_bytes",
			   (json_int_t)loaded->summary.data_bytes, "total_us", (json_int_t)total_us);
	free_check(check);
	call_reply(call, answer);
}

void method_snapshot_verify(struct call *call)
{
	const struct catalog_entry *entry = entry_of_call(call);

	if (entry)
		begin_check(call, catalog_entry_path(entry), entry,
			    (struct snapshot_load_options){ .verify = true, .known = true, .done = on_verified });
}

/* ---- inspect ---- */

static json_t *metadata_json(const struct catalog_entry *entry)
{
	const struct catalog_summary *summary = catalog_entry_summary(entry);

	return json_pack("{s:i, s:I, s:I, s:I, s:b}", "format", SNAPSHOT_FORMAT, "memory_bytes",
			 (json_int_t)summary->shape.memory_size, "chunks", (json_int_t)summary->chunk_count,
			 "chunk_bytes", (json_int_t)MEMORY_CHUNK_SIZE, "being_removed",
			 (int)catalog_entry_is_being_removed(entry));
}

static void reply_inspect(struct call *call, const struct catalog_entry *entry)
{
	json_t *devices = json_object_get(catalog_entry_devices(entry), "parameters");
	json_t *json = snapshot_entry_to_json(call->server, entry);

	if (json && (json_object_set_new(json, "devices", devices ? json_incref(devices) : json_null()) ||
		     json_object_set_new(json, "metadata", metadata_json(entry)))) {
		json_decref(json);
		json = NULL;
	}
	call_reply(call, json);
}

/* An entry that was not available has been tried; whatever came of it is what there is to show. */
static void on_inspect_tried(void *opaque, const struct rpc_error *error, struct snapshot_loaded *loaded)
{
	struct check *check = opaque;
	struct call *call = check->call;
	struct rpc_error problem = RPC_ERROR_INIT;
	const struct catalog_entry *entry;

	check->load = NULL;
	(void)snapshot_tried(check->server, check->name, check->id, error, loaded, &problem);
	entry = catalog_find_any(snapshots_catalog(check->server->snapshots), check->name);
	if (!entry) {
		end_check(check, &problem, "name");
		return;
	}
	rpc_error_release(&problem);
	free_check(check);
	reply_inspect(call, entry);
}

void method_snapshot_inspect(struct call *call)
{
	const struct catalog_entry *entry = entry_of_call(call);

	if (entry && catalog_entry_status(entry) == CATALOG_AVAILABLE)
		reply_inspect(call, entry);
	else if (entry)
		begin_check(call, catalog_entry_path(entry), entry,
			    (struct snapshot_load_options){ .known = true, .done = on_inspect_tried });
}
