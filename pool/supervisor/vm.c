/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Leased VMs: what can be asked of them, and what they say.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "devices/virtio/blk/overlay.h"
#include "kvm/memory.h"
#include "pool/supervisor/internal.h"

#define MIB                UINT64_C(1048576)
#define BALLOON_BYTES_MAX  ((uint64_t)UINT32_MAX * GUEST_MEMORY_PAGE)
#define CONSOLE_OFFSET_MAX ((uint64_t)INT64_MAX - MESSAGE_CONSOLE_MAX)

static const char *const state_names[] = {
	[POOL_VM_RUNNING] = "running", [POOL_VM_PAUSED] = "paused",     [POOL_VM_BUSY] = "busy",
	[POOL_VM_EXITED] = "exited",   [POOL_VM_STOPPING] = "stopping",
};

uint64_t pool_vm_number(const struct pool_vm *vm)
{
	return vm->number;
}

uint32_t pool_vm_worker(const struct pool_vm *vm)
{
	return vm->slot->number;
}

pid_t pool_vm_pid(const struct pool_vm *vm)
{
	return vm->slot->process.pid;
}

enum pool_vm_state pool_vm_state(const struct pool_vm *vm)
{
	return vm->slot->state == SLOT_STOPPING ? POOL_VM_STOPPING : vm->state;
}

const char *pool_vm_state_name(enum pool_vm_state state)
{
	return (unsigned)state < sizeof(state_names) / sizeof(state_names[0]) ? state_names[state] : NULL;
}

uint64_t pool_vm_state_changes(const struct pool_vm *vm)
{
	return vm->state_changes;
}

uint64_t pool_vm_balloon_changes(const struct pool_vm *vm)
{
	return vm->balloon_changes;
}

const struct machine_shape *pool_vm_shape(const struct pool_vm *vm)
{
	return &vm->slot->shape->machine;
}

struct pool_vm *vm_new(struct slot *slot, uint64_t number, const struct pool_start *start)
{
	struct pool_vm *vm = calloc(1, sizeof(*vm));

	if (!vm)
		return NULL;
	vm->number = number;
	vm->slot = slot;
	vm->callbacks = start->callbacks;
	vm->blame = start->blame;
	slot->vm = vm;
	return vm;
}

void vm_gone(struct pool_vm *vm, const char *reason, const char *text)
{
	vm->slot->vm = NULL;
	if (vm->callbacks.gone)
		vm->callbacks.gone(vm->callbacks.opaque, vm->stop_reason ? vm->stop_reason : reason, text);
	free(vm);
}

void pool_vm_stop(struct pool_vm *vm, bool kill, const char *reason)
{
	if (!vm->stop_reason)
		vm->stop_reason = reason;
	slot_stop(vm->slot, kill);
}

/* ---- asking ---- */

static bool changes_state(enum message_type asked)
{
	return asked == MESSAGE_PAUSE || asked == MESSAGE_RESUME || asked == MESSAGE_SNAPSHOT;
}

/* It was not sent: the VM is as it was. */
static void not_asked(struct pool_vm *vm, struct operation *operation, enum pool_status status, int error,
		      const char *text)
{
	if (vm->state == POOL_VM_BUSY && changes_state(operation->asked)) {
		vm->state = vm->state_before;
		vm->state_changes--;
	}
	operation_finish_later(operation, status, error, text);
}

/* May an operation be sent? Else it will fail from the loop. */
static bool may_ask(struct pool_vm *vm, struct operation *operation)
{
	if (vm->slot->state != SLOT_LEASED)
		not_asked(vm, operation, POOL_WRONG_STATE, 0, "the VM is being stopped");
	else if (vm->slot->process.operation_count >= POOL_OPERATIONS_MAX)
		not_asked(vm, operation, POOL_REFUSED, -EAGAIN, "too many calls to this VM are open");
	else
		return true;
	return false;
}

