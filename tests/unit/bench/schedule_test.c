/* SPDX-License-Identifier: Apache-2.0 */
/*
 * When requests are due, in closed and in open loops; no clock runs in these tests.
 */
#include "bench/schedule.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <math.h>
#include <pthread.h>

#define START   UINT64_C(5000000000)
#define SECOND  UINT64_C(1000000000)
#define THREADS 4

static struct schedule *schedule;

static void end(void)
{
	schedule = schedule_free(schedule);
}

TestSuite(schedule, .fini = end);

static void begin(const struct schedule_plan *plan)
{
	cr_assert_eq(schedule_new(plan, START, &schedule), 0);
}

Test(schedule, closed_loop_ends_at_its_count)
{
	struct turn turn;

	begin(&(struct schedule_plan){ .count = 3 });
	for (uint64_t i = 0; i < 3; i++) {
		cr_assert(schedule_next(schedule, START, &turn));
		cr_assert_eq(turn.number, i);
		cr_assert_eq(turn.due_ns, 0);
	}
	cr_assert_not(schedule_next(schedule, START, &turn));
}

Test(schedule, closed_loop_ends_after_its_duration)
{
	struct turn turn;

	begin(&(struct schedule_plan){ .duration_ns = SECOND });
	cr_assert(schedule_next(schedule, START, &turn));
	cr_assert(schedule_next(schedule, START + SECOND, &turn));
	cr_assert_not(schedule_next(schedule, START + SECOND + 1, &turn));
}

Test(schedule, even_arrivals_have_equal_gaps_whatever_the_time_is)
{
	struct turn turn;

	begin(&(struct schedule_plan){ .rate = 4, .even = true, .duration_ns = SECOND });
	for (uint64_t i = 0; i <= 4; i++) {
		cr_assert(schedule_next(schedule, START + 100 * SECOND, &turn));
		cr_assert_eq(turn.due_ns, START + i * SECOND / 4);
	}
	cr_assert_not(schedule_next(schedule, START, &turn));
}

Test(schedule, poisson_arrivals_keep_the_rate_and_spread_as_they_should)
{
	struct turn turn;
	uint64_t last = START;
	double sum = 0, squares = 0;
	const int turns = 100000;

	begin(&(struct schedule_plan){ .rate = 1000, .seed = 7 });
	cr_assert(schedule_next(schedule, START, &turn));
	for (int i = 0; i < turns; i++) {
		double gap;

		cr_assert(schedule_next(schedule, START, &turn));
		cr_assert_geq(turn.due_ns, last);
		gap = (double)(turn.due_ns - last) / 1e6;
		last = turn.due_ns;
		sum += gap;
		squares += gap * gap;
	}
	/* exponential gaps: the mean is 1 ms, and so is the standard deviation */
	cr_assert_float_eq(sum / turns, 1.0, 0.02);
	cr_assert_float_eq(sqrt(squares / turns - (sum / turns) * (sum / turns)), 1.0, 0.03);
}

Test(schedule, same_seed_gives_the_same_times)
{
	const struct schedule_plan plan = { .rate = 10, .seed = 42 };
	struct schedule *again;
	struct turn turn, turn_again;

	begin(&plan);
	cr_assert_eq(schedule_new(&plan, START, &again), 0);
	for (int i = 0; i < 100; i++) {
		cr_assert(schedule_next(schedule, START, &turn));
		cr_assert(schedule_next(again, START, &turn_again));
		cr_assert_eq(turn.due_ns, turn_again.due_ns);
	}
	schedule_free(again);
}

Test(schedule, stops)
{
	struct turn turn;

	begin(&(struct schedule_plan){ .count = 100 });
	cr_assert(schedule_next(schedule, START, &turn));
	schedule_stop(schedule);
	cr_assert_not(schedule_next(schedule, START, &turn));
}

Test(schedule, refuses_rates_that_are_none)
{
	cr_assert_eq(schedule_new(&(struct schedule_plan){ .rate = -1 }, START, &schedule), -EINVAL);
	cr_assert_eq(schedule_new(&(struct schedule_plan){ .rate = (double)NAN }, START, &schedule), -EINVAL);
	cr_assert_eq(schedule_new(&(struct schedule_plan){ .rate = (double)INFINITY }, START, &schedule), -EINVAL);
	cr_assert_null(schedule);
}

static void *take_turns(void *context)
{
	uint64_t *sum = context;
	struct turn turn;

	while (schedule_next(schedule, START, &turn))
		*sum += turn.number;
	return NULL;
}

Test(schedule, gives_each_turn_to_one_thread)
{
	const uint64_t turns = 20000;
	uint64_t sums[THREADS] = { 0 }, sum = 0;
	pthread_t threads[THREADS];

	begin(&(struct schedule_plan){ .count = turns });
	for (int i = 0; i < THREADS; i++)
		cr_assert_eq(pthread_create(&threads[i], NULL, take_turns, &sums[i]), 0);
	for (int i = 0; i < THREADS; i++) {
		pthread_join(threads[i], NULL);
		sum += sums[i];
	}
	cr_assert_eq(sum, turns * (turns - 1) / 2);
}
