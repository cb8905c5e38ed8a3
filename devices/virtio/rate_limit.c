/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A rate limit of two token buckets.
 *
 * An operation is let through while neither bucket is empty, and pays afterwards, when its size is known: a single
 * large operation is never stuck behind a small bucket, and its debt delays the next one by exactly what it took too
 * much. Sums saturate, so that no rate and no pause overflows them; tokens that a fraction of a tick would give are not
 * lost, because time advances only by what whole tokens are worth.
 */
#include "devices/virtio/rate_limit.h"

#include <stdbool.h>

#define SECOND_NS  UINT64_C(1000000000)
#define TOKENS_MAX (UINT64_C(1) << 62)
#define DEBT_MAX   ((int64_t)(TOKENS_MAX - 1)) /* so that what is missing to a full bucket fits */

/* A product over a second that neither wraps nor exceeds what a bucket counts. */
static uint64_t scale(uint64_t value, uint64_t multiplier, uint64_t divisor)
{
	unsigned __int128 scaled = (unsigned __int128)value * multiplier / divisor;

	return scaled > TOKENS_MAX ? TOKENS_MAX : (uint64_t)scaled;
}

static void bucket_init(struct token_bucket *bucket, const struct token_rate *rate, uint64_t now_ns)
{
	uint64_t burst = rate->burst > 0 ? rate->burst : rate->per_second;

	if (burst > TOKENS_MAX)
		burst = TOKENS_MAX;
	*bucket = (struct token_bucket){
		.per_second = rate->per_second,
		.burst = burst,
		.tokens = (int64_t)burst,
		.filled_ns = now_ns,
	};
}

void rate_limit_init(struct rate_limit *limit, const struct rate_limit_options *options, uint64_t now_ns)
{
	static const struct rate_limit_options none = { .bytes = { 0 } };

	if (!options)
		options = &none;
	bucket_init(&limit->bytes, &options->bytes, now_ns);
	bucket_init(&limit->operations, &options->operations, now_ns);
}

static void bucket_fill(struct token_bucket *bucket, uint64_t now_ns)
{
	uint64_t missing = (uint64_t)((int64_t)bucket->burst - bucket->tokens);
	uint64_t earned;

	if (now_ns <= bucket->filled_ns)
		return;

	earned = scale(now_ns - bucket->filled_ns, bucket->per_second, SECOND_NS);
	if (earned >= missing) {
		bucket->tokens = (int64_t)bucket->burst;
		bucket->filled_ns = now_ns;
		return;
	}

	bucket->tokens += (int64_t)earned;
	bucket->filled_ns += scale(earned, SECOND_NS, bucket->per_second);
}

/* 0, or when the bucket has a token. */
static uint64_t bucket_next(struct token_bucket *bucket, uint64_t now_ns)
{
	uint64_t wait;

	if (bucket->per_second == 0)
		return 0;
	bucket_fill(bucket, now_ns);
	if (bucket->tokens > 0)
		return 0;

	wait = scale((uint64_t)(1 - bucket->tokens), SECOND_NS, bucket->per_second) + 1;
	return bucket->filled_ns + wait > now_ns ? bucket->filled_ns + wait : now_ns + 1;
}

uint64_t rate_limit_next(struct rate_limit *limit, uint64_t now_ns)
{
	uint64_t bytes = bucket_next(&limit->bytes, now_ns);
	uint64_t operations = bucket_next(&limit->operations, now_ns);

	return bytes > operations ? bytes : operations;
}

static void bucket_charge(struct token_bucket *bucket, uint64_t cost)
{
	if (bucket->per_second == 0)
		return;

	bucket->tokens -= (int64_t)(cost < TOKENS_MAX ? cost : TOKENS_MAX);
	if (bucket->tokens < -DEBT_MAX)
		bucket->tokens = -DEBT_MAX;
}

void rate_limit_charge(struct rate_limit *limit, uint64_t bytes)
{
	bucket_charge(&limit->bytes, bytes);
	bucket_charge(&limit->operations, 1);
}

void rate_limit_charge_bytes(struct rate_limit *limit, uint64_t bytes)
{
	bucket_charge(&limit->bytes, bytes);
}
