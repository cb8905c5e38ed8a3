/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Publishing files durably: everything that Ember keeps on disk gets there through this.
 *
 * What is published appears under its name at once and whole, and stays there after a power failure; until then, and
 * after any failure, what was there before is untouched. All functions here wait for the disk: not for an event loop.
 */
#ifndef EMBER_SNAPSHOT_PUBLISH_H
#define EMBER_SNAPSHOT_PUBLISH_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kvm/error_detail.h"
#include "snapshot/folder.h"

#define PUBLICATION_FILES_MAX SNAPSHOT_FILE_COUNT

/* A folder of files on its way to its name. */
struct publication {
	int parent;                       /* the folder that will hold it */
	int folder;                       /* the temporary folder, locked */
	int files[PUBLICATION_FILES_MAX]; /* those of its form, in its order: empty, open for writing; -1: not there */
	const struct folder_form *form;
	bool overwrite;
	bool replaces;            /* a folder has the name now: */
	uint64_t replaced_device; /* it must be the same at the commit */
	uint64_t replaced_inode;
	char name[NAME_MAX + 1];
	char temporary[NAME_MAX + 1];
};

/*
 * Prepare a folder: a temporary one beside where it will be, with its files, for a writer that opens nothing itself.
 * They are readable by the caller's user alone: guest memory holds secrets.
 *
 * path             the folder to be, its parent must exist; relative to `at`
 * form             what it will hold: at most PUBLICATION_FILES_MAX files; must outlive the publication
 * overwrite        may path be a folder of that form already? It is replaced in one step at commit
 * ret_publication  filled on success; ended by publication_commit() or publication_abort()
 *
 * Returns 0; -EEXIST (path exists, and overwrite is false); -ENOTEMPTY, -ENOTDIR, -ELOOP (path exists and is not of
 * that form); -EINVAL or -ENAMETOOLONG (its last component); or -errno of the step in detail.
 */
int publication_begin(int at, const char *path, const struct folder_form *form, bool overwrite,
		      struct publication *ret_publication, struct error_detail *detail);

/*
 * Add one of the files that are optional in its form: empty, open for reading and writing.
 *
 * file  its place in the form
 *
 * Returns 0 or -errno with the file in detail.
 */
int publication_add(struct publication *publication, size_t file, struct error_detail *detail);

/* Write the whole of one of its files, which is empty. Returns 0, or -errno with the file in detail. */
int publication_write(const struct publication *publication, size_t file, const void *data, size_t size,
		      struct error_detail *detail);

/*
 * Give the folder its name: fsync of its files and of itself, rename, fsync of the parent. Ends the publication,
 * whatever it returns.
 *
 * Returns 0; -EEXIST (the name was taken meanwhile); -EOPNOTSUPP (the file system cannot replace a folder in one step); -ESTALE (another
 * folder has the name than at the beginning, or none); or -errno of the step in detail. On failure the name stands for
 * what it stood for before, and nothing temporary is left.
 */
int publication_commit(struct publication *publication, struct error_detail *detail);

/* Give up: remove all that was prepared. Takes one that has ended already. */
void publication_abort(struct publication *publication);

/*
 * Publish one small file, replacing one of that name.
 *
 * parent  folder, open for reading
 * name    a name in it
 *
 * Returns 0, or -errno with the step in detail; then the old file, if any, is untouched and nothing temporary is left.
 */
int publish_file(int parent, const char *name, const void *data, size_t size, struct error_detail *detail);

/*
 * Remove a folder of this form and its files: its name goes in one step and durably, then the files. Who has them open
 * keeps them.
 *
 * Returns 0, -ENOENT, -ENOTDIR or -ELOOP (path is no folder), -ENOTEMPTY (it holds something that is no part of its
 * form: nothing is removed), or -errno of the step in detail.
 */
int publish_remove(int at, const char *path, const struct folder_form *form, struct error_detail *detail);

/*
 * Remove a folder that is held open, where its name still leads to it: as publish_remove(), and the folder is looked at again
 * when it has been renamed away, so that no other is touched.
 *
 * folder  open for reading
 *
 * Returns as publish_remove(); -ESTALE (the path leads to another folder: nothing is removed).
 */
int publish_remove_held(const char *path, int folder, const struct folder_form *form, struct error_detail *detail);

/*
 * Remove what a process that died in the middle left behind in a folder: temporaries of this form, and of small files,
 * that nobody holds locked.
 *
 * Returns 0 or -errno; ret_removed, if not NULL, is how many there were.
 */
int publish_sweep(int parent, const struct folder_form *form, unsigned *ret_removed);

#endif
