/* SPDX-License-Identifier: Apache-2.0 */
/*
 * When a TSC's rate is another one than KVM says.
 */
#include <criterion/criterion.h>

#include "kvm/host_tsc.h"

#define KHZ UINT32_C(2445428)

/* 20 ms of a TSC that is so much faster than KHZ, or slower. */
static struct tsc_measurement measured(int ppm, uint64_t uncertainty_ns)
{
	return (struct tsc_measurement){
		.cycles = (uint64_t)((int64_t)KHZ * 20 + (int64_t)KHZ * 20 * ppm / 1000000),
		.elapsed_ns = 20000000,
		.uncertainty_ns = uncertainty_ns,
	};
}

static bool differs(int ppm, uint64_t uncertainty_ns)
{
	const struct tsc_measurement measurement = measured(ppm, uncertainty_ns);

	return tsc_rate_differs(&measurement, KHZ);
}

Test(host_tsc, a_rate_is_told)
{
	const struct tsc_measurement measurement = measured(0, 0);

	cr_assert_eq(tsc_measured_khz(&measurement), KHZ);
}

Test(host_tsc, what_kvm_tolerates_is_no_other_rate)
{
	cr_assert_not(differs(0, 0));
	cr_assert_not(differs(240, 0));
	cr_assert_not(differs(-240, 0));
}

Test(host_tsc, beyond_that_it_is)
{
	cr_assert(differs(300, 0));
	cr_assert(differs(-300, 0));
	cr_assert(differs(-500000, 0));
}

/* A busy host, on which the clock could not be read near the TSC: nothing is claimed. */
Test(host_tsc, what_was_measured_badly_proves_nothing)
{
	cr_assert_not(differs(300, 2000));
	cr_assert_not(differs(5000, 200000));
	cr_assert(differs(5000, 20000));
}

Test(host_tsc, one_that_stands_still)
{
	const struct tsc_measurement measurement = { .elapsed_ns = 20000000 };

	cr_assert_eq(tsc_measured_khz(&measurement), 0);
	cr_assert(tsc_rate_differs(&measurement, KHZ));
}
