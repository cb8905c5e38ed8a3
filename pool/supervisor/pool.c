/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The pool as a whole: its start, what it tells of itself, its end.
 */
#include "pool/pool.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "pool/supervisor/internal.h"

static const char *const event_names[] = {
	[POOL_EVENT_WORKER_FORKED] = "worker_forked", [POOL_EVENT_WORKER_WARM] = "worker_warm",
	[POOL_EVENT_WORKER_FAILED] = "worker_failed", [POOL_EVENT_WORKER_ENDED] = "worker_ended",
	[POOL_EVENT_WORKER_LIED] = "worker_lied",     [POOL_EVENT_WORKER_STALLED] = "worker_stalled",
	[POOL_EVENT_WORKER_WAITS] = "worker_waits",   [POOL_EVENT_WORKER_ABANDONED] = "worker_abandoned",
	[POOL_EVENT_SHAPE_BACKOFF] = "shape_backoff", [POOL_EVENT_LOADER_ENDED] = "loader_ended",
	[POOL_EVENT_ZYGOTE_ENDED] = "zygote_ended",
};

const char *pool_event_name(enum pool_event_kind kind)
{
	return (unsigned)kind < sizeof(event_names) / sizeof(event_names[0]) ? event_names[kind] : NULL;
}

void pool_report(struct pool *pool, const struct pool_event *event)
{
	if (pool->options.event)
		pool->options.event(pool->options.opaque, event);
}

void pool_deliver_soon(struct pool *pool)
{
	static const struct timeval at_once = { 0 };

	/* What is activated from its own callback runs in the same turn; a timer lets others have theirs. */
	if (!pool->delivering || event_add(pool->deliver, &at_once) < 0)
		event_active(pool->deliver, 0, 0);
}

/* Every child is reaped and everyone is told: tell who asked. The pool may be freed in that callback. */
static void check_stopped(struct pool *pool)
{
	void (*stopped)(void *opaque) = pool->stopped;

	if (!pool->stopping || !stopped || pool->loader.channel >= 0 || !TAILQ_EMPTY(&pool->finished) ||
	    !TAILQ_EMPTY(&pool->completed))
		return;
	for (uint32_t i = 0; i < pool->slots_used; i++) {
		if (pool->slots[i].state != SLOT_FREE)
			return;
	}
	/* The zygote goes last: forks that it was asked for are settled. */
	if (process_alive(&pool->zygote)) {
		process_stop(&pool->zygote, true);
		return;
	}

	pool->stopped = NULL;
	stopped(pool->stopped_opaque);
}

/* Call back for what ended without the loop having turned. */
static void deliver_all(struct pool *pool)
{
	struct request_list finished = TAILQ_HEAD_INITIALIZER(finished);
	struct operation_list completed = TAILQ_HEAD_INITIALIZER(completed);
	struct pool_request *request;
	struct operation *operation;

	/* A callback may bring more: for the next turn. */
	TAILQ_CONCAT(&finished, &pool->finished, link);
	TAILQ_CONCAT(&completed, &pool->completed, link);
	pool->delivering = true;
	while ((request = TAILQ_FIRST(&finished))) {
		TAILQ_REMOVE(&finished, request, link);
		request_finish(request, &request->result, NULL, NULL);
	}
	while ((operation = TAILQ_FIRST(&completed))) {
		TAILQ_REMOVE(&completed, operation, link);
		operation_finish(operation, &operation->result, NULL);
	}
	pool->delivering = false;
}

static void deliver(int fd, short events, void *opaque)
{
	(void)fd;
	(void)events;
	deliver_all(opaque);
	check_stopped(opaque);
}

static int make_events(struct pool *pool)
{
	struct event_base *base = pool->options.base;

	pool->deliver = evtimer_new(base, deliver, pool);
	pool->balance = evtimer_new(base, pool_balance_now, pool);
	pool->backoff = evtimer_new(base, pool_backoff_over, pool);
	pool->zygote_retry = evtimer_new(base, zygote_retry, pool);
	pool->loader_retry = evtimer_new(base, loader_retry, pool);
	return pool->deliver && pool->balance && pool->backoff && pool->zygote_retry && pool->loader_retry ? 0
													   : -ENOMEM;
}

