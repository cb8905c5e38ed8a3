/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The histogram against exact quantiles of the same values, computed by sorting them.
 */
#include "bench/histogram.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>

#define VALUES 20000

static struct histogram histogram, other;
static uint64_t values[VALUES];

static const double quantiles[] = { 0.0, 0.001, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99, 0.999, 0.9999, 1.0 };

/* xorshift64: the same values in every run. */
static uint64_t next_random(void)
{
	static uint64_t state = UINT64_C(0x9e3779b97f4a7c15);

	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state;
}

static int compare_values(const void *left, const void *right)
{
	uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;

	return (a > b) - (a < b);
}

static uint64_t exact_quantile(size_t count, double quantile)
{
	size_t rank = (size_t)ceil(quantile * (double)count);

	return values[rank == 0 ? 0 : rank - 1];
}

/* Sorts the values, and compares every quantile of the histogram with the exact one. */
static void expect_quantiles(size_t count)
{
	qsort(values, count, sizeof(values[0]), compare_values);
	cr_assert_eq(histogram.count, count);
	cr_assert_eq(histogram.min, values[0]);
	cr_assert_eq(histogram.max, values[count - 1]);
	for (size_t i = 0; i < sizeof(quantiles) / sizeof(quantiles[0]); i++) {
		double exact = (double)exact_quantile(count, quantiles[i]);
		double measured = (double)histogram_quantile(&histogram, quantiles[i]);

		cr_assert(fabs(measured - exact) <= exact * 0.01, "quantile %g: %.0f, exactly %.0f", quantiles[i],
			  measured, exact);
	}
}

Test(histogram, is_empty_at_first)
{
	cr_assert_eq(histogram_quantile(&histogram, 0.5), 0);
	cr_assert_eq(histogram_quantile(&histogram, 1.0), 0);
	cr_assert_float_eq(histogram_mean(&histogram), 0.0, 0.0);
}

Test(histogram, is_exact_for_small_values)
{
	for (uint64_t value = 0; value < 256; value++)
		histogram_record(&histogram, value);
	for (uint64_t value = 0; value < 256; value++)
		cr_assert_eq(histogram_quantile(&histogram, ((double)value + 1.0) / 256.0), value);
	cr_assert_float_eq(histogram_mean(&histogram), 127.5, 1e-9);
}

Test(histogram, stays_within_one_percent_uniform)
{
	for (size_t i = 0; i < VALUES; i++) {
		values[i] = next_random() % 1000000;
		histogram_record(&histogram, values[i]);
	}
	expect_quantiles(VALUES);
}

Test(histogram, stays_within_one_percent_over_all_magnitudes)
{
	for (size_t i = 0; i < VALUES; i++) {
		values[i] = next_random() >> (next_random() % 64);
		histogram_record(&histogram, values[i]);
	}
	expect_quantiles(VALUES);
}

/* The two values at each power of two, where a bucket's width doubles. */
Test(histogram, stays_within_one_percent_at_bucket_edges)
{
	for (unsigned int bit = 0; bit < 64; bit++) {
		uint64_t edge = UINT64_C(1) << bit;

		for (int below = 0; below <= 1; below++) {
			histogram_clear(&histogram);
			values[0] = edge - (uint64_t)below;
			values[1] = values[0];
			values[2] = UINT64_MAX;
			for (size_t i = 0; i < 3; i++)
				histogram_record(&histogram, values[i]);
			expect_quantiles(3);
		}
	}
}

Test(histogram, holds_the_largest_value)
{
	histogram_record(&histogram, UINT64_MAX);
	histogram_record(&histogram, UINT64_MAX - 1);
	histogram_record(&histogram, 0);
	cr_assert_eq(histogram.max, UINT64_MAX);
	cr_assert_eq(histogram_quantile(&histogram, 1.0), UINT64_MAX);
	cr_assert_eq(histogram_quantile(&histogram, 0.0), 0);
}

Test(histogram, clamps_quantiles_out_of_range)
{
	histogram_record(&histogram, 1000);
	histogram_record(&histogram, 5000);
	cr_assert_eq(histogram_quantile(&histogram, -1.0), 1000);
	cr_assert_eq(histogram_quantile(&histogram, 2.0), 5000);
	cr_assert_eq(histogram_quantile(&histogram, (double)NAN), 1000);
}

Test(histogram, merges_as_if_recorded_in_one)
{
	for (size_t i = 0; i < VALUES; i++) {
		values[i] = next_random() >> (next_random() % 64);
		histogram_record(i % 3 == 0 ? &histogram : &other, values[i]);
	}
	histogram_merge(&histogram, &other);
	expect_quantiles(VALUES);
}

Test(histogram, merges_with_an_empty_one)
{
	histogram_record(&other, 42);
	histogram_merge(&histogram, &other);
	cr_assert_eq(histogram.min, 42);
	cr_assert_eq(histogram.max, 42);

	histogram_clear(&other);
	histogram_merge(&histogram, &other);
	cr_assert_eq(histogram.count, 1);
	cr_assert_eq(histogram.min, 42);
}
