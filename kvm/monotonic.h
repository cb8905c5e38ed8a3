/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The clock that every time stamp and duration of ours is read from.
 */
#ifndef EMBER_KVM_MONOTONIC_H
#define EMBER_KVM_MONOTONIC_H

#include <stdint.h>
#include <time.h>

/* CLOCK_MONOTONIC in nanoseconds. It cannot fail; through the vDSO it is no system call on hosts with a sane TSC. */
static inline uint64_t monotonic_ns(void)
{
	struct timespec now = { 0 };

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
}

/* Nanoseconds since *since, which becomes now: for steps that follow one another. */
static inline uint64_t monotonic_lap(uint64_t *since)
{
	uint64_t now = monotonic_ns();
	uint64_t elapsed = now - *since;

	*since = now;
	return elapsed;
}

#endif
