/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests for VMs: from the queue, through a slot, to a leased VM or a reason why not.
 *
 * A request that finds a warm slot is sent to its worker at once; any other is queued, in order of arrival, and served by the next
 * balancing. Whatever happens, request_finish() is where it ends.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "pool/supervisor/internal.h"

static void unqueue(struct pool_request *request)
{
	if (!request->queued)
		return;
	TAILQ_REMOVE(&request->pool->queue, request, link);
	request->queued = false;
	request->pool->queue_length--;
	request->shape->queued--;
	if (request->start.temperature != POOL_TEMPERATURE_COLD)
		request->shape->waiting--;
	if (request->deadline)
		(void)event_del(request->deadline);
}

static void request_free(struct pool_request *request)
{
	start_release(&request->start);
	if (request->deadline)
		event_free(request->deadline);
	free(request);
}

/* Let go of a slot that was reserved for, or is starting, this request. */
static void leave_slot(struct pool_request *request)
{
	struct slot *slot = request->slot;

	request->slot = NULL;
	if (!slot || slot->request != request)
		return;
	slot->request = NULL;
	if (slot->state == SLOT_STARTING)
		slot_stop(slot, true);
}

void request_finish(struct pool_request *request, const struct pool_result *result, struct pool_vm *vm,
		    const struct pool_started *started)
{
	request->finished = true;
	unqueue(request);
	leave_slot(request);
	request->done(request->opaque, result, vm, started);
	request_free(request);
}

static void set_result(struct pool_request *request, enum pool_status status, int error, const char *text)
{
	request->result = (struct pool_result){ .status = status, .error = error };
	error_detail_set(&request->result.detail, "%s", text);
	if (status == POOL_EXHAUSTED || status == POOL_DEADLINE || status == POOL_SHAPE_FAILING)
		request->result.retry_after_ms = pool_retry_after_ms(request->pool, &request->start.shape);
}

void request_fail(struct pool_request *request, enum pool_status status, int error, const char *text)
{
	set_result(request, status, error, text);
	request_finish(request, &request->result, NULL, NULL);
}

void request_fail_later(struct pool_request *request, enum pool_status status, int error, const char *text)
{
	if (request->finished)
		return;
	request->finished = true;
	set_result(request, status, error, text);
	unqueue(request);
	leave_slot(request);
	TAILQ_INSERT_TAIL(&request->pool->finished, request, link);
	pool_deliver_soon(request->pool);
}

void requests_fail_queued(struct pool *pool, enum pool_status status, const char *text)
{
	struct pool_request *request;

	while ((request = TAILQ_FIRST(&pool->queue)))
		request_fail_later(request, status, 0, text);
}

void requests_fail_all(struct pool *pool, enum pool_status status, const char *text)
{
	requests_fail_queued(pool, status, text);
	for (uint32_t i = 0; i < pool->slots_used; i++) {
		if (pool->slots[i].request)
			request_fail_later(pool->slots[i].request, status, 0, text);
	}
}

static void on_deadline(int fd, short events, void *opaque)
{
	(void)fd;
	(void)events;
	request_fail(opaque, POOL_DEADLINE, 0, "no slot became free before the deadline");
}

static int enqueue(struct pool_request *request)
{
	struct pool *pool = request->pool;

	if (pool->queue_length >= pool->options.queue_limit)
		return -ENOSPC;
	if (request->start.deadline_ns != 0) {
		uint64_t now = monotonic_ns();
		struct timeval left =
			pool_timeval(request->start.deadline_ns > now ? request->start.deadline_ns - now : 0);

		request->deadline = evtimer_new(pool->options.base, on_deadline, request);
		if (!request->deadline || event_add(request->deadline, &left) < 0)
			return -ENOMEM;
	}

	TAILQ_INSERT_TAIL(&pool->queue, request, link);
	request->queued = true;
	pool->queue_length++;
	request->shape->queued++;
	if (request->start.temperature != POOL_TEMPERATURE_COLD)
		request->shape->waiting++;
	pool_balance_soon(pool);
	return 0;
}

