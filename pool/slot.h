/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The life of a worker, as the supervisor sees it: explicit states and the only steps between them.
 */
#ifndef EMBER_POOL_SLOT_H
#define EMBER_POOL_SLOT_H

#include <stdbool.h>

enum slot_state {
	SLOT_FREE = 0, /* no process */
	SLOT_FORKING,  /* the zygote was asked */
	SLOT_BUILDING, /* the process runs, and builds its machine */
	SLOT_WARM,     /* built, confined, waiting for a request */
	SLOT_STARTING, /* a boot or restore was sent */
	SLOT_LEASED,   /* a VM lives in it */
	SLOT_STOPPING, /* told to end, or seen to misbehave; waiting to be reaped */
	SLOT_STATE_COUNT,
};

/* "free", "forking", ... or NULL. */
const char *slot_state_name(enum slot_state state);

/* May a slot go from one state to the other? */
bool slot_may_become(enum slot_state from, enum slot_state to);

/* May a worker in this state send this type of message (enum message_type)? What it may not say is a lie. */
bool slot_may_say(enum slot_state state, unsigned message_type);

#endif
