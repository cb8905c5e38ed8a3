/* SPDX-License-Identifier: Apache-2.0 */
#ifndef EMBER_BENCH_MEASUREMENT_H
#define EMBER_BENCH_MEASUREMENT_H

#include "bench/histogram.h"

#include <stddef.h>
#include <stdint.h>

#define MEASUREMENT_NAME_SIZE  40
#define MEASUREMENT_PHASES_MAX 48
#define MEASUREMENT_ERRORS_MAX 24

/* One phase of a request, in nanoseconds. */
struct phase {
	char name[MEASUREMENT_NAME_SIZE];
	struct histogram *histogram;
};

/* How often requests failed with one status. */
struct error_count {
	char status[MEASUREMENT_NAME_SIZE];
	uint64_t count;
};

/* What was seen of one kind of request. All zero is a valid, empty measurement. Ends with measurement_release(). */
struct measurement {
	struct histogram total; /* nanoseconds, of those that succeeded */
	struct phase phases[MEASUREMENT_PHASES_MAX];
	size_t phase_count; /* in the order of a request */
	struct error_count errors[MEASUREMENT_ERRORS_MAX];
	size_t error_kinds;
	uint64_t error_count;
	uint64_t served_warm; /* answers that a warm slot gave */
};

/*
 * Count one phase of a request.
 *
 * name  cut at MEASUREMENT_NAME_SIZE. A new one takes its place after the phase that was recorded before it,
 *       *previous, which moves on; NULL there: the request's first
 *
 * Returns 0, -ENOMEM, or -ENOSPC: too many names.
 */
int measurement_record_phase(struct measurement *measurement, const char *name, uint64_t nanoseconds,
			     const char **previous);

/* Count a request that failed. status: gRPC's name for it, or a word of ours for a failure on this side. */
void measurement_record_error(struct measurement *measurement, const char *status);

/*
 * Add all that another measurement has seen.
 *
 * Returns 0, -ENOMEM or -ENOSPC; then some of it is missing.
 */
int measurement_merge(struct measurement *measurement, const struct measurement *other);

/* Free what the measurement owns, and empty it. */
void measurement_release(struct measurement *measurement);

/* Where a phase of this name stands, or MEASUREMENT_PHASES_MAX. */
size_t measurement_find_phase(const struct measurement *measurement, const char *name);

#endif
