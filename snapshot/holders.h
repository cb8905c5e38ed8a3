/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who uses a thing, by number, in the order of their coming. Starts as zero.
 */
#ifndef EMBER_SNAPSHOT_HOLDERS_H
#define EMBER_SNAPSHOT_HOLDERS_H

#include <stddef.h>
#include <stdint.h>

struct holders {
	uint64_t *numbers;
	size_t count;
	size_t capacity;
};

/* Note one. Returns 0, -EEXIST (it is noted already) or -ENOMEM. */
int holders_add(struct holders *holders, uint64_t holder);

/* Note that it is one no more. Returns 0 or -ENOENT. */
int holders_remove(struct holders *holders, uint64_t holder);

/* Free what it has, and make it as it started. */
void holders_free(struct holders *holders);

#endif