int pool_new(const struct pool_options *options, struct pool **ret_pool, struct error_detail *detail)
{
	struct pool *pool = calloc(1, sizeof(*pool));
	int result;

	if (!pool)
		return -ENOMEM;
	pool->options = *options;
	pool->zygote = (struct process){ .pool = pool, .channel = -1, .pidfd = -1 };
	pool->loader = (struct process){ .pool = pool, .channel = -1, .pidfd = -1 };
	TAILQ_INIT(&pool->loader.operations);
	TAILQ_INIT(&pool->loads);
	TAILQ_INIT(&pool->shapes);
	TAILQ_INIT(&pool->queue);
	TAILQ_INIT(&pool->finished);
	TAILQ_INIT(&pool->completed);
	LIST_INIT(&pool->abandoned);

	pool->crashes = crash_table_new();
	result = pool->crashes ? make_events(pool) : -ENOMEM;
	if (result == 0)
		result = zygote_start(pool, detail);
	if (result == 0) {
		result = loader_start(pool);
		if (result < 0)
			error_detail_set(detail, "the loader cannot be started: %s", strerror(-result));
	}
	if (result < 0) {
		(void)pool_free(pool);
		return result;
	}

	*ret_pool = pool;
	return 0;
}

const struct message_host *pool_host(const struct pool *pool)
{
	return &pool->host;
}

void pool_set_limits(struct pool *pool, const struct pool_options *options)
{
	pool->options.workers_max = options->workers_max;
	pool->options.queue_limit = options->queue_limit;
	pool->options.reply_timeout_ms = options->reply_timeout_ms;
	pool->options.stop_grace_ms = options->stop_grace_ms;
	pool->options.default_limits = options->default_limits;
	shapes_set_default_limits(pool);
	pool_balance_soon(pool);
}

void pool_each_worker(struct pool *pool, void (*visit)(void *opaque, const struct pool_worker_status *status),
		      void *opaque)
{
	for (uint32_t i = 0; i < pool->slots_used; i++) {
		const struct slot *slot = &pool->slots[i];
		struct pool_worker_status status = {
			.worker = slot->number,
			.pid = slot->process.pid,
			.state = slot->state,
			.vm = slot->vm ? slot->vm->number : 0,
		};

		if (slot->state == SLOT_FREE)
			continue;
		status.shape = &slot->shape->machine;
		visit(opaque, &status);
	}
}

void pool_stop(struct pool *pool, void (*done)(void *opaque), void *opaque)
{
	pool->stopping = true;
	pool->stopped = done;
	pool->stopped_opaque = opaque;
	requests_fail_all(pool, POOL_SHUTTING_DOWN, "the pool is being stopped");
	for (uint32_t i = 0; i < pool->slots_used; i++) {
		struct slot *slot = &pool->slots[i];

		if (slot->vm && !slot->vm->stop_reason)
			slot->vm->stop_reason = "shutdown_of_daemon";
		slot_stop(slot, true);
	}
	loads_fail_all(pool, POOL_SHUTTING_DOWN, "the pool is being stopped");
	process_stop(&pool->loader, true);
	zygote_watch(pool); /* forks that it still owes: patience is shorter now */
	pool_deliver_soon(pool);
}

static void free_event(struct event *event)
{
	if (event)
		event_free(event);
}

static void end_slot(struct slot *slot)
{
	if (slot->state == SLOT_FREE)
		return;
	process_end_now(&slot->process);
	operations_fail(&slot->process, POOL_SHUTTING_DOWN, "the pool is gone");
	if (slot->vm)
		vm_gone(slot->vm, "shutdown_of_daemon", "the pool is gone");
}

struct pool *pool_free(struct pool *pool)
{
	if (!pool)
		return NULL;
	pool->stopping = true;
	pool->end_by_ns = monotonic_ns() + (uint64_t)pool->options.stop_grace_ms * 1000000;
	pool->loader_ready = false;
	requests_fail_all(pool, POOL_SHUTTING_DOWN, "the pool is gone");
	loads_fail_all(pool, POOL_SHUTTING_DOWN, "the pool is gone");
	for (uint32_t i = 0; i < pool->slots_used; i++) {
		if (pool->slots[i].state != SLOT_FREE)
			slot_give_up(&pool->slots[i], "the pool is gone"); /* all at once; then each is waited for */
	}
	zygote_end_now(pool);
	for (uint32_t i = 0; i < pool->slots_used; i++)
		end_slot(&pool->slots[i]);
	process_end_now(&pool->loader);
	operations_fail(&pool->loader, POOL_SHUTTING_DOWN, "the pool is gone");
	while (!TAILQ_EMPTY(&pool->finished) || !TAILQ_EMPTY(&pool->completed))
		deliver_all(pool);

	shapes_free_all(pool);
	disk_forget_abandoned(pool);
	free_event(pool->deliver);
	free_event(pool->balance);
	free_event(pool->backoff);
	free_event(pool->zygote_retry);
	free_event(pool->loader_retry);
	pool->crashes = crash_table_free(pool->crashes);
	free(pool);
	return NULL;
}
