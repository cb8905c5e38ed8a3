/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vm.snapshot: from a VM to files under their name.
 *
 *	begin    file thread   a temporary folder with empty files beside where the snapshot will be
 *	write    worker        pauses the VM, writes them, lets it go on
 *	load     loader        reads back what the worker wrote: a worker that lies publishes nothing
 *	intend   file thread   for a snapshot with a name: its images looked at, and in the catalog's file what is about to be
 *	commit   file thread   fsync, rename: the name appears, or stands for what it stood for
 *	record   catalog       for a snapshot with a name
 *
 * A daemon that is killed on the way finds from the catalog's file which of the two snapshots the name has. The name, and a folder
 * that is replaced, are locked from the beginning to the end.
 *
 * A call that fails or is abandoned before the commit leaves nothing behind, and a VM that it paused goes on; from the commit on the
 * snapshot stands, and the answer alone is lost.
 *
 * What the VM wrote to overlays becomes a part of the snapshot. What it writes in place does not: such a VM must stand still from
 * its snapshot on, or the image would not be the snapshot's any more.
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
#include "server/devices/devices.h"
#include "server/file_thread.h"
#include "server/guest.h"
#include "server/log.h"
#include "server/methods/methods.h"
#include "server/server.h"
#include "server/snapshot_load.h"
#include "server/snapshots.h"
#include "server/workers.h"
#include "snapshot/publish.h"

struct taking {
	struct server *server;
	struct call *call; /* NULL: abandoned */
	char vm[GUEST_ID_SIZE];
	char *name; /* NULL: not for the catalog */
	char *path;
	bool overwrite;
	bool resume;
	bool still;              /* the VM is not to be resumed meanwhile */
	struct devices *devices; /* the VM's, held */
	json_t *memory;          /* what is remembered of them; NULL: nothing */
	struct publication publication;
	bool is_open;     /* the publication has begun and not ended */
	bool stands;      /* it was published */
	struct undo undo; /* of the pause that it left the VM in */
	struct snapshot_lock lock;
	bool intended; /* the catalog knows what is about to take the name */
	struct message_snapshot_done times;
	struct snapshot_load *load;    /* the files are being read back; else NULL */
	struct snapshot_loaded loaded; /* descriptors -1 where it does not own them */
	uint64_t began_ns;             /* of the step that runs on the file thread */
	uint64_t publish_ns;
	struct rpc_error error;     /* what it failed with */
	struct error_detail detail; /* written by the file thread */
};

static void free_taking(struct taking *taking)
{
	struct guest *vm = taking->still ? guest_find(taking->server, taking->vm) : NULL;

	if (vm)
		vm->stills--;
	if (taking->devices)
		devices_release(taking->devices);
	json_decref(taking->memory);
	if (taking->intended)
		catalog_forget_intention(snapshots_catalog(taking->server->snapshots), taking->name);
	snapshot_unlock(&taking->lock);
	snapshot_loaded_close(&taking->loaded);
	free(taking->name);
	free(taking->path);
	free(taking);
}

/* On the file thread. */
static int abort_publication(void *opaque)
{
	struct taking *taking = opaque;

	publication_abort(&taking->publication);
	return 0;
}

/* The end of one that failed: whoever is told so finds nothing left. */
static void finish_failed(struct taking *taking)
{
	struct rpc_error error = taking->error;
	struct call *call = taking->call;

	free_taking(taking);
	if (call)
		call_fail(call, &error);
	else
		rpc_error_release(&error);
}

static void on_aborted(void *opaque, int result)
{
	(void)result;
	finish_failed(opaque);
}

/* Undo what was begun, then answer with taking->error, if anybody still waits. */
static void give_up(struct taking *taking)
{
	if (!taking->stands)
		undo_apply(taking->server, &taking->undo);
	if (!taking->is_open) {
		finish_failed(taking);
		return;
	}
	if (file_thread_submit(taking->server->files, abort_publication, on_aborted, taking)) {
		/* The thread has too much to do or is being stopped: rather wait than leave the files. */
		(void)abort_publication(taking);
		finish_failed(taking);
	}
}

