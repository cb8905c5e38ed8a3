/* SPDX-License-Identifier: Apache-2.0 */
/*
 * State structures to JSON and back, driven by their tables of fields (devices/device.h).
 *
 * An object has exactly the table's members. Numbers up to 32 bits are JSON numbers, FIELD_HEX32 and 64-bit ones
 * strings "0x..."; arrays have as many elements as the table says. Bytes are one hexadecimal string up to
 * FIELDS_BYTES_ROW of them, else, and for FIELD_BLOB always, an array of strings of FIELDS_BYTES_ROW bytes each, the
 * last one shorter: so that two documents compare line by line.
 */
#ifndef EMBER_SNAPSHOT_FIELDS_H
#define EMBER_SNAPSHOT_FIELDS_H

#include <jansson.h>

#include "devices/device.h"
#include "kvm/error_detail.h"
#include "snapshot/json_value.h"

#define FIELDS_BYTES_ROW 64

/*
 * Describe a structure as a JSON object. The lengths of its blobs and rows must be in bounds.
 *
 * ret_object  a new reference, the caller's
 *
 * Returns 0 or -ENOMEM.
 */
int fields_to_json(const struct state_field *fields, const void *state, json_t **ret_object);

/*
 * Read a structure from a JSON object, with every bound of the table checked.
 *
 * path       where object stands in its document; comes back as it was
 * ret_state  zero-filled by the caller; on failure it holds some of the fields
 *
 * Returns 0, or -EINVAL with the first field that is missing, of the wrong kind, out of range or unknown in detail.
 */
int fields_from_json(const struct state_field *fields, const json_t *object, struct json_path *path, void *ret_state,
		     struct error_detail *detail);

#endif
