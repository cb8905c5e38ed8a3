/* SPDX-License-Identifier: Apache-2.0 */
#ifndef EMBERCTL_CLEANUP_H
#define EMBERCTL_CLEANUP_H

#include <jansson.h>
#include <stdlib.h>

static inline void cleanup_free_pointer(void *pointer)
{
	free(*(void **)pointer);
}

static inline void cleanup_decref_json(json_t **json)
{
	json_decref(*json);
}

/* Owned by the scope that declares it; set to NULL where ownership leaves. */
#define cleanup_free __attribute__((cleanup(cleanup_free_pointer)))
#define cleanup_json __attribute__((cleanup(cleanup_decref_json)))

#endif
