/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a machine to a state and back.
 */
#ifndef EMBER_SNAPSHOT_CAPTURE_H
#define EMBER_SNAPSHOT_CAPTURE_H

#include <stdint.h>

#include "devices/machine.h"
#include "kvm/error_detail.h"
#include "snapshot/state.h"

/* Nanoseconds of each phase. */
struct capture_times {
	uint64_t vcpu_ns;
	uint64_t irqchip_ns;
	uint64_t clock_ns;
	uint64_t devices_ns;
};

/*
 * What a guest's kvmclock does about the time that a snapshot lay on disk. Both ways its TSC goes on from where it
 * stood, where the host can set it, and a guest that uses kvmclock is told that it was paused, so that its watchdogs do
 * not take a jump for a lock-up.
 */
enum inject_clock {
	/*
	 * It goes on from where it stood, as if no time had passed: the guest's uptime counts the time that it ran, its
	 * timers have as long to go as they had, and its date stays behind the host's by as long as the snapshot is
	 * old.
	 */
	INJECT_CLOCK_CONTINUE = 0,
	/*
	 * It is moved on by the host's wall-clock time since the snapshot was taken, never back: the date of a guest
	 * that works it out from kvmclock, and was right when the snapshot was taken, is right again. To Linux, kvmclock
	 * is one clock for all: uptime jumps by as much, and timers that have expired meanwhile fire at once. One that
	 * reads the time from the TSC sees no jump. Snapshots of clones that were restored with INJECT_CLOCK_CONTINUE
	 * keep the lag that those had.
	 */
	INJECT_CLOCK_HOST,
};

struct inject_options {
	enum inject_clock clock;
};

struct inject_times {
	uint64_t memory_map_ns;
	uint64_t vcpu_ns;
	uint64_t irqchip_ns;
	uint64_t devices_ns;
	uint64_t clock_ns;
};

/*
 * Read the whole state of a paused machine, but for its memory.
 *
 * ret_state  zero-filled by this function first; vm_state_check() holds on success
 * ret_times  may be NULL
 *
 * Returns 0; -EBUSY (it runs); -EOPNOTSUPP (a device that snapshots do not know); or -errno of the step that detail
 * names. The machine is unharmed and may go on.
 */
int snapshot_capture(struct machine *machine, struct vm_state *ret_state, struct capture_times *ret_times,
		     struct error_detail *detail);

/*
 * Put a snapshot into a machine that has not run: memory laid over the reserved range, devices, vCPUs, irqchip, PIT,
 * clock. The order and its reasons are in inject.c.
 *
 * state      checked with vm_state_check() by the caller; its shape is the machine's
 * memory     the snapshot's memory file, open for reading, at least as long as the machine's memory; not consumed, may
 *            be closed afterwards
 * options    NULL: the clock continues
 * ret_times  may be NULL
 *
 * Returns 0; -EBUSY (the machine has run); -EINVAL (shapes or devices differ: detail says which); -EBADMSG (the file is
 * too short); or -errno of the step that detail names. On failure the machine must not run.
 */
int snapshot_inject(struct machine *machine, const struct vm_state *state, int memory,
		    const struct inject_options *options, struct inject_times *ret_times, struct error_detail *detail);

#endif
