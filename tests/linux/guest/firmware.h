/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the host tells a guest through its firmware configuration device and its memory.
 */
#ifndef EMBER_TESTS_LINUX_GUEST_FIRMWARE_H
#define EMBER_TESTS_LINUX_GUEST_FIRMWARE_H

#include <stddef.h>
#include <stdint.h>

#define GENERATION_ID_SIZE 16

/*
 * Read a file that the host gives, such as "opt/ember/metadata", as it is now.
 *
 * Returns how many bytes there were, at most size; or -errno.
 */
long firmware_read(const char *name, void *bytes, size_t size);

/* The generation ID where ACPI says that it is. Returns 0 or -errno. */
int firmware_generation_id(uint8_t ret_id[GENERATION_ID_SIZE]);

/* How many interrupts the ACPI device for generic events has had, on all CPUs. */
unsigned long firmware_events(void);

#endif
