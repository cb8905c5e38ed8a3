/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who a guest is: what makes two clones of one snapshot two.
 */
#ifndef EMBER_TESTS_LINUX_GUEST_IDENTITY_H
#define EMBER_TESTS_LINUX_GUEST_IDENTITY_H

#include <stddef.h>

#define IDENTITY_TEXT_MAX 8192

/* Remember the generation in which the guest was started. Before any other thread runs. */
void identity_begin(void);

/*
 * Describe the guest, as one line of JSON. In a new generation the kernel's random generator is seeded anew first. Any
 * thread.
 *
 * {"generation_id": HEX, "generation_id_memory": HEX, "events": N, "cid": N, "mac": TEXT or null, "uptime_ns": N,
 *  "realtime_ns": N, "random": HEX, "reseeds": N, "metadata": what the host gave or null} or {"error": TEXT}
 *
 * Returns its length.
 */
size_t identity_describe(char text[IDENTITY_TEXT_MAX]);

#endif
