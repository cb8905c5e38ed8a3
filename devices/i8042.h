/* SPDX-License-Identifier: Apache-2.0 */
/*
 * As much of an i8042 keyboard controller as a guest needs to reset its machine: ports 0x60 and 0x64.
 */
#ifndef EMBER_DEVICES_I8042_H
#define EMBER_DEVICES_I8042_H

#include "devices/device.h"

#define I8042_PORT_DATA    0x60
#define I8042_PORT_COMMAND 0x64

/*
 * Make the controller.
 *
 * reset   called on the vCPU's thread when the guest pulses the reset line (command 0xfe, or 0xf0..0xff with bit 0 clear)
 *
 * Returns 0 or -ENOMEM. Register offset 0 at port 0x60 and offset 4 at port 0x64.
 */
int i8042_new(void (*reset)(void *opaque), void *opaque, struct device **ret_device);

#endif
