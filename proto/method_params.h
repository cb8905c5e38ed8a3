/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the methods take: the parameters, and the rules between them, that the rows of methods.c point at. For methods.c
 * alone.
 */
#ifndef EMBER_PROTO_METHOD_PARAMS_H
#define EMBER_PROTO_METHOD_PARAMS_H

#include "proto/method.h"

extern const struct param params_server_drain[];
extern const struct param params_pool_configure[];
extern const struct param params_snapshot_register[];
extern const struct param params_snapshot_name[];
extern const struct param params_snapshot_remove[];
extern const struct param params_kernel_add[];
extern const struct param params_kernel_name[];
extern const struct param params_vm_boot[];
extern const struct param_rule rules_vm_boot[];
extern const struct param params_vm_restore[];
extern const struct param_rule rules_vm_restore[];
extern const struct param params_vm[];
extern const struct param params_vm_snapshot[];
extern const struct param_rule rules_vm_snapshot[];
extern const struct param params_vm_wait[];
extern const struct param_rule rules_vm_wait[];
extern const struct param params_vm_console[];
extern const struct param_rule rules_vm_console[];
extern const struct param params_vm_balloon[];
extern const struct param params_events_subscribe[];
extern const struct param params_rpc_cancel[];

#endif
