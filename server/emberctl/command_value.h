/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a parameter's value is written on a command line.
 */
#ifndef EMBERCTL_COMMAND_VALUE_H
#define EMBERCTL_COMMAND_VALUE_H

#include "proto/method.h"

#include <jansson.h>

#define COMMAND_DETAIL_SIZE 512

/* Say what is wrong with a command line, in COMMAND_DETAIL_SIZE bytes. Returns -EINVAL. */
__attribute__((format(printf, 2, 3))) int command_complain(char *detail, const char *format, ...);

/*
 * Read a value as its row asks for. An object is its members, "path=disk.img,read_only=true,limit.ops_per_second=100"
 * (a yes or no alone is yes), or JSON where it begins with '{'; an array of objects is one of them, or JSON where it
 * begins with '['. PARAM_JSON is JSON, or "@FILE" that holds it. Paths become absolute, those
 * in JSON excepted. Type and range are not checked further.
 *
 * flag       what to call the value in detail
 * ret_value  a new reference; an array for PARAM_OBJECT_ARRAY
 * detail     at least COMMAND_DETAIL_SIZE bytes: a sentence on failure
 *
 * Returns 0, -EINVAL (a mistake of the user's), or -ENOMEM.
 */
int command_parse_value(const struct param *param, const char *flag, const char *text, json_t **ret_value,
			char *detail);

/* All of standard input as a string. Otherwise as command_parse_value(). */
int command_read_text(const char *flag, json_t **ret_value, char *detail);

/*
 * The absolute form of a path that the daemon shall open: ours and its working folder differ. Links in the folder's
 * part are resolved where that folder exists.
 *
 * ret_path  the caller frees it
 *
 * Returns 0, or -errno from getcwd(3) or -ENOMEM.
 */
int command_absolute_path(const char *path, char **ret_path);

#endif
