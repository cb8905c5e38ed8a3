/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One start, in steps that each end in the next:
 *
 *	vm.boot     [kernel held] ------------------------------------> devices planned -> [files opened] -> pool -> answer
 *	vm.restore  [files opened and loaded, for a path] -> entry held -> the same
 *
 * Files are opened on the file thread, where there are any. The call may be abandoned in any step. The step in progress
 * is then told to stop, or its result is thrown away; the start lives until the step's callback has come, without its
 * call.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "server/cleanup.h"
#include "server/clock.h"
#include "server/connection.h"
#include "server/file_thread.h"
#include "server/server.h"
#include "server/snapshots.h"
#include "server/start/private.h"
#include "server/start/start.h"
#include "server/undo.h"
#include "server/workers.h"

static void free_start(struct start *start)
{
	devices_drop_taps(start->server, &start->taps);
	(void)devices_free(start->devices);
	if (start->entry)
		snapshot_release(start->server, start->entry, start->holder);
	if (start->kernel)
		(void)kernel_release(start->kernel, start->holder);
	if (start->image >= 0)
		(void)close(start->image);
	if (start->wanted_kernel.initrd >= 0)
		(void)close(start->wanted_kernel.initrd);
	(void)guest_discard(start->vm);
	rpc_error_release(&start->error);
	json_decref(start->params);
	free(start->path);
	free(start);
}

void start_fail(struct start *start, struct rpc_error *error)
{
	struct call *call = start->call;

	free_start(start);
	if (call)
		call_fail(call, error);
	else
		rpc_error_release(error);
}

void start_fail_memory(struct start *start)
{
	struct rpc_error error = RPC_ERROR_INIT;

	(void)rpc_error_set(&error, RPC_INTERNAL, "the daemon is out of memory");
	start_fail(start, &error);
}

static void on_abandoned(void *opaque, struct rpc_error *error)
{
	struct start *start = opaque;
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

static enum pool_temperature temperature_of(const json_t *params)
{
	const char *text = param_string(params, "temperature");

	if (!strcmp(text, "warm"))
		return POOL_TEMPERATURE_WARM;
	return strcmp(text, "cold") == 0 ? POOL_TEMPERATURE_COLD : POOL_TEMPERATURE_ANY;
}

struct start *start_new(struct call *call)
{
	struct devices_taps taps = DEVICES_TAPS_NONE;
	struct rpc_error error = RPC_ERROR_INIT;
	struct start *start;

	if (call->server->state != SERVER_SERVING) {
		call_fail_with(call, RPC_DRAINING, "the daemon is draining and starts no VM");
		return NULL;
	}
	if (devices_take_taps(call->origin.connection, call->params, &taps, &error)) {
		devices_drop_taps(call->server, &taps);
		call_fail(call, &error);
		return NULL;
	}
	start = calloc(1, sizeof(*start));
	if (!start || guest_new(call, &start->vm)) {
		devices_drop_taps(call->server, &taps);
		free(start);
		call_reply(call, NULL);
		return NULL;
	}

	start->server = call->server;
	start->call = call;
	start->params = json_incref(call->params);
	start->taps = taps;
	start->image = -1;
	start->wanted_kernel.image = -1;
	start->wanted_kernel.initrd = -1;
	start->wanted.image = -1;
	start->wanted.memory = -1;
	start->wanted.state = -1;
	start->wanted.temperature = temperature_of(call->params);
	start->holder = snapshots_start_holder(call->server->snapshots);
	start->error = (struct rpc_error)RPC_ERROR_INIT;
	call_on_abandon(call, on_abandoned, start);
	return start;
}

/* ---- the answer ---- */

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

	return json_pack("{s:s, s:s, s:s, s:s?, s:s?, s:o, s:s, s:o, s:I, s:o, s:I}", "vm", vm->id, "state",
			 guest_state_text(vm), "shape", shape_text(pool_vm_shape(vm->pool_vm), shape), "snapshot",
			 guest_snapshot_text(vm), "kernel", guest_kernel_text(vm), "vsock",
			 devices_vsock_json(vm->devices), "temperature", started->cold ? "cold" : "warm", "phases_us",
			 phases_json(started), "state_injected_ns", (json_int_t)started->injected_ns, "entered_ns",
			 entered, "total_us", (json_int_t)total_us);
}

