/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a snapshot's folder to what a restore needs: files opened on the file thread, then checked by the loader.
 */
#ifndef EMBER_SERVER_SNAPSHOT_LOAD_H
#define EMBER_SERVER_SNAPSHOT_LOAD_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/status.h"
#include "snapshot/catalog.h"
#include "snapshot/folder.h"

struct server;
struct snapshot_load;

/* What a load found. */
struct snapshot_loaded {
	int memory;                      /* memory.snap, open for reading */
	int state;                       /* sealed struct vm_state */
	int overlays[SNAPSHOT_OVERLAYS]; /* drive-N.overlay, open for reading, or -1 */
	struct catalog_folder folder;    /* the snapshot's */
	struct catalog_summary summary;
};

/* One that owns no descriptor. */
#define SNAPSHOT_LOADED_NONE                                                                               \
	(struct snapshot_loaded)                                                                           \
	{                                                                                                  \
		.memory = -1, .state = -1, .overlays = { -1, -1, -1, -1, -1, -1, -1, -1 }, .folder.fd = -1 \
	}
_Static_assert(SNAPSHOT_OVERLAYS == 8, "as many as SNAPSHOT_LOADED_NONE names");

/* Close its descriptors; or forget them: they are another's now. */
void snapshot_loaded_close(struct snapshot_loaded *loaded);
void snapshot_loaded_forget(struct snapshot_loaded *loaded);

/*
 * What the catalog is to be given for it. Strings and devices (or NULL) are not copied here; the catalog takes the
 * descriptors over.
 */
struct catalog_registration snapshot_loaded_registration(const struct snapshot_loaded *loaded, const char *name,
							 const char *path, json_t *devices);

struct snapshot_load_options {
	int folder;       /* that a relative path starts from; AT_FDCWD; stays the caller's, open until done */
	const char *path; /* the snapshot's folder; copied */
	bool verify;      /* check every checksum of the memory */
	bool known;       /* it was fine before: what is missing now is damage */
	void *opaque;
	/*
	 * Its files are open: may it go on? Returns 0, or an errno with error filled, which done is then called with. May be
	 * NULL.
	 */
	int (*opened)(void *opaque, const struct catalog_folder *folder, struct rpc_error *error);
	void (*progress)(void *opaque, uint64_t done, uint64_t total); /* bytes; may be NULL */
	/* Once, from the loop. error is NULL on success; then loaded's descriptors are the callee's. */
	void (*done)(void *opaque, const struct rpc_error *error, struct snapshot_loaded *loaded);
};

/*
 * Begin.
 *
 * ret_load  valid until done is called
 *
 * Returns 0, -EAGAIN (the file thread has too much to do) or -ENOMEM: done is not called then.
 */
int snapshot_load_begin(struct server *server, const struct snapshot_load_options *options,
			struct snapshot_load **ret_load);

/* Where it waits for the loader, it gives up: done is called with CANCELLED, from the loop. Else it goes on. */
void snapshot_load_cancel(struct snapshot_load *load);

/* Nobody waits for it any more: it gives up likewise, its callbacks are not called, and what it finds is closed. */
void snapshot_load_forget(struct snapshot_load *load);

/*
 * The error for an errno from opening, preparing or publishing a snapshot's files.
 *
 * known  see struct snapshot_load_options
 *
 * Returns the error's errno.
 */
int snapshot_file_error(int number, const struct error_detail *detail, bool known, struct rpc_error *error);

#endif
