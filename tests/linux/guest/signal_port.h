/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a test guest signals to its host, by the signal port.
 */
#ifndef EMBER_TESTS_LINUX_GUEST_SIGNAL_PORT_H
#define EMBER_TESTS_LINUX_GUEST_SIGNAL_PORT_H

enum guest_event {
	GUEST_READY = 0,
	GUEST_EVENT_SNAPSHOT = 1,      /* take a snapshot, if you were told to */
	GUEST_EVENT_POWER_BUTTON = 2,  /* press my power button */
	GUEST_EVENT_GENERATION_ID = 3, /* give me a new generation ID */
};

/* Signal; prints when, and when the guest went on, by its own clock. */
void guest_signal(enum guest_event event);

#endif
