/* SPDX-License-Identifier: Apache-2.0 */
/*
 * RFC 3339 time stamps, of one form only: what is read back must print the same.
 */
#include "snapshot/time_text.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define NS_PER_SECOND UINT64_C(1000000000)

void time_to_text(uint64_t unix_ns, char ret_text[static TIME_TEXT_SIZE])
{
	time_t seconds = (time_t)(unix_ns / NS_PER_SECOND);
	char date[TIME_TEXT_SIZE] = "";
	struct tm fields;

	if (gmtime_r(&seconds, &fields))
		(void)strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%S", &fields);
	(void)snprintf(ret_text, TIME_TEXT_SIZE, "%.19s.%09uZ", date, (unsigned)(unix_ns % NS_PER_SECOND));
}

int time_from_text(const char *text, uint64_t *ret_unix_ns)
{
	char again[TIME_TEXT_SIZE];
	struct tm fields = { 0 };
	const char *rest;
	char *end;
	uint64_t unix_ns;
	time_t seconds;
	unsigned long fraction;

	if (strlen(text) != TIME_TEXT_SIZE - 1)
		return -EINVAL;
	rest = strptime(text, "%Y-%m-%dT%H:%M:%S", &fields);
	if (!rest || *rest != '.')
		return -EINVAL;
	seconds = timegm(&fields);
	fraction = strtoul(rest + 1, &end, 10);
	if (seconds < 0 || (uint64_t)seconds > UINT64_MAX / NS_PER_SECOND - 1 || fraction >= NS_PER_SECOND ||
	    strcmp(end, "Z") != 0)
		return -EINVAL;

	unix_ns = (uint64_t)seconds * NS_PER_SECOND + fraction;
	time_to_text(unix_ns, again);
	if (strcmp(again, text) != 0)
		return -EINVAL;

	*ret_unix_ns = unix_ns;
	return 0;
}
