/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The part of a machine that every guest finds: ports, lines, and the ways in which a guest ends its machine. For
 * machine.c only; users see machine.h.
 */
#ifndef EMBER_DEVICES_MACHINE_PLATFORM_H
#define EMBER_DEVICES_MACHINE_PLATFORM_H

#include "devices/machine.h"

/*
 * Make the devices that every machine has. The VM exists, and no vCPU yet.
 *
 * Returns 0, or -errno with the device in detail; devices that were made are the bus's.
 */
int machine_add_platform(struct machine *machine, struct error_detail *detail);

/*
 * On a vCPU's thread, after a device has served its access: did the guest end its machine by it, and how? The answer is
 * given once.
 */
bool machine_take_end(enum machine_exit *ret_end);

#endif
