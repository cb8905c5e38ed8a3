/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Starting a VM for a call: from an image or a snapshot, through the pool, to the call's answer.
 */
#ifndef EMBER_SERVER_GUEST_START_H
#define EMBER_SERVER_GUEST_START_H

#include <stdint.h>

#include "server/call.h"
#include "snapshot/catalog.h"

/* Serve vm.boot, vm.restore. Each takes the call over. */
void guest_start_boot(struct call *call);
void guest_start_restore(struct call *call);

#endif