bool request_begin(struct pool_request *request, struct slot *slot)
{
	uint64_t now = monotonic_ns();
	bool partly;
	int result;

	result = start_tell(&request->start, &slot->process, slot->number, &partly);
	if (result == -EPIPE) {
		if (request->slot == slot)
			request->slot = NULL;
		slot->request = NULL;
		slot_give_up(slot, "it closed its channel");
		return false;
	}
	if (result < 0) { /* for want of something of our own: a worker that knows nothing of it is as good as before */
		if (partly) {
			slot->served = true; /* its end says nothing of its shape */
			slot_give_up(slot, "it could be told only a part of a start");
		}
		request_fail_later(request, POOL_EXHAUSTED, result, "the worker cannot be sent a message");
		return true;
	}

	request->pool->begun_ns = now;
	if (request->assigned_ns == 0)
		request->assigned_ns = now;
	unqueue(request);
	request->slot = slot;
	slot->request = request;
	slot->served = true;
	slot_become(slot, SLOT_STARTING);
	process_set_timer(&slot->process, (uint64_t)request->pool->options.reply_timeout_ms * 1000000);
	return true;
}

/* Times come from the same clock as ours, so a worker can not have used more than has passed. Some are sums over vCPUs. */
static bool phases_can_be(const struct message_phases *phases, uint64_t since_ns)
{
	uint64_t most_ns = (monotonic_ns() - since_ns) * MACHINE_VCPUS_MAX;

	for (int i = 0; i < MESSAGE_PHASE_COUNT; i++) {
		if (phases->phases_ns[i] != MESSAGE_PHASE_NONE && phases->phases_ns[i] > most_ns)
			return false;
	}
	return true;
}

bool request_times_can_be(const struct slot *slot, const struct message *message)
{
	const struct message_phases *phases = &message->payload.phases;
	uint64_t since_ns = slot->request ? slot->request->assigned_ns : slot->forked_ns;

	if (message->header.type == MESSAGE_WARM)
		return phases_can_be(phases, slot->forked_ns);
	return phases_can_be(phases, since_ns) && phases->injected_ns >= since_ns &&
	       phases->injected_ns <= monotonic_ns() &&
	       (phases->entered_ns == 0 ||
		(phases->entered_ns >= phases->injected_ns && phases->entered_ns <= monotonic_ns()));
}

void request_started(struct slot *slot, const struct message *message)
{
	struct pool_request *request = slot->request;
	const struct message_phases *phases = &message->payload.phases;
	struct pool_started started = {
		.cold = slot->forked_ns >= request->requested_ns,
		.requested_ns = request->requested_ns,
		.injected_ns = phases->injected_ns,
		.entered_ns = phases->entered_ns,
	};
	struct pool *pool = request->pool;
	struct pool_vm *vm;
	uint64_t number;

	shape_served(slot->shape);
	number = pool->options.vm_number ? pool->options.vm_number(pool->options.opaque) : ++pool->next_vm;
	if (number == 0) {
		request_fail(request, POOL_EXHAUSTED, -EAGAIN,
			     "no number can be reserved for a VM: the state folder's disk does not answer");
		return;
	}
	vm = vm_new(slot, number, &request->start);
	if (!vm) {
		request_fail(request, POOL_WORKER_DIED, -ENOMEM, "no memory for another VM");
		return;
	}
	vm->state = request->start.paused ? POOL_VM_PAUSED : POOL_VM_RUNNING;

	for (int i = 0; i < MESSAGE_PHASE_COUNT; i++) {
		started.phases_ns[i] = phases->phases_ns[i];
		if (started.cold && started.phases_ns[i] == MESSAGE_PHASE_NONE)
			started.phases_ns[i] = slot->built_phases_ns[i];
	}
	started.phases_ns[MESSAGE_PHASE_QUEUE] = request->assigned_ns - request->requested_ns;

	slot_become(slot, SLOT_LEASED);
	process_watch(&slot->process);
	slot->request = NULL;
	request->slot = NULL;
	pool_balance_soon(request->pool);
	request_finish(request, &(struct pool_result){ .status = POOL_OK }, vm, &started);
}

void request_refused(struct slot *slot, const struct message *message)
{
	/* A machine that took half of a state must not run: request_finish() stops the slot. */
	set_result(slot->request, POOL_REFUSED, message->payload.text.error, message->payload.text.text);
	slot->request->result.reason = (enum reason)message->payload.text.reason;
	request_finish(slot->request, &slot->request->result, NULL, NULL);
}

