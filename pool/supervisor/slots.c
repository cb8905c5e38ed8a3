/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The slot table: workers from their fork to their reaping.
 *
 * A slot changes state in slot_become() alone, along the steps of pool/slot.c. A worker may end at any moment and in
 * any state: slot_reaped() is the one place where that is settled, for the request that it was to serve, for its VM, for
 * the operations that wait for it, and for its shape.
 */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "pool/supervisor/internal.h"

static void report(const struct slot *slot, enum pool_event_kind kind, bool is_error, const char *text)
{
	pool_report(slot->process.pool, &(struct pool_event){
						.kind = kind,
						.is_error = is_error,
						.worker = slot->number,
						.pid = slot->process.pid,
						.vm = slot->vm ? slot->vm->number : 0,
						.shape = &slot->shape->machine,
						.text = text,
					});
}

void slot_become(struct slot *slot, enum slot_state state)
{
	struct pool *pool = slot->process.pool;

	assert(slot_may_become(slot->state, state));
	if (slot->state != SLOT_FREE) {
		pool->counts[slot->state]--;
		slot->shape->counts[slot->state]--;
	}
	slot->state = state;
	if (state != SLOT_FREE) {
		pool->counts[state]++;
		slot->shape->counts[state]++;
	}
}

static struct slot *find_free(struct pool *pool)
{
	for (uint32_t i = 0; i < pool->slots_used; i++) {
		if (pool->slots[i].state == SLOT_FREE)
			return &pool->slots[i];
	}
	return pool->slots_used < POOL_SLOTS_MAX ? &pool->slots[pool->slots_used++] : NULL;
}

static struct slot *find_forking(struct pool *pool, uint64_t number)
{
	for (uint32_t i = 0; i < pool->slots_used; i++) {
		if (pool->slots[i].state == SLOT_FORKING && pool->slots[i].number == number)
			return &pool->slots[i];
	}
	return NULL;
}

static void slot_free(struct slot *slot)
{
	slot_become(slot, SLOT_FREE);
	process_release(&slot->process);
	slot->process.pid = 0;
	slot->shape = NULL;
	slot->request = NULL;
	slot->vm = NULL;
}

/* Ask the zygote for a worker; request, if not NULL, is who it is reserved for. NULL: no room, or no zygote. */
struct slot *slot_fork(struct pool *pool, struct shape *shape, struct pool_request *request)
{
	struct slot *slot = find_free(pool);
	struct message_fork fork = {
		.role = MESSAGE_ROLE_WORKER,
		.vcpus = shape->machine.vcpus,
		.cpu_template = (uint32_t)shape->machine.cpu_template,
		.disks = shape->machine.disks,
		.rngs = shape->machine.rngs,
		.vsocks = shape->machine.vsocks,
		.nets = shape->machine.nets,
		.balloons = shape->machine.balloons,
		.no_pit_reinject = shape->machine.no_pit_reinject,
		.memory_size = shape->machine.memory_size,
		.sent_ns = monotonic_ns(),
	};
	int ends[2];

	if (!slot || channel_pair(ends) < 0)
		return NULL;

	memset(slot, 0, sizeof(*slot));
	slot->number = ++pool->next_worker;
	slot->shape = shape;
	slot->request = request;
	slot->forked_ns = fork.sent_ns;
	slot->process = (struct process){ .pool = pool, .owner = slot, .channel = ends[0], .pidfd = -1 };
	TAILQ_INIT(&slot->process.operations);
	if (zygote_fork(pool, slot->number, &fork, ends[1]) < 0) {
		(void)close(ends[0]);
		(void)close(ends[1]);
		slot->process.channel = -1;
		slot->shape = NULL;
		return NULL;
	}

	(void)close(ends[1]);
	slot_become(slot, SLOT_FORKING);
	return slot;
}

static void slot_warm(struct slot *slot, const struct message *message)
{
	struct pool_request *request = slot->request;

	if (!request_times_can_be(slot, message)) {
		slot->process.lied(slot, "it took longer than has passed");
		return;
	}
	memcpy(slot->built_phases_ns, message->payload.phases.phases_ns, sizeof(slot->built_phases_ns));
	slot_become(slot, SLOT_WARM);
	process_watch(&slot->process);
	slot->warm_ns = monotonic_ns();
	shape_succeeded(slot->shape, slot->warm_ns - slot->forked_ns);
	report(slot, POOL_EVENT_WORKER_WARM, false, "");
	if (request)
		(void)request_begin(request, slot); /* false: it waits for another worker */
	pool_balance_soon(slot->process.pool);
}

static void slot_failed(struct slot *slot, const struct message *message)
{
	char text[MESSAGE_TEXT_MAX];

	(void)snprintf(text, sizeof(text), "%.31s: %.200s", message->payload.text.stage, message->payload.text.text);
	report(slot, POOL_EVENT_WORKER_FAILED, true, text);
	slot_give_up(slot, text);
}

static void slot_received(void *owner, struct message *message)
{
	struct slot *slot = owner;
	unsigned type = message->header.type;

	if (!slot_may_say(slot->state, type)) {
		char text[MESSAGE_TEXT_MAX];

		(void)snprintf(text, sizeof(text), "it said \"%s\" while it was %s", message_table[type].name,
			       slot_state_name(slot->state));
		slot->process.lied(slot, text);
		return;
	}

	switch (slot->state) {
	case SLOT_BUILDING:
		if (type == MESSAGE_FAILED)
			slot_failed(slot, message);
		else
			slot_warm(slot, message);
		break;
	case SLOT_STARTING:
		if (message->header.request != slot->number)
			slot->process.lied(slot, "an answer to a start that it was not asked for");
		else if (type == MESSAGE_STARTED && !request_times_can_be(slot, message))
			slot->process.lied(slot, "it started in another time than this");
		else if (type == MESSAGE_STARTED)
			request_started(slot, message);
		else
			request_refused(slot, message);
		break;
	case SLOT_LEASED:
		vm_received(slot, message);
		break;
	default: /* stopping: what was on its way is dropped */
		break;
	}
}

