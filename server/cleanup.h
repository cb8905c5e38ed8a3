/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The cleanup attributes of kvm/cleanup.h, and one for JSON.
 */
#ifndef EMBER_SERVER_CLEANUP_H
#define EMBER_SERVER_CLEANUP_H

#include <jansson.h>

#include "kvm/cleanup.h"

static inline void cleanup_decref_json(json_t **json)
{
	json_decref(*json);
}

/* A reference to a JSON value, or NULL. */
#define cleanup_json __attribute__((cleanup(cleanup_decref_json)))

#endif
