/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A VM is named by its number and what was done to it by a count of changes, so a record of it may outlive both, and be applied at any time:
 * it then does nothing.
 */
#include <errno.h>
#include <stdlib.h>

#include <event2/event.h>

#include "server/clock.h"
#include "server/guest.h"
#include "server/log.h"
#include "server/server.h"
#include "server/undo.h"

#define RETRY_MS 100

/* A change back that its worker has been asked for. */
struct reversal {
	struct server *server;
	uint64_t vm;
	const char *event; /* what subscribers are told; NULL: nothing */
	struct undo undo;
};

/* Its worker has so much to answer that it cannot be asked for more: it is asked again, unless somebody changes the VM meanwhile. */
static void on_retry(evutil_socket_t fd, short events, void *opaque)
{
	struct reversal *reversal = opaque;

	(void)fd;
	(void)events;
	undo_apply(reversal->server, &reversal->undo);
	free(reversal);
}

static bool retry_later(struct reversal *reversal, const struct pool_result *result)
{
	const struct timeval pause = clock_timeval(RETRY_MS);

	return result->status == POOL_REFUSED && result->error == -EAGAIN &&
	       event_base_once(reversal->server->base, -1, EV_TIMEOUT, on_retry, reversal, &pause) == 0;
}

static void on_reversed(void *opaque, const struct pool_result *result)
{
	struct reversal *reversal = opaque;
	const struct guest *vm = guest_find_number(reversal->server, reversal->vm);

	if (vm && retry_later(reversal, result))
		return;
	if (vm && result->status != POOL_OK)
		log_warning("cancelled change not undone", log_text("vm", vm->id),
			    log_text("detail", result->detail.text));
	else if (vm && reversal->event)
		guest_publish(vm, reversal->event, json_object());
	free(reversal);
}

static void on_balloon_reversed(void *opaque, const struct pool_result *result,
				const struct message_balloon_status *status)
{
	(void)status;
	on_reversed(opaque, result);
}

static bool was_changed_since(const struct guest *vm, const struct undo *undo)
{
	switch (undo->kind) {
	case UNDO_PAUSE:
		return pool_vm_state_changes(vm->pool_vm) != undo->change ||
		       pool_vm_state(vm->pool_vm) != POOL_VM_PAUSED;
	case UNDO_RESUME:
		return pool_vm_state_changes(vm->pool_vm) != undo->change ||
		       pool_vm_state(vm->pool_vm) != POOL_VM_RUNNING;
	case UNDO_BALLOON:
		return pool_vm_balloon_changes(vm->pool_vm) != undo->change;
	default:
		return false;
	}
}

static void reverse(struct guest *vm, const struct undo *undo)
{
	struct reversal *reversal = calloc(1, sizeof(*reversal));

	if (!reversal) {
		log_error("cancelled change not undone", log_text("vm", vm->id), log_text("detail", "out of memory"));
		return;
	}

	reversal->server = vm->server;
	reversal->vm = vm->number;
	reversal->undo = *undo;
	switch (undo->kind) {
	case UNDO_PAUSE:
		reversal->event = "resumed";
		pool_vm_resume(vm->pool_vm, on_reversed, reversal);
		break;
	case UNDO_RESUME:
		reversal->event = "paused";
		pool_vm_pause(vm->pool_vm, on_reversed, reversal);
		break;
	default:
		pool_vm_balloon(vm->pool_vm, &undo->target_mib, on_balloon_reversed, reversal);
		break;
	}
}

void undo_apply(struct server *server, const struct undo *undo)
{
	struct guest *vm = undo && undo->kind != UNDO_NOTHING ? guest_find_number(server, undo->vm) : NULL;

	if (!vm || was_changed_since(vm, undo))
		return;
	if (undo->kind == UNDO_START)
		pool_vm_stop(vm->pool_vm, true, "client_disconnected");
	else
		reverse(vm, undo);
}
