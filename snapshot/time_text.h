/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Points in time, and as text: RFC 3339, UTC, nanoseconds: "2025-01-02T03:04:05.000000006Z".
 */
#ifndef EMBER_SNAPSHOT_TIME_TEXT_H
#define EMBER_SNAPSHOT_TIME_TEXT_H

#include <stdint.h>

#define TIME_TEXT_SIZE 31 /* with the terminating NUL */

/* Nanoseconds since 1970 by the host's wall clock (CLOCK_REALTIME). */
uint64_t time_now(void);

/* unix_ns: nanoseconds since 1970, as CLOCK_REALTIME counts them. Every value has a text (the last is in 2554). */
void time_to_text(uint64_t unix_ns, char ret_text[static TIME_TEXT_SIZE]);

/* Takes exactly what time_to_text() gives. Returns 0 or -EINVAL. */
int time_from_text(const char *text, uint64_t *ret_unix_ns);

#endif
