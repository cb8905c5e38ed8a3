/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One start, in steps that each end in the next:
 *
 *	vm.boot     [image opened on the file thread] -> pool -> answer
 *	vm.restore  [files opened and loaded, for a path] -> entry held -> pool -> answer
 *
 * The call may be abandoned in any step. The step in progress is then told to stop, or its result is thrown away; the
 * start lives until the step's callback has come, without its call.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "server/cleanup.h"
#include "server/clock.h"
#include "server/connection.h"
#include "server/file_thread.h"
#include "server/guest.h"
#include "server/guest_start.h"
#include "server/log.h"
#include "server/server.h"
#include "server/snapshot_load.h"
#include "server/snapshots.h"
#include "server/workers.h"

#define MIB_SHIFT 20

struct guest_start {
	struct server *server;
	struct call *call; /* NULL: abandoned */
	struct guest *vm;
	struct pool_start wanted;
	struct pool_request *request;
	struct snapshot_load *load;
	struct catalog_entry *entry; /* held by holder */
	uint64_t holder;
	char *path; /* of an image or a snapshot */
	int image;  /* our own, or the server's demo image */
};

static void free_start(struct guest_start *start)
{
	if (start->entry)
		snapshot_release(start->server, start->entry, start->holder);
	if (start->image >= 0 && start->image != start->server->demo_image)
		(void)close(start->image);
	(void)guest_discard(start->vm);
	free(start->path);
	free(start);
}

/* Say no; error is released. */
static void fail_start(struct guest_start *start, struct rpc_error *error)
{
	struct call *call = start->call;

	free_start(start);
	if (call)
		call_fail(call, error);
	else
		rpc_error_release(error);
}

static void fail_memory(struct guest_start *start)
{
	struct rpc_error error = RPC_ERROR_INIT;

	(void)rpc_error_set(&error, RPC_INTERNAL, "the daemon is out of memory");
	fail_start(start, &error);
}

static void on_abandoned(void *opaque, struct rpc_error *error)
{
	struct guest_start *start = opaque;
	bool loading = start->load;

	start->call = NULL;
	if (start->request) {
		if (error->code == RPC_DEADLINE_EXCEEDED)
			error->retry_after_ms = pool_retry_after_ms(start->server->pool, &start->wanted.shape);
		pool_request_cancel(start->request);
	}
	if (loading) {
		snapshot_load_forget(start->load);
		free_start(start);
	}
}

static json_t *phases_json(const struct pool_started *started)
{
	json_t *phases = json_object();
	int phase;

	for (phase = 0; phase < MESSAGE_PHASE_COUNT; phase++)
		if (started->phases_ns[phase] != MESSAGE_PHASE_NONE)
			(void)json_object_set_new(
				phases, message_phase_name((enum message_phase)phase),
				json_integer((json_int_t)(started->phases_ns[phase] / NANOSECONDS_PER_US)));
	return phases;
}

static json_t *started_json(const struct guest *vm, const struct pool_started *started, uint64_t received_ns)
{
	json_t *entered = started->entered_ns ? json_integer((json_int_t)started->entered_ns) : json_null();
	uint64_t total_us = (monotonic_ns() - received_ns) / NANOSECONDS_PER_US;
	char shape[SHAPE_TEXT_SIZE];

	return json_pack("{s:s, s:s, s:s, s:s?, s:s, s:o, s:I, s:o, s:I}", "vm", vm->id, "state", guest_state_text(vm),
			 "shape", shape_text(pool_vm_shape(vm->pool_vm), shape), "snapshot", guest_snapshot_text(vm),
			 "temperature", started->cold ? "cold" : "warm", "phases_us", phases_json(started),
			 "state_injected_ns", (json_int_t)started->injected_ns, "entered_ns", entered, "total_us",
			 (json_int_t)total_us);
}

static void on_started(void *opaque, const struct pool_result *result, struct pool_vm *pool_vm,
		       const struct pool_started *started)
{
	struct rpc_error error = RPC_ERROR_INIT;
	struct guest_start *start = opaque;
	struct call *call = start->call;
	struct guest *vm = start->vm;

	start->request = NULL;
	if (result->status != POOL_OK) {
		(void)workers_error(result, &error);
		fail_start(start, &error);
		return;
	}

	if (start->entry) {
		vm->snapshot = steal_pointer(start->entry);
		vm->holder = snapshot_hand_over(start->server, vm->snapshot, start->holder, pool_vm_number(pool_vm));
	}
	/* Without a call, the client went away at the last moment: there is nobody to lease it to. */
	guest_begin(start->vm, pool_vm, started, call ? call->origin.connection : NULL);
	start->vm = NULL;
	free_start(start);
	if (call)
		call_reply(call, started_json(vm, started, call->received_ns));
	else
		pool_vm_stop(pool_vm, true, "client_disconnected");
}

static void ask_pool(struct guest_start *start)
{
	start->wanted.callbacks = guest_callbacks(start->vm);
	start->wanted.deadline_ns = start->call->deadline_ns;
	start->request = pool_vm_start(start->server->pool, &start->wanted, on_started, start);
	if (!start->request)
		fail_memory(start);
}

static enum pool_temperature temperature_of(const json_t *params)
{
	const char *text = param_string(params, "temperature");

	if (!strcmp(text, "warm"))
		return POOL_TEMPERATURE_WARM;
	return strcmp(text, "cold") == 0 ? POOL_TEMPERATURE_COLD : POOL_TEMPERATURE_ANY;
}

/* What both kinds of start share. NULL: the call was answered. */
static struct guest_start *begin(struct call *call)
{
	struct guest_start *start;

