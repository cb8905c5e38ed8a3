/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which of the jobs that wait may run: a decision on numbers alone.
 *
 * A lane is an owner and a file system. Bounds: helpers at work for a lane, for an owner, and for all owners together; the
 * state folder's owner has places of its own that no other can take. Helpers that are stuck no longer count as being at work, but
 * are bounded themselves, so that a hung file system costs a bounded number of processes.
 */
#ifndef EMBER_SERVER_JOBS_LANES_H
#define EMBER_SERVER_JOBS_LANES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define JOBS_LANE_MAX        2  /* helpers at work for a lane */
#define JOBS_OWNER_MAX       4  /* for an owner */
#define JOBS_PEERS_MAX       16 /* for all owners but the state folder's */
#define JOBS_STATE_MAX       4  /* for the state folder's */
#define JOBS_LANE_STUCK_MAX  4  /* stuck helpers of a lane */
#define JOBS_OWNER_STUCK_MAX 8  /* of an owner */
#define JOBS_STUCK_MAX       64 /* of all */

struct lane {
	uint32_t owner;
	uint64_t file_system; /* 0: none */
};

/* A helper that has a job, or had one when it was given up. */
struct lane_use {
	struct lane lane;
	bool stuck;
};

enum lane_verdict {
	LANE_RUN = 0,
	LANE_WAIT,   /* a helper at work must end first */
	LANE_REFUSE, /* too many helpers are stuck */
};

/* May a job of this lane run beside those? */
enum lane_verdict lane_decide(const struct lane *lane, const struct lane_use *uses, size_t count);

#endif
