/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keeping shapes at their targets, and requests supplied.
 *
 * One pass, pool_balance_now(), run from the loop after anything changed: waiting requests, in the order in which they came, get what is
 * warm, or have a worker forked, where need be in the place of an idle one; what is then missing (`min` warm slots) is forked;
 * what is too much is retired. Refilling steps back while a request is being injected: the machine is the request's.
 *
 * A shape whose workers cannot be built is tried again after a delay that doubles, and does not touch others. A worker that dies once it
 * was built costs another build, and nobody is refused for it: whoever waits has one built at once. Where workers die warm and unused again
 * and again, it is building ahead of requests that waits. What crashes with a VM in it is held against the VM's source and owner (crashes.c).
 */
#include <stdio.h>
#include <string.h>

#include "pool/supervisor/internal.h"

#define RETRY_AFTER_MIN_MS 10
#define RETRY_AFTER_MAX_MS 60000
#define BUILD_GUESS_NS     UINT64_C(50000000) /* before any build was seen */
#define STEP_BACK_NS \
	UINT64_C(20000000) /* how long refilling leaves the machine to a start: many times what one takes */
#define FORK_AGAIN_NS UINT64_C(100000000)   /* after a fork that could not even be asked for */
#define LASTING_NS    UINT64_C(10000000000) /* a worker that was warm for so long was a good one */

/* Deaths of warm, unused workers in a row: from when on refilling waits, and from when on those who wait for a worker do, too. */
#define UNUSED_DEATHS_TO_SLOW_REFILL  3
#define UNUSED_DEATHS_TO_SLOW_WAITERS 8

void pool_balance_soon(struct pool *pool)
{
	event_active(pool->balance, 0, 0);
}

static uint32_t workers_of(const uint32_t counts[SLOT_STATE_COUNT])
{
	return counts[SLOT_FORKING] + counts[SLOT_BUILDING] + counts[SLOT_WARM] + counts[SLOT_STARTING] +
	       counts[SLOT_LEASED];
}

static uint32_t building(const struct shape *shape)
{
	return shape->counts[SLOT_FORKING] + shape->counts[SLOT_BUILDING];
}

static bool is_full(const struct pool *pool, const struct shape *shape)
{
	return workers_of(shape->counts) >= shape->limits.max || workers_of(pool->counts) >= pool->options.workers_max;
}

/* May another worker of the shape be built now, if there is room for it? */
static bool may_build(const struct shape *shape)
{
	bool slowed = shape->unused_deaths >= UNUSED_DEATHS_TO_SLOW_WAITERS || shape->waiting + shape->queued == 0;
	uint64_t now = monotonic_ns();

	return building(shape) < shape->limits.refill_concurrency && shape->backoff_until_ns <= now &&
	       (!slowed || shape->refill_after_ns <= now);
}

static bool may_grow(const struct pool *pool, const struct shape *shape)
{
	return !is_full(pool, shape) && may_build(shape);
}

/* A warm slot that is nobody's yet, or NULL. */
struct slot *find_warm(struct pool *pool, const struct shape *shape)
{
	if (shape->counts[SLOT_WARM] == 0)
		return NULL;
	for (uint32_t i = 0; i < pool->slots_used; i++) {
		struct slot *slot = &pool->slots[i];

		if (slot->state == SLOT_WARM && slot->shape == shape && !slot->request)
			return slot;
	}
	return NULL;
}

/* Come back after so long, or sooner. */
static void balance_again(struct pool *pool, uint64_t after_ns)
{
	struct timeval delay = pool_timeval(after_ns + 1000000);
	struct timeval due, now;

	if (evtimer_pending(pool->backoff, &due)) {
		(void)event_base_gettimeofday_cached(pool->options.base, &now);
		evutil_timeradd(&now, &delay, &now);
		if (evutil_timercmp(&due, &now, <=))
			return;
	}
	(void)event_add(pool->backoff, &delay);
}

/* Ask for a worker, now or, where that cannot be done, a little later. */
static struct slot *grow(struct pool *pool, struct shape *shape, struct pool_request *request)
{
	struct slot *slot = slot_fork(pool, shape, request);

	if (!slot)
		balance_again(pool, FORK_AGAIN_NS);
	return slot;
}

