/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Random bytes from the host's kernel.
 */
#ifndef EMBER_DEVICES_ENTROPY_H
#define EMBER_DEVICES_ENTROPY_H

#include <errno.h>
#include <stddef.h>
#include <sys/random.h>

#define ENTROPY_MAX 256 /* bytes that getrandom(2) gives at once, uninterrupted */

/* Fill with random bytes; size is at most ENTROPY_MAX. Returns 0, or -errno of getrandom(2). */
static inline int entropy_fill(void *ret_bytes, size_t size)
{
	ssize_t got;

	do {
		got = getrandom(ret_bytes, size, 0);
	} while (got < 0 && errno == EINTR);
	if (got < 0)
		return -errno;

	return (size_t)got == size ? 0 : -EIO;
}

#endif