static void fail_file(struct taking *taking, int number)
{
	/* What it was to replace has changed meanwhile. */
	if (number == -ESTALE || (number == -EEXIST && taking->overwrite))
		(void)rpc_error_set(&taking->error, RPC_ABORTED, "%s", taking->detail.text);
	else
		(void)rpc_error_set_errno(&taking->error, DEED_PUBLISH, number, taking->detail.text);
	(void)snprintf(taking->error.field, sizeof(taking->error.field), "%s", taking->name ? "name" : "path");
	give_up(taking);
}

static void on_abandoned(void *opaque, struct rpc_error *error)
{
	struct taking *taking = opaque;

	(void)error;
	taking->call = NULL;
	/* What was written need not be read back, and nothing comes of it. Every other step looks when it is over whether it is wanted. */
	if (taking->load) {
		undo_apply(taking->server, &taking->undo);
		snapshot_load_cancel(taking->load);
	}
}

/* ---- the answer ---- */

static json_t *phases_json(const struct taking *taking)
{
	const struct message_snapshot_done *times = &taking->times;
	const struct {
		const char *name;
		uint64_t nanoseconds;
	} phases[] = {
		{ "pause", times->pause_ns },       { "vcpu", times->vcpu_ns },       { "irqchip", times->irqchip_ns },
		{ "clock", times->clock_ns },       { "devices", times->devices_ns }, { "memory", times->memory_ns },
		{ "overlays", times->overlays_ns }, { "state", times->state_ns },     { "publish", taking->publish_ns },
	};
	json_t *json = json_object();
	size_t i;

	for (i = 0; i < sizeof(phases) / sizeof(phases[0]); i++)
		(void)json_object_set_new(json, phases[i].name,
					  json_integer((json_int_t)(phases[i].nanoseconds / NANOSECONDS_PER_US)));
	return json;
}

static json_t *answer_json(const struct taking *taking, const struct call *call)
{
	const struct catalog_entry *entry =
		taking->name ? catalog_find_any(snapshots_catalog(taking->server->snapshots), taking->name) : NULL;
	cleanup_json json_t *record =
		snapshot_to_json(taking->name, taking->path, entry, &taking->loaded.summary, NULL);
	const struct guest *vm = guest_find(taking->server, taking->vm);
	uint64_t total_us = (monotonic_ns() - call->received_ns) / NANOSECONDS_PER_US;
	json_t *more =
		json_pack("{s:s, s:s, s:I, s:I, s:o, s:I}", "vm", taking->vm, "state",
			  vm ? guest_state_text(vm) : pool_vm_state_name(POOL_VM_STOPPING), "memory_bytes",
			  (json_int_t)taking->times.memory_bytes, "data_bytes", (json_int_t)taking->times.data_bytes,
			  "phases_us", phases_json(taking), "total_us", (json_int_t)total_us);

	return record && more && json_object_update_new(record, more) == 0 ? steal_pointer(record) : NULL;
}

static void succeed(struct taking *taking)
{
	const struct guest *vm = guest_find(taking->server, taking->vm);
	struct call *call = taking->call;
	json_t *answer = call ? answer_json(taking, call) : NULL;

	log_info("snapshot taken", log_text("vm", taking->vm), log_text("snapshot", taking->name),
		 log_text("path", taking->path));
	if (vm)
		guest_publish(vm, "snapshot", json_pack("{s:s?, s:s}", "name", taking->name, "path", taking->path));
	free_taking(taking);
	if (call)
		call_reply(call, answer);
}

/* ---- record ---- */

static void on_saved(void *opaque, int result, const struct error_detail *detail)
{
	struct taking *taking = opaque;

	if (result == 0) {
		succeed(taking);
		return;
	}
	(void)rpc_error_set(&taking->error, RPC_INTERNAL, "the snapshot stands, but the catalog could not be saved: %s",
			    detail->text);
	give_up(taking);
}

