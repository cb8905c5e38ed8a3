/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Time stamps and deadlines of the daemon count on kvm/monotonic.h's clock; here is what libevent and answers take of it.
 */
#ifndef EMBER_SERVER_CLOCK_H
#define EMBER_SERVER_CLOCK_H

#include <stdint.h>
#include <sys/time.h>

#include "kvm/monotonic.h"

#define NANOSECONDS_PER_MS UINT64_C(1000000)
#define NANOSECONDS_PER_US UINT64_C(1000)

/* Milliseconds as libevent takes them. */
static inline struct timeval clock_timeval(uint32_t ms)
{
	return (struct timeval){ .tv_sec = ms / 1000, .tv_usec = (suseconds_t)(ms % 1000) * 1000 };
}

#endif
