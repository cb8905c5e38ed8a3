/* SPDX-License-Identifier: Apache-2.0 */
#ifndef EMBER_BENCH_SCHEDULE_H
#define EMBER_BENCH_SCHEDULE_H

#include <stdbool.h>
#include <stdint.h>

/* How requests follow one another. */
struct schedule_plan {
	double rate;          /* open loop: requests a second; 0: closed loop, each client sends when it is free */
	bool even;            /* open loop: equal gaps; else exponential ones, as independent users make them */
	uint64_t count;       /* requests altogether; 0: no bound */
	uint64_t duration_ns; /* no request is due later than this after the start; 0: no bound */
	uint64_t seed;        /* of the random gaps: the same seed gives the same times */
};

struct schedule;

/* A request's turn. */
struct turn {
	uint64_t number; /* 0, 1, 2, ... */
	uint64_t due_ns; /* open loop: when it is to be sent, on the clock of start_ns; closed loop: 0, at once */
};

/*
 * Make a schedule that any number of threads take turns from.
 *
 * plan          copied; a rate below 0 or not finite is -EINVAL
 * start_ns      CLOCK_MONOTONIC, nanoseconds: when the duration begins, and from when on open-loop requests are due
 * ret_schedule  ended by schedule_free()
 *
 * Returns 0, -EINVAL or -ENOMEM.
 */
int schedule_new(const struct schedule_plan *plan, uint64_t start_ns, struct schedule **ret_schedule);

/* Takes NULL. Returns NULL. */
struct schedule *schedule_free(struct schedule *schedule);

/*
 * Take the next turn; it is the caller's to wait until it is due. Safe to call from many threads.
 *
 * now_ns  closed loop: the time, to see whether the duration is over
 *
 * Returns false when there is none left.
 */
bool schedule_next(struct schedule *schedule, uint64_t now_ns, struct turn *ret_turn);

/* Give no more turns. */
void schedule_stop(struct schedule *schedule);

#endif
