/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The end of a test guest.
 */
#ifndef EMBER_TESTS_LINUX_GUEST_END_H
#define EMBER_TESTS_LINUX_GUEST_END_H

/* "poweroff", "reboot", or "panic": the end of init. Any thread. Anything else is taken for reboot. */
__attribute__((noreturn)) void guest_end(const char *how);

#endif
