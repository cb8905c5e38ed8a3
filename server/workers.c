/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Between the configuration's words and the pool's, and between what happens to workers and those who want to know.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "proto/reason.h"
#include "server/config_host.h"
#include "server/guest.h"
#include "server/ids.h"
#include "server/json_lossy.h"
#include "server/log.h"
#include "server/server.h"
#include "server/workers.h"

#define MIB_SHIFT 20

const char *shape_text(const struct machine_shape *shape, char *text)
{
	char drives[16] = "", nets[16] = "";

	if (shape->disks > 0)
		(void)snprintf(drives, sizeof(drives), "+%" PRIu32 "d", shape->disks);
	if (shape->nets > 0)
		(void)snprintf(nets, sizeof(nets), "+%" PRIu32 "n", shape->nets);
	(void)snprintf(text, SHAPE_TEXT_SIZE, "%" PRIu32 "x%" PRIu64 "-%s%s%s%s%s%s%s", shape->vcpus,
		       shape->memory_size >> MIB_SHIFT, cpu_template_name(shape->cpu_template), drives, nets,
		       shape->vsocks > 0 ? "+vsock" : "", shape->rngs > 0 ? "+rng" : "",
		       shape->balloons > 0 ? "+balloon" : "", shape->no_pit_reinject ? "+no-pit-reinject" : "");
	return text;
}

int shape_to_json(const struct machine_shape *shape, json_t *object)
{
	char text[SHAPE_TEXT_SIZE];
	json_t *members = json_pack(
		"{s:s, s:I, s:I, s:s, s:b, s:I, s:I, s:I, s:I, s:I}", "shape", shape_text(shape, text), "vcpus",
		(json_int_t)shape->vcpus, "memory_mib", (json_int_t)(shape->memory_size >> MIB_SHIFT), "cpu_template",
		cpu_template_name(shape->cpu_template), "pit_reinject", (int)!shape->no_pit_reinject, "drives",
		(json_int_t)shape->disks, "net", (json_int_t)shape->nets, "vsock", (json_int_t)shape->vsocks, "rng",
		(json_int_t)shape->rngs, "balloon", (json_int_t)shape->balloons);

	return members && json_object_update_new(object, members) == 0 ? 0 : -ENOMEM;
}

static void log_pool_event(const struct pool_event *event, const char *shape)
{
	char vm[GUEST_ID_SIZE];
	const struct log_field fields[] = {
		event->worker ? log_number("worker", event->worker) : log_text("worker", NULL),
		event->pid ? log_number("pid", event->pid) : log_text("pid", NULL),
		log_text("vm", event->vm ? guest_id_text(event->vm, vm) : NULL),
		log_text("shape", shape),
		log_text("detail", event->text && event->text[0] ? event->text : NULL),
		{ .type = LOG_FIELD_END },
	};

	log_write(event->is_error ? LOG_LEVEL_ERROR : LOG_LEVEL_DEBUG, pool_event_name(event->kind), fields);
}

static void publish_pool_event(struct server *server, const struct pool_event *event, const char *shape)
{
	char vm[GUEST_ID_SIZE];

	if (!event_bus_wants(&server->events, EVENT_POOL))
		return;
	event_bus_publish(&server->events, EVENT_POOL,
			  json_pack("{s:s, s:I, s:I, s:s?, s:s?, s:o?}", "event", pool_event_name(event->kind),
				    "worker", (json_int_t)event->worker, "pid", (json_int_t)event->pid, "vm",
				    event->vm ? guest_id_text(event->vm, vm) : NULL, "shape", shape, "detail",
				    event->text && event->text[0] ? json_lossy(event->text) : NULL));
}

static void on_pool_event(void *opaque, const struct pool_event *event)
{
	char text[SHAPE_TEXT_SIZE];
	const char *shape = event->shape ? shape_text(event->shape, text) : NULL;

	log_pool_event(event, shape);
	publish_pool_event(opaque, event, shape);
}

static uint64_t next_vm(void *opaque)
{
	const struct server *server = opaque;

	return ids_next(server->ids, IDS_VM);
}

static struct pool_options form_options(struct server *server)
{
	const struct config *config = &server->config;

	return (struct pool_options){
		.base = server->base,
		.executable = "/proc/self/exe",
		.worker_uid = config->worker_uid,
		.worker_gid = config->worker_gid,
		.workers_max = config->vms_max,
		.queue_limit = config->queue_limit,
		.reply_timeout_ms = config->reply_timeout_ms,
		.stop_grace_ms = config->stop_grace_ms,
		.default_limits = { .min = config->unconfigured_shape.min,
				    .max = config->unconfigured_shape.max,
				    .refill_concurrency = config->unconfigured_shape.refill_concurrency },
		.opaque = server,
		.event = on_pool_event,
		.vm_number = next_vm,
	};
}

