/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The pool tells what a VM does (started, signalled, more output, exited, gone), this file keeps it, and passes it on
 * to waiting calls and to subscribers.
 *
 * A VM that is not detached hangs from its client's connection by a lease; when the connection ends, so does the VM. A
 * VM counts for drains as long as its machine may run: from the start's request until it exits or is gone.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "server/cleanup.h"
#include "server/clock.h"
#include "server/devices/devices.h"
#include "server/guest.h"
#include "server/jobs/jobs.h"
#include "server/json_lossy.h"
#include "server/kernels.h"
#include "server/log.h"
#include "server/server.h"
#include "server/snapshots.h"
#include "server/workers.h"

const char *guest_id_text(uint64_t number, char *text)
{
	(void)snprintf(text, GUEST_ID_SIZE, "vm-%" PRIu64, number);
	return text;
}

struct guest *guest_find(const struct server *server, const char *id)
{
	struct guest *vm;

	TAILQ_FOREACH(vm, &server->vms, link)
		if (!strcmp(vm->id, id))
			return vm;
	return NULL;
}

struct guest *guest_find_number(const struct server *server, uint64_t number)
{
	struct guest *vm;

	TAILQ_FOREACH(vm, &server->vms, link)
		if (vm->number == number)
			return vm;
	return NULL;
}

struct guest *guest_of_call(struct call *call)
{
	const char *id = param_string(call->params, "vm");
	struct rpc_error error = RPC_ERROR_INIT;
	struct guest *vm = guest_find(call->server, id);

	if (vm)
		return vm;

	(void)rpc_error_set(&error, RPC_NOT_FOUND, "there is no VM %s", id);
	(void)snprintf(error.field, sizeof(error.field), "vm");
	call_fail(call, &error);
	return NULL;
}

uint64_t guest_time_ns(const struct guest *vm, uint64_t at_ns)
{
	return at_ns > vm->started_ns ? at_ns - vm->started_ns : 0;
}

const char *guest_state_text(const struct guest *vm)
{
	return pool_vm_state_name(pool_vm_state(vm->pool_vm));
}

const char *guest_snapshot_text(const struct guest *vm)
{
	return vm->snapshot ? snapshot_text(vm->snapshot) : NULL;
}

const char *guest_kernel_text(const struct guest *vm)
{
	return vm->kernel ? kernel_record(vm->kernel)->name : NULL;
}

void guest_publish(const struct guest *vm, const char *event, json_t *details)
{
	if (details && json_object_set_new(details, "vm", json_string(vm->id)) == 0 &&
	    json_object_set_new(details, "event", json_string(event)) == 0) {
		event_bus_publish(&vm->server->events, EVENT_VM, details);
		return;
	}
	json_decref(details);
	event_bus_publish(&vm->server->events, EVENT_VM, NULL);
}

void guest_waiter_add(struct guest *vm, struct guest_waiter *waiter)
{
	LIST_INSERT_HEAD(&vm->waiters, waiter, link);
}

void guest_waiter_remove(struct guest_waiter *waiter)
{
	LIST_REMOVE(waiter, link);
}

static void tell_waiters(struct guest *vm, enum guest_news news)
{
	struct guest_waiter *waiter, *next;

	for (waiter = LIST_FIRST(&vm->waiters); waiter; waiter = next) {
		next = LIST_NEXT(waiter, link);
		waiter->heard(waiter, vm, news);
	}
}

static void on_signalled(void *opaque, uint8_t number, uint64_t count, uint64_t first_ns, uint64_t last_ns)
{
	struct guest *vm = opaque;

	vm->signals[number] = (struct guest_signal){ .count = count, .first_ns = first_ns, .last_ns = last_ns };
	if (event_bus_wants(&vm->server->events, EVENT_VM))
		guest_publish(vm, number == SIGNAL_READY ? "ready" : "signal",
			      json_pack("{s:i, s:I, s:I}", "number", (int)number, "count", (json_int_t)count,
					"guest_ns", (json_int_t)guest_time_ns(vm, last_ns)));
	tell_waiters(vm, GUEST_NEWS_SIGNAL);
}

