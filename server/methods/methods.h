/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The implementations of the protocol's methods; dispatch.c names each once. What they take and give is in the
 * protocol's table (proto/methods.c).
 */
#ifndef EMBER_SERVER_METHODS_METHODS_H
#define EMBER_SERVER_METHODS_METHODS_H

#include "server/call.h"

void method_server_ping(struct call *call);
void method_server_info(struct call *call);
void method_server_drain(struct call *call);

void method_events_subscribe(struct call *call);

void method_rpc_discover(struct call *call);
void method_rpc_cancel(struct call *call);

#endif