static void record(struct taking *taking)
{
	struct snapshots *snapshots = taking->server->snapshots;
	struct catalog *catalog = snapshots_catalog(snapshots);
	struct catalog_registration registration =
		snapshot_loaded_registration(&taking->loaded, taking->name, taking->path, taking->memory);
	const struct catalog_line *intention = catalog_intention(catalog, taking->name);
	int error;

	registration.id = intention ? intention->id : NULL;
	error = catalog_register(catalog, &registration, taking->overwrite, NULL, &taking->detail);
	if (!error) {
		snapshot_loaded_forget(&taking->loaded);
		catalog_forget_intention(catalog, taking->name);
		taking->intended = false;
		event_bus_publish(&taking->server->events, EVENT_SNAPSHOT,
				  json_pack("{s:s, s:s, s:s}", "event", "registered", "name", taking->name, "path",
					    taking->path));
		error = snapshots_save(snapshots, on_saved, taking);
	}
	if (error)
		fail_file(taking, error);
}

/* ---- commit ---- */

/* On the file thread. */
static int commit(void *opaque)
{
	struct taking *taking = opaque;

	return publication_commit(&taking->publication, &taking->detail);
}

static void on_committed(void *opaque, int result)
{
	struct taking *taking = opaque;

	taking->is_open = false;
	taking->stands = result == 0;
	taking->publish_ns += monotonic_ns() - taking->began_ns;
	if (result)
		fail_file(taking, result);
	else if (taking->name)
		record(taking);
	else
		succeed(taking);
}

static void begin_commit(struct taking *taking)
{
	int failed;

	if (!taking->call) {
		give_up(taking);
		return;
	}
	failed = file_thread_submit(taking->server->files, commit, on_committed, taking);
	if (failed)
		fail_file(taking, failed);
}

/* ---- intend ---- */

static void on_intended(void *opaque, int result, const struct error_detail *detail)
{
	struct taking *taking = opaque;

	if (result) {
		taking->detail = *detail;
		fail_file(taking, result);
		return;
	}
	begin_commit(taking);
}

/* On the file thread. */
static int remember(void *opaque)
{
	struct taking *taking = opaque;

	return devices_remember(taking->devices, &taking->memory, &taking->error);
}

static void on_remembered(void *opaque, int result)
{
	struct taking *taking = opaque;
	struct snapshots *snapshots = taking->server->snapshots;
	const struct catalog_line line = { .name = taking->name,
					   .path = taking->path,
					   .devices = taking->memory,
					   .is_known = true,
					   .state_crc64 = taking->loaded.summary.state_crc64,
					   .inode = taking->loaded.folder.inode };
	int failed;

	if (result || !taking->call) {
		give_up(taking);
		return;
	}
	failed = catalog_intend(snapshots_catalog(snapshots), &line, &taking->detail);
	taking->intended = failed == 0;
	if (!failed)
		failed = snapshots_save(snapshots, on_intended, taking);
	if (failed)
		fail_file(taking, failed);
}

/* ---- load ---- */

static void on_loaded(void *opaque, const struct rpc_error *problem, struct snapshot_loaded *loaded)
{
	struct taking *taking = opaque;
	int failed;

	taking->load = NULL;
	if (problem) {
		/* What is wrong with the files is the worker's fault; that they could not be looked at is not. */
		if (problem->code == RPC_SNAPSHOT_DAMAGED || problem->code == RPC_INVALID_ARGUMENT ||
		    problem->code == RPC_HOST_MISMATCH || problem->code == RPC_FAILED_PRECONDITION)
			(void)rpc_error_set(&taking->error, RPC_INTERNAL,
					    "the VM's worker wrote a snapshot that cannot be loaded: %s",
					    problem->message);
		else
			(void)rpc_error_set_like(&taking->error, problem, "the snapshot could not be read back: %s",
						 problem->message);
		give_up(taking);
		return;
	}

	taking->loaded = *loaded;
	if (!taking->call) {
		give_up(taking);
		return;
	}
	taking->began_ns = monotonic_ns();
	if (!taking->name) {
		begin_commit(taking);
		return;
	}
	failed = file_thread_submit(taking->server->files, remember, on_remembered, taking);
	if (failed)
		fail_file(taking, failed);
}

/* ---- write ---- */

static void on_progress(void *opaque, uint64_t done, uint64_t total)
{
	const struct taking *taking = opaque;

	if (taking->call)
		call_progress(taking->call, "memory", done, total, "bytes");
}

