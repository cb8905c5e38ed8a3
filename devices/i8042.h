/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An i8042 keyboard controller with nothing plugged in, by which a guest resets its machine: ports 0x60 and 0x64.
 */
#ifndef EMBER_DEVICES_I8042_H
#define EMBER_DEVICES_I8042_H

#include "devices/device.h"

#define I8042_PORT_DATA    0x60
#define I8042_PORT_COMMAND 0x64

#define I8042_COMMAND_RESET 0xfe /* at the command port: pulse the reset line */

extern const struct device_ops i8042_ops;

/*
 * Make the controller. Register device offset 0 at port 0x60 and device offset 4 at port 0x64, one port each.
 *
 * reset  called, without locks held, on the vCPU's thread that pulls the reset line: command 0xfe or another of 0xf0
 *        .. 0xff with bit 0 clear, or command 0xd1 followed by a byte with bit 0 clear
 *
 * Returns 0 or -ENOMEM. The caller (a bus) ends it through its ops.
 */
int i8042_new(void (*reset)(void *opaque), void *opaque, struct device **ret_device);

#endif