static struct machine_shape form_shape(const struct config_shape *shape)
{
	return (struct machine_shape){ .vcpus = shape->vcpus,
				       .cpu_template = (enum cpu_template)shape->cpu_template,
				       .memory_size = (uint64_t)shape->memory_mib << MIB_SHIFT,
				       .disks = shape->drives,
				       .nets = shape->net,
				       .vsocks = shape->vsock,
				       .rngs = shape->rng,
				       .balloons = shape->balloon,
				       .no_pit_reinject = !shape->pit_reinject };
}

static int configure_shapes(struct server *server, struct error_detail *detail)
{
	const struct config_shapes *shapes = &server->config.shapes;
	uint32_t i;

	for (i = 0; i < shapes->count; i++) {
		const struct config_shape *wanted = &shapes->items[i];
		struct machine_shape shape = form_shape(wanted);
		struct pool_shape_limits limits = { .min = wanted->min,
						    .max = wanted->max,
						    .refill_concurrency = wanted->refill_concurrency };
		int error = pool_configure(server->pool, &shape, &limits, detail);

		if (error)
			return error;
	}
	return 0;
}

/* What no guest can keep time by. */
static void warn_of_tsc(const struct message_host *host)
{
	if (!host->tsc_advances)
		log_warning("the TSC of this host's guests stands still", log_text("host", "kvm.tsc_advances"));
	if (host->tsc_rate_wrong)
		log_warning(
			"KVM takes the TSC's rate for another one than the kernel does: guests' TSC deadline timers may "
			"fire late or never; load KVM anew, now that the rate is known",
			log_number("kvm_khz", host->tsc_khz), log_number("kernel_khz", host->tsc_measured_khz));
}

static void add_warm_memory(void *opaque, const struct pool_shape_status *status)
{
	uint64_t *bytes = opaque;

	*bytes += status->limits.min * status->shape.memory_size;
}

bool workers_memory_warning(struct server *server, char *text)
{
	uint64_t bytes = 0;

	pool_each_shape(server->pool, add_warm_memory, &bytes);
	return config_memory_is_scarce(bytes, text, WORKERS_WARNING_SIZE);
}

int workers_start(struct server *server, struct error_detail *detail)
{
	struct pool_options options = form_options(server);
	int error = pool_new(&options, &server->pool, detail);

	if (error)
		return error;
	warn_of_tsc(pool_host(server->pool));
	return configure_shapes(server, detail);
}

static bool is_configured(const struct config_shapes *shapes, const struct config_shape *wanted)
{
	uint32_t i;

	for (i = 0; i < shapes->count; i++)
		if (config_shape_equal(&shapes->items[i], wanted))
			return true;
	return false;
}

void workers_configure(struct server *server, const struct config_shapes *before)
{
	struct pool_options options = form_options(server);
	struct error_detail detail = { "" };
	uint32_t i;

	pool_set_limits(server->pool, &options);
	for (i = 0; i < before->count; i++) {
		const struct machine_shape shape = form_shape(&before->items[i]);

		if (!is_configured(&server->config.shapes, &before->items[i]))
			pool_unconfigure(server->pool, &shape);
	}
	if (configure_shapes(server, &detail))
		log_error("shape not configured", log_text("detail", detail.text));
}

static enum reason reason_of_result(const struct pool_result *result)
{
	static const enum reason reasons[] = {
		[POOL_OK] = REASON_FAILED,
		[POOL_EXHAUSTED] = REASON_POOL_EXHAUSTED,
		[POOL_DEADLINE] = REASON_DEADLINE_EXCEEDED,
		[POOL_WRONG_STATE] = REASON_WRONG_VM_STATE,
		[POOL_WORKER_DIED] = REASON_WORKER_DIED,
		[POOL_SHAPE_FAILING] = REASON_SHAPE_FAILING,
		[POOL_CRASHING] = REASON_CRASHING,
		[POOL_SHUTTING_DOWN] = REASON_DRAINING,
		[POOL_CANCELLED] = REASON_CANCELLED,
	};

	if (result->status != POOL_REFUSED)
		return reasons[result->status];
	/* Without a reason, the pool itself said so. */
	return result->reason != REASON_NONE ? result->reason : reason_of_errno(DEED_VM, result->error);
}

static const char *sentence_of_result(const struct pool_result *result)
{
	if (result->detail.text[0])
		return result->detail.text;
	if (result->status == POOL_REFUSED && result->reason == REASON_NONE && result->error < 0)
		return strerrordesc_np(-result->error);
	return "the worker gave no reason";
}

int workers_error(const struct pool_result *result, struct rpc_error *error)
{
	int number = rpc_error_set_reason(error, reason_of_result(result), "%s", sentence_of_result(result));

	if (result->retry_after_ms)
		error->retry_after_ms = result->retry_after_ms;
	return number;
}

void workers_fail(struct call *call, const struct pool_result *result)
{
	struct rpc_error error = RPC_ERROR_INIT;

	(void)workers_error(result, &error);
	call_fail(call, &error);
}