static void slot_lied(void *owner, const char *text)
{
	struct slot *slot = owner;
	char failure[MESSAGE_TEXT_MAX];

	if (slot->state != SLOT_STOPPING)
		report(slot, POOL_EVENT_WORKER_LIED, true, text);
	(void)snprintf(failure, sizeof(failure), "it broke the protocol: %s", text);
	slot->misbehaved = true;
	slot_give_up(slot, failure);
}

static void slot_stalled(void *owner)
{
	struct slot *slot = owner;

	/* A VM waits for its disk; it does not die of it. */
	if ((slot->state == SLOT_STARTING || slot->state == SLOT_LEASED) && disk_excuses(&slot->process)) {
		if (!slot->process.told_waiting)
			report(slot, POOL_EVENT_WORKER_WAITS, true, "it waits for a disk that does not answer");
		slot->process.told_waiting = true;
		return;
	}
	slot->misbehaved = true;
	slot_give_up(slot, "it did not answer in time");
	report(slot, POOL_EVENT_WORKER_STALLED, true, slot->failure);
}

/* What a death that nobody asked for says: of its shape where it was not built, of its VM where it had one. */
static void died_unasked(struct slot *slot, const char *reason, const char *text)
{
	bool own_fault = slot->misbehaved || strcmp(reason, "worker_killed") != 0;
	struct pool *pool = slot->process.pool;
	uint64_t now = monotonic_ns();

	if (slot->vm)
		crashes_note(pool->crashes, &slot->vm->blame, own_fault, now);
	else if (slot->served && slot->request)
		crashes_note(pool->crashes, &slot->request->start.blame, own_fault, now);
	if (!slot->served && slot->warm_ns == 0)
		shape_failed(pool, slot->shape, text);
	else if (!slot->served)
		shape_lost_unused(pool, slot->shape, now - slot->warm_ns, text);
}

static void slot_reaped(void *owner, const char *reason, const char *text, bool clean)
{
	struct slot *slot = owner;
	struct pool *pool = slot->process.pool;
	bool wanted = slot->stop_asked || pool->stopping;
	enum pool_status status = pool->stopping ? POOL_SHUTTING_DOWN : POOL_WORKER_DIED;

	(void)clean;
	if (slot->failure[0] != '\0')
		text = slot->failure;
	report(slot, POOL_EVENT_WORKER_ENDED, !wanted, text);

	if (!wanted)
		died_unasked(slot, reason, text);
	if (slot->state != SLOT_STOPPING)
		slot_become(slot, SLOT_STOPPING);
	if (slot->request)
		request_fail(slot->request, status, 0, text);
	operations_fail(&slot->process, status, text);
	if (slot->vm)
		vm_gone(slot->vm, reason, text);

	slot_free(slot);
	pool_balance_soon(pool);
	pool_deliver_soon(pool);
}

static void forking_failed(struct slot *slot, int error, const char *text)
{
	struct pool *pool = slot->process.pool;

	if (slot->request)
		request_fail_later(slot->request, pool->stopping ? POOL_SHUTTING_DOWN : POOL_WORKER_DIED, error, text);
	if (!pool->stopping)
		shape_failed(pool, slot->shape, text);
	slot_free(slot);
	pool_deliver_soon(pool);
}

void slot_forked(struct pool *pool, uint64_t number, const struct message *message)
{
	struct slot *slot = find_forking(pool, number);
	int result;

	if (!slot) {
		pool->zygote.lied(pool, "a worker that was not asked for");
		return;
	}
	slot->process.received = slot_received;
	slot->process.lied = slot_lied;
	slot->process.stalled = slot_stalled;
	slot->process.reaped = slot_reaped;
	result = process_start(&slot->process, slot->process.channel, message->payload.forked.pid);
	if (result < 0) {
		forking_failed(slot, result, "it cannot be watched, for want of descriptors or memory");
		return;
	}

	slot_become(slot, SLOT_BUILDING);
	report(slot, POOL_EVENT_WORKER_FORKED, false, "");
	if (slot->stop_asked || pool->stopping)
		slot_stop(slot, true);
	else
		process_set_timer(&slot->process, (uint64_t)pool->options.reply_timeout_ms * 1000000);
}

void slot_not_forked(struct pool *pool, uint64_t number, int error, const char *text)
{
	struct slot *slot = find_forking(pool, number);

	if (slot)
		forking_failed(slot, error, text);
}

void slots_forking_failed(struct pool *pool, const char *text)
{
	for (uint32_t i = 0; i < pool->slots_used; i++) {
		if (pool->slots[i].state == SLOT_FORKING)
			forking_failed(&pool->slots[i], 0, text);
	}
}

void slot_give_up(struct slot *slot, const char *text)
{
	if (slot->failure[0] == '\0')
		(void)snprintf(slot->failure, sizeof(slot->failure), "%s", text);
	if (slot->state != SLOT_STOPPING)
		slot_become(slot, SLOT_STOPPING);
	process_stop(&slot->process, true);
}

void slot_stop(struct slot *slot, bool kill)
{
	slot->stop_asked = true;
	if (slot->state == SLOT_FREE || slot->state == SLOT_FORKING)
		return; /* a forking one is stopped when its pidfd is here */
	if (slot->state != SLOT_STOPPING)
		slot_become(slot, SLOT_STOPPING);
	process_stop(&slot->process, kill);
}