/* What crashes again and again is slowed down by itself: it is told when to come again. */
static bool refuse_crashing(struct pool_request *request)
{
	const struct pool_blame *blame = &request->start.blame;
	char text[POOL_SOURCE_SIZE + 64];
	uint64_t wait_ns;
	bool owner;

	wait_ns = crashes_wait_ns(request->pool->crashes, blame, request->requested_ns, &owner);
	if (wait_ns == 0)
		return false;
	if (owner)
		(void)snprintf(text, sizeof(text), "VMs of uid %u crash too often", (unsigned)blame->owner);
	else
		(void)snprintf(text, sizeof(text), "VMs of %s crash too often", blame->source);
	request_fail_later(request, POOL_CRASHING, 0, text);
	request->result.retry_after_ms = (uint32_t)(wait_ns / 1000000) + 1;
	return true;
}

/* Where the request goes: to a warm slot, into the queue, or back. */
static void place(struct pool_request *request)
{
	struct pool *pool = request->pool;
	struct shape *shape = request->shape;
	bool cold = request->start.temperature == POOL_TEMPERATURE_COLD;

	if (request->start.deadline_ns != 0 && request->start.deadline_ns <= request->requested_ns) {
		request_fail_later(request, POOL_DEADLINE, 0, "the deadline had passed when the request came");
		return;
	}
	if (refuse_crashing(request))
		return;
	request->gives_way = crashes_give_way(pool->crashes, &request->start.blame, request->requested_ns);
	/* Those who wait already come first; a cold start waits for nothing that is warm. */
	while (!cold && shape->waiting == 0) {
		struct slot *slot = find_warm(pool, shape);

		if (!slot)
			break;
		if (request_begin(request, slot))
			return;
	}

	if (request->start.temperature == POOL_TEMPERATURE_WARM)
		request_fail_later(request, POOL_EXHAUSTED, 0, "no slot of this shape is warm");
	else if (shape->limits.max == 0)
		request_fail_later(request, POOL_EXHAUSTED, 0, "this shape's maximum is 0");
	else if (shape->consecutive_failures >= POOL_FAILURES_TO_TELL)
		request_fail_later(request, POOL_SHAPE_FAILING, 0, shape->last_failure);
	else if (pool->zygote_failures >= POOL_RETRIES_TO_TELL)
		request_fail_later(request, POOL_SHAPE_FAILING, 0,
				   "no worker can be forked: the zygote does not start");
	else if (enqueue(request) < 0)
		request_fail_later(request, POOL_EXHAUSTED, 0, "no slot is free and the queue is full");
}

struct pool_request *pool_vm_start(struct pool *pool, const struct pool_start *start,
				   void (*done)(void *opaque, const struct pool_result *result, struct pool_vm *vm,
						const struct pool_started *started),
				   void *opaque)
{
	struct pool_request *request = calloc(1, sizeof(*request));
	struct error_detail detail = { "" };
	int result;

	if (!request)
		return NULL;
	request->pool = pool;
	request->start = (struct pool_start){ .shape = start->shape, .image = -1, .memory = -1, .state = -1 };
	request->done = done;
	request->opaque = opaque;
	request->requested_ns = monotonic_ns();

	if (pool->stopping) {
		request_fail_later(request, POOL_SHUTTING_DOWN, 0, "the pool is being stopped");
		return request;
	}
	if (start_check(start, &detail) < 0) {
		request_fail_later(request, POOL_REFUSED, -EINVAL, detail.text);
		return request;
	}

	result = start_copy(start, &request->start);
	if (result == 0)
		request->shape = shape_use(pool, &start->shape);
	if (result < 0)
		request_fail_later(request, POOL_EXHAUSTED, result,
				   result == -ENOMEM ? "no memory is left for another VM"
						     : "no file descriptor is left for another VM");
	else if (!request->shape)
		request_fail_later(request, POOL_EXHAUSTED, -ENOMEM, "no memory is left for another shape");
	else
		place(request);
	return request;
}

void pool_request_cancel(struct pool_request *request)
{
	request_fail_later(request, POOL_CANCELLED, 0, "cancelled");
}
