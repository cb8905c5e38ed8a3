/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The slot's state machine: the steps of a life, and no others; what may be said when.
 */
#include "pool/slot.h"

#include <criterion/criterion.h>

#include "pool/message.h"

Test(slot, every_state_has_a_name_of_its_own)
{
	for (int state = 0; state < SLOT_STATE_COUNT; state++) {
		cr_assert_not_null(slot_state_name((enum slot_state)state));
		for (int other = 0; other < state; other++)
			cr_assert_str_neq(slot_state_name((enum slot_state)state),
					  slot_state_name((enum slot_state)other));
	}
	cr_assert_null(slot_state_name(SLOT_STATE_COUNT));
	cr_assert_null(slot_state_name((enum slot_state) - 1));
}

Test(slot, a_life_goes_from_free_to_free)
{
	static const enum slot_state life[] = { SLOT_FREE,     SLOT_FORKING, SLOT_BUILDING, SLOT_WARM,
						SLOT_STARTING, SLOT_LEASED,  SLOT_STOPPING, SLOT_FREE };

	for (size_t i = 0; i + 1 < sizeof(life) / sizeof(life[0]); i++)
		cr_assert(slot_may_become(life[i], life[i + 1]), "%s to %s", slot_state_name(life[i]),
			  slot_state_name(life[i + 1]));
}

Test(slot, a_worker_can_be_stopped_whatever_it_does)
{
	for (int state = SLOT_FORKING; state < SLOT_STOPPING; state++)
		cr_assert(slot_may_become((enum slot_state)state, SLOT_STOPPING));
}

Test(slot, a_used_slot_is_never_warm_again)
{
	cr_assert_not(slot_may_become(SLOT_STARTING, SLOT_WARM));
	cr_assert_not(slot_may_become(SLOT_LEASED, SLOT_WARM));
	cr_assert_not(slot_may_become(SLOT_STOPPING, SLOT_WARM));
	cr_assert_not(slot_may_become(SLOT_LEASED, SLOT_FREE));
}

Test(slot, no_state_follows_itself_or_comes_from_outside)
{
	for (int state = 0; state < SLOT_STATE_COUNT; state++) {
		cr_assert_not(slot_may_become((enum slot_state)state, (enum slot_state)state));
		cr_assert_not(slot_may_become((enum slot_state)state, SLOT_STATE_COUNT));
		cr_assert_not(slot_may_become(SLOT_STATE_COUNT, (enum slot_state)state));
	}
}

Test(slot, a_warm_worker_has_nothing_to_say)
{
	for (unsigned type = 0; type < MESSAGE_TYPE_COUNT + 8; type++) {
		cr_assert_not(slot_may_say(SLOT_WARM, type));
		cr_assert_not(slot_may_say(SLOT_FREE, type));
		cr_assert_not(slot_may_say(SLOT_FORKING, type));
	}
}

Test(slot, nobody_says_what_only_the_supervisor_or_the_zygote_says)
{
	static const unsigned never[] = { MESSAGE_NONE,
					  MESSAGE_HOST,
					  MESSAGE_FORK,
					  MESSAGE_FORKED,
					  MESSAGE_BOOT,
					  MESSAGE_RESTORE,
					  MESSAGE_PAUSE,
					  MESSAGE_SNAPSHOT,
					  MESSAGE_STOP,
					  MESSAGE_LOAD,
					  MESSAGE_LOADED,
					  MESSAGE_CONSOLE_READ,
					  MESSAGE_RESUME,
					  MESSAGE_LOADER_READY,
					  MESSAGE_CONSOLE_WRITE,
					  MESSAGE_DRIVE,
					  MESSAGE_DRIVE_OVERLAY,
					  MESSAGE_NET,
					  MESSAGE_VSOCK,
					  MESSAGE_VSOCK_NO_LISTENER,
					  MESSAGE_RNG,
					  MESSAGE_BALLOON,
					  MESSAGE_METADATA,
					  MESSAGE_KERNEL,
					  MESSAGE_INITRD,
					  MESSAGE_BOOT_LINUX,
					  MESSAGE_SNAPSHOT_OVERLAY,
					  MESSAGE_POWER_BUTTON,
					  MESSAGE_BALLOON_ASK,
					  MESSAGE_VSOCK_CONNECTED,
					  MESSAGE_VSOCK_REFUSED };

	for (int state = 0; state < SLOT_STATE_COUNT; state++) {
		for (size_t i = 0; i < sizeof(never) / sizeof(never[0]); i++)
			cr_assert_not(slot_may_say((enum slot_state)state, never[i]), "%s in %s",
				      message_table[never[i]].name, slot_state_name((enum slot_state)state));
	}
}

Test(slot, reports_come_only_once_the_vm_is_leased)
{
	cr_assert_not(slot_may_say(SLOT_STARTING, MESSAGE_SIGNALLED));
	cr_assert(slot_may_say(SLOT_STARTING, MESSAGE_STARTED));
	cr_assert(slot_may_say(SLOT_LEASED, MESSAGE_SIGNALLED));
	cr_assert_not(slot_may_say(SLOT_STARTING, MESSAGE_VSOCK_CONNECT));
	cr_assert(slot_may_say(SLOT_LEASED, MESSAGE_VSOCK_CONNECT));
	cr_assert_not(slot_may_say(SLOT_LEASED, MESSAGE_STARTED));
	cr_assert(slot_may_say(SLOT_BUILDING, MESSAGE_WARM));
	cr_assert_not(slot_may_say(SLOT_LEASED, MESSAGE_WARM));
}
