/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Starting a VM for a call: from an image, a kernel or a snapshot, through the pool, to the call's answer.
 */
#ifndef EMBER_SERVER_START_START_H
#define EMBER_SERVER_START_START_H

#include "server/call.h"

/* Serve vm.boot, vm.restore. Each takes the call over. */
void start_boot(struct call *call);
void start_restore(struct call *call);

#endif
