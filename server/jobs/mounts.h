/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which file system a path is on, by /proc/self/mountinfo, without touching the file system.
 */
#ifndef EMBER_SERVER_JOBS_MOUNTS_H
#define EMBER_SERVER_JOBS_MOUNTS_H

#include <stddef.h>
#include <stdint.h>

struct mounts;

/* Returns 0 or -errno. The caller ends it with mounts_free(). */
int mounts_new(struct mounts **ret_mounts);

/* Takes NULL; returns NULL. */
struct mounts *mounts_free(struct mounts *mounts);

/* A number for the file system that the path is on, as its text says; read anew when mounts have changed. 0: not known. */
uint64_t mounts_file_system(struct mounts *mounts, const char *path);

/* The same from a text in the form of proc(5): the device of the mount with the longest mount point that begins the path. */
uint64_t mounts_find(const char *text, const char *path);

#endif
