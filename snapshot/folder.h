/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Folders that are published whole, a snapshot's above all: the names of their files, and how to open them without being
 * led astray.
 */
#ifndef EMBER_SNAPSHOT_FOLDER_H
#define EMBER_SNAPSHOT_FOLDER_H

#include <stddef.h>
#include <stdint.h>

#include "devices/machine.h"
#include "kvm/error_detail.h"

/* What a kind of folder holds: these files, and nothing else. */
struct folder_form {
	const char *what;         /* "a snapshot" */
	const char *const *names; /* of its files */
	size_t count;
	int access; /* how a publication's files are opened: O_WRONLY, or O_RDWR where the writer reads them back */
	size_t optional; /* so many of them, the last, may be missing: see publication_add() */
};

#define SNAPSHOT_STATE_FILE  "state.json"
#define SNAPSHOT_MEMORY_FILE "memory.snap"

#define SNAPSHOT_STATE_SIZE_MAX (UINT64_C(16) << 20) /* bytes of state.json */

#define SNAPSHOT_OVERLAYS MACHINE_DISKS_MAX

enum snapshot_file {
	SNAPSHOT_FILE_STATE = 0,
	SNAPSHOT_FILE_MEMORY,
	SNAPSHOT_FILE_OVERLAY, /* drive-0.overlay and so on: of each disk that has an overlay, what it holds; optional */
	SNAPSHOT_FILE_COUNT = SNAPSHOT_FILE_OVERLAY + SNAPSHOT_OVERLAYS,
};
extern const struct folder_form snapshot_folder_form;

struct snapshot_files {
	int folder;                      /* open for reading */
	int state;                       /* state.json, open for reading, a regular file */
	int memory;                      /* memory.snap, the same */
	int overlays[SNAPSHOT_OVERLAYS]; /* drive-N.overlay, the same; -1: there is none */
	uint64_t state_size;             /* bytes: 1 .. SNAPSHOT_STATE_SIZE_MAX when it was opened */
	uint64_t memory_size;            /* bytes: whole pages, 1 page .. GUEST_MEMORY_SIZE_MAX when it was opened */
};

/* One that has nothing open. */
#define SNAPSHOT_FILES_NONE                                                                             \
	(struct snapshot_files)                                                                         \
	{                                                                                               \
		.folder = -1, .state = -1, .memory = -1, .overlays = { -1, -1, -1, -1, -1, -1, -1, -1 } \
	}
_Static_assert(SNAPSHOT_OVERLAYS == 8, "as many as SNAPSHOT_FILES_NONE names");

/*
 * Open a snapshot for reading.
 *
 * Opens nothing but folders and regular files, follows no symbolic link at the end of path or inside the folder, and
 * never waits for a FIFO's other end. The files may change after they were opened: whoever reads them must bear that.
 *
 * at         folder that a relative path starts from, or AT_FDCWD
 * path       the snapshot's folder
 * ret_files  filled on success; the caller ends it with snapshot_files_close()
 *
 * Returns 0, or with the file named in detail: -ENOENT (it is missing), -ELOOP (a symbolic link), -ENOTDIR (path is no
 * folder), -EISDIR (a folder where a file should be), -EINVAL (a FIFO, socket or device; or a memory file that is not
 * whole pages), -ENODATA (an empty file), -EFBIG (too large), -EACCES, or -errno from open(2).
 */
int snapshot_files_open(int at, const char *path, struct snapshot_files *ret_files, struct error_detail *detail);

/* Close what is open. Takes one whose members are -1, or closed already. */
void snapshot_files_close(struct snapshot_files *files);

/*
 * Open one regular file for reading, with the same care.
 *
 * at        folder that path (or, where it is given, name) starts from, or AT_FDCWD
 * path      the file; or, where name is given, the folder `at` itself, for detail
 * name      a name in that folder, or NULL
 * size_max  bytes
 * ret_size  bytes: 1 .. size_max when it was opened
 *
 * Returns 0, or -errno with the file named in detail, as snapshot_files_open().
 */
int folder_open_file(int at, const char *path, const char *name, uint64_t size_max, int *ret_fd, uint64_t *ret_size,
		     struct error_detail *detail);

/*
 * Check that a folder holds the files of its form and nothing else, so that it may be removed with all that is in it.
 *
 * folder  open for reading
 * path    its name, for detail
 *
 * Returns 0, -ENOTEMPTY with the first stranger in detail, or -errno.
 */
int folder_check(int folder, const char *path, const struct folder_form *form, struct error_detail *detail);

#endif
