/* SPDX-License-Identifier: Apache-2.0 */
#ifndef EMBER_BENCH_HISTOGRAM_H
#define EMBER_BENCH_HISTOGRAM_H

#include <stdint.h>

/* 2^7 buckets for each power of two: a bucket is at most 1/128 (0.78 %) of the values in it wide. */
#define HISTOGRAM_SUB_BUCKET_BITS 7
#define HISTOGRAM_SUB_BUCKETS     (1U << HISTOGRAM_SUB_BUCKET_BITS)
#define HISTOGRAM_BUCKETS         ((64 - HISTOGRAM_SUB_BUCKET_BITS + 1) * HISTOGRAM_SUB_BUCKETS)

/*
 * Counts of 64-bit values, in whatever unit the caller keeps to. All zero is a valid, empty histogram. It is 58 KiB:
 * allocate it, or make it static.
 */
struct histogram {
	uint64_t counts[HISTOGRAM_BUCKETS];
	uint64_t count; /* values recorded */
	uint64_t min;   /* smallest value, exactly; meaningless while count is 0 */
	uint64_t max;   /* largest value, exactly; 0 while count is 0 */
	double sum;     /* of all values */
};

/* Forget every value. */
void histogram_clear(struct histogram *histogram);

/* Count one value; any 64-bit value is in range. */
void histogram_record(struct histogram *histogram, uint64_t value);

/* Add every value of another histogram, as if they had been recorded here. */
void histogram_merge(struct histogram *histogram, const struct histogram *other);

/*
 * The value at a quantile, by nearest rank: the smallest recorded value such that at least that share of the values is
 * not larger.
 *
 * quantile  0.0 (the minimum) to 1.0 (the maximum); what lies outside is taken as the nearest of the two
 *
 * Returns the value, at most 0.4 % off (exact below 256, for the minimum and for the maximum); 0 if there are none.
 */
uint64_t histogram_quantile(const struct histogram *histogram, double quantile);

/* The arithmetic mean, not rounded to buckets; 0 if there are no values. */
double histogram_mean(const struct histogram *histogram);

#endif
