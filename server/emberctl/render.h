/* SPDX-License-Identifier: Apache-2.0 */
#ifndef EMBERCTL_RENDER_H
#define EMBERCTL_RENDER_H

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

/*
 * Print a result for a person: its plain members as aligned lines, objects in it indented below, lists of objects as
 * tables.
 *
 * result    any JSON value
 * out       written to; errors of it are left to the caller's ferror(3)
 * emphasis  titles in bold, by terminal escape
 *
 * Returns 0 or -ENOMEM.
 */
int render_result(const json_t *result, FILE *out, bool emphasis);

/*
 * Print a value as JSON and a line end: indented where a person reads it, on one line for programs.
 *
 * Returns 0 or -EIO.
 */
int render_json(const json_t *value, FILE *out, bool indented);

#endif
