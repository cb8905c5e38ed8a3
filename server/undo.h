/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How to take back what a call has done, when nobody is there to be told that it was.
 *
 * A call can be taken away (by rpc.cancel, its deadline, or a client that leaves) when a worker has been told already what to do; and an
 * answer can be formed that its client never gets. In both cases what was done is undone: by one record of it, which the method makes
 * when the work is done (call_done()) and which is applied at once, kept until the answer has been sent, or forgotten.
 * What a method makes no record of stands; its row of the protocol's table says so.
 */
#ifndef EMBER_SERVER_UNDO_H
#define EMBER_SERVER_UNDO_H

#include <stdint.h>

struct server;

enum undo_kind {
	UNDO_NOTHING = 0,
	UNDO_START,   /* end the VM */
	UNDO_PAUSE,   /* let it go on */
	UNDO_RESUME,  /* pause it */
	UNDO_BALLOON, /* set its balloon's target back */
};

struct undo {
	enum undo_kind kind;
	uint64_t vm;         /* its number */
	uint64_t change;     /* pool_vm_state_changes() or pool_vm_balloon_changes() once it was done */
	uint32_t target_mib; /* UNDO_BALLOON: what the target was */
};

/*
 * Undo it, unless the VM is gone or somebody else has changed the same since. The VM's worker may take its time; subscribers are
 * told when it is done.
 *
 * undo  copied; NULL: nothing
 */
void undo_apply(struct server *server, const struct undo *undo);

#endif
