/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest kernel's log.
 */
#ifndef EMBER_TESTS_LINUX_GUEST_KERNEL_LOG_H
#define EMBER_TESTS_LINUX_GUEST_KERNEL_LOG_H

#define KERNEL_LOG_WARNING 4

/*
 * Read the log from its beginning.
 *
 * level  0 (emergency) to 7 (debug): only lines of this and graver levels
 * line   called for each, with "LEVEL MICROSECONDS TEXT": microseconds of the kernel's clock
 *
 * Returns 0 or -errno.
 */
int kernel_log_read(int level, void (*line)(void *opaque, const char *text), void *opaque);

#endif
