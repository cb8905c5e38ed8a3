/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A service in the guest that does what its host asks, by vsock or TCP, before a snapshot and after every restore.
 */
#ifndef EMBER_TESTS_LINUX_GUEST_AGENT_H
#define EMBER_TESTS_LINUX_GUEST_AGENT_H

#define AGENT_PORT 5000 /* of both */

/*
 * Listen on port AGENT_PORT, signal ready, and serve for ever. A connection brings one request, a line; the answer ends
 * with the connection.
 *
 *	identity      the line of identity_describe()
 *	echo          all that comes, until the peer ends its direction
 *	call PORT     connects to that vsock port of the host's, and echoes there; then {"echoed": BYTES}
 *	memory MIB    allocates, writes and frees as much; then {"touched_mib": N}
 *	signal NUMBER   writes to the signal port; then {}
 *	warnings      the kernel's log from level "warning" on, one line each: LEVEL MICROSECONDS TEXT
 *	exit HOW      {}, then the guest's end (see end.h)
 *
 * What cannot be done is answered with {"error": TEXT}. Returns only if nothing could be listened on.
 */
void guest_agent(void);

#endif
