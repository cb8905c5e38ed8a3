/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A log-linear histogram: each power of two is cut in 128 buckets of equal width.
 *
 * Values below 256 have a bucket each. Above, a bucket holds the values that agree in their eight highest bits, so
 * that its width is at most 1/128 of any value in it; a quantile is answered with the middle of its bucket and is
 * therefore at most half of that off. Recording is a shift and an increment, in a fixed table that covers all 64-bit
 * values: it never allocates, never saturates and never loses an outlier.
 */
#include "bench/histogram.h"

#include <math.h>
#include <string.h>

/* shift is how many low bits a bucket ignores; it and the eight highest bits make the index. */
static unsigned int bucket_of(uint64_t value)
{
	unsigned int highest_bit, shift;

	if (value < HISTOGRAM_SUB_BUCKETS)
		return (unsigned int)value;

	highest_bit = 63U - (unsigned int)__builtin_clzll(value);
	shift = highest_bit - HISTOGRAM_SUB_BUCKET_BITS;
	return shift * HISTOGRAM_SUB_BUCKETS + (unsigned int)(value >> shift);
}

static uint64_t middle_of_bucket(unsigned int bucket)
{
	unsigned int shift;
	uint64_t lowest;

	if (bucket < 2 * HISTOGRAM_SUB_BUCKETS)
		return bucket;

	shift = bucket / HISTOGRAM_SUB_BUCKETS - 1;
	lowest = (uint64_t)(bucket % HISTOGRAM_SUB_BUCKETS + HISTOGRAM_SUB_BUCKETS) << shift;
	return lowest + ((UINT64_C(1) << shift) - 1) / 2;
}

void histogram_clear(struct histogram *histogram)
{
	memset(histogram, 0, sizeof(*histogram));
}

void histogram_record(struct histogram *histogram, uint64_t value)
{
	if (histogram->count == 0 || value < histogram->min)
		histogram->min = value;
	if (value > histogram->max)
		histogram->max = value;
	histogram->counts[bucket_of(value)]++;
	histogram->count++;
	histogram->sum += (double)value;
}

void histogram_merge(struct histogram *histogram, const struct histogram *other)
{
	if (other->count == 0)
		return;

	for (unsigned int bucket = 0; bucket < HISTOGRAM_BUCKETS; bucket++)
		histogram->counts[bucket] += other->counts[bucket];
	if (histogram->count == 0 || other->min < histogram->min)
		histogram->min = other->min;
	if (other->max > histogram->max)
		histogram->max = other->max;
	histogram->count += other->count;
	histogram->sum += other->sum;
}

uint64_t histogram_quantile(const struct histogram *histogram, double quantile)
{
	uint64_t rank, seen = 0, value;
	unsigned int bucket;

	if (histogram->count == 0)
		return 0;
	if (!(quantile > 0.0))
		return histogram->min;

	rank = (uint64_t)ceil(quantile * (double)histogram->count);
	if (rank >= histogram->count)
		return histogram->max;

	for (bucket = 0; bucket < HISTOGRAM_BUCKETS; bucket++) {
		seen += histogram->counts[bucket];
		if (seen >= rank)
			break;
	}
	value = middle_of_bucket(bucket);
	if (value < histogram->min)
		return histogram->min;
	return value > histogram->max ? histogram->max : value;
}

double histogram_mean(const struct histogram *histogram)
{
	return histogram->count == 0 ? 0.0 : histogram->sum / (double)histogram->count;
}
