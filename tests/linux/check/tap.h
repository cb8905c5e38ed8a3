/* SPDX-License-Identifier: Apache-2.0 */
#ifndef EMBER_TESTS_LINUX_CHECK_TAP_H
#define EMBER_TESTS_LINUX_CHECK_TAP_H

/*
 * Make a TAP device that stays, give the host's end of it an address in a network of 24 bits, and bring it up. One that
 * is there already is taken.
 */
void tap_make(const char *name, const char *address);

/* Ping an address on an interface until it answers three times; fails if it does not. */
void tap_ping(const char *name, const char *address);

#endif
