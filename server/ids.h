/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Numbers that are never used twice for one state folder: of VMs and of events.
 */
#ifndef EMBER_SERVER_IDS_H
#define EMBER_SERVER_IDS_H

#include <stdint.h>

#include "kvm/error_detail.h"

struct ids;
struct file_thread;

#define IDS_FILE_NAME "ids.json" /* in the state folder */

enum ids_kind {
	IDS_VM = 0,
	IDS_EVENT,
	IDS_KIND_COUNT,
};

/*
 * Read how far a state folder's numbers have gone, and reserve the next ones durably. Waits for the disk: before the loop runs.
 *
 * state_dir  the folder's path; it exists
 * ret_ids    the caller ends it with ids_close()
 *
 * Returns 0, -EBADMSG (the file is damaged: detail says what to do) or -errno of the step in detail.
 */
int ids_open(const char *state_dir, struct ids **ret_ids, struct error_detail *detail);

/* Where further numbers are reserved: ahead of their use, on the file thread, which must end before ids_close(). */
void ids_use_thread(struct ids *ids, struct file_thread *files);

/* The next number: 1, 2, ..., with gaps where a daemon ended. 0: none is left, since the disk with the state folder does not answer. */
uint64_t ids_next(struct ids *ids, enum ids_kind kind);

/* Takes NULL; returns NULL. */
struct ids *ids_close(struct ids *ids);

#endif
