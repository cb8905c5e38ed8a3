/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vm.balloon: how much memory a guest is to give back, and what it says of itself.
 */
#include <errno.h>
#include <stdlib.h>

#include "proto/reason.h"
#include "server/cleanup.h"
#include "server/clock.h"
#include "server/guest.h"
#include "server/methods/methods.h"
#include "server/server.h"
#include "server/workers.h"

#define MIB_SHIFT 20

/* By tag; virtio 1.2, section 5.5.6.4. */
static const char *const statistics_names[MESSAGE_BALLOON_STATISTICS] = {
	"swapped_in_bytes", "swapped_out_bytes", "major_faults",     "minor_faults",    "free_bytes",
	"total_bytes",      "available_bytes",   "disk_cache_bytes", "huge_pages_made", "huge_pages_failed",
};

struct asking {
	struct server *server;
	struct call *call; /* NULL: abandoned; a target that was set is set back then */
	bool sets_target;
	uint64_t change; /* see pool_vm_balloon_changes() */
	uint64_t number;
	char vm[GUEST_ID_SIZE];
};

static void on_abandoned(void *opaque, struct rpc_error *error)
{
	struct asking *asking = opaque;

	(void)error;
	asking->call = NULL;
}

/* A guest's words: 64 bits without a sign, of which JSON here has 63. */
static json_t *number_json(uint64_t number)
{
	return json_integer(number > INT64_MAX ? INT64_MAX : (json_int_t)number);
}

static json_t *statistics_json(const struct message_balloon_status *status)
{
	json_t *statistics = status->statistics_ns ? json_object() : json_null();
	int i;

	for (i = 0; status->statistics_ns && i < MESSAGE_BALLOON_STATISTICS; i++)
		if (status->statistics_known >> i & 1)
			(void)json_object_set_new(statistics, statistics_names[i], number_json(status->statistics[i]));
	return statistics;
}

static json_t *age_json(uint64_t at_ns)
{
	uint64_t now_ns = monotonic_ns();

	if (at_ns == 0)
		return json_null();
	return json_integer(now_ns > at_ns ? (json_int_t)((now_ns - at_ns) / NANOSECONDS_PER_MS) : 0);
}

static json_t *status_json(const struct asking *asking, const struct message_balloon_status *status)
{
	return json_pack("{s:s, s:o, s:o, s:o, s:o, s:o}", "vm", asking->vm, "target_mib",
			 number_json(status->target_bytes >> MIB_SHIFT), "actual_mib",
			 number_json(status->actual_bytes >> MIB_SHIFT), "reported_bytes",
			 number_json(status->reported_bytes), "statistics", statistics_json(status),
			 "statistics_age_ms", age_json(status->statistics_ns));
}

static void on_told(void *opaque, const struct pool_result *result, const struct message_balloon_status *status)
{
	struct rpc_error error = RPC_ERROR_INIT;
	struct asking *asking = opaque;
	struct call *call = asking->call;

	if (result->status == POOL_OK) {
		const struct undo undo = { .kind = asking->sets_target ? UNDO_BALLOON : UNDO_NOTHING,
					   .vm = asking->number,
					   .change = asking->change,
					   .target_mib = status->previous_target_mib };

		call_done(asking->server, call, status_json(asking, status), &undo);
	} else if (call && result->status == POOL_REFUSED && result->reason == REASON_NO_DEVICE) {
		(void)rpc_error_set_reason(&error, REASON_NO_DEVICE, "%s has no balloon", asking->vm);
		call_fail(call, &error);
	} else if (call) {
		workers_fail(call, result);
	}
	free(asking);
}

void method_vm_balloon(struct call *call)
{
	const struct guest *vm = guest_of_call(call);
	struct rpc_error error = RPC_ERROR_INIT;
	uint32_t target = (uint32_t)param_int(call->params, "target_mib", 0);
	struct asking *asking;

	if (!vm)
		return;
	if (target > pool_vm_shape(vm->pool_vm)->memory_size >> MIB_SHIFT) {
		(void)rpc_error_set(&error, RPC_INVALID_ARGUMENT, "%s has less memory than that", vm->id);
		rpc_error_add_field(&error, "target_mib");
		call_fail(call, &error);
		return;
	}
	asking = calloc(1, sizeof(*asking));
	if (!asking) {
		call_reply(call, NULL);
		return;
	}

	asking->server = call->server;
	asking->call = call;
	asking->sets_target = param_given(call->params, "target_mib");
	asking->change = pool_vm_balloon_changes(vm->pool_vm) + asking->sets_target;
	asking->number = vm->number;
	(void)guest_id_text(vm->number, asking->vm);
	call_on_abandon(call, on_abandoned, asking);
	pool_vm_balloon(vm->pool_vm, asking->sets_target ? &target : NULL, on_told, asking);
}
