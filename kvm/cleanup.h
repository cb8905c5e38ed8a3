/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Resources that end with their scope.
 *
 * A local variable carries one of these attributes and is released when it goes out of scope; ownership leaves by
 * steal_fd() or steal_pointer(). The handlers keep errno as it was.
 */
#ifndef EMBER_KVM_CLEANUP_H
#define EMBER_KVM_CLEANUP_H

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

static inline void cleanup_close_fd(int *fd)
{
	int saved_errno = errno;

	if (*fd >= 0)
		(void)close(*fd);
	errno = saved_errno;
}

static inline void cleanup_free_pointer(void *pointer)
{
	int saved_errno = errno;

	free(*(void **)pointer);
	errno = saved_errno;
}

/* A file descriptor, -1 when there is none. */
#define cleanup_close __attribute__((cleanup(cleanup_close_fd)))

/* Memory from malloc(3) and its kin, or NULL. */
#define cleanup_free __attribute__((cleanup(cleanup_free_pointer)))

/* The descriptor, which is no longer the variable's to close. */
static inline int steal_fd(int *fd)
{
	int stolen = *fd;

	*fd = -1;
	return stolen;
}

/* The pointer, which is no longer the variable's to free. */
#define steal_pointer(variable)                          \
	({                                               \
		__auto_type stolen_pointer = (variable); \
		(variable) = NULL;                       \
		stolen_pointer;                          \
	})

#endif