static void on_written(void *opaque, const struct pool_result *result, const struct message_snapshot_done *times)
{
	struct snapshot_load_options options = { .path = ".", .known = true, .opaque = opaque, .done = on_loaded };
	struct taking *taking = opaque;
	int failed;

	if (result->status != POOL_OK) {
		(void)workers_error(result, &taking->error);
		give_up(taking);
		return;
	}

	if (!taking->call) {
		give_up(taking);
		return;
	}
	taking->times = *times;
	options.folder = taking->publication.folder;
	failed = snapshot_load_begin(taking->server, &options, &taking->load);
	if (failed)
		fail_file(taking, failed);
}

/* ---- begin ---- */

/* On the file thread. */
static int begin(void *opaque)
{
	struct taking *taking = opaque;
	int at = taking->name ? snapshots_folder(taking->server->snapshots) : AT_FDCWD;
	int failed = publication_begin(at, taking->name ? taking->name : taking->path, &snapshot_folder_form,
				       taking->overwrite, &taking->publication, &taking->detail);
	uint32_t i;

	if (failed)
		return failed;
	for (i = 0; !failed && i < SNAPSHOT_OVERLAYS; i++)
		if (devices_has_overlay(taking->devices, i))
			failed = publication_add(&taking->publication, SNAPSHOT_FILE_OVERLAY + i, &taking->detail);
	if (failed)
		publication_abort(&taking->publication);
	return failed;
}

/* Lock the folder that will be replaced, unless it is one that has another name. Returns 0, or an errno with taking->error filled. */
static int lock_replaced(struct taking *taking)
{
	struct snapshots *snapshots = taking->server->snapshots;
	const struct catalog_folder folder = { .fd = -1,
					       .device = taking->publication.replaced_device,
					       .inode = taking->publication.replaced_inode };
	const struct catalog_entry *entry = NULL;
	int failed = 0;

	if (!taking->publication.replaces)
		return 0;
	while (!failed &&
	       (entry = catalog_find_folder(snapshots_catalog(snapshots), folder.device, folder.inode, entry)) != NULL)
		if (catalog_entry_name(entry) &&
		    (!taking->name || strcmp(catalog_entry_name(entry), taking->name) != 0))
			failed =
				rpc_error_set(&taking->error, RPC_FAILED_PRECONDITION,
					      "%s is the folder of the snapshot %s: give that name, or remove it first",
					      taking->path, catalog_entry_name(entry));
	if (!failed)
		failed = snapshot_lock_folder(snapshots_locks(snapshots), &taking->lock, &folder, "replaced",
					      &taking->error);
	if (failed)
		rpc_error_add_field(&taking->error, taking->name ? "name" : "path");
	return failed;
}

static void on_begun(void *opaque, int result)
{
	struct taking *taking = opaque;
	const struct guest *vm = guest_find(taking->server, taking->vm);
	struct pool_snapshot snapshot;

	taking->publish_ns = monotonic_ns() - taking->began_ns;
	taking->is_open = result == 0;
	if (result) {
		fail_file(taking, result);
	} else if (!taking->call || lock_replaced(taking)) {
		give_up(taking);
	} else if (!vm) {
		(void)rpc_error_set(&taking->error, RPC_NOT_FOUND, "%s has ended meanwhile", taking->vm);
		give_up(taking);
	} else {
		snapshot = (struct pool_snapshot){ .state_file = taking->publication.files[SNAPSHOT_FILE_STATE],
						   .memory_file = taking->publication.files[SNAPSHOT_FILE_MEMORY],
						   .resume = taking->resume };
		memcpy(snapshot.overlays, &taking->publication.files[SNAPSHOT_FILE_OVERLAY], sizeof(snapshot.overlays));
		if (pool_vm_state(vm->pool_vm) == POOL_VM_RUNNING)
			taking->undo = (struct undo){ .kind = UNDO_PAUSE,
						      .vm = vm->number,
						      .change = pool_vm_state_changes(vm->pool_vm) + 1 };
		pool_vm_snapshot(vm->pool_vm, &snapshot, on_progress, on_written, taking);
	}
}

