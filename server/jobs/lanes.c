/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Counting, over at most a hundred helpers.
 */
#include "server/jobs/lanes.h"

#include "server/jobs/jobs.h"

struct tally {
	uint32_t lane;
	uint32_t owner;
	uint32_t peers;
};

static void count_use(struct tally *tally, const struct lane *lane, const struct lane *used)
{
	bool same_owner = used->owner == lane->owner;

	tally->owner += same_owner;
	tally->lane += same_owner && used->file_system == lane->file_system;
	tally->peers += used->owner != JOBS_STATE_OWNER;
}

enum lane_verdict lane_decide(const struct lane *lane, const struct lane_use *uses, size_t count)
{
	struct tally working = { 0 }, stuck = { 0 };
	bool of_state = lane->owner == JOBS_STATE_OWNER;

	for (size_t i = 0; i < count; i++)
		count_use(uses[i].stuck ? &stuck : &working, lane, &uses[i].lane);

	if (stuck.lane >= JOBS_LANE_STUCK_MAX || stuck.owner >= JOBS_OWNER_STUCK_MAX ||
	    (!of_state && stuck.peers >= JOBS_STUCK_MAX))
		return LANE_REFUSE;
	if (of_state)
		return working.owner < JOBS_STATE_MAX ? LANE_RUN : LANE_WAIT;
	return working.lane < JOBS_LANE_MAX && working.owner < JOBS_OWNER_MAX && working.peers < JOBS_PEERS_MAX
		       ? LANE_RUN
		       : LANE_WAIT;
}
