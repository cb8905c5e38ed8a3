/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Power: the sleep registers by which a guest turns itself off (ACPI 6.4, 4.8.3.7), and the button by which its host
 * asks it to.
 */
#ifndef EMBER_DEVICES_POWER_H
#define EMBER_DEVICES_POWER_H

#include "devices/device.h"

#define POWER_PORT       0x600 /* sleep control; sleep status follows it */
#define POWER_PORT_COUNT 2
#define POWER_BUTTON_GSI 22 /* an edge of this line: the button was pressed */

struct power_options {
	void *opaque;
	/* The guest turns itself off. Called on the vCPU's thread, without locks held. */
	void (*power_off)(void *opaque);
	struct irq_line button;
};

struct power; /* begins with a struct device */

extern const struct device_ops power_ops;

/*
 * Make the registers and the button. Register device offset 0 at POWER_PORT, POWER_PORT_COUNT ports.
 *
 * Returns 0 or -ENOMEM. The caller (a bus) ends it through its ops.
 */
int power_new(const struct power_options *options, struct power **ret_power);
struct device *power_device(struct power *power);

/*
 * Press the power button. Any thread. What a guest does of it is its own: one that has no driver for it does not
 * notice. A press before a restore is overwritten by it.
 */
void power_press(struct power *power);

#endif
