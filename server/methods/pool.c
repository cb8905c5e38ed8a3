/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pool.*: the shapes' targets, and what becomes of them.
 */
#include <errno.h>

#include "server/cleanup.h"
#include "server/guest.h"
#include "server/json_lossy.h"
#include "server/log.h"
#include "server/methods/methods.h"
#include "server/server.h"
#include "server/workers.h"

#define MIB_SHIFT 20

static json_t *shape_row(const struct pool_shape_status *status)
{
	cleanup_json json_t *row =
		json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:o?}", "min",
			  (json_int_t)status->limits.min, "max", (json_int_t)status->limits.max, "refill_concurrency",
			  (json_int_t)status->limits.refill_concurrency, "warm", (json_int_t)status->warm, "building",
			  (json_int_t)status->building, "running", (json_int_t)status->leased, "closing",
			  (json_int_t)status->stopping, "queued", (json_int_t)status->queued, "failures",
			  (json_int_t)status->failures, "backoff_ms", (json_int_t)status->backoff_ms, "last_failure",
			  status->last_failure && status->last_failure[0] ? json_lossy(status->last_failure) : NULL);

	return row && shape_to_json(&status->shape, row) == 0 ? steal_pointer(row) : NULL;
}

static void append_shape(void *opaque, const struct pool_shape_status *status)
{
	(void)json_array_append_new(opaque, shape_row(status));
}

static void append_worker(void *opaque, const struct pool_worker_status *status)
{
	char shape[SHAPE_TEXT_SIZE], vm[GUEST_ID_SIZE];

	(void)json_array_append_new(opaque,
				    json_pack("{s:I, s:I, s:s, s:s, s:s?}", "worker", (json_int_t)status->worker, "pid",
					      (json_int_t)status->pid, "state", slot_state_name(status->state), "shape",
					      shape_text(status->shape, shape), "vm",
					      status->vm ? guest_id_text(status->vm, vm) : NULL));
}

void method_pool_status(struct call *call)
{
	cleanup_json json_t *shapes = json_array(), *workers = json_array();

	pool_each_shape(call->server->pool, append_shape, shapes);
	pool_each_worker(call->server->pool, append_worker, workers);
	call_reply(call, json_pack("{s:O, s:O, s:I, s:I}", "shapes", shapes, "workers", workers, "queue_limit",
				   (json_int_t)call->server->config.queue_limit, "abandoned",
				   (json_int_t)pool_abandoned(call->server->pool)));
}

/* The row of one shape. */
struct shape_search {
	struct machine_shape shape;
	bool found;
	struct pool_shape_status status;
};

static void match_shape(void *opaque, const struct pool_shape_status *status)
{
	struct shape_search *search = opaque;

	if (!machine_shape_equal(&status->shape, &search->shape))
		return;
	search->found = true;
	search->status = *status;
}

/* What is not given stays as it is, or as the configuration says for shapes that it does not name. */
static struct pool_shape_limits wanted_limits(const struct call *call, const struct shape_search *search)
{
	const struct config_shape *unconfigured = &call->server->config.unconfigured_shape;
	struct pool_shape_limits limits = { .min = unconfigured->min,
					    .max = unconfigured->max,
					    .refill_concurrency = unconfigured->refill_concurrency };

	if (search->found)
		limits = search->status.limits;
	limits.min = (uint32_t)param_int(call->params, "min", limits.min);
	limits.max = (uint32_t)param_int(call->params, "max", limits.max);
	limits.refill_concurrency = (uint32_t)param_int(call->params, "refill_concurrency", limits.refill_concurrency);
	return limits;
}

/* What was asked for is done; that it is more than the host has is said. */
static json_t *with_warning(struct server *server, json_t *row)
{
	char text[WORKERS_WARNING_SIZE];

	if (row && workers_memory_warning(server, text)) {
		log_warning("pool configured", log_text("detail", text));
		(void)json_object_set_new(row, "warning", json_string(text));
	}
	return row;
}

void method_pool_configure(struct call *call)
{
	struct shape_search search = { .found = false };
	struct pool *pool = call->server->pool;
	struct error_detail detail = { "" };
	struct pool_shape_limits limits;
	struct rpc_error error = RPC_ERROR_INIT;
	int failed;

	search.shape.vcpus = (uint32_t)param_int(call->params, "vcpus", 0);
	search.shape.memory_size = (uint64_t)param_int(call->params, "memory_mib", 0) << MIB_SHIFT;
	(void)cpu_template_parse(param_string(call->params, "cpu_template"), &search.shape.cpu_template);
	search.shape.no_pit_reinject = !param_bool(call->params, "pit_reinject");
	search.shape.disks = (uint32_t)param_int(call->params, "drives", 0);
	search.shape.nets = (uint32_t)param_int(call->params, "net", 0);
	search.shape.vsocks = (uint32_t)param_int(call->params, "vsock", 0);
	search.shape.rngs = (uint32_t)param_int(call->params, "rng", 0);
	search.shape.balloons = (uint32_t)param_int(call->params, "balloon", 0);
	pool_each_shape(pool, match_shape, &search);
	limits = wanted_limits(call, &search);

	failed = limits.min > limits.max ? -EINVAL : pool_configure(pool, &search.shape, &limits, &detail);
	if (!failed) {
		/* One that is forgotten and has no worker left has no row. */
		search.status = (struct pool_shape_status){ .shape = search.shape, .limits = limits };
		pool_each_shape(pool, match_shape, &search);
		call_reply(call, with_warning(call->server, shape_row(&search.status)));
		return;
	}

	if (limits.min > limits.max)
		(void)rpc_error_set_field(&error, "min", "min (%u) must not be above max (%u)", limits.min, limits.max);
	else if (failed == -ENOSPC)
		(void)rpc_error_set(&error, RPC_RESOURCE_EXHAUSTED, "%s", detail.text);
	else if (failed == -ENOMEM)
		(void)rpc_error_set(&error, RPC_INTERNAL, "the daemon is out of memory");
	else
		(void)rpc_error_set(&error, RPC_INVALID_PARAMS, "%s", detail.text);
	call_fail(call, &error);
}
