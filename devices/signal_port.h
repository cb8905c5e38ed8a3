/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The signal port: how a guest tells its host that it is ready, or that something numbered has happened.
 *
 * A one-byte write of 0 says "ready"; of 1 .. 255 an event of that number. A one-byte read gives 'E'.
 */
#ifndef EMBER_DEVICES_SIGNAL_PORT_H
#define EMBER_DEVICES_SIGNAL_PORT_H

#include <stdint.h>

#include "devices/device.h"

#define SIGNAL_PORT       0x5e0
#define SIGNAL_READY      0
#define SIGNAL_PORT_PROBE 0x45

struct signal_record {
	uint64_t count;    /* how often the guest has signalled this number, snapshots included */
	uint64_t first_ns; /* CLOCK_MONOTONIC of the first and last time in this process; 0: not yet */
	uint64_t last_ns;
};

struct signal_port; /* begins with a struct device */

extern const struct device_ops signal_port_ops;

/*
 * Make the port. Register device offset 0 at the one port.
 *
 * signalled  called, without locks held, on the vCPU's thread after the number was counted; record is a copy. May be
 *            NULL.
 *
 * Returns 0 or -ENOMEM. The caller (a bus) ends it through its ops.
 */
int signal_port_new(void (*signalled)(void *opaque, uint8_t number, const struct signal_record *record), void *opaque,
		    struct signal_port **ret_port);
struct device *signal_port_device(struct signal_port *port);

/* What has been signalled so far under one number. Any thread. */
void signal_port_record(struct signal_port *port, uint8_t number, struct signal_record *ret_record);

#endif
