/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Cleanup attributes: a local that owns something gives it back when it goes out of scope.
 *
 * Ownership leaves by steal_pointer() and steal_fd(), which empty the local.
 */
#ifndef EMBER_SERVER_CLEANUP_H
#define EMBER_SERVER_CLEANUP_H

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include <jansson.h>

static inline void cleanup_free_pointer(void *pointer)
{
	free(*(void **)pointer);
}

static inline void cleanup_close_fd(const int *fd)
{
	int saved_errno = errno;

	if (*fd >= 0)
		(void)close(*fd);
	errno = saved_errno;
}

static inline void cleanup_decref_json(json_t **json)
{
	json_decref(*json);
}

#define cleanup_free  __attribute__((cleanup(cleanup_free_pointer)))
#define cleanup_close __attribute__((cleanup(cleanup_close_fd)))
#define cleanup_json  __attribute__((cleanup(cleanup_decref_json)))

/* The pointer, which the variable then no longer owns. */
#define steal_pointer(variable)                            \
	({                                                 \
		__typeof__(variable) stolen_ = (variable); \
		(variable) = NULL;                         \
		stolen_;                                   \
	})

/* The file descriptor, which *fd then no longer owns. */
static inline int steal_fd(int *fd)
{
	int stolen = *fd;

	*fd = -1;
	return stolen;
}

#endif