/* What came of sending it. Owns the operation from here on. */
static void asked(struct pool_vm *vm, struct operation *operation, int result)
{
	if (result == 0) {
		operation_add(&vm->slot->process, operation);
	} else if (result == -EAGAIN) { /* it is busy, and what was asked before fills its socket */
		not_asked(vm, operation, POOL_REFUSED, -EAGAIN, "too many calls to this VM are open");
	} else if (result == -EPIPE) {
		not_asked(vm, operation, POOL_WORKER_DIED, result, "the VM's worker is gone");
		slot_give_up(vm->slot, "it closed its channel");
	} else { /* for want of something of our own */
		not_asked(vm, operation, POOL_REFUSED, result, "the VM's worker cannot be sent a message");
	}
}

/* Send an operation, or let it fail from the loop. Owns the operation from here on. */
static void ask(struct pool_vm *vm, struct operation *operation, const void *payload, const int *fds)
{
	if (may_ask(vm, operation))
		asked(vm, operation, process_send(&vm->slot->process, operation->asked, operation->id, payload, fds));
}

/* Begin a change of the VM's run state. Returns false, and the operation will fail, where it is not in one of two states. */
static bool become_busy(struct pool_vm *vm, struct operation *operation, enum pool_vm_state from,
			enum pool_vm_state or_from)
{
	char text[64];

	if (vm->slot->state == SLOT_LEASED && (vm->state == from || vm->state == or_from)) {
		vm->state_before = vm->state;
		vm->state = POOL_VM_BUSY;
		vm->state_changes++;
		return true;
	}
	(void)snprintf(text, sizeof(text), "the VM is %s", pool_vm_state_name(pool_vm_state(vm)));
	operation_finish_later(operation, POOL_WRONG_STATE, 0, text);
	return false;
}

static void no_memory(pool_vm_done done, void *opaque)
{
	struct pool_result result = { .status = POOL_REFUSED, .error = -ENOMEM };

	error_detail_set(&result.detail, "out of memory");
	done(opaque, &result);
}

void pool_vm_pause(struct pool_vm *vm, pool_vm_done done, void *opaque)
{
	struct operation *operation = operation_new(vm->slot->process.pool, MESSAGE_PAUSE, opaque);

	if (!operation) {
		no_memory(done, opaque);
		return;
	}
	operation->done = done;
	if (become_busy(vm, operation, POOL_VM_RUNNING, POOL_VM_RUNNING))
		ask(vm, operation, NULL, NULL);
}

void pool_vm_resume(struct pool_vm *vm, pool_vm_done done, void *opaque)
{
	struct operation *operation = operation_new(vm->slot->process.pool, MESSAGE_RESUME, opaque);

	if (!operation) {
		no_memory(done, opaque);
		return;
	}
	operation->done = done;
	if (become_busy(vm, operation, POOL_VM_PAUSED, POOL_VM_PAUSED))
		ask(vm, operation, NULL, NULL);
}

/* The overlays' files, then the snapshot: a worker forgets those that no snapshot of the same number follows. */
static int send_snapshot(struct pool_vm *vm, struct operation *operation, const struct pool_snapshot *snapshot)
{
	struct process *process = &vm->slot->process;
	const struct message_snapshot message = { .resume = operation->may_run };
	const int files[2] = { snapshot->state_file, snapshot->memory_file };

	for (uint32_t i = 0; i < vm->slot->shape->machine.disks; i++) {
		struct message_snapshot_overlay overlay = { .index = i };
		int result;

		if (snapshot->overlays[i] < 0)
			continue;
		result = process_send(process, MESSAGE_SNAPSHOT_OVERLAY, operation->id, &overlay,
				      &snapshot->overlays[i]);
		if (result < 0)
			return result;
		operation->overlay_count++;
	}
	return process_send(process, MESSAGE_SNAPSHOT, operation->id, &message, files);
}

