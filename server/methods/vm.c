/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vm.*: what is asked of VMs that run; their console is in vm_console.c, their snapshots in vm_snapshot.c.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "devices/signal_port.h"
#include "server/cleanup.h"
#include "server/clock.h"
#include "server/devices/devices.h"
#include "server/guest.h"
#include "server/methods/methods.h"
#include "server/server.h"
#include "server/start/start.h"
#include "server/workers.h"

void method_vm_boot(struct call *call)
{
	start_boot(call);
}

void method_vm_restore(struct call *call)
{
	start_restore(call);
}

void method_vm_list(struct call *call)
{
	cleanup_json json_t *vms = json_array();
	const struct guest *vm;

	TAILQ_FOREACH(vm, &call->server->vms, link)
		if (json_array_append_new(vms, guest_to_json(vm))) {
			call_reply(call, NULL);
			return;
		}
	call_reply(call, json_pack("{s:O}", "vms", vms));
}

static json_t *signals_json(const struct guest *vm)
{
	json_t *signals = json_array();
	int number;

	for (number = 0; number < GUEST_SIGNAL_COUNT; number++) {
		const struct guest_signal *signal = &vm->signals[number];

		if (signal->count)
			(void)json_array_append_new(signals, json_pack("{s:i, s:I, s:I, s:I}", "event", number, "count",
								       (json_int_t)signal->count, "first_ns",
								       (json_int_t)guest_time_ns(vm, signal->first_ns),
								       "last_ns",
								       (json_int_t)guest_time_ns(vm, signal->last_ns)));
	}
	return signals;
}

static json_t *waits_json(const struct guest *vm)
{
	uint64_t since_ns;

	if (!pool_vm_waits(vm->pool_vm, &since_ns))
		return json_null();
	return json_pack("{s:s, s:I}", "for", "disk", "since_ms",
			 (json_int_t)((monotonic_ns() - since_ns) / NANOSECONDS_PER_MS));
}

void method_vm_info(struct call *call)
{
	const struct guest *vm = guest_of_call(call);
	cleanup_json json_t *json = NULL, *more = NULL;

	if (!vm)
		return;

	json = guest_to_json(vm);
	more = json_pack("{s:o, s:s?, s:o, s:o}", "waits", waits_json(vm), "exit_detail",
			 vm->exit_detail[0] ? vm->exit_detail : NULL, "events", signals_json(vm), "devices",
			 vm->devices ? json_deep_copy(devices_record(vm->devices)) : json_object());
	if (json && more && json_object_update(json, more) == 0)
		call_reply(call, json_incref(json));
	else
		call_reply(call, NULL);
}

/* ---- pause, resume ---- */

struct guest_change {
	struct call *call; /* NULL: abandoned; what the worker makes of it is undone then */
	uint64_t vm;
	const char *event; /* what subscribers are told */
	enum undo_kind undo;
	struct server *server;
};

static void on_change_abandoned(void *opaque, struct rpc_error *error)
{
	struct guest_change *change = opaque;

	(void)error;
	change->call = NULL;
}

static void on_changed(void *opaque, const struct pool_result *result)
{
	struct guest_change *change = opaque;
	const struct guest *vm = guest_find_number(change->server, change->vm);

	if (result->status == POOL_OK && vm) {
		const struct undo undo = { .kind = change->undo,
					   .vm = change->vm,
					   .change = pool_vm_state_changes(vm->pool_vm) };

		guest_publish(vm, change->event, json_object());
		call_done(change->server, change->call,
			  json_pack("{s:s, s:s}", "vm", vm->id, "state", guest_state_text(vm)), &undo);
	} else if (change->call) {
		workers_fail(change->call, result);
	}
	free(change);
}

static void change_state(struct call *call, const char *event, enum undo_kind undo,
			 void (*ask)(struct pool_vm *vm, pool_vm_done done, void *opaque))
{
	const struct guest *vm = guest_of_call(call);
	struct guest_change *change;

	if (!vm)
		return;
	change = calloc(1, sizeof(*change));
	if (!change) {
		call_reply(call, NULL);
		return;
	}

	change->call = call;
	change->server = call->server;
	change->event = event;
	change->undo = undo;
	change->vm = vm->number;
	call_on_abandon(call, on_change_abandoned, change);
	ask(vm->pool_vm, on_changed, change);
}

void method_vm_pause(struct call *call)
{
	change_state(call, "paused", UNDO_PAUSE, pool_vm_pause);
}

void method_vm_resume(struct call *call)
{
	const struct guest *vm = guest_find(call->server, param_string(call->params, "vm"));

	if (vm && vm->stills > 0) {
		call_fail_with(call, RPC_WRONG_VM_STATE, "%s stands still until its snapshot is published", vm->id);
		return;
	}
	change_state(call, "resumed", UNDO_RESUME, pool_vm_resume);
}

