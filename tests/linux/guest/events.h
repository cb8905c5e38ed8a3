/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a guest sees of its ACPI events, and of its entropy device.
 */
#ifndef EMBER_TESTS_LINUX_GUEST_EVENTS_H
#define EMBER_TESTS_LINUX_GUEST_EVENTS_H

/* Have the power button pressed, and wait for it. Prints "guest: power button pressed" when it came. */
void guest_power_button(void);

/* Have the generation ID changed. Prints "guest: generation id OLD to NEW, N events". */
void guest_generation_id(void);

/* Read from the entropy device twice. Prints "guest: entropy X Y". */
void guest_entropy(void);

#endif