/* What the start held, the VM holds from here on. */
static void hand_over(struct start *start, struct pool_vm *pool_vm)
{
	struct guest *vm = start->vm;
	uint64_t number = pool_vm_number(pool_vm);

	vm->holder = start->holder;
	vm->devices = steal_pointer(start->devices);
	devices_settle(vm->devices);
	if (start->entry) {
		vm->snapshot = steal_pointer(start->entry);
		vm->holder = snapshot_hand_over(start->server, vm->snapshot, start->holder, number);
	}
	if (start->kernel) {
		vm->kernel = steal_pointer(start->kernel);
		if (kernel_hold(vm->kernel, number) == 0) {
			(void)kernel_release(vm->kernel, start->holder);
			vm->holder = number;
		}
	}
}

static void on_started(void *opaque, const struct pool_result *result, struct pool_vm *pool_vm,
		       const struct pool_started *started)
{
	struct rpc_error error = RPC_ERROR_INIT;
	struct start *start = opaque;
	struct server *server = start->server;
	struct call *call = start->call;
	struct guest *vm = start->vm;
	struct undo undo = { .kind = UNDO_START };

	start->request = NULL;
	if (result->status != POOL_OK) {
		(void)workers_error(result, &error);
		start_fail(start, &error);
		return;
	}

	hand_over(start, pool_vm);
	/* Without a call, the client went away at the last moment: there is nobody to lease it to. */
	guest_begin(start->vm, pool_vm, started, call ? call->origin.connection : NULL);
	start->vm = NULL;
	free_start(start);
	undo.vm = vm->number;
	call_done(server, call, call ? started_json(vm, started, call->received_ns) : NULL, &undo);
}

/* ---- devices, files, pool ---- */

/* The end of a text: names and paths differ there. */
static const char *tail_of(const char *text)
{
	size_t length = strlen(text), most = POOL_SOURCE_SIZE - sizeof("snapshot ");

	return text + (length > most ? length - most : 0);
}

/* Who its worker's crash is held against: what it runs, and who wanted it. */
static void set_blame(struct start *start)
{
	const char *image = param_string(start->params, "image");
	struct pool_blame *blame = &start->wanted.blame;

	if (start->entry)
		(void)snprintf(blame->source, sizeof(blame->source), "snapshot %s",
			       tail_of(snapshot_text(start->entry)));
	else if (start->kernel)
		(void)snprintf(blame->source, sizeof(blame->source), "kernel %s", kernel_record(start->kernel)->name);
	else
		(void)snprintf(blame->source, sizeof(blame->source), "image %s", image ? tail_of(image) : "(demo)");
	blame->has_owner = start->call->origin.peer != NULL;
	blame->owner = blame->has_owner ? start->call->origin.peer->uid : 0;
}

static void ask_pool(struct start *start)
{
	set_blame(start);
	start->wanted.devices = devices_for_pool(start->devices);
	start->wanted.callbacks = guest_callbacks(start->vm);
	start->wanted.deadline_ns = start->call->deadline_ns;
	start->request = pool_vm_start(start->server->pool, &start->wanted, on_started, start);
	if (!start->request)
		start_fail_memory(start);
}

/* On the file thread. */
static int open_files(void *opaque)
{
	struct start *start = opaque;
	int failed = boot_open_files(start, &start->error);

	return failed ? failed : devices_open(start->devices, &start->error);
}

static void on_files_opened(void *opaque, int result)
{
	struct start *start = opaque;
	struct rpc_error error = start->error;

	start->error = (struct rpc_error)RPC_ERROR_INIT;
	if (result || !start->call)
		start_fail(start, &error);
	else
		ask_pool(start);
}

void start_with_devices(struct start *start, json_t *record, const json_t *images)
{
	const struct devices_options options = {
		.record = record,
		.metadata = param_object(start->params, "metadata"),
		.taps = &start->taps,
		.restore = start->wanted.restore,
		.images = images,
		.bases = start->entry ? catalog_entry_overlays(start->entry) : NULL,
	};
	struct rpc_error error = RPC_ERROR_INIT;
	int failed = devices_new(start->server, &options, &start->devices, &error);

	json_decref(record);
	if (failed) {
		start_fail(start, &error);
		return;
	}
	devices_set_shape(start->devices, &start->wanted.shape);
	if (!boot_has_files(start) && !devices_have_files(start->devices))
		ask_pool(start);
	else if (file_thread_submit(start->server->files, open_files, on_files_opened, start))
		start_fail_memory(start);
}
