/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A rate limit: two token buckets, one of bytes and one of operations.
 */
#ifndef EMBER_DEVICES_VIRTIO_RATE_LIMIT_H
#define EMBER_DEVICES_VIRTIO_RATE_LIMIT_H

#include <stdint.h>

/* A limit of one kind. A rate of 0 is no limit. */
struct token_rate {
	uint64_t per_second;
	uint64_t burst; /* tokens that may be spent at once after a pause; 0: as many as a second gives */
};

struct rate_limit_options {
	struct token_rate bytes;
	struct token_rate operations;
};

struct token_bucket {
	uint64_t per_second;
	uint64_t burst;
	int64_t tokens;     /* negative: a debt, which is paid off before anything else is let through */
	uint64_t filled_ns; /* when tokens was right */
};

struct rate_limit {
	struct token_bucket bytes;
	struct token_bucket operations;
};

/* Start with full buckets. options may be NULL: no limit. now_ns: CLOCK_MONOTONIC, here and below. */
void rate_limit_init(struct rate_limit *limit, const struct rate_limit_options *options, uint64_t now_ns);

/*
 * May an operation begin?
 *
 * Returns 0 (yes), or when to ask again, in nanoseconds of CLOCK_MONOTONIC, later than now_ns.
 */
uint64_t rate_limit_next(struct rate_limit *limit, uint64_t now_ns);

/*
 * Account for an operation that was let through: it may cost more than there is, and leave a debt. Or for the bytes
 * alone of one that was not finished, and will be begun again.
 */
void rate_limit_charge(struct rate_limit *limit, uint64_t bytes);
void rate_limit_charge_bytes(struct rate_limit *limit, uint64_t bytes);

#endif
