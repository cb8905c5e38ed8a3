/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The requests that wait for an answer, found by id.
 */
#ifndef EMBER_PROTO_CLIENT_PENDING_H
#define EMBER_PROTO_CLIENT_PENDING_H

#include "proto/client/ember.h"

#include <stdbool.h>

struct pending {
	uint64_t id; /* 0: nothing */
	ember_reply_function *function;
	void *context;
};

/* Start with zeroes; end with pending_table_release(). */
struct pending_table {
	struct pending *slots;
	size_t capacity; /* a power of two, or 0 */
	size_t count;
};

/*
 * Add a request.
 *
 * request  its id is not 0 and not in the table
 *
 * Returns 0 or -ENOMEM.
 */
int pending_add(struct pending_table *table, const struct pending *request);

/* Is a request with that id there? */
bool pending_has(const struct pending_table *table, uint64_t id);

/* Take a request out. False, with *ret_request untouched, where there is none with that id. */
bool pending_take(struct pending_table *table, uint64_t id, struct pending *ret_request);

/* Take any request out. False where the table is empty. */
bool pending_take_any(struct pending_table *table, struct pending *ret_request);

void pending_table_release(struct pending_table *table);

#endif