void pool_vm_snapshot(struct pool_vm *vm, const struct pool_snapshot *snapshot,
		      void (*progress)(void *opaque, uint64_t done, uint64_t total),
		      void (*done)(void *opaque, const struct pool_result *result,
				   const struct message_snapshot_done *times),
		      void *opaque)
{
	struct operation *operation = operation_new(vm->slot->process.pool, MESSAGE_SNAPSHOT, opaque);

	if (!operation) {
		struct pool_result result = { .status = POOL_REFUSED, .error = -ENOMEM };

		done(opaque, &result, NULL);
		return;
	}
	operation->progress = progress;
	operation->snapshot_done = done;
	if (!become_busy(vm, operation, POOL_VM_RUNNING, POOL_VM_PAUSED))
		return;
	operation->may_run = snapshot->resume && vm->state_before != POOL_VM_PAUSED;
	if (may_ask(vm, operation))
		asked(vm, operation, send_snapshot(vm, operation, snapshot));
}

void pool_vm_console_read(struct pool_vm *vm, uint64_t offset, uint32_t max,
			  void (*done)(void *opaque, const struct pool_result *result, uint64_t offset,
				       uint64_t dropped, const uint8_t *data, uint32_t size),
			  void *opaque)
{
	struct operation *operation = operation_new(vm->slot->process.pool, MESSAGE_CONSOLE_READ, opaque);
	struct message_console_read message = {
		.offset = offset,
		.max = max < MESSAGE_CONSOLE_MAX ? max : MESSAGE_CONSOLE_MAX,
	};

	if (!operation) {
		struct pool_result result = { .status = POOL_REFUSED, .error = -ENOMEM };

		done(opaque, &result, 0, 0, NULL, 0);
		return;
	}
	operation->console_read_done = done;
	operation->console_size = message.max;
	ask(vm, operation, &message, NULL);
}

void pool_vm_console_write(struct pool_vm *vm, const uint8_t *data, uint32_t size,
			   void (*done)(void *opaque, const struct pool_result *result, uint32_t written), void *opaque)
{
	struct operation *operation = operation_new(vm->slot->process.pool, MESSAGE_CONSOLE_WRITE, opaque);
	struct message_console_write message = { .size = size < MESSAGE_CONSOLE_MAX ? size : MESSAGE_CONSOLE_MAX };

	if (!operation) {
		struct pool_result result = { .status = POOL_REFUSED, .error = -ENOMEM };

		done(opaque, &result, 0);
		return;
	}
	memcpy(message.data, data, message.size);
	operation->console_written_done = done;
	operation->console_size = message.size;
	ask(vm, operation, &message, NULL);
}

void pool_vm_press_power_button(struct pool_vm *vm, pool_vm_done done, void *opaque)
{
	struct operation *operation = operation_new(vm->slot->process.pool, MESSAGE_POWER_BUTTON, opaque);

	if (!operation) {
		no_memory(done, opaque);
		return;
	}
	operation->done = done;
	ask(vm, operation, NULL, NULL);
}

void pool_vm_balloon(struct pool_vm *vm, const uint32_t *target_mib,
		     void (*done)(void *opaque, const struct pool_result *result,
				  const struct message_balloon_status *status),
		     void *opaque)
{
	struct operation *operation = operation_new(vm->slot->process.pool, MESSAGE_BALLOON_ASK, opaque);
	const struct message_balloon_ask message = {
		.has_target = target_mib != NULL,
		.target_mib = target_mib ? *target_mib : 0,
	};

	if (!operation) {
		struct pool_result result = { .status = POOL_REFUSED, .error = -ENOMEM };

		done(opaque, &result, NULL);
		return;
	}
	operation->balloon_done = done;
	vm->balloon_changes += message.has_target;
	ask(vm, operation, &message, NULL);
}

