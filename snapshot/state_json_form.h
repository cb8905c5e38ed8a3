/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the writer and the reader of state.json share: the form of its first line, and how a text becomes a document.
 * Inside snapshot/ only.
 */
#ifndef EMBER_SNAPSHOT_STATE_JSON_FORM_H
#define EMBER_SNAPSHOT_STATE_JSON_FORM_H

#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "kvm/error_detail.h"

#define STATE_JSON_BEFORE_FORMAT "{\"magic\": \"EMBERSNP\", \"format\": "
#define STATE_JSON_BEFORE_CRC    ", \"crc64\": \""
#define STATE_JSON_AFTER_CRC     "\",\n"
#define STATE_JSON_CRC_DIGITS    16

/*
 * Check all that is known of a text without parsing it, and parse it.
 *
 * ret_document  a new reference, the caller's
 *
 * Returns 0 or an error as state_json_read() does.
 */
int state_json_open(const char *text, size_t size, json_t **ret_document, uint64_t *ret_crc64,
		    struct error_detail *detail);

#endif
