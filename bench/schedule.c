/* SPDX-License-Identifier: Apache-2.0 */
/*
 * When requests are due.
 *
 * In a closed loop a client sends as soon as its last request is done: the load gives way when the daemon is slow. In an
 * open loop the times are fixed beforehand, whatever the daemon does: a client that is late takes its turn as soon as
 * it can, and its latency still counts from when the request was due, so that a stall is charged to every request that
 * it delayed and not to one alone ("coordinated omission").
 */
#include "bench/schedule.h"

#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <stdlib.h>

#define NANOSECONDS 1e9

struct schedule {
	struct schedule_plan plan;
	pthread_mutex_t lock; /* the rest */
	uint64_t start_ns;
	uint64_t next_number;
	double next_gap; /* open loop: seconds after the start at which the next turn is due */
	uint64_t random;
	bool stopped;
};

int schedule_new(const struct schedule_plan *plan, uint64_t start_ns, struct schedule **ret_schedule)
{
	struct schedule *schedule;

	if (!isfinite(plan->rate) || plan->rate < 0)
		return -EINVAL;
	schedule = calloc(1, sizeof(*schedule));
	if (schedule == NULL)
		return -ENOMEM;
	schedule->plan = *plan;
	schedule->start_ns = start_ns;
	schedule->random = plan->seed ^ UINT64_C(0x9e3779b97f4a7c15);
	pthread_mutex_init(&schedule->lock, NULL);
	*ret_schedule = schedule;
	return 0;
}

struct schedule *schedule_free(struct schedule *schedule)
{
	if (schedule != NULL)
		pthread_mutex_destroy(&schedule->lock);
	free(schedule);
	return NULL;
}

/* Uniform in (0, 1], by splitmix64 (Steele, Lea and Flood, 2014). */
static double next_random(struct schedule *schedule)
{
	uint64_t mixed = schedule->random += UINT64_C(0x9e3779b97f4a7c15);

	mixed = (mixed ^ (mixed >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	mixed = (mixed ^ (mixed >> 27)) * UINT64_C(0x94d049bb133111eb);
	mixed ^= mixed >> 31;
	return ((double)(mixed >> 11) + 1.0) / 9007199254740992.0;
}

static bool take_open_turn(struct schedule *schedule, struct turn *turn)
{
	uint64_t after = (uint64_t)(schedule->next_gap * NANOSECONDS);

	if (schedule->plan.duration_ns > 0 && after > schedule->plan.duration_ns)
		return false;
	turn->due_ns = schedule->start_ns + after;
	schedule->next_gap += (schedule->plan.even ? 1.0 : -log(next_random(schedule))) / schedule->plan.rate;
	return true;
}

static bool take_turn(struct schedule *schedule, uint64_t now_ns, struct turn *turn)
{
	const struct schedule_plan *plan = &schedule->plan;

	if (schedule->stopped || (plan->count > 0 && schedule->next_number == plan->count))
		return false;
	turn->due_ns = 0;
	if (plan->rate > 0) {
		if (!take_open_turn(schedule, turn))
			return false;
	} else if (plan->duration_ns > 0 && now_ns - schedule->start_ns > plan->duration_ns) {
		return false;
	}
	turn->number = schedule->next_number++;
	return true;
}

bool schedule_next(struct schedule *schedule, uint64_t now_ns, struct turn *ret_turn)
{
	bool taken;

	pthread_mutex_lock(&schedule->lock);
	taken = take_turn(schedule, now_ns, ret_turn);
	pthread_mutex_unlock(&schedule->lock);
	return taken;
}

void schedule_stop(struct schedule *schedule)
{
	pthread_mutex_lock(&schedule->lock);
	schedule->stopped = true;
	pthread_mutex_unlock(&schedule->lock);
}
