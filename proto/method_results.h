/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the methods answer with: the result fields that the rows of methods.c point at. For methods.c alone.
 */
#ifndef EMBER_PROTO_METHOD_RESULTS_H
#define EMBER_PROTO_METHOD_RESULTS_H

#include "proto/method.h"

extern const struct result_field result_server_ping[];
extern const struct result_field result_server_info[];
extern const struct result_field result_server_drain[];
extern const struct result_field result_pool_status[];
extern const struct result_field result_shape[];
extern const struct result_field result_shape_configured[];
extern const struct result_field result_snapshot[];
extern const struct result_field result_snapshot_list[];
extern const struct result_field result_snapshot_inspect[];
extern const struct result_field result_snapshot_verify[];
extern const struct result_field result_snapshot_remove[];
extern const struct result_field result_kernel[];
extern const struct result_field result_kernel_list[];
extern const struct result_field result_kernel_remove[];
extern const struct result_field result_vm_start[];
extern const struct result_field result_vm_state[];
extern const struct result_field result_vm_snapshot[];
extern const struct result_field result_vm_balloon[];
extern const struct result_field result_vm_end[];
extern const struct result_field result_vm_list[];
extern const struct result_field result_vm_info[];
extern const struct result_field result_vm_wait[];
extern const struct result_field result_vm_console[];
extern const struct result_field result_events_subscribe[];
extern const struct result_field result_rpc_cancel[];

#endif
