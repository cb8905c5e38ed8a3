/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Leased VMs: what can be asked of them, and what they say.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "pool/supervisor/internal.h"

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

const struct machine_shape *pool_vm_shape(const struct pool_vm *vm)
{
	return &vm->slot->shape->machine;
}

struct pool_vm *vm_new(struct slot *slot, const struct pool_vm_callbacks *callbacks)
{
	struct pool_vm *vm = calloc(1, sizeof(*vm));

	if (!vm)
		return NULL;
	vm->number = ++slot->process.pool->next_vm;
	vm->slot = slot;
	vm->callbacks = *callbacks;
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
	if (vm->state == POOL_VM_BUSY && changes_state(operation->asked))
		vm->state = vm->state_before;
	operation_finish_later(operation, status, error, text);
}

/* Send an operation, or let it fail from the loop. Owns the operation from here on. */
static void ask(struct pool_vm *vm, struct operation *operation, const void *payload, const int *fds)
{
	struct process *process = &vm->slot->process;
	int result;

	if (vm->slot->state != SLOT_LEASED) {
		not_asked(vm, operation, POOL_WRONG_STATE, 0, "the VM is being stopped");
		return;
	}
	if (process->operation_count >= POOL_OPERATIONS_MAX) {
		not_asked(vm, operation, POOL_WRONG_STATE, -EBUSY, "too many calls to this VM are open");
		return;
	}

	result = process_send(process, operation->asked, operation->id, payload, fds);
	if (result == 0) {
		operation_add(process, operation);
	} else if (result == -EAGAIN) { /* it is busy, and what was asked before fills its socket */
		not_asked(vm, operation, POOL_WRONG_STATE, -EBUSY, "too many calls to this VM are open");
	} else if (result == -EPIPE) {
		not_asked(vm, operation, POOL_WORKER_DIED, result, "the VM's worker is gone");
		slot_give_up(vm->slot, "it closed its channel");
	} else { /* for want of something of our own */
		not_asked(vm, operation, POOL_REFUSED, result, "the VM's worker cannot be sent a message");
	}
}

/* Begin a change of the VM's run state. Returns false, and the operation will fail, where it is not in one of two states. */
static bool become_busy(struct pool_vm *vm, struct operation *operation, enum pool_vm_state from,
			enum pool_vm_state or_from)
{
	char text[64];

	if (vm->slot->state == SLOT_LEASED && (vm->state == from || vm->state == or_from)) {
		vm->state_before = vm->state;
		vm->state = POOL_VM_BUSY;
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

void pool_vm_snapshot(struct pool_vm *vm, const struct pool_snapshot *snapshot,
		      void (*progress)(void *opaque, uint64_t done, uint64_t total),
		      void (*done)(void *opaque, const struct pool_result *result,
				   const struct message_snapshot_done *times),
		      void *opaque)
{
	struct operation *operation = operation_new(vm->slot->process.pool, MESSAGE_SNAPSHOT, opaque);
	struct message_snapshot message = { .resume = snapshot->resume };
	int files[2] = { snapshot->state_file, snapshot->memory_file };

	if (!operation) {
		struct pool_result result = { .status = POOL_REFUSED, .error = -ENOMEM };

		done(opaque, &result, NULL);
		return;
	}
	operation->progress = progress;
	operation->snapshot_done = done;
	if (become_busy(vm, operation, POOL_VM_RUNNING, POOL_VM_PAUSED)) {
		if (vm->state_before == POOL_VM_PAUSED)
			message.resume = false;
		operation->may_run = message.resume;
		ask(vm, operation, &message, files);
	}
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
		error_detail_set(&result.detail, "%s", message->payload.text.text);
	}

	settle_state(slot->vm, operation, message);
	operation_take(&slot->process, operation);
	operation_finish(operation, &result, type == MESSAGE_REFUSED ? NULL : message);
}

static void progressed(struct slot *slot, const struct message *message)
{
	struct operation *operation = operation_find(&slot->process, message->header.request);
	const struct message_progress *progress = &message->payload.progress;

	if (!operation || operation->asked != MESSAGE_SNAPSHOT || progress->total != slot->shape->machine.memory_size ||
	    !operation_progressed(&slot->process, operation, progress))
		slot->process.lied(slot, "progress of nothing that was asked");
}

static bool is_unasked(unsigned type)
{
	return type == MESSAGE_SIGNALLED || type == MESSAGE_OUTPUT || type == MESSAGE_EXITED ||
	       type == MESSAGE_PROGRESS;
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
		if (callbacks->exited)
			callbacks->exited(callbacks->opaque, &message->payload.exited);
		break;
	case MESSAGE_PROGRESS:
		progressed(slot, message);
		break;
	default:
		answered(slot, message);
		break;
	}
}