void method_vm_power_button(struct call *call)
{
	change_state(call, "power_button", UNDO_NOTHING, pool_vm_press_power_button);
}

/* ---- release, kill ---- */

/* A call that waits for a VM's end. */
struct guest_end {
	struct guest_waiter waiter;
	struct call *call;
};

static void on_end_abandoned(void *opaque, struct rpc_error *error)
{
	struct guest_end *end = opaque;

	(void)error;
	guest_waiter_remove(&end->waiter);
	free(end);
}

static void on_end_news(struct guest_waiter *waiter, struct guest *vm, enum guest_news news)
{
	struct guest_end *end = (struct guest_end *)waiter;
	struct call *call = end->call;

	if (news != GUEST_NEWS_GONE)
		return;
	free(end);
	call_reply(call, json_pack("{s:s, s:s}", "vm", vm->id, "exit_reason", vm->exit_reason));
}

static void end_vm(struct call *call, bool kill, const char *reason)
{
	struct guest *vm = guest_of_call(call);
	struct guest_end *end;

	if (!vm)
		return;
	end = calloc(1, sizeof(*end));
	if (!end) {
		call_reply(call, NULL);
		return;
	}

	end->call = call;
	end->waiter.heard = on_end_news;
	guest_waiter_add(vm, &end->waiter);
	call_on_abandon(call, on_end_abandoned, end);
	pool_vm_stop(vm->pool_vm, kill, reason);
}

void method_vm_release(struct call *call)
{
	end_vm(call, false, "released");
}

void method_vm_kill(struct call *call)
{
	end_vm(call, true, "killed");
}

/* ---- wait ---- */

enum guest_wait_kind {
	WAIT_SIGNAL, /* ready is signal 0 */
	WAIT_EXIT,
};

struct guest_wait {
	struct guest_waiter waiter;
	struct call *call;
	enum guest_wait_kind kind;
	int number;
	uint64_t after; /* reports that are known already */
};

static json_t *signal_json(const struct guest *vm, int number)
{
	const struct guest_signal *signal = &vm->signals[number];

	return json_pack("{s:s, s:s, s:i, s:I, s:I, s:I}", "vm", vm->id, "what",
			 number == SIGNAL_READY ? "ready" : "event", "event", number, "count",
			 (json_int_t)signal->count, "first_ns", (json_int_t)guest_time_ns(vm, signal->first_ns),
			 "last_ns", (json_int_t)guest_time_ns(vm, signal->last_ns));
}

static json_t *exit_json(const struct guest *vm)
{
	return json_pack("{s:s, s:s, s:s, s:s?}", "vm", vm->id, "what", "exit", "exit_reason", vm->exit_reason,
			 "exit_detail", vm->exit_detail[0] ? vm->exit_detail : NULL);
}

/* Is it over? Then the call is answered; what was waited for and cannot come any more is an error that says why. */
static bool answer_wait(const struct guest_wait *wait, const struct guest *vm)
{
	if (wait->kind == WAIT_EXIT && vm->exited) {
		call_reply(wait->call, exit_json(vm));
		return true;
	}
	if (wait->kind == WAIT_SIGNAL && vm->signals[wait->number].count > wait->after) {
		call_reply(wait->call, signal_json(vm, wait->number));
		return true;
	}
	if (vm->exited) {
		call_fail_with(wait->call, RPC_WRONG_VM_STATE, "%s has ended (%s)", vm->id, vm->exit_reason);
		return true;
	}
	return false;
}

static void on_wait_news(struct guest_waiter *waiter, struct guest *vm, enum guest_news news)
{
	struct guest_wait *wait = (struct guest_wait *)waiter;

	if (!answer_wait(wait, vm))
		return;
	if (news != GUEST_NEWS_GONE)
		guest_waiter_remove(waiter);
	free(wait);
}

static void on_wait_abandoned(void *opaque, struct rpc_error *error)
{
	struct guest_wait *wait = opaque;

	(void)error;
	guest_waiter_remove(&wait->waiter);
	free(wait);
}

void method_vm_wait(struct call *call)
{
	const char *what = param_string(call->params, "for");
	struct guest *vm = guest_of_call(call);
	struct guest_wait *wait;

	if (!vm)
		return;
	wait = calloc(1, sizeof(*wait));
	if (!wait) {
		call_reply(call, NULL);
		return;
	}

	wait->call = call;
	wait->kind = strcmp(what, "exit") == 0 ? WAIT_EXIT : WAIT_SIGNAL;
	wait->number = (int)param_int(call->params, "event", SIGNAL_READY);
	wait->after = (uint64_t)param_int(call->params, "after", 0);
	wait->waiter.heard = on_wait_news;
	if (answer_wait(wait, vm)) {
		free(wait);
		return;
	}
	guest_waiter_add(vm, &wait->waiter);
	call_on_abandon(call, on_wait_abandoned, wait);
}