int pool_vm_vsock_connected(struct pool_vm *vm, uint64_t cookie, int socket)
{
	const struct message_vsock_answer message = { .cookie = cookie };
	struct process *process = &vm->slot->process;
	int result;

	if (vm->slot->state != SLOT_LEASED)
		return -ESHUTDOWN;
	result = process_send(process, socket >= 0 ? MESSAGE_VSOCK_CONNECTED : MESSAGE_VSOCK_REFUSED, 0, &message,
			      &socket);
	/* Where a descriptor stands in the way (too many of them are on their way), an answer without one may go through. */
	if (socket >= 0 && result < 0 && result != -EPIPE)
		(void)process_send(process, MESSAGE_VSOCK_REFUSED, 0, &message, NULL);
	if (result == -EPIPE)
		slot_give_up(vm->slot, "it closed its channel");
	return result;
}

/* ---- listening ---- */

/* Which answer each question has, REFUSED apart. */
static enum message_type answer_to(enum message_type asked)
{
	switch (asked) {
	case MESSAGE_SNAPSHOT:
		return MESSAGE_SNAPSHOT_DONE;
	case MESSAGE_CONSOLE_READ:
		return MESSAGE_CONSOLE_DATA;
	case MESSAGE_CONSOLE_WRITE:
		return MESSAGE_CONSOLE_WRITTEN;
	case MESSAGE_BALLOON_ASK:
		return MESSAGE_BALLOON_STATUS;
	default:
		return MESSAGE_DONE;
	}
}

static void settle_state(struct pool_vm *vm, const struct operation *operation, const struct message *message)
{
	bool refused = message->header.type == MESSAGE_REFUSED;

	if (vm->state != POOL_VM_BUSY)
		return; /* the machine has exited meanwhile */
	switch (operation->asked) {
	case MESSAGE_PAUSE:
		vm->state = refused ? vm->state_before : POOL_VM_PAUSED;
		break;
	case MESSAGE_RESUME:
		vm->state = refused ? vm->state_before : POOL_VM_RUNNING;
		break;
	case MESSAGE_SNAPSHOT:
		if (refused)
			vm->state = vm->state_before;
		else
			vm->state = message->payload.snapshot_done.running ? POOL_VM_RUNNING : POOL_VM_PAUSED;
		break;
	default:
		break;
	}
}

/* What a guest says of itself may be anything that its device has room for. */
static bool balloon_can_be(const struct slot *slot, const struct message_balloon_status *status)
{
	uint64_t memory_size = slot->shape->machine.memory_size;

	return status->target_bytes <= memory_size && status->previous_target_mib <= memory_size / MIB &&
	       status->actual_bytes <= BALLOON_BYTES_MAX && status->statistics_ns <= monotonic_ns() &&
	       status->statistics_known >> MESSAGE_BALLOON_STATISTICS == 0;
}

/* Is it an answer that an honest worker could give? */
static bool answer_can_be(const struct slot *slot, const struct operation *operation, const struct message *message)
{
	const struct message_snapshot_done *snapshot = &message->payload.snapshot_done;
	const struct message_console_data *console = &message->payload.console_data;

	switch (message->header.type) {
	case MESSAGE_SNAPSHOT_DONE:
		return snapshot->memory_bytes == slot->shape->machine.memory_size &&
		       snapshot->data_bytes <= snapshot->memory_bytes && (!snapshot->running || operation->may_run);
	case MESSAGE_CONSOLE_DATA: /* positions are counts of bytes that a guest has sent */
		return console->size <= operation->console_size && console->offset <= CONSOLE_OFFSET_MAX &&
		       console->dropped <= CONSOLE_OFFSET_MAX;
	case MESSAGE_CONSOLE_WRITTEN:
		return message->payload.console_written.written <= operation->console_size;
	case MESSAGE_BALLOON_STATUS:
		return balloon_can_be(slot, &message->payload.balloon_status);
	default:
		return true;
	}
}

