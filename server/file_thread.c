/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two lists under one mutex: jobs that wait for the thread, and jobs that wait for the loop. A condition variable wakes
 * the thread, an eventfd wakes the loop. A publish is in order with the publishes before it because there is one
 * thread; disks gain little from more.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/queue.h>
#include <time.h>
#include <unistd.h>

#include "server/cleanup.h"
#include "server/file_thread.h"

struct job {
	STAILQ_ENTRY(job) link;
	int (*work)(void *opaque);
	void (*done)(void *opaque, int result);
	void *opaque;
	int result;
};

STAILQ_HEAD(job_list, job);

struct file_thread {
	pthread_t thread;
	pthread_mutex_t mutex; /* the lists and stopping */
	pthread_cond_t wake;
	struct job_list waiting;
	struct job_list finished;
	bool stopping;
	bool ended;  /* joined */
	size_t jobs; /* the loop's own count: submitted and not yet completed */
	size_t jobs_max;
	int notify; /* eventfd */
	struct event *notified;
};

static void *run(void *opaque)
{
	struct file_thread *thread = opaque;
	const uint64_t one = 1;
	struct job *job;

	(void)pthread_mutex_lock(&thread->mutex);
	for (;;) {
		while (STAILQ_EMPTY(&thread->waiting) && !thread->stopping)
			(void)pthread_cond_wait(&thread->wake, &thread->mutex);
		job = STAILQ_FIRST(&thread->waiting);
		if (!job)
			break;
		STAILQ_REMOVE_HEAD(&thread->waiting, link);
		(void)pthread_mutex_unlock(&thread->mutex);

		job->result = job->work(job->opaque);

		(void)pthread_mutex_lock(&thread->mutex);
		STAILQ_INSERT_TAIL(&thread->finished, job, link);
		/* Fails only at 2^64 - 1 unread notifications. */
		(void)!write(thread->notify, &one, sizeof(one));
	}
	(void)pthread_mutex_unlock(&thread->mutex);
	return NULL;
}

static void deliver(struct file_thread *thread)
{
	struct job *job;

	for (;;) {
		(void)pthread_mutex_lock(&thread->mutex);
		job = STAILQ_FIRST(&thread->finished);
		if (job)
			STAILQ_REMOVE_HEAD(&thread->finished, link);
		(void)pthread_mutex_unlock(&thread->mutex);
		if (!job)
			return;

		thread->jobs--;
		job->done(job->opaque, job->result);
		free(job);
	}
}

static void on_notified(evutil_socket_t fd, short events, void *opaque)
{
	uint64_t count;

	(void)events;
	(void)!read(fd, &count, sizeof(count));
	deliver(opaque);
}

/* Signals are the loop's: the thread takes none, so that none interrupts its system calls. */
static int start_thread(struct file_thread *thread)
{
	sigset_t all, saved;
	int error;

	(void)sigfillset(&all);
	(void)pthread_sigmask(SIG_SETMASK, &all, &saved);
	error = pthread_create(&thread->thread, NULL, run, thread);
	(void)pthread_sigmask(SIG_SETMASK, &saved, NULL);
	return -error;
}

static void free_parts(struct file_thread *thread)
{
	if (thread->notified)
		event_free(thread->notified);
	if (thread->notify >= 0)
		(void)close(thread->notify);
	(void)pthread_cond_destroy(&thread->wake);
	(void)pthread_mutex_destroy(&thread->mutex);
	free(thread);
}

int file_thread_start(struct event_base *base, size_t jobs_max, struct file_thread **ret_thread)
{
	struct file_thread *thread = calloc(1, sizeof(*thread));
	int error;

	if (!thread)
		return -ENOMEM;

	STAILQ_INIT(&thread->waiting);
	STAILQ_INIT(&thread->finished);
	(void)pthread_mutex_init(&thread->mutex, NULL);
	(void)pthread_cond_init(&thread->wake, NULL);
	thread->jobs_max = jobs_max;
	thread->notify = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (thread->notify < 0) {
		error = -errno;
		free_parts(thread);
		return error;
	}

	thread->notified = event_new(base, thread->notify, EV_READ | EV_PERSIST, on_notified, thread);
	error = thread->notified && event_add(thread->notified, NULL) == 0 ? start_thread(thread) : -ENOMEM;
	if (error) {
		free_parts(thread);
		return error;
	}

	*ret_thread = thread;
	return 0;
}

int file_thread_submit(struct file_thread *thread, int (*work)(void *opaque), void (*done)(void *opaque, int result),
		       void *opaque)
{
	return thread->jobs >= thread->jobs_max ? -EAGAIN : file_thread_submit_undo(thread, work, done, opaque);
}

int file_thread_submit_undo(struct file_thread *thread, int (*work)(void *opaque),
			    void (*done)(void *opaque, int result), void *opaque)
{
	struct job *job;

	if (thread->stopping)
		return -EAGAIN;
	job = calloc(1, sizeof(*job));
	if (!job)
		return -ENOMEM;

	job->work = work;
	job->done = done;
	job->opaque = opaque;
	thread->jobs++;
	(void)pthread_mutex_lock(&thread->mutex);
	STAILQ_INSERT_TAIL(&thread->waiting, job, link);
	(void)pthread_cond_signal(&thread->wake);
	(void)pthread_mutex_unlock(&thread->mutex);
	return 0;
}

int file_thread_stop(struct file_thread *thread, uint32_t patience_ms)
{
	struct timespec until;
	int error;

	if (!thread || thread->ended)
		return 0;

	(void)pthread_mutex_lock(&thread->mutex);
	thread->stopping = true;
	(void)pthread_cond_signal(&thread->wake);
	(void)pthread_mutex_unlock(&thread->mutex);
	(void)clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += patience_ms / 1000;
	until.tv_nsec += (long)(patience_ms % 1000) * 1000000;
	if (until.tv_nsec >= 1000000000) {
		until.tv_sec++;
		until.tv_nsec -= 1000000000;
	}
	error = pthread_clockjoin_np(thread->thread, NULL, CLOCK_MONOTONIC, &until);
	if (error)
		return -error;
	thread->ended = true;
	deliver(thread);
	return 0;
}

struct file_thread *file_thread_free(struct file_thread *thread)
{
	if (!thread)
		return NULL;

	(void)file_thread_stop(thread, UINT32_MAX);
	free_parts(thread);
	return NULL;
}
