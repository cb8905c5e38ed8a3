/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Cleanup attributes for this folder and for emberctl: a local that owns something gives it back when it goes out of scope.
 * Ownership leaves by steal_pointer(), which empties the local.
 */
#ifndef EMBER_PROTO_CLEANUP_H
#define EMBER_PROTO_CLEANUP_H

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

#define cleanup_free __attribute__((cleanup(cleanup_free_pointer)))
#define cleanup_json __attribute__((cleanup(cleanup_decref_json)))

#define steal_pointer(variable)                            \
	({                                                 \
		__typeof__(variable) stolen_ = (variable); \
		(variable) = NULL;                         \
		stolen_;                                   \
	})

#endif