static void on_output(void *opaque)
{
	tell_waiters(opaque, GUEST_NEWS_OUTPUT);
}

struct connecting {
	struct server *server;
	uint64_t vm; /* its number: it may end meanwhile */
	uint64_t cookie;
};

static void on_connected(void *opaque, const struct job_result *result)
{
	struct connecting *connecting = opaque;
	struct guest *vm = guest_find_number(connecting->server, connecting->vm);
	bool connected = result->result == 0 && result->file_count == 1;

	/* A socket that cannot be passed on is a refusal; what cannot be told at all, the guest's own patience ends. */
	if (vm && connecting->server->state != SERVER_STOPPING)
		(void)pool_vm_vsock_connected(vm->pool_vm, connecting->cookie, connected ? result->files[0] : -1);
	free(connecting);
}

/* The guest connects to a port of the host's; a worker opens no socket itself. */
static void on_vsock_connect(void *opaque, uint32_t port, uint64_t cookie)
{
	struct guest *vm = opaque;
	struct connecting *connecting = malloc(sizeof(*connecting));

	if (connecting)
		*connecting = (struct connecting){ vm->server, vm->number, cookie };
	if (connecting && vm->devices && devices_connect(vm->devices, port, on_connected, connecting) == 0)
		return;
	free(connecting);
	(void)pool_vm_vsock_connected(vm->pool_vm, cookie, -1);
}

/* Drains wait for it no longer. */
static void uncount(struct guest *vm)
{
	if (!vm->counted)
		return;
	vm->counted = false;
	server_vm_ended(vm->server);
}

/* What the protocol calls a machine's end. */
static const char *exit_name(enum machine_exit reason)
{
	const char *name = machine_exit_name(reason);

	if (reason == MACHINE_EXIT_MEMORY_FAULT)
		return "memory_file_truncated";
	return name ? name : "internal_error";
}

static void note_exit(struct guest *vm, const char *reason, const char *detail)
{
	cleanup_json json_t *text = json_lossy(detail ? detail : "");

	vm->exited = true;
	(void)snprintf(vm->exit_reason, sizeof(vm->exit_reason), "%s", reason);
	(void)snprintf(vm->exit_detail, sizeof(vm->exit_detail), "%s", text ? json_string_value(text) : "");
}

static void on_exited(void *opaque, const struct message_exited *exited)
{
	struct guest *vm = opaque;

	note_exit(vm, exit_name((enum machine_exit)exited->reason), exited->text);
	log_info("VM exited", log_text("vm", vm->id), log_text("reason", vm->exit_reason),
		 log_text("detail", vm->exit_detail));
	guest_publish(vm, "exited", json_pack("{s:s, s:s}", "reason", vm->exit_reason, "detail", vm->exit_detail));
	uncount(vm);
	tell_waiters(vm, GUEST_NEWS_EXIT);
}

static void free_vm(struct guest *vm)
{
	uncount(vm);
	(void)devices_free(vm->devices);
	free(vm);
}

static void on_gone(void *opaque, const char *reason, const char *detail)
{
	struct guest_waiter *waiter;
	struct guest *vm = opaque;

	if (!vm->exited)
		note_exit(vm, reason, detail);
	log_info("VM ended", log_text("vm", vm->id), log_text("reason", vm->exit_reason),
		 log_text("detail", vm->exit_detail[0] ? vm->exit_detail : NULL));
	guest_publish(vm, "ended", json_pack("{s:s, s:s}", "reason", vm->exit_reason, "detail", vm->exit_detail));

	/* Before anybody is told: who is finds its CID free and its socket gone. */
	vm->devices = devices_free(vm->devices);
	while ((waiter = LIST_FIRST(&vm->waiters)) != NULL) {
		LIST_REMOVE(waiter, link);
		waiter->heard(waiter, vm, GUEST_NEWS_GONE);
	}
	if (vm->leased)
		connection_lease_remove(&vm->lease);
	if (vm->snapshot)
		snapshot_release(vm->server, vm->snapshot, vm->holder);
	if (vm->kernel)
		(void)kernel_release(vm->kernel, vm->holder);
	TAILQ_REMOVE(&vm->server->vms, vm, link);
	free_vm(vm);
}

