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

void method_pool_status(struct call *call);
void method_pool_configure(struct call *call);

void method_snapshot_register(struct call *call);
void method_snapshot_list(struct call *call);
void method_snapshot_inspect(struct call *call);
void method_snapshot_verify(struct call *call);
void method_snapshot_remove(struct call *call);

void method_kernel_add(struct call *call);
void method_kernel_list(struct call *call);
void method_kernel_inspect(struct call *call);
void method_kernel_remove(struct call *call);

void method_vm_boot(struct call *call);
void method_vm_restore(struct call *call);
void method_vm_pause(struct call *call);
void method_vm_resume(struct call *call);
void method_vm_snapshot(struct call *call);
void method_vm_release(struct call *call);
void method_vm_kill(struct call *call);
void method_vm_power_button(struct call *call);
void method_vm_balloon(struct call *call);
void method_vm_list(struct call *call);
void method_vm_info(struct call *call);
void method_vm_wait(struct call *call);
void method_vm_console(struct call *call);

void method_events_subscribe(struct call *call);

void method_rpc_discover(struct call *call);
void method_rpc_cancel(struct call *call);

#endif