/* Slots that are on their way to being warm for anybody. */
static uint32_t unreserved_building(struct pool *pool, const struct shape *shape)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < pool->slots_used; i++) {
		const struct slot *slot = &pool->slots[i];

		if (slot->shape == shape && !slot->request &&
		    (slot->state == SLOT_FORKING || slot->state == SLOT_BUILDING))
			count++;
	}
	return count;
}

/* A warm slot of any shape that is nobody's yet, or NULL. */
static struct slot *find_idle(struct pool *pool)
{
	const struct shape *shape;
	struct slot *slot;

	TAILQ_FOREACH(shape, &pool->shapes, link) {
		slot = find_warm(pool, shape);
		if (slot)
			return slot;
	}
	return NULL;
}

/* Ask for a worker for a request that waits. An idle one that takes up the room goes: it serves nobody. */
static struct slot *grow_for_request(struct pool *pool, struct shape *shape, struct pool_request *request)
{
	struct slot *idle = NULL;

	if (shape->limits.max == 0 || !may_build(shape))
		return NULL;
	if (workers_of(shape->counts) >= shape->limits.max)
		idle = find_warm(pool, shape);
	else if (is_full(pool, shape))
		idle = find_idle(pool);
	if (idle)
		slot_stop(idle, false);

	return is_full(pool, shape) ? NULL : grow(pool, shape, request);
}

/* Give a queued request what there is, or see to it that a worker is built for it before anybody who came later has one. */
static void serve(struct pool *pool, struct pool_request *request)
{
	struct slot *slot;

	if (request->slot)
		return;
	if (request->start.temperature == POOL_TEMPERATURE_COLD) {
		slot = grow_for_request(pool, request->shape, request);
		if (slot) {
			request->assigned_ns = slot->forked_ns;
			request->slot = slot;
		}
		return;
	}
	while ((slot = find_warm(pool, request->shape))) {
		if (request_begin(request, slot))
			return;
	}
	request->shape->passed++;
	if (unreserved_building(pool, request->shape) < request->shape->passed)
		(void)grow_for_request(pool, request->shape, NULL);
}

static void balance_shape(struct pool *pool, struct shape *shape)
{
	uint64_t wanted = (uint64_t)shape->limits.min + shape->waiting;
	uint32_t there = shape->counts[SLOT_WARM] + unreserved_building(pool, shape);

	while (there > wanted) {
		struct slot *slot = find_warm(pool, shape);

		if (!slot)
			break;
		slot_stop(slot, false);
		there--;
	}

	/* Nobody waits: what is missing can wait for those who are being served, unless that hangs. */
	if (there < wanted && shape->waiting == 0 && pool->counts[SLOT_STARTING] > 0 &&
	    monotonic_ns() - pool->begun_ns < STEP_BACK_NS) {
		balance_again(pool, STEP_BACK_NS);
		return;
	}
	while (there < wanted && may_grow(pool, shape)) {
		if (!grow(pool, shape, NULL))
			break;
		there++;
	}
}

static void schedule_backoff(struct pool *pool)
{
	uint64_t now = monotonic_ns();
	const struct shape *shape;

	TAILQ_FOREACH(shape, &pool->shapes, link) {
		if (shape->backoff_until_ns > now)
			balance_again(pool, shape->backoff_until_ns - now);
		if (shape->refill_after_ns > now)
			balance_again(pool, shape->refill_after_ns - now);
	}
}

/* In the order in which they came; but those whose workers keep dying after all others. */
static void serve_queue(struct pool *pool)
{
	struct pool_request *request, *next;

	for (int turn = 0; turn < 2; turn++) {
		for (request = TAILQ_FIRST(&pool->queue); request; request = next) {
			next = TAILQ_NEXT(request, link);
			if (request->gives_way == (turn == 1))
				serve(pool, request);
		}
	}
}

void pool_balance_now(int fd, short events, void *opaque)
{
	struct pool *pool = opaque;
	struct shape *shape;

	(void)fd;
	(void)events;
	if (pool->stopping)
		return;

	TAILQ_FOREACH(shape, &pool->shapes, link)
		shape->passed = 0;
	serve_queue(pool);
	TAILQ_FOREACH(shape, &pool->shapes, link)
		balance_shape(pool, shape);
	shapes_sweep(pool);
	schedule_backoff(pool);
}

