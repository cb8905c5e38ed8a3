/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The file thread: order, results, completions in the loop, the bound, and a stop with work still queued.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>

#include <event2/event.h>

#include "server/file_thread.h"

struct job {
	int number;
	pthread_t worked_on;
	pthread_t done_on;
	int result;
	int done_order;
	sem_t *gate; /* NULL, or what work waits for */
};

static int done_count;

static int work(void *opaque)
{
	struct job *job = opaque;

	if (job->gate)
		(void)sem_wait(job->gate);
	job->worked_on = pthread_self();
	return -job->number;
}

static void done(void *opaque, int result)
{
	struct job *job = opaque;

	job->done_on = pthread_self();
	job->result = result;
	job->done_order = done_count++;
}

static void run_until_done(struct event_base *base, int count)
{
	while (done_count < count)
		cr_assert_eq(event_base_loop(base, EVLOOP_ONCE), 0);
}

Test(file_thread, jobs_run_in_order_on_one_thread_and_complete_in_the_loop)
{
	struct event_base *base = event_base_new();
	struct file_thread *thread;
	struct job jobs[50] = { 0 };
	int i;

	cr_assert_eq(file_thread_start(base, 50, &thread), 0);
	for (i = 0; i < 50; i++) {
		jobs[i].number = i;
		cr_assert_eq(file_thread_submit(thread, work, done, &jobs[i]), 0);
	}
	run_until_done(base, 50);
	for (i = 0; i < 50; i++) {
		cr_expect_eq(jobs[i].result, -i);
		cr_expect_eq(jobs[i].done_order, i);
		cr_expect(pthread_equal(jobs[i].worked_on, jobs[0].worked_on));
		cr_expect_not(pthread_equal(jobs[i].worked_on, pthread_self()));
		cr_expect(pthread_equal(jobs[i].done_on, pthread_self()));
	}
	cr_expect_null(file_thread_free(thread));
	event_base_free(base);
}

Test(file_thread, the_queue_is_bounded_and_opens_again)
{
	struct event_base *base = event_base_new();
	struct file_thread *thread;
	struct job jobs[3] = { 0 };
	sem_t gate;

	(void)sem_init(&gate, 0, 0);
	jobs[0].gate = &gate;
	cr_assert_eq(file_thread_start(base, 2, &thread), 0);
	cr_expect_eq(file_thread_submit(thread, work, done, &jobs[0]), 0);
	cr_expect_eq(file_thread_submit(thread, work, done, &jobs[1]), 0);
	cr_expect_eq(file_thread_submit(thread, work, done, &jobs[2]), -EAGAIN);
	(void)sem_post(&gate);
	run_until_done(base, 2);
	cr_expect_eq(file_thread_submit(thread, work, done, &jobs[2]), 0);
	run_until_done(base, 3);
	(void)file_thread_free(thread);
	event_base_free(base);
	(void)sem_destroy(&gate);
}

Test(file_thread, stopping_finishes_what_is_queued)
{
	struct event_base *base = event_base_new();
	struct file_thread *thread;
	struct job jobs[10] = { 0 };
	int i;

	cr_assert_eq(file_thread_start(base, 10, &thread), 0);
	for (i = 0; i < 10; i++)
		cr_assert_eq(file_thread_submit(thread, work, done, &jobs[i]), 0);
	cr_expect_eq(file_thread_stop(thread, 60000), 0);
	cr_expect_eq(done_count, 10);
	cr_expect_eq(file_thread_submit(thread, work, done, &jobs[0]), -EAGAIN);
	(void)file_thread_free(thread);
	cr_expect_eq(done_count, 10);
	event_base_free(base);
}

Test(file_thread, stopping_nothing_is_fine)
{
	cr_expect_eq(file_thread_stop(NULL, 0), 0);
	cr_expect_null(file_thread_free(NULL));
}

Test(file_thread, what_undoes_is_never_refused)
{
	struct event_base *base = event_base_new();
	struct file_thread *thread;
	struct job jobs[3] = { 0 };

	cr_assert_eq(file_thread_start(base, 1, &thread), 0);
	cr_expect_eq(file_thread_submit(thread, work, done, &jobs[0]), 0);
	cr_expect_eq(file_thread_submit(thread, work, done, &jobs[1]), -EAGAIN);
	cr_expect_eq(file_thread_submit_undo(thread, work, done, &jobs[1]), 0);
	cr_expect_eq(file_thread_submit_undo(thread, work, done, &jobs[2]), 0);
	run_until_done(base, 3);
	(void)file_thread_free(thread);
	event_base_free(base);
}

Test(file_thread, one_that_hangs_is_not_waited_for_for_ever)
{
	struct event_base *base = event_base_new();
	struct file_thread *thread;
	struct job job = { 0 };
	sem_t gate;

	(void)sem_init(&gate, 0, 0);
	job.gate = &gate;
	cr_assert_eq(file_thread_start(base, 1, &thread), 0);
	cr_expect_eq(file_thread_submit(thread, work, done, &job), 0);
	cr_expect_eq(file_thread_stop(thread, 10), -ETIMEDOUT);
	(void)sem_post(&gate);
	cr_expect_eq(file_thread_stop(thread, 60000), 0);
	(void)file_thread_free(thread);
	event_base_free(base);
}
