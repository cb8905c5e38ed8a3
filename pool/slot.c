/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The slot's state machine as two tables: the steps that exist, and what a worker may say in each state.
 */
#include "pool/slot.h"

#include <stddef.h>
#include <stdint.h>

#include "pool/message.h"

#define STATE(state)  (1u << (state))
#define TYPE(message) (UINT64_C(1) << (message))

_Static_assert(MESSAGE_TYPE_COUNT <= 64, "a set of message types fits a word");

/* What a worker with a VM may say unasked or as an answer; pending requests are matched elsewhere. */
#define VM_SAYS                                                                                                      \
	(TYPE(MESSAGE_SIGNALLED) | TYPE(MESSAGE_OUTPUT) | TYPE(MESSAGE_EXITED) | TYPE(MESSAGE_DONE) |                \
	 TYPE(MESSAGE_REFUSED) | TYPE(MESSAGE_PROGRESS) | TYPE(MESSAGE_SNAPSHOT_DONE) | TYPE(MESSAGE_CONSOLE_DATA) | \
	 TYPE(MESSAGE_CONSOLE_WRITTEN) | TYPE(MESSAGE_BALLOON_STATUS) | TYPE(MESSAGE_VSOCK_CONNECT))

static const struct {
	const char *name;
	uint32_t next; /* states that may follow */
	uint64_t says; /* message types that a worker may send */
} states[SLOT_STATE_COUNT] = {
	[SLOT_FREE] = { "free", STATE(SLOT_FORKING), 0 },
	[SLOT_FORKING] = { "forking", STATE(SLOT_BUILDING) | STATE(SLOT_STOPPING) | STATE(SLOT_FREE), 0 },
	[SLOT_BUILDING] = { "building", STATE(SLOT_WARM) | STATE(SLOT_STOPPING),
			    TYPE(MESSAGE_WARM) | TYPE(MESSAGE_FAILED) },
	[SLOT_WARM] = { "warm", STATE(SLOT_STARTING) | STATE(SLOT_STOPPING), 0 },
	[SLOT_STARTING] = { "starting", STATE(SLOT_LEASED) | STATE(SLOT_STOPPING),
			    TYPE(MESSAGE_STARTED) | TYPE(MESSAGE_REFUSED) },
	[SLOT_LEASED] = { "leased", STATE(SLOT_STOPPING), VM_SAYS },
	/* What was on its way when the slot was stopped is read and dropped. */
	[SLOT_STOPPING] = { "stopping", STATE(SLOT_FREE),
			    VM_SAYS | TYPE(MESSAGE_WARM) | TYPE(MESSAGE_FAILED) | TYPE(MESSAGE_STARTED) },
};

const char *slot_state_name(enum slot_state state)
{
	return (unsigned)state < SLOT_STATE_COUNT ? states[state].name : NULL;
}

bool slot_may_become(enum slot_state from, enum slot_state to)
{
	return (unsigned)from < SLOT_STATE_COUNT && (unsigned)to < SLOT_STATE_COUNT && (states[from].next & STATE(to));
}

bool slot_may_say(enum slot_state state, unsigned message_type)
{
	return (unsigned)state < SLOT_STATE_COUNT && message_type < MESSAGE_TYPE_COUNT &&
	       (states[state].says & TYPE(message_type));
}