static void answered(struct slot *slot, struct message *message)
{
	struct operation *operation = operation_find(&slot->process, message->header.request);
	enum message_type type = (enum message_type)message->header.type;
	struct pool_result result = { .status = POOL_OK };

	if (!operation || (type != MESSAGE_REFUSED && type != answer_to(operation->asked))) {
		slot->process.lied(slot, "an answer to nothing that was asked");
		return;
	}
	if (!answer_can_be(slot, operation, message)) {
		slot->process.lied(slot, "an answer that cannot be");
		return;
	}
	if (type == MESSAGE_REFUSED) {
		result.status = POOL_REFUSED;
		result.error = message->payload.text.error;
		result.reason = (enum reason)message->payload.text.reason;
		error_detail_set(&result.detail, "%s", message->payload.text.text);
	}

	settle_state(slot->vm, operation, message);
	operation_take(&slot->process, operation);
	operation_finish(operation, &result, type == MESSAGE_REFUSED ? NULL : message);
}

/* Memory, and of each overlay that is asked for at most what two layers of it hold. */
static bool total_can_be(const struct slot *slot, const struct operation *operation, uint64_t total)
{
	uint64_t memory_size = slot->shape->machine.memory_size;

	return total >= memory_size && total - memory_size <= operation->overlay_count * (2 * OVERLAY_IMAGE_MAX);
}

static void progressed(struct slot *slot, const struct message *message)
{
	struct operation *operation = operation_find(&slot->process, message->header.request);
	const struct message_progress *progress = &message->payload.progress;

	if (!operation || operation->asked != MESSAGE_SNAPSHOT || !total_can_be(slot, operation, progress->total) ||
	    !operation_progressed(&slot->process, operation, progress))
		slot->process.lied(slot, "progress of nothing that was asked");
}

static bool is_unasked(unsigned type)
{
	return type == MESSAGE_SIGNALLED || type == MESSAGE_OUTPUT || type == MESSAGE_EXITED ||
	       type == MESSAGE_PROGRESS || type == MESSAGE_VSOCK_CONNECT;
}

static void wants_connection(struct slot *slot, const struct message_vsock_connect *connect)
{
	const struct pool_vm_callbacks *callbacks = &slot->vm->callbacks;

	if (slot->shape->machine.vsocks == 0)
		slot->process.lied(slot, "a connection of a vsock that it has not got");
	else if (callbacks->vsock_connect)
		callbacks->vsock_connect(callbacks->opaque, connect->port, connect->cookie);
	else
		(void)pool_vm_vsock_connected(slot->vm, connect->cookie, -1);
}

void vm_received(struct slot *slot, struct message *message)
{
	struct pool_vm *vm = slot->vm;
	const struct pool_vm_callbacks *callbacks = &vm->callbacks;
	const struct message_signalled *signalled = &message->payload.signalled;

	if (is_unasked(message->header.type) && process_floods(&slot->process)) {
		slot->process.lied(slot, "more messages than a guest can cause");
		return;
	}
	switch (message->header.type) {
	case MESSAGE_SIGNALLED:
		if (signalled->number > UINT8_MAX)
			slot->process.lied(slot, "a signal past 255");
		else if (callbacks->signalled)
			callbacks->signalled(callbacks->opaque, (uint8_t)signalled->number, signalled->count,
					     signalled->first_ns, signalled->last_ns);
		break;
	case MESSAGE_OUTPUT:
		if (callbacks->output)
			callbacks->output(callbacks->opaque);
		break;
	case MESSAGE_EXITED:
		if (vm->state == POOL_VM_EXITED ||
		    !machine_exit_name((enum machine_exit)message->payload.exited.reason)) {
			slot->process.lied(slot, "an exit that cannot be");
			break;
		}
		vm->state = POOL_VM_EXITED;
		vm->state_changes++;
		if (callbacks->exited)
			callbacks->exited(callbacks->opaque, &message->payload.exited);
		break;
	case MESSAGE_PROGRESS:
		progressed(slot, message);
		break;
	case MESSAGE_VSOCK_CONNECT:
		wants_connection(slot, &message->payload.vsock_connect);
		break;
	default:
		answered(slot, message);
		break;
	}
}
