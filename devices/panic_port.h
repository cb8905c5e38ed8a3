/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The panic port: how a guest's kernel tells its host that it has panicked. A pvpanic device (QEMU,
 * docs/specs/pvpanic.rst) at one I/O port.
 */
#ifndef EMBER_DEVICES_PANIC_PORT_H
#define EMBER_DEVICES_PANIC_PORT_H

#include "devices/device.h"

#define PANIC_PORT 0x505

/* Events, a bit each. This is the one that is offered: who reads the port is told so. */
#define PANIC_PORT_PANICKED 0x01

extern const struct device_ops panic_port_ops;

/*
 * Make the port. Register device offset 0 at the one port.
 *
 * panicked  called, without locks held, on the vCPU's thread that writes the event
 *
 * Returns 0 or -ENOMEM. The caller (a bus) ends it through its ops.
 */
int panic_port_new(void (*panicked)(void *opaque), void *opaque, struct device **ret_device);

#endif
