/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A scratch folder for one test, and a small tmpfs to fill.
 */
#ifndef EMBER_TESTS_SNAPSHOT_SCRATCH_H
#define EMBER_TESTS_SNAPSHOT_SCRATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct scratch {
	char path[64];
	int fd;
	bool mounted;
};

/* Make an empty folder. Fails the test if it cannot. */
void scratch_make(struct scratch *ret_scratch);

/*
 * Make an empty folder that has a file system of that many bytes of its own. Returns false where the test may not mount
 * one (it is not root): then nothing is made.
 */
bool scratch_make_small(struct scratch *ret_scratch, size_t size);

/* Remove it with all that is in it. */
void scratch_remove(struct scratch *scratch);

/* How many entries a folder has, but for "." and ".."; -1 if there is no such folder. */
int scratch_count(int at, const char *path);

/* Write a file, or fail the test. */
void scratch_write(int at, const char *path, const void *data, size_t size);

/* Is a file there with just these bytes? */
bool scratch_holds(int at, const char *path, const void *data, size_t size);

#endif