/* The client has gone: its VM goes, too. The lease is off its list, so the VM must not take it off again. */
static void on_lease_lost(struct connection_lease *lease)
{
	struct guest *vm = // NOLINT(bugprone-casting-through-void)
		(void *)((char *)lease - offsetof(struct guest, lease));

	vm->leased = false;
	pool_vm_stop(vm->pool_vm, false, "client_disconnected");
}

struct pool_vm_callbacks guest_callbacks(struct guest *vm)
{
	return (struct pool_vm_callbacks){
		.opaque = vm,
		.signalled = on_signalled,
		.output = on_output,
		.vsock_connect = on_vsock_connect,
		.exited = on_exited,
		.gone = on_gone,
	};
}

int guest_new(const struct call *call, struct guest **ret_vm)
{
	const char *label = param_string(call->params, "name");
	struct guest *vm = calloc(1, sizeof(*vm));

	if (!vm)
		return -ENOMEM;

	vm->server = call->server;
	vm->detached = param_bool(call->params, "detach") || !call->origin.connection;
	(void)snprintf(vm->label, sizeof(vm->label), "%s", label ? label : "");
	LIST_INIT(&vm->waiters);
	vm->counted = true;
	server_vm_begun(vm->server);
	*ret_vm = vm;
	return 0;
}

struct guest *guest_discard(struct guest *vm)
{
	if (vm)
		free_vm(vm);
	return NULL;
}

void guest_begin(struct guest *vm, struct pool_vm *pool_vm, const struct pool_started *started,
		 struct connection *connection)
{
	vm->pool_vm = pool_vm;
	vm->cold = started->cold;
	vm->started_ns = started->entered_ns ? started->entered_ns : started->injected_ns;
	vm->number = pool_vm_number(pool_vm);
	(void)guest_id_text(vm->number, vm->id);
	TAILQ_INSERT_TAIL(&vm->server->vms, vm, link);
	if (!vm->detached && connection) {
		vm->leased = true;
		vm->lease.lost = on_lease_lost;
		connection_lease_add(connection, &vm->lease);
	}

	log_info("VM started", log_text("vm", vm->id), log_number("worker", pool_vm_worker(pool_vm)),
		 log_text("snapshot", guest_snapshot_text(vm)), log_text("temperature", vm->cold ? "cold" : "warm"));
	guest_publish(vm, "started",
		      json_pack("{s:s?, s:s}", "snapshot", guest_snapshot_text(vm), "temperature",
				vm->cold ? "cold" : "warm"));
}

json_t *guest_to_json(const struct guest *vm)
{
	cleanup_json json_t *json = json_pack(
		"{s:s, s:s?, s:s, s:s?, s:s?, s:s, s:I, s:I, s:b, s:I, s:s?}", "vm", vm->id, "name",
		vm->label[0] ? vm->label : NULL, "state", guest_state_text(vm), "snapshot", guest_snapshot_text(vm),
		"kernel", guest_kernel_text(vm), "temperature", vm->cold ? "cold" : "warm", "worker",
		(json_int_t)pool_vm_worker(vm->pool_vm), "pid", (json_int_t)pool_vm_pid(vm->pool_vm), "detached",
		(int)vm->detached, "age_ms", (json_int_t)(guest_time_ns(vm, monotonic_ns()) / NANOSECONDS_PER_MS),
		"exit_reason", vm->exited ? vm->exit_reason : NULL);

	return json && shape_to_json(pool_vm_shape(vm->pool_vm), json) == 0 ? steal_pointer(json) : NULL;
}
