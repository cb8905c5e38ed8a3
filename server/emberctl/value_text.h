/* SPDX-License-Identifier: Apache-2.0 */
#ifndef EMBERCTL_VALUE_TEXT_H
#define EMBERCTL_VALUE_TEXT_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

/*
 * A member of a result as a person reads it. The unit is in the member's name, as everywhere in the protocol: _ns,
 * _us and _ms become a time, _mib and _bytes a size.
 *
 * name      the member's name; NULL where it has none
 * value     any JSON value; a list of plain values is joined by ", ", other lists and objects are compact JSON
 * ret_text  the caller frees it
 *
 * Returns 0 or -ENOMEM.
 */
int value_text(const char *name, const json_t *value, char **ret_text);

/*
 * A member's name as a person reads it: without the unit, spaces for underscores, fit to print.
 *
 * label  filled with at most size - 1 bytes
 */
void value_label(const char *name, char *label, size_t size);

/* Does the name say a unit? */
bool value_name_has_unit(const char *name);

#endif
