/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Measurements: phases learned in the order of a request, errors by status, and merging.
 */
#include "bench/measurement.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>

static struct measurement measurement, other;

static void record_request(struct measurement *into, const char *const *names, uint64_t nanoseconds)
{
	const char *previous = NULL;

	for (; *names != NULL; names++)
		cr_assert_eq(measurement_record_phase(into, *names, nanoseconds, &previous), 0);
}

static void expect_order(const struct measurement *of, const char *const *names)
{
	size_t count = 0;

	for (; names[count] != NULL; count++) {
		cr_assert_lt(count, of->phase_count);
		cr_assert_str_eq(of->phases[count].name, names[count]);
	}
	cr_assert_eq(of->phase_count, count);
}

static void release_both(void)
{
	measurement_release(&measurement);
	measurement_release(&other);
}

TestSuite(measurement, .fini = release_both);

Test(measurement, keeps_phases_in_the_order_of_a_request)
{
	record_request(&measurement, (const char *const[]){ "queue", "enter", NULL }, 1);
	record_request(&measurement, (const char *const[]){ "queue", "fork", "memory_map", "enter", "rpc", NULL }, 2);
	record_request(&measurement, (const char *const[]){ "late", "queue", NULL }, 3);
	expect_order(&measurement,
		     (const char *const[]){ "late", "queue", "fork", "memory_map", "enter", "rpc", NULL });
	cr_assert_eq(measurement.phases[1].histogram->count, 3);
	cr_assert_eq(measurement.phases[2].histogram->count, 1);
}

Test(measurement, refuses_more_phases_than_it_has_room_for)
{
	const char *previous = NULL;
	char names[MEASUREMENT_PHASES_MAX + 1][8];

	for (int i = 0; i < MEASUREMENT_PHASES_MAX; i++) {
		snprintf(names[i], sizeof(names[i]), "p%d", i);
		cr_assert_eq(measurement_record_phase(&measurement, names[i], 1, &previous), 0);
	}
	cr_assert_eq(measurement_record_phase(&measurement, "one more", 1, &previous), -ENOSPC);
	cr_assert_eq(measurement_record_phase(&measurement, "p0", 1, &previous), 0);
}

Test(measurement, counts_errors_by_status)
{
	measurement_record_error(&measurement, "RESOURCE_EXHAUSTED");
	measurement_record_error(&measurement, "UNAVAILABLE");
	measurement_record_error(&measurement, "RESOURCE_EXHAUSTED");
	cr_assert_eq(measurement.error_count, 3);
	cr_assert_eq(measurement.error_kinds, 2);
	cr_assert_str_eq(measurement.errors[0].status, "RESOURCE_EXHAUSTED");
	cr_assert_eq(measurement.errors[0].count, 2);
}

Test(measurement, counts_every_error_though_it_has_room_for_some_statuses_only)
{
	char status[8];

	for (int i = 0; i < MEASUREMENT_ERRORS_MAX + 5; i++) {
		snprintf(status, sizeof(status), "S%d", i);
		measurement_record_error(&measurement, status);
	}
	cr_assert_eq(measurement.error_count, MEASUREMENT_ERRORS_MAX + 5);
	cr_assert_eq(measurement.error_kinds, MEASUREMENT_ERRORS_MAX);
}

Test(measurement, merges)
{
	record_request(&measurement, (const char *const[]){ "queue", "enter", NULL }, 1000);
	histogram_record(&measurement.total, 2000);
	measurement_record_error(&measurement, "UNAVAILABLE");

	record_request(&other, (const char *const[]){ "queue", "fork", "enter", NULL }, 3000);
	histogram_record(&other.total, 9000);
	measurement_record_error(&other, "UNAVAILABLE");
	measurement_record_error(&other, "INTERNAL");
	other.served_warm = 1;

	cr_assert_eq(measurement_merge(&measurement, &other), 0);
	expect_order(&measurement, (const char *const[]){ "queue", "fork", "enter", NULL });
	cr_assert_eq(measurement.phases[0].histogram->max, 3000);
	cr_assert_eq(measurement.phases[0].histogram->min, 1000);
	cr_assert_eq(measurement.total.count, 2);
	cr_assert_eq(measurement.error_count, 3);
	cr_assert_eq(measurement.errors[0].count, 2);
	cr_assert_eq(measurement.served_warm, 1);
}
