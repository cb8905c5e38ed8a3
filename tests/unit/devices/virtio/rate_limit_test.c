/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rate limits, against a clock of the test's own.
 */
#include <criterion/criterion.h>

#include "devices/virtio/rate_limit.h"

#define SECOND UINT64_C(1000000000)
#define START  (1000 * SECOND)

Test(rate_limit, no_limit_lets_everything_through)
{
	struct rate_limit limit;

	rate_limit_init(&limit, NULL, START);
	for (int i = 0; i < 1000; i++) {
		cr_assert_eq(rate_limit_next(&limit, START), 0);
		rate_limit_charge(&limit, UINT64_MAX);
	}
}

Test(rate_limit, a_burst_and_then_the_rate)
{
	const struct rate_limit_options options = { .operations = { .per_second = 10, .burst = 3 } };
	struct rate_limit limit;
	uint64_t now = START;

	rate_limit_init(&limit, &options, now);
	for (int i = 0; i < 3; i++) {
		cr_assert_eq(rate_limit_next(&limit, now), 0);
		rate_limit_charge(&limit, 0);
	}
	for (int i = 0; i < 100; i++) {
		uint64_t next = rate_limit_next(&limit, now);

		cr_assert_gt(next, now);
		cr_assert_leq(next - now, SECOND / 10 + 2);
		now = next;
		cr_assert_eq(rate_limit_next(&limit, now), 0);
		rate_limit_charge(&limit, 0);
	}
	cr_assert_geq(now - START, 10 * SECOND - 1);
	cr_assert_leq(now - START, 10 * SECOND + 1000);
}

Test(rate_limit, an_operation_larger_than_the_bucket_leaves_a_debt)
{
	const struct rate_limit_options options = { .bytes = { .per_second = 100, .burst = 10 } };
	struct rate_limit limit;
	uint64_t next;

	rate_limit_init(&limit, &options, START);
	cr_assert_eq(rate_limit_next(&limit, START), 0);
	rate_limit_charge(&limit, 1010);
	next = rate_limit_next(&limit, START);
	cr_assert_geq(next, START + 10 * SECOND);
	cr_assert_leq(next, START + 10 * SECOND + SECOND / 50);
	cr_assert_neq(rate_limit_next(&limit, START + 9 * SECOND), 0);
	cr_assert_eq(rate_limit_next(&limit, next), 0);
}

Test(rate_limit, a_pause_fills_the_bucket_and_no_more)
{
	const struct rate_limit_options options = { .operations = { .per_second = 1000 } };
	struct rate_limit limit;
	unsigned int count = 0;

	rate_limit_init(&limit, &options, START);
	while (rate_limit_next(&limit, START + 1000 * SECOND) == 0) {
		rate_limit_charge(&limit, 1);
		count++;
	}
	cr_assert_eq(count, 1000, "a second's worth, where no burst is given");
}

/* Asked so often that each time only a fraction of a token has come. */
Test(rate_limit, fractions_of_tokens_add_up)
{
	const struct rate_limit_options options = { .operations = { .per_second = 3, .burst = 1 } };
	struct rate_limit limit;
	unsigned int count = 0;

	rate_limit_init(&limit, &options, START);
	for (uint64_t now = START; now < START + 100 * SECOND; now += 10000019) {
		if (rate_limit_next(&limit, now) == 0) {
			rate_limit_charge(&limit, 1);
			count++;
		}
	}
	cr_assert_geq(count, 290);
	cr_assert_leq(count, 301);
}

Test(rate_limit, extreme_rates_neither_wrap_nor_hang)
{
	static const uint64_t extremes[] = { 1, UINT64_MAX, INT64_MAX, UINT64_C(1) << 62, UINT64_C(1) << 63 };

	for (int i = 0; i < 5; i++) {
		for (int j = 0; j < 5; j++) {
			const struct rate_limit_options options = {
				.bytes = { .per_second = extremes[i], .burst = extremes[j] },
			};
			struct rate_limit limit;
			uint64_t now = START;

			rate_limit_init(&limit, &options, now);
			for (int turn = 0; turn < 20; turn++) {
				uint64_t next = rate_limit_next(&limit, now);

				if (next != 0) {
					cr_assert_gt(next, now);
					now += turn % 2 ? UINT64_C(1) << 62 : 1;
				}
				rate_limit_charge(&limit, turn % 3 ? UINT32_MAX : 1);
			}
		}
	}
}

Test(rate_limit, a_clock_that_stands_still_or_goes_back)
{
	const struct rate_limit_options options = { .operations = { .per_second = 10, .burst = 1 } };
	struct rate_limit limit;

	rate_limit_init(&limit, &options, START);
	rate_limit_charge(&limit, 1);
	cr_assert_gt(rate_limit_next(&limit, START), START);
	cr_assert_gt(rate_limit_next(&limit, START - SECOND), START - SECOND);
}

Test(rate_limit, bytes_alone_leave_the_operations)
{
	const struct rate_limit_options options = {
		.bytes = { .per_second = 100, .burst = 10 },
		.operations = { .per_second = 1, .burst = 1 },
	};
	struct rate_limit limit;
	uint64_t next;

	rate_limit_init(&limit, &options, START);
	rate_limit_charge_bytes(&limit, 9);
	cr_assert_eq(rate_limit_next(&limit, START), 0, "neither bucket is empty");
	rate_limit_charge_bytes(&limit, 21);
	next = rate_limit_next(&limit, START);
	cr_assert_geq(next, START + SECOND / 5);
	cr_assert_leq(next, START + SECOND / 4);
}
