/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rpc.*: the protocol about itself; and events.subscribe, which makes a connection hear of things it did not ask for.
 */
#include <errno.h>

#include "proto/openrpc.h"
#include "server/cleanup.h"
#include "server/connection.h"
#include "server/methods/methods.h"
#include "server/server.h"

void method_rpc_discover(struct call *call)
{
	struct server *server = call->server;

	/* It never changes, so it is formed once. */
	if (!server->openrpc)
		(void)openrpc_document(EMBER_VERSION, &server->openrpc);
	call_reply(call, json_incref(server->openrpc));
}

void method_rpc_cancel(struct call *call)
{
	const json_t *id = json_object_get(call->params, "id");
	bool cancelled = false;

	/* Over HTTP there is no second call on the same connection. */
	if (call->origin.connection)
		cancelled = connection_cancel(call->origin.connection, id, call);
	call_reply(call, json_pack("{s:b}", "cancelled", (int)cancelled));
}

void method_events_subscribe(struct call *call)
{
	json_t *kinds = json_object_get(call->params, "kinds"), *name;
	struct connection *connection = call->origin.connection;
	unsigned int bits = 0;
	uint64_t number;
	size_t i;
	int error;

	json_array_foreach(kinds, i, name) {
		enum event_kind kind;

		if (event_kind_parse(json_string_value(name), &kind) == 0)
			bits |= 1U << kind;
	}

	error = connection ? connection_subscribe(connection, bits, &number) : -EOPNOTSUPP;
	if (error == -EOPNOTSUPP)
		call_fail_with(call, RPC_FAILED_PRECONDITION, "events need a connection that stays");
	else if (error == -ENOSPC)
		call_fail_with(call, RPC_RESOURCE_EXHAUSTED, "this connection has %u subscriptions already",
			       call->server->config.subscriptions_max);
	else
		call_reply(call,
			   error ? NULL : json_pack("{s:I, s:O}", "subscription", (json_int_t)number, "kinds", kinds));
}
