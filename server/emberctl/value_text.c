/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Values as text, with the unit that the member's name carries.
 *
 * Three digits that matter are shown of a time; sizes go by powers of 1024. --json shows what was really sent.
 */
#include "emberctl/value_text.h"

#include "emberctl/text.h"
#include "proto/cleanup.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum unit {
	UNIT_NONE,
	UNIT_NANOSECONDS,
	UNIT_MICROSECONDS,
	UNIT_MILLISECONDS,
	UNIT_MIB,
	UNIT_BYTES,
};

static const struct {
	const char *suffix;
	enum unit unit;
} units[] = {
	{ "_ns", UNIT_NANOSECONDS }, { "_us", UNIT_MICROSECONDS }, { "_ms", UNIT_MILLISECONDS },
	{ "_mib", UNIT_MIB },        { "_bytes", UNIT_BYTES },
};

/* Moments on the host's monotonic clock, not lengths of time: good for comparing, shown as they are. */
static const char *const moments[] = { "state_injected_ns", "entered_ns" };

/* The unit that a name ends in, and how long the name is without it. */
static enum unit unit_of(const char *name, size_t *ret_length)
{
	size_t length = strlen(name);

	*ret_length = length;
	for (size_t i = 0; i < sizeof(moments) / sizeof(moments[0]); i++) {
		if (strcmp(name, moments[i]) == 0)
			return UNIT_NONE;
	}
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		size_t suffix = strlen(units[i].suffix);

		if (length > suffix && strcmp(name + length - suffix, units[i].suffix) == 0) {
			*ret_length = length - suffix;
			return units[i].unit;
		}
	}
	return UNIT_NONE;
}

void value_label(const char *name, char *label, size_t size)
{
	size_t length;

	unit_of(name, &length);
	snprintf(label, size, "%.*s", (int)length, name);
	text_replace(label, '_', ' ');
	text_make_printable(label);
}

bool value_name_has_unit(const char *name)
{
	size_t length;

	return unit_of(name, &length) != UNIT_NONE;
}

static int copy_text(const char *text, char **ret_text)
{
	*ret_text = strdup(text);
	return *ret_text == NULL ? -ENOMEM : 0;
}

static int decimals_for(double value)
{
	if (value >= 100.0)
		return 0;
	return value >= 10.0 ? 1 : 2;
}

static int time_text(double microseconds, char **ret_text)
{
	double size = fabs(microseconds), scaled = microseconds;
	const char *unit = "us";
	long seconds;
	int length;

	if (size == 0)
		return copy_text("0", ret_text);
	if (size >= 60e6) {
		seconds = lround(microseconds / 1e6);
		length = labs(seconds) < 3600
				 ? asprintf(ret_text, "%ld min %ld s", seconds / 60, labs(seconds % 60))
				 : asprintf(ret_text, "%ld h %ld min", seconds / 3600, labs(seconds / 60 % 60));
		return length < 0 ? -ENOMEM : 0;
	}
	if (size >= 1e6) {
		scaled = microseconds / 1e6;
		unit = "s";
	} else if (size >= 1e3) {
		scaled = microseconds / 1e3;
		unit = "ms";
	}
	return asprintf(ret_text, "%.*f %s",
			size < 1e3 && microseconds == trunc(microseconds) ? 0 : decimals_for(fabs(scaled)), scaled,
			unit) < 0
		       ? -ENOMEM
		       : 0;
}

static int size_text(double bytes, char **ret_text)
{
	static const char *const names[] = { "bytes", "KiB", "MiB", "GiB", "TiB" };
	size_t step = 0;

	while (fabs(bytes) >= 1024.0 && step + 1 < sizeof(names) / sizeof(names[0])) {
		bytes /= 1024.0;
		step++;
	}
	return asprintf(ret_text, "%.*f %s", bytes == trunc(bytes) ? 0 : 1, bytes, names[step]) < 0 ? -ENOMEM : 0;
}

static int number_text(const char *name, const json_t *value, char **ret_text)
{
	double number = json_number_value(value);
	size_t length;

	switch (name == NULL ? UNIT_NONE : unit_of(name, &length)) {
	case UNIT_NANOSECONDS:
		return time_text(number / 1e3, ret_text);
	case UNIT_MICROSECONDS:
		return time_text(number, ret_text);
	case UNIT_MILLISECONDS:
		return time_text(number * 1e3, ret_text);
	case UNIT_MIB:
		return asprintf(ret_text, "%.0f MiB", number) < 0 ? -ENOMEM : 0;
	case UNIT_BYTES:
		return size_text(number, ret_text);
	case UNIT_NONE:
		break;
	}
	if (json_is_integer(value))
		return asprintf(ret_text, "%" JSON_INTEGER_FORMAT, json_integer_value(value)) < 0 ? -ENOMEM : 0;
	return asprintf(ret_text, "%g", number) < 0 ? -ENOMEM : 0;
}

static bool is_plain_list(const json_t *value)
{
	const json_t *item;
	size_t index;

	json_array_foreach((json_t *)value, index, item) {
		if (json_is_array(item) || json_is_object(item))
			return false;
	}
	return json_is_array(value);
}

static int list_text(const char *name, const json_t *list, char **ret_text)
{
	cleanup_free char *joined = NULL;
	const json_t *item;
	size_t index;

	json_array_foreach((json_t *)list, index, item) {
		cleanup_free char *text = NULL, *longer = NULL;

		if (value_text(name, item, &text) < 0 ||
		    asprintf(&longer, "%s%s%s", joined == NULL ? "" : joined, joined == NULL ? "" : ", ", text) < 0)
			return -ENOMEM;
		free(joined);
		joined = longer;
		longer = NULL;
	}
	if (joined == NULL)
		return copy_text("-", ret_text);
	*ret_text = joined;
	joined = NULL;
	return 0;
}

int value_text(const char *name, const json_t *value, char **ret_text)
{
	if (json_is_string(value))
		return copy_text(*json_string_value(value) == '\0' ? "-" : json_string_value(value), ret_text);
	if (json_is_boolean(value))
		return copy_text(json_is_true(value) ? "yes" : "no", ret_text);
	if (value == NULL || json_is_null(value))
		return copy_text("-", ret_text);
	if (json_is_number(value))
		return number_text(name, value, ret_text);
	if (is_plain_list(value))
		return list_text(name, value, ret_text);
	*ret_text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
	return *ret_text == NULL ? -ENOMEM : 0;
}