void pool_backoff_over(int fd, short events, void *opaque)
{
	(void)fd;
	(void)events;
	pool_balance_soon(opaque);
}

void shape_failed(struct pool *pool, struct shape *shape, const char *text)
{
	uint32_t shift = shape->consecutive_failures < 9 ? shape->consecutive_failures : 9;
	uint64_t delay_ms = (uint64_t)POOL_BACKOFF_MIN_MS << shift;
	char report[MESSAGE_TEXT_MAX + 64];
	struct pool_request *request, *next;

	if (delay_ms > POOL_BACKOFF_MAX_MS)
		delay_ms = POOL_BACKOFF_MAX_MS;
	shape->failures++;
	shape->consecutive_failures++;
	shape->backoff_until_ns = monotonic_ns() + delay_ms * 1000000;
	(void)snprintf(shape->last_failure, sizeof(shape->last_failure), "%s", text);
	(void)snprintf(report, sizeof(report), "next try in %u ms, after: %s", (unsigned)delay_ms, text);
	pool_report(pool, &(struct pool_event){ .kind = POOL_EVENT_SHAPE_BACKOFF,
						.is_error = true,
						.shape = &shape->machine,
						.text = report });

	if (shape->consecutive_failures >= POOL_FAILURES_TO_TELL) {
		for (request = TAILQ_FIRST(&pool->queue); request; request = next) {
			next = TAILQ_NEXT(request, link);
			if (request->shape == shape && !request->slot)
				request_fail_later(request, POOL_SHAPE_FAILING, 0, text);
		}
	}
	pool_balance_soon(pool);
}

void shape_lost_unused(struct pool *pool, struct shape *shape, uint64_t lived_ns, const char *text)
{
	char report[MESSAGE_TEXT_MAX + 64];
	uint64_t delay_ms;
	uint32_t shift;

	if (lived_ns >= LASTING_NS)
		shape->unused_deaths = 0;
	shape->unused_deaths++;
	if (shape->unused_deaths >= UNUSED_DEATHS_TO_SLOW_REFILL) {
		shift = shape->unused_deaths - UNUSED_DEATHS_TO_SLOW_REFILL;
		delay_ms = (uint64_t)POOL_BACKOFF_MIN_MS << (shift < 9 ? shift : 9);
		if (delay_ms > POOL_BACKOFF_MAX_MS)
			delay_ms = POOL_BACKOFF_MAX_MS;
		shape->refill_after_ns = monotonic_ns() + delay_ms * 1000000;
		(void)snprintf(report, sizeof(report), "none is built ahead of requests for %u ms, after: %s",
			       (unsigned)delay_ms, text);
		pool_report(pool, &(struct pool_event){ .kind = POOL_EVENT_SHAPE_BACKOFF,
							.is_error = true,
							.shape = &shape->machine,
							.text = report });
	}
	pool_balance_soon(pool);
}

void shape_served(struct shape *shape)
{
	shape->unused_deaths = 0;
	shape->refill_after_ns = 0;
}

void shape_succeeded(struct shape *shape, uint64_t build_ns)
{
	shape->consecutive_failures = 0;
	shape->backoff_until_ns = 0;
	shape->build_ns = shape->build_ns == 0 ? build_ns : (shape->build_ns * 7 + build_ns) / 8;
}

uint32_t pool_retry_after_ms(const struct pool *pool, const struct machine_shape *machine)
{
	uint64_t now = monotonic_ns();
	uint64_t wait_ns = BUILD_GUESS_NS;
	const struct shape *shape;

	TAILQ_FOREACH(shape, &pool->shapes, link) {
		if (!machine_shape_equal(&shape->machine, machine))
			continue;
		if (shape->build_ns != 0)
			wait_ns = shape->build_ns;
		wait_ns = wait_ns * (shape->queued + 1) / shape->limits.refill_concurrency;
		if (shape->backoff_until_ns > now)
			wait_ns += shape->backoff_until_ns - now;
	}

	wait_ns /= 1000000;
	if (wait_ns < RETRY_AFTER_MIN_MS)
		return RETRY_AFTER_MIN_MS;
	return wait_ns > RETRY_AFTER_MAX_MS ? RETRY_AFTER_MAX_MS : (uint32_t)wait_ns;
}
