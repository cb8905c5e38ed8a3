/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The calendar against the C library's.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <criterion/criterion.h>

#include "snapshot/time_text.h"

#define NS_PER_SECOND UINT64_C(1000000000)

static void expect_as_libc(uint64_t unix_ns)
{
	time_t seconds = (time_t)(unix_ns / NS_PER_SECOND);
	char date[32];
	char expected[64];
	char text[TIME_TEXT_SIZE];
	struct tm fields;
	uint64_t back = 0;

	cr_assert_not_null(gmtime_r(&seconds, &fields));
	cr_assert_gt(strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%S", &fields), 0);
	(void)snprintf(expected, sizeof(expected), "%s.%09uZ", date, (unsigned)(unix_ns % NS_PER_SECOND));
	time_to_text(unix_ns, text);
	cr_assert_str_eq(text, expected);
	cr_assert_eq(time_from_text(text, &back), 0, "%s", text);
	cr_assert_eq(back, unix_ns, "%s", text);
}

Test(time_text, every_day_until_the_last)
{
	uint64_t day = 86400 * NS_PER_SECOND;

	for (uint64_t start = 0; start <= UINT64_MAX - day; start += day) {
		expect_as_libc(start);
		expect_as_libc(start + day - 1);
	}
	expect_as_libc(UINT64_MAX);
	expect_as_libc(1);
}

Test(time_text, leap_days)
{
	char text[TIME_TEXT_SIZE];

	time_to_text(UINT64_C(951782400000000000), text);
	cr_assert_str_eq(text, "2000-02-29T00:00:00.000000000Z");
}

Test(time_text, one_form_only)
{
	static const char *const bad[] = {
		"",
		"2025-01-02",
		"2025-01-02T03:04:05Z",
		"2025-01-02T03:04:05.000000006",
		"2025-01-02 03:04:05.000000006Z",
		"2025-01-02T03:04:05.000000006z",
		"2025-01-02T03:04:05.00000000 Z",
		"2025-01-02T03:04:05.0000000067Z",
		"2025-00-02T03:04:05.000000006Z",
		"2025-13-02T03:04:05.000000006Z",
		"2025-01-00T03:04:05.000000006Z",
		"2025-02-29T03:04:05.000000006Z",
		"2100-02-29T03:04:05.000000006Z",
		"2025-04-31T03:04:05.000000006Z",
		"2025-01-02T24:00:00.000000000Z",
		"2025-01-02T03:60:05.000000006Z",
		"2025-01-02T03:04:60.000000006Z",
		"1969-12-31T23:59:59.000000006Z",
		"2554-07-21T23:34:33.709551616Z",
		"9999-12-31T23:59:59.999999999Z",
		"+025-01-02T03:04:05.000000006Z",
	};
	uint64_t unused;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		cr_assert_eq(time_from_text(bad[i], &unused), -EINVAL, "%s", bad[i]);
	cr_assert_eq(time_from_text("2554-07-21T23:34:33.709551615Z", &unused), 0);
	cr_assert_eq(unused, UINT64_MAX);
}
