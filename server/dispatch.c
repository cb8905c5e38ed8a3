/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of implementations, and the checks that stand before every one of them: does the method exist, may the peer
 * call it, are its parameters right, is there time left. An implementation finds all of that settled.
 */
#include <errno.h>
#include <string.h>

#include "server/cleanup.h"
#include "server/dispatch.h"
#include "server/methods/methods.h"
#include "server/server.h"

static const struct implementation {
	const char *name;
	dispatch_method *serve;
} implementations[] = {
	/* clang-format off: one a line */
	{ "server.ping", method_server_ping },
	{ "server.info", method_server_info },
	{ "server.drain", method_server_drain },
	{ "pool.status", method_pool_status },
	{ "pool.configure", method_pool_configure },
	{ "snapshot.register", method_snapshot_register },
	{ "snapshot.list", method_snapshot_list },
	{ "snapshot.inspect", method_snapshot_inspect },
	{ "snapshot.verify", method_snapshot_verify },
	{ "snapshot.remove", method_snapshot_remove },
	{ "kernel.add", method_kernel_add },
	{ "kernel.list", method_kernel_list },
	{ "kernel.inspect", method_kernel_inspect },
	{ "kernel.remove", method_kernel_remove },
	{ "vm.boot", method_vm_boot },
	{ "vm.restore", method_vm_restore },
	{ "vm.pause", method_vm_pause },
	{ "vm.resume", method_vm_resume },
	{ "vm.snapshot", method_vm_snapshot },
	{ "vm.release", method_vm_release },
	{ "vm.kill", method_vm_kill },
	{ "vm.power_button", method_vm_power_button },
	{ "vm.balloon", method_vm_balloon },
	{ "vm.list", method_vm_list },
	{ "vm.info", method_vm_info },
	{ "vm.wait", method_vm_wait },
	{ "vm.console", method_vm_console },
	{ "events.subscribe", method_events_subscribe },
	{ "rpc.discover", method_rpc_discover },
	{ "rpc.cancel", method_rpc_cancel },
	/* clang-format on */
};

#define IMPLEMENTATION_COUNT (sizeof(implementations) / sizeof(implementations[0]))

static dispatch_method *find_implementation(const char *name)
{
	size_t i;

	for (i = 0; i < IMPLEMENTATION_COUNT; i++)
		if (!strcmp(implementations[i].name, name))
			return implementations[i].serve;
	return NULL;
}

int dispatch_check(struct error_detail *detail)
{
	size_t count, i;
	const struct method *table = method_table(&count);

	for (i = 0; i < count; i++)
		if (!find_implementation(table[i].name)) {
			error_detail_set(detail, "the method %s has no implementation", table[i].name);
			return -ENOSYS;
		}
	for (i = 0; i < IMPLEMENTATION_COUNT; i++)
		if (!method_find(implementations[i].name)) {
			error_detail_set(detail, "the implementation %s is of no method", implementations[i].name);
			return -ENOSYS;
		}
	return 0;
}

/*
 * Everything that can be wrong with a request before it is served. Returns 0 with new params, or an error that is
 * set.
 */
static int check_request(const struct server *server, const struct method *method, enum role role, const json_t *params,
			 json_t **ret_params, struct rpc_error *error)
{
	cleanup_json json_t *checked = NULL;
	int failed;

	failed = method_check_role(method, role, error);
	if (!failed)
		failed = method_validate(method, params, &checked, error);
	if (!failed)
		failed = method_check_param_roles(method, checked, role, error);
	if (failed)
		return failed;

	if (server->state == SERVER_STOPPING)
		return rpc_error_set(error, RPC_DRAINING, "the daemon is stopping");
	if (param_deadline_ms(checked) == 0)
		return rpc_error_set(error, RPC_DEADLINE_EXCEEDED, "the deadline had passed before %s was begun",
				     method->name);

	*ret_params = steal_pointer(checked);
	return 0;
}

void dispatch(struct server *server, const struct call_origin *origin, const char *name, const json_t *params)
{
	enum role role = peer_role(origin->peer, &server->config);
	struct rpc_error error = RPC_ERROR_INIT;
	const struct method *method = NULL;
	json_t *checked = NULL;
	struct call *call;
	int failed;

	failed = method_lookup(name, &method, &error);
	if (!failed)
		failed = check_request(server, method, role, params, &checked, &error);
	if (!failed && call_new(server, method, checked, origin, role, param_deadline_ms(checked), &call))
		failed = rpc_error_set(&error, RPC_INTERNAL, "the daemon is out of memory");
	if (failed) {
		origin->ops->answer(origin->opaque, NULL, &error, NULL);
		rpc_error_release(&error);
		return;
	}

	find_implementation(name)(call);
}