	if (call->server->state != SERVER_SERVING) {
		call_fail_with(call, RPC_DRAINING, "the daemon is draining and starts no VM");
		return NULL;
	}
	start = calloc(1, sizeof(*start));
	if (!start || guest_new(call, &start->vm)) {
		free(start);
		call_reply(call, NULL);
		return NULL;
	}

	start->server = call->server;
	start->call = call;
	start->image = -1;
	start->wanted.image = -1;
	start->wanted.memory = -1;
	start->wanted.state = -1;
	start->wanted.temperature = temperature_of(call->params);
	call_on_abandon(call, on_abandoned, start);
	return start;
}

/* ---- boot ---- */

/* On the file thread. */
static int open_image(void *opaque)
{
	struct guest_start *start = opaque;
	cleanup_close int file = open(start->path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	struct stat status;

	if (file < 0 || fstat(file, &status))
		return -errno;
	if (!S_ISREG(status.st_mode))
		return -EINVAL;

	start->image = steal_fd(&file);
	return 0;
}

static void on_image_opened(void *opaque, int result)
{
	struct rpc_error error = RPC_ERROR_INIT;
	struct guest_start *start = opaque;

	if (!start->call) {
		free_start(start);
		return;
	}
	if (result == 0) {
		start->wanted.image = start->image;
		ask_pool(start);
		return;
	}

	(void)rpc_error_set(&error, result == -ENOENT ? RPC_NOT_FOUND : RPC_INVALID_ARGUMENT,
			    "the image cannot be opened: %s",
			    result == -EINVAL ? "it is not a regular file" : strerrordesc_np(-result));
	(void)snprintf(error.field, sizeof(error.field), "image");
	fail_start(start, &error);
}

void guest_start_boot(struct call *call)
{
	const char *image = param_string(call->params, "image");
	const char *entry = param_string(call->params, "entry");
	struct guest_start *start = begin(call);

	if (!start)
		return;

	start->wanted.shape.vcpus = (uint32_t)param_int(call->params, "vcpus", 1);
	start->wanted.shape.memory_size = (uint64_t)param_int(call->params, "memory_mib", 1) << MIB_SHIFT;
	(void)cpu_template_parse(param_string(call->params, "cpu_template"), &start->wanted.shape.cpu_template);
	start->wanted.entry = ENTRY_LONG;
	if (!image) {
		start->image = start->server->demo_image;
		start->wanted.image = start->image;
		ask_pool(start);
		return;
	}

	(void)entry_mode_parse(entry, &start->wanted.entry);
	start->path = strdup(image);
	if (!start->path || file_thread_submit(start->server->files, open_image, on_image_opened, start))
		fail_memory(start);
}

/* ---- restore ---- */

/* Start from an entry of the catalog, named or not. */
static void start_from(struct guest_start *start, struct catalog_entry *entry)
{
	const struct catalog_summary *summary = catalog_entry_summary(entry);
	uint64_t holder = snapshots_start_holder(start->server->snapshots);

	if (catalog_hold(entry, holder)) {
		if (!catalog_entry_name(entry))
			(void)catalog_remove(snapshots_catalog(start->server->snapshots), entry, false);
		fail_memory(start);
		return;
	}

	start->entry = entry;
	start->holder = holder;
	start->wanted.restore = true;
	start->wanted.paused = !param_bool(start->call->params, "resume");
	start->wanted.shape = summary->shape;
	start->wanted.memory = catalog_entry_memory(entry);
	start->wanted.state = catalog_entry_state(entry);
	ask_pool(start);
}

static void on_loaded(void *opaque, const struct rpc_error *error, struct snapshot_loaded *loaded)
{
	struct rpc_error problem = RPC_ERROR_INIT;
	struct catalog_registration registration;
	struct error_detail detail = { "" };
	struct guest_start *start = opaque;
	struct catalog_entry *entry;

	start->load = NULL;
	if (error) {
		(void)rpc_error_set(&problem, error->code, "%s", error->message);
		(void)snprintf(problem.field, sizeof(problem.field), "snapshot_path");
		fail_start(start, &problem);
		return;
	}

	registration = snapshot_loaded_registration(loaded, NULL, start->path, NULL);
	if (catalog_register(snapshots_catalog(start->server->snapshots), &registration, false, &entry, &detail)) {
		snapshot_loaded_close(loaded);
		(void)rpc_error_set(&problem, RPC_INTERNAL, "%s", detail.text);
		fail_start(start, &problem);
		return;
	}
	start_from(start, entry);
}

static void restore_path(struct guest_start *start, const char *path)
{
	const struct snapshot_load_options options = {
		.folder = AT_FDCWD, .path = path, .verify = true, .opaque = start, .done = on_loaded
	};

	start->path = strdup(path);
	if (!start->path || snapshot_load_begin(start->server, &options, &start->load))
		fail_memory(start);
}

void guest_start_restore(struct call *call)
{
	const char *name = param_string(call->params, "snapshot");
	struct catalog_entry *entry = NULL;
	struct rpc_error error = RPC_ERROR_INIT;
	struct guest_start *start;

	if (name) {
		entry = catalog_find(snapshots_catalog(call->server->snapshots), name);
		if (!entry) {
			(void)rpc_error_set(&error, RPC_NOT_FOUND, "there is no snapshot named %s", name);
			(void)snprintf(error.field, sizeof(error.field), "snapshot");
			call_fail(call, &error);
			return;
		}
	}
	start = begin(call);
	if (!start)
		return;
	if (entry)
		start_from(start, entry);
	else
		restore_path(start, param_string(call->params, "snapshot_path"));
}
