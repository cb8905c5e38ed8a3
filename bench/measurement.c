/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What was measured of one kind of request: a histogram of the whole, one for each phase, and errors by status.
 *
 * Which phases there are is the daemon's business: names are learned from its answers. They are kept in the order of a
 * request, also where the first answers lacked some: a new name goes right after the one that came before it.
 *
 * Each client thread has a measurement of its own, so that recording takes no lock; they are merged at the end.
 */
#include "bench/measurement.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

size_t measurement_find_phase(const struct measurement *measurement, const char *name)
{
	for (size_t i = 0; i < measurement->phase_count; i++) {
		if (strncmp(measurement->phases[i].name, name, MEASUREMENT_NAME_SIZE - 1) == 0)
			return i;
	}
	return MEASUREMENT_PHASES_MAX;
}

static int insert_phase(struct measurement *measurement, size_t place, const char *name)
{
	struct phase *phase = &measurement->phases[place];
	struct histogram *histogram;

	if (measurement->phase_count == MEASUREMENT_PHASES_MAX)
		return -ENOSPC;
	histogram = calloc(1, sizeof(*histogram));
	if (histogram == NULL)
		return -ENOMEM;
	memmove(phase + 1, phase, (measurement->phase_count - place) * sizeof(*phase));
	snprintf(phase->name, sizeof(phase->name), "%s", name);
	phase->histogram = histogram;
	measurement->phase_count++;
	return 0;
}

/* The place of a phase, which is made after the one named previous if it is new. */
static int require_phase(struct measurement *measurement, const char *name, const char *previous, size_t *ret_place)
{
	size_t place = measurement_find_phase(measurement, name);
	int result;

	if (place == MEASUREMENT_PHASES_MAX) {
		place = previous == NULL ? 0 : measurement_find_phase(measurement, previous) + 1;
		if (place > measurement->phase_count)
			place = measurement->phase_count;
		result = insert_phase(measurement, place, name);
		if (result < 0)
			return result;
	}
	*ret_place = place;
	return 0;
}

int measurement_record_phase(struct measurement *measurement, const char *name, uint64_t nanoseconds,
			     const char **previous)
{
	size_t place = 0;
	int result;

	result = require_phase(measurement, name, *previous, &place);
	if (result < 0)
		return result;
	histogram_record(measurement->phases[place].histogram, nanoseconds);
	*previous = name;
	return 0;
}

static void count_errors(struct measurement *measurement, const char *status, uint64_t count)
{
	size_t i;

	measurement->error_count += count;
	for (i = 0; i < measurement->error_kinds; i++) {
		if (strncmp(measurement->errors[i].status, status, MEASUREMENT_NAME_SIZE - 1) == 0)
			break;
	}
	if (i == MEASUREMENT_ERRORS_MAX)
		return;
	if (i == measurement->error_kinds) {
		snprintf(measurement->errors[i].status, MEASUREMENT_NAME_SIZE, "%s", status);
		measurement->error_kinds++;
	}
	measurement->errors[i].count += count;
}

void measurement_record_error(struct measurement *measurement, const char *status)
{
	count_errors(measurement, status, 1);
}

int measurement_merge(struct measurement *measurement, const struct measurement *other)
{
	const char *previous = NULL;
	size_t place = 0;
	int result;

	histogram_merge(&measurement->total, &other->total);
	measurement->served_warm += other->served_warm;
	for (size_t i = 0; i < other->error_kinds; i++)
		count_errors(measurement, other->errors[i].status, other->errors[i].count);
	for (size_t i = 0; i < other->phase_count; i++) {
		result = require_phase(measurement, other->phases[i].name, previous, &place);
		if (result < 0)
			return result;
		histogram_merge(measurement->phases[place].histogram, other->phases[i].histogram);
		previous = other->phases[i].name;
	}
	return 0;
}

void measurement_release(struct measurement *measurement)
{
	for (size_t i = 0; i < measurement->phase_count; i++)
		free(measurement->phases[i].histogram);
	memset(measurement, 0, sizeof(*measurement));
}
