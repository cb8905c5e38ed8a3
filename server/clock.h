/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The clock that every time stamp and deadline of the daemon counts on.
 */
#ifndef EMBER_SERVER_CLOCK_H
#define EMBER_SERVER_CLOCK_H

#include <stdint.h>
#include <sys/time.h>
#include <time.h>

#define NANOSECONDS_PER_MS UINT64_C(1000000)
#define NANOSECONDS_PER_US UINT64_C(1000)

/* CLOCK_MONOTONIC in nanoseconds. */
static inline uint64_t clock_now_ns(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
}

/* Milliseconds as libevent takes them. */
static inline struct timeval clock_timeval(uint32_t ms)
{
	return (struct timeval){ .tv_sec = ms / 1000, .tv_usec = (suseconds_t)(ms % 1000) * 1000 };
}

#endif
