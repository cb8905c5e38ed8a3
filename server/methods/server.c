/* SPDX-License-Identifier: Apache-2.0 */
/*
 * server.*: the daemon about itself.
 */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "kvm/host.h"
#include "pool/pool.h"
#include "server/clock.h"
#include "server/jobs/jobs.h"
#include "server/methods/methods.h"
#include "server/server.h"

static json_int_t uptime_ms(const struct server *server)
{
	return (json_int_t)((monotonic_ns() - server->started_ns) / NANOSECONDS_PER_MS);
}

void method_server_ping(struct call *call)
{
	call_reply(call, json_pack("{s:b, s:s, s:I}", "pong", 1, "version", EMBER_VERSION, "uptime_ms",
				   uptime_ms(call->server)));
}

/* Every role up to the caller's own. */
static json_t *roles_json(enum role role)
{
	json_t *roles = json_array();
	int step;

	for (step = ROLE_OBSERVE; step <= (int)role; step++)
		(void)json_array_append_new(roles, json_string(role_name((enum role)step)));
	return roles;
}

static json_t *kvm_json(const struct pool *pool)
{
	const struct message_host *host = pool_host(pool);
	json_t *capabilities = json_object();
	uint32_t i;

	for (i = 0; i < host->capability_count && i < host_capability_count; i++)
		(void)json_object_set_new(capabilities, host_capabilities[i].name,
					  json_integer(host->capability_values[i]));
	return json_pack("{s:i, s:o, s:I, s:I, s:I, s:b, s:b, s:b, s:I, s:I}", "api_version", (int)host->api_version,
			 "capabilities", capabilities, "msrs_saved", (json_int_t)host->msr_count, "xsave_size",
			 (json_int_t)host->xsave_size, "tsc_khz", (json_int_t)host->tsc_khz, "tsc_settable",
			 (int)(host->tsc_settable != 0), "tsc_advances", (int)(host->tsc_advances != 0),
			 "tsc_rate_wrong", (int)(host->tsc_rate_wrong != 0), "tsc_measured_khz",
			 (json_int_t)host->tsc_measured_khz, "cpuid_entries", (json_int_t)host->cpuid_count);
}

static json_t *helpers_json(const struct jobs *jobs)
{
	struct jobs_counts counts;

	jobs_count(jobs, &counts);
	return json_pack("{s:I, s:I, s:I, s:I, s:I}", "processes", (json_int_t)counts.helpers, "running",
			 (json_int_t)counts.running, "waiting", (json_int_t)counts.waiting, "stuck",
			 (json_int_t)counts.stuck, "given_up", (json_int_t)counts.given_up);
}

void method_server_info(struct call *call)
{
	const struct server *server = call->server;

	call_reply(call, json_pack("{s:s, s:s, s:i, s:I, s:o, s:o, s:s, s:I, s:o, s:o}", "version", EMBER_VERSION,
				   "instance", server->instance, "pid", (int)getpid(), "uptime_ms", uptime_ms(server),
				   "kvm", kvm_json(server->pool), "limits", config_limits(&server->config), "state_dir",
				   server->config.state_dir, "connections", (json_int_t)server->connection_count,
				   "roles", roles_json(call->role), "helpers", helpers_json(server->jobs)));
}

/* A server.drain call that waits. */
struct drain_call {
	struct server_drain drain;
	struct call *call;
	bool stop;
};

static void on_drained(struct server_drain *drain)
{
	struct drain_call *own = (struct drain_call *)drain;
	struct call *call = own->call;
	struct server *server = call->server;
	bool stop = own->stop;

	free(own);
	call_reply(call, json_pack("{s:b, s:b}", "drained", 1, "stopping", (int)stop));
	if (stop)
		server_stop(server, "server.drain");
}

/* A deadline ends the wait, not the wish; a caller that cancels or goes away takes the wish back. */
static void on_drain_abandoned(void *opaque, struct rpc_error *error)
{
	struct drain_call *own = opaque;
	struct server *server = own->call->server;

	if (own->stop && error->code == RPC_DEADLINE_EXCEEDED)
		server_stop(server, "server.drain: the deadline passed");
	server_drain_remove(server, &own->drain);
	free(own);
}

void method_server_drain(struct call *call)
{
	struct drain_call *own = calloc(1, sizeof(*own));

	if (!own) {
		call_reply(call, NULL);
		return;
	}

	own->call = call;
	own->stop = param_bool(call->params, "stop");
	own->drain.drained = on_drained;
	call_on_abandon(call, on_drain_abandoned, own);
	server_drain_add(call->server, &own->drain);
}
