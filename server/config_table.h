/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of options, for config.c and config_value.c alone.
 */
#ifndef EMBER_SERVER_CONFIG_TABLE_H
#define EMBER_SERVER_CONFIG_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "server/config.h"

enum config_type {
	CONFIG_PATH = 0, /* char[CONFIG_PATH_MAX]; absolute */
	CONFIG_OPTIONAL_PATH,
	CONFIG_NUMBER, /* uint32_t between minimum and maximum */
	CONFIG_CHOICE, /* uint32_t: index into choices */
	CONFIG_BOOL,   /* uint32_t: 0 or 1 */
	CONFIG_MODE,   /* uint32_t from an octal string */
	CONFIG_USER,   /* uint32_t from a name or a number */
	CONFIG_GROUP,
	CONFIG_OPTIONAL_GROUP,
	CONFIG_USERS, /* struct config_ids */
	CONFIG_GROUPS,
	CONFIG_SHAPES, /* struct config_shapes */
	CONFIG_TYPE_COUNT,
};

struct config_option {
	const char *path; /* members joined by dots; NULL ends the table */
	size_t offset;
	const char *const *choices; /* CONFIG_CHOICE: ended by NULL */
	const char *default_text;   /* JSON; NULL: the option must be given */
	const char *limit_name;     /* under which server.info reports it; NULL: it is no limit */
	const char *help;
	enum config_type type;
	uint32_t minimum; /* CONFIG_NUMBER */
	uint32_t maximum;
	bool reloadable;
};

extern const struct config_option config_options[];

/* The members of one entry of pool.shapes; offsets are into struct config_shape. */
extern const struct config_option config_shape_options[];

/* "path", "number", ... */
const char *config_type_name(enum config_type type);

/* Bytes that an option of this type takes. */
size_t config_type_size(enum config_type type);

/*
 * Parse one value into its place.
 *
 * path  for reports
 * base  what option->offset counts from
 *
 * Returns 0, or -EINVAL (reported; nothing is changed).
 */
int config_parse_value(const struct config_option *option, const char *path, const json_t *value, void *base,
		       const struct config_report *report);

__attribute__((format(printf, 3, 4))) void config_report_error(const struct config_report *report, const char *path,
							       const char *format, ...);

#endif
