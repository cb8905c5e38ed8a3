/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two ports of the test machine by which a guest says how it ends: ACPI's sleep control register, and pvpanic.
 */
#ifndef EMBER_TESTS_LINUX_TEST_PORTS_H
#define EMBER_TESTS_LINUX_TEST_PORTS_H

#include "devices/bus.h"

#define TEST_PORT_SLEEP 0x600 /* control, and after it status */
#define TEST_PORT_PANIC 0x505

struct test_ports_events {
	void *opaque;
	void (*powered_off)(void *opaque); /* on a vCPU's thread; may come more than once */
	void (*panicked)(void *opaque);
};

/* Add both to a machine's bus before it runs. Returns 0 or -errno. */
int test_ports_add(struct bus *bus, const struct test_ports_events *events);

#endif
