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
 * ret_times  may be NULL
 *
 * Returns 0; -EBUSY (the machine has run); -EINVAL (shapes or devices differ: detail says which); -EBADMSG (the file is
 * too short); or -errno of the step that detail names. On failure the machine must not run.
 */
int snapshot_inject(struct machine *machine, const struct vm_state *state, int memory, struct inject_times *ret_times,
		    struct error_detail *detail);

#endif
