/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The rows of shapes: one for each that is configured, and one for each that a request has brought.
 *
 *	configured --pool_unconfigure()--> unconfigured --room is wanted, and it serves nobody--> retired --unused--> freed
 *	     |            unconfigured <--pool_configure()--'                                        ^ |
 *	     '------------------------pool_configure() with min 0 and max 0--------------------------' '--used--> unconfigured
 *
 * What admins configure is bounded by number. What requests bring is not refused for its shape: those that serve somebody are bounded by
 * the workers and the queue, and of those that serve nobody the one that was unused longest makes room. It is retired, and not freed
 * at once, where it has workers: they hold on to their row until they are reaped.
 */
#include <errno.h>
#include <stdlib.h>

#include "pool/supervisor/internal.h"

static bool has_workers(const struct shape *shape)
{
	for (int state = SLOT_FORKING; state < SLOT_STATE_COUNT; state++) {
		if (shape->counts[state] > 0)
			return true;
	}
	return false;
}

static bool serves_somebody(const struct shape *shape)
{
	return shape->queued > 0 || shape->counts[SLOT_STARTING] > 0 || shape->counts[SLOT_LEASED] > 0;
}

static struct shape *find_shape(struct pool *pool, const struct machine_shape *machine)
{
	struct shape *shape;

	TAILQ_FOREACH(shape, &pool->shapes, link) {
		if (machine_shape_equal(&shape->machine, machine))
			return shape;
	}
	return NULL;
}

static void free_shape(struct pool *pool, struct shape *shape)
{
	TAILQ_REMOVE(&pool->shapes, shape, link);
	pool->shape_count--;
	free(shape);
}

/* Keep nothing warm for it any more; who waits for it is still served. */
static void retire(struct pool *pool, struct shape *shape)
{
	shape->configured = false;
	shape->retired = true;
	shape->limits = pool->options.default_limits;
	shape->limits.min = 0;
	pool_balance_soon(pool);
}

static void make_room(struct pool *pool)
{
	struct shape *shape, *oldest = NULL;

	TAILQ_FOREACH(shape, &pool->shapes, link) {
		if (!shape->configured && !shape->retired && !serves_somebody(shape) &&
		    (!oldest || shape->used_at < oldest->used_at))
			oldest = shape;
	}
	if (oldest)
		retire(pool, oldest);
}

static struct shape *shape_new(struct pool *pool, const struct machine_shape *machine)
{
	struct shape *shape = calloc(1, sizeof(*shape));

	if (!shape)
		return NULL;
	if (pool->shape_count >= POOL_SHAPES_MAX)
		make_room(pool);
	*shape = (struct shape){ .machine = *machine, .limits = pool->options.default_limits };
	TAILQ_INSERT_TAIL(&pool->shapes, shape, link);
	pool->shape_count++;
	return shape;
}

struct shape *shape_use(struct pool *pool, const struct machine_shape *machine)
{
	struct shape *shape = find_shape(pool, machine);

	if (!shape)
		shape = shape_new(pool, machine);
	if (!shape)
		return NULL;
	shape->used_at = ++pool->shape_uses;
	if (shape->retired) {
		shape->retired = false;
		shape->limits = pool->options.default_limits;
	}
	return shape;
}

void shapes_set_default_limits(struct pool *pool)
{
	struct shape *shape;

	TAILQ_FOREACH(shape, &pool->shapes, link) {
		if (shape->configured)
			continue;
		shape->limits = pool->options.default_limits;
		if (shape->retired)
			shape->limits.min = 0;
	}
}

void shapes_sweep(struct pool *pool)
{
	struct shape *shape, *next;

	for (shape = TAILQ_FIRST(&pool->shapes); shape; shape = next) {
		next = TAILQ_NEXT(shape, link);
		if (shape->retired && shape->queued == 0 && !has_workers(shape))
			free_shape(pool, shape);
	}
}

void shapes_free_all(struct pool *pool)
{
	struct shape *shape;

	while ((shape = TAILQ_FIRST(&pool->shapes)))
		free_shape(pool, shape);
}

static uint32_t count_configured(const struct pool *pool)
{
	const struct shape *shape;
	uint32_t count = 0;

	TAILQ_FOREACH(shape, &pool->shapes, link)
		count += shape->configured;
	return count;
}

static int check_limits(const struct pool_shape_limits *limits, struct error_detail *detail)
{
	if (limits->max < limits->min) {
		error_detail_set(detail, "max: %u is less than min, which is %u", limits->max, limits->min);
		return -EINVAL;
	}
	if (limits->refill_concurrency < 1) {
		error_detail_set(detail, "refill_concurrency: must be at least 1");
		return -EINVAL;
	}
	return 0;
}

int pool_configure(struct pool *pool, const struct machine_shape *machine, const struct pool_shape_limits *limits,
		   struct error_detail *detail)
{
	struct shape *shape;
	int result;

	result = machine_shape_check(machine, detail);
	if (result == 0)
		result = check_limits(limits, detail);
	if (result < 0)
		return result;

	shape = find_shape(pool, machine);
	if (limits->max == 0) {
		if (shape)
			retire(pool, shape);
		return 0;
	}
	if ((!shape || !shape->configured) && count_configured(pool) >= POOL_SHAPES_MAX) {
		error_detail_set(
			detail,
			"%d shapes are configured, which is the most: forget one by setting its min and max to 0",
			POOL_SHAPES_MAX);
		return -ENOSPC;
	}
	if (!shape)
		shape = shape_new(pool, machine);
	if (!shape)
		return -ENOMEM;

	shape->limits = *limits;
	shape->configured = true;
	shape->retired = false;
	pool_balance_soon(pool);
	return 0;
}

void pool_unconfigure(struct pool *pool, const struct machine_shape *machine)
{
	struct shape *shape = find_shape(pool, machine);

	if (!shape || !shape->configured)
		return;
	shape->configured = false;
	shape->limits = pool->options.default_limits;
	pool_balance_soon(pool);
}

void pool_each_shape(struct pool *pool, void (*visit)(void *opaque, const struct pool_shape_status *status),
		     void *opaque)
{
	uint64_t now = monotonic_ns();
	const struct shape *shape;

	TAILQ_FOREACH(shape, &pool->shapes, link) {
		struct pool_shape_status status = {
			.shape = shape->machine,
			.limits = shape->limits,
			.warm = shape->counts[SLOT_WARM],
			.building = shape->counts[SLOT_FORKING] + shape->counts[SLOT_BUILDING],
			.leased = shape->counts[SLOT_STARTING] + shape->counts[SLOT_LEASED],
			.stopping = shape->counts[SLOT_STOPPING],
			.queued = shape->queued,
			.failures = shape->failures,
			.last_failure = shape->last_failure,
		};

		if (shape->backoff_until_ns > now)
			status.backoff_ms = (uint32_t)((shape->backoff_until_ns - now) / 1000000);
		visit(opaque, &status);
	}
}
