/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the kernel's command line tells init.
 */
#ifndef EMBER_TESTS_LINUX_GUEST_ARGUMENTS_H
#define EMBER_TESTS_LINUX_GUEST_ARGUMENTS_H

#include <stddef.h>

/* The value of "key=value" on the command line; empty where it is not there. */
void guest_argument(const char *key, char *ret_value, size_t size);

#endif