/* A VM that writes to an image itself must not go on. Returns 0, or an errno when the call was answered. */
static int check_drives(struct call *call, const struct guest *vm)
{
	int drive = devices_in_place(vm->devices);
	struct rpc_error error = RPC_ERROR_INIT;
	int failed;

	if (drive < 0 || !param_bool(call->params, "resume"))
		return 0;
	failed = rpc_error_set(
		&error, RPC_FAILED_PRECONDITION,
		"drives[%d] of %s is written in place, and its image would not stay the snapshot's: give drives "
		"an overlay, or \"resume\": false here",
		drive, vm->id);
	rpc_error_add_field(&error, "resume");
	call_fail(call, &error);
	return failed;
}

/* The entry of this path, whose files cannot be read: its folder may come back. NULL: there is none. */
static const struct catalog_entry *unavailable_at(const struct catalog *catalog, const char *path)
{
	size_t i;

	for (i = 0; i < catalog_count(catalog); i++) {
		const struct catalog_entry *entry = catalog_at(catalog, i);

		if (catalog_entry_status(entry) != CATALOG_AVAILABLE && strcmp(catalog_entry_path(entry), path) == 0)
			return entry;
	}
	return NULL;
}

/* What can be said at once. Returns 0, or an errno when the call was answered. */
static int check(struct call *call, const char *name, bool overwrite)
{
	struct catalog *catalog = snapshots_catalog(call->server->snapshots);
	const struct catalog_entry *entry = name ? catalog_find_any(catalog, name) : NULL;
	struct rpc_error error = RPC_ERROR_INIT;
	int failed;

	if (!name)
		entry = unavailable_at(catalog, param_string(call->params, "path"));
	if (!entry)
		return 0;
	if (!name) {
		failed = rpc_error_set(&error, RPC_FAILED_PRECONDITION,
				       "%s is the folder of the snapshot %s: give that name, or remove it first",
				       catalog_entry_path(entry), catalog_entry_name(entry));
		rpc_error_add_field(&error, "path");
		call_fail(call, &error);
		return failed;
	}
	if (catalog_entry_is_being_removed(entry))
		failed = rpc_error_set(&error, RPC_SNAPSHOT_IN_USE, "the snapshot %s is being removed", name);
	else if (!overwrite)
		failed = rpc_error_set(&error, RPC_ALREADY_EXISTS, "there is a snapshot named %s", name);
	else
		return 0;
	(void)snprintf(error.field, sizeof(error.field), "name");
	call_fail(call, &error);
	return failed;
}

static struct taking *taking_new(struct call *call, struct guest *vm)
{
	const char *name = param_string(call->params, "name"), *path = param_string(call->params, "path");
	struct taking *taking = calloc(1, sizeof(*taking));
	char own_path[CONFIG_PATH_MAX + 128];

	if (!taking)
		return NULL;

	taking->server = call->server;
	taking->call = call;
	(void)guest_id_text(vm->number, taking->vm);
	taking->resume = param_bool(call->params, "resume");
	taking->overwrite = param_bool(call->params, "overwrite");
	taking->loaded = SNAPSHOT_LOADED_NONE;
	taking->error = (struct rpc_error)RPC_ERROR_INIT;
	if (name) {
		snapshots_path(call->server->snapshots, name, own_path, sizeof(own_path));
		taking->name = strdup(name);
		path = own_path;
	}
	taking->path = strdup(path);
	if (!taking->path || (name && !taking->name)) {
		free_taking(taking);
		return NULL;
	}

	taking->devices = vm->devices;
	devices_hold(taking->devices);
	taking->still = devices_in_place(vm->devices) >= 0;
	vm->stills += taking->still;
	return taking;
}

void method_vm_snapshot(struct call *call)
{
	struct guest *vm = guest_of_call(call);
	struct taking *taking;
	int failed;

	if (!vm || check_drives(call, vm) ||
	    check(call, param_string(call->params, "name"), param_bool(call->params, "overwrite")))
		return;
	taking = taking_new(call, vm);
	if (!taking) {
		call_reply(call, NULL);
		return;
	}

	call_on_abandon(call, on_abandoned, taking);
	if (taking->name && snapshot_lock_name(snapshots_locks(call->server->snapshots), &taking->lock, taking->name,
					       "replaced", &taking->error)) {
		rpc_error_add_field(&taking->error, "name");
		finish_failed(taking);
		return;
	}
	taking->began_ns = monotonic_ns();
	failed = file_thread_submit(call->server->files, begin, on_begun, taking);
	if (failed)
		fail_file(taking, failed);
}
