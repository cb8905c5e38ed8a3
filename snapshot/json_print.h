/* SPDX-License-Identifier: Apache-2.0 */
/*
 * JSON laid out for people and for diff(1): short arrays and objects on one line, long ones a line for each child.
 */
#ifndef EMBER_SNAPSHOT_JSON_PRINT_H
#define EMBER_SNAPSHOT_JSON_PRINT_H

#include <stdio.h>

#include <jansson.h>

/*
 * Print a value, without a newline at its end. Whether a line breaks depends only on the value, so that equal values
 * print alike.
 *
 * Returns 0, -ENOMEM, or -EIO (the stream failed).
 */
int json_print(FILE *stream, const json_t *value);

/* The same for an object's members alone: without the braces, each on a line of its own, "," between them. */
int json_print_members(FILE *stream, const json_t *object);

#endif
