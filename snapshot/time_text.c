/* SPDX-License-Identifier: Apache-2.0 */
/*
 * RFC 3339 time stamps, of one form only: what is read back must print the same.
 *
 * The calendar is worked out here: the C library's functions look for the local time zone in a file first, even for
 * UTC, and the loader and the workers, who call this, may not open one.
 *
 * A year begins on the first of March, so that a leap day is its last; 400 years have 146097 days, and after them the
 * calendar repeats. Dates count from 1600-03-01, 135080 days before 1970-01-01.
 */
#include "snapshot/time_text.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define NS_PER_SECOND   UINT64_C(1000000000)
#define SECONDS_PER_DAY UINT64_C(86400)
#define DAYS_1600_1970  135080U
#define DAYS_400_YEARS  146097U

static const char form[] = "dddd-dd-ddTdd:dd:dd.dddddddddZ";
_Static_assert(sizeof(form) == TIME_TEXT_SIZE, "a text has the form's length");

struct date {
	unsigned year;
	unsigned month; /* 1 .. 12 */
	unsigned day;   /* 1 .. 31 */
};

/*
 * How many days of a year that begins in March come before a month: 0 is March. 31 30 31 30 31 repeats from August on.
 */
static unsigned days_before_month(unsigned month)
{
	return (153 * month + 2) / 5;
}

static unsigned days_before_year(unsigned year)
{
	return 365 * year + year / 4 - year / 100 + year / 400;
}

static struct date date_from_days(unsigned days_since_1970)
{
	unsigned days = days_since_1970 + DAYS_1600_1970;
	unsigned year = days / DAYS_400_YEARS * 400;
	unsigned month = 0;

	days %= DAYS_400_YEARS;
	year += days / 366; /* at most one too few for each 366 years */
	while (days >= days_before_year(year % 400 + 1) && year % 400 < 399)
		year++;
	days -= days_before_year(year % 400);
	while (month < 11 && days >= days_before_month(month + 1))
		month++;

	return (struct date){
		.year = 1600 + year + (month >= 10),
		.month = month < 10 ? month + 3 : month - 9,
		.day = days - days_before_month(month) + 1,
	};
}

/* Years 1970 to 9999; a day or month that is none gives a date of another name. */
static uint64_t days_from_date(const struct date *date)
{
	unsigned month = (date->month + 9) % 12;
	unsigned year = date->year - 1600 - (date->month < 3);

	return (uint64_t)days_before_year(year) + days_before_month(month) + date->day - 1 - DAYS_1600_1970;
}

uint64_t time_now(void)
{
	struct timespec now = { 0 };

	(void)clock_gettime(CLOCK_REALTIME, &now);
	return (uint64_t)now.tv_sec * NS_PER_SECOND + (uint64_t)now.tv_nsec;
}

void time_to_text(uint64_t unix_ns, char ret_text[static TIME_TEXT_SIZE])
{
	uint64_t seconds = unix_ns / NS_PER_SECOND;
	struct date date = date_from_days((unsigned)(seconds / SECONDS_PER_DAY));
	unsigned second = (unsigned)(seconds % SECONDS_PER_DAY);
	char text[64];

	(void)snprintf(text, sizeof(text), "%04u-%02u-%02uT%02u:%02u:%02u.%09uZ", date.year, date.month, date.day,
		       second / 3600, second / 60 % 60, second % 60, (unsigned)(unix_ns % NS_PER_SECOND));
	memcpy(ret_text, text, TIME_TEXT_SIZE - 1);
	ret_text[TIME_TEXT_SIZE - 1] = '\0';
}

static bool has_form(const char *text)
{
	if (strlen(text) != TIME_TEXT_SIZE - 1)
		return false;
	for (size_t i = 0; i < TIME_TEXT_SIZE - 1; i++)
		if (form[i] == 'd' ? text[i] < '0' || text[i] > '9' : text[i] != form[i])
			return false;

	return true;
}

static unsigned digits(const char *text, size_t start, size_t count)
{
	unsigned value = 0;

	for (size_t i = start; i < start + count; i++)
		value = value * 10 + (unsigned)(text[i] - '0');

	return value;
}

int time_from_text(const char *text, uint64_t *ret_unix_ns)
{
	char again[TIME_TEXT_SIZE];
	struct date date;
	uint64_t seconds;
	uint64_t unix_ns;

	if (!has_form(text))
		return -EINVAL;
	date = (struct date){ .year = digits(text, 0, 4), .month = digits(text, 5, 2), .day = digits(text, 8, 2) };
	if (date.year < 1970 || date.month < 1 || date.month > 12 || date.day < 1)
		return -EINVAL;

	seconds = days_from_date(&date) * SECONDS_PER_DAY + UINT64_C(3600) * digits(text, 11, 2) +
		  UINT64_C(60) * digits(text, 14, 2) + digits(text, 17, 2);
	if (seconds > UINT64_MAX / NS_PER_SECOND)
		return -EINVAL;
	unix_ns = seconds * NS_PER_SECOND;
	if (__builtin_add_overflow(unix_ns, (uint64_t)digits(text, 20, 9), &unix_ns))
		return -EINVAL;

	/* The 31st of a month of thirty days, the hour 24 and their like come back under another name. */
	time_to_text(unix_ns, again);
	if (strcmp(again, text) != 0)
		return -EINVAL;

	*ret_unix_ns = unix_ns;
	return 0;
}
