/* SPDX-License-Identifier: Apache-2.0 */
/*
 * File work that may hang, done by helper processes, so that neither the event loop nor a thread of the daemon ever waits
 * for a file system.
 *
 * A job has a kind (kinds.h), a JSON object as input, and descriptors. It runs in a helper: a process that holds neither the
 * daemon's lock nor its listeners, does one job at a time, and can be given up. Its answer is a number (0 or -errno), a JSON
 * object, and descriptors.
 *
 * Jobs wait in lanes, one for each pair of an owner and a file system, and a lane has few helpers at a time: a file system
 * that hangs holds up those who use it, and no other peer. The state folder's jobs have places of their own.
 *
 * A job that runs longer than its time is given up: its helper gets SIGKILL, and done() is called with -ETIMEDOUT at once. A
 * helper that does not end of it (it waits in the kernel) is counted as stuck until it does, and its lane gets another one, up
 * to JOBS_LANE_STUCK_MAX.
 */
#ifndef EMBER_SERVER_JOBS_JOBS_H
#define EMBER_SERVER_JOBS_JOBS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <event2/event.h>
#include <jansson.h>

#include "server/jobs/kinds.h"

#define JOBS_STATE_OWNER UINT32_MAX /* the daemon itself, for its state folder: no peer has this uid */

struct jobs;
struct job;

struct jobs_options {
	const char *executable;  /* what has jobs_helper_main(); must outlive the jobs */
	uint32_t waiting_max;    /* jobs of one owner that may wait */
	uint32_t running_max_ms; /* until a job is given up */
};

/* An answer, as long as done() runs. Descriptors that done() does not take (setting them to -1) are closed by a helper. */
struct job_result {
	int result; /* what the kind's function returned; -ETIMEDOUT: given up; -EIO: its helper ended; -ECANCELED: stopped */
	const json_t *output; /* NULL: none */
	int *files;
	uint32_t file_count;
};

struct job_request {
	enum job_kind kind;
	uint32_t owner;    /* the uid that asked, or JOBS_STATE_OWNER */
	const char *path;  /* decides the file system, and is logged; absolute; NULL: of no file system */
	const char *order; /* jobs with the same text run one after the other, as they came; NULL: in no order */
	json_t *input;     /* an object, taken over, also on failure */
	const int *files;  /* taken over on success: they are closed once a helper has them */
	uint32_t file_count;
	void (*done)(void *opaque,
		     const struct job_result *result); /* from the loop, once, never within jobs_submit() */
	void *opaque;
};

/*
 * Make the jobs of a server; helpers are started as they are needed.
 *
 * base      whose loop gets the answers; must outlive the jobs
 * ret_jobs  the caller ends them with jobs_free()
 *
 * Returns 0 or -errno.
 */
int jobs_new(struct event_base *base, const struct jobs_options *options, struct jobs **ret_jobs);

/*
 * Queue a job.
 *
 * ret_job  for job_forget(), until done() is called; may be NULL
 *
 * Returns 0; -EAGAIN (the owner has waiting_max jobs waiting), -EBUSY (the lane's or the owner's helpers are stuck),
 * -ECANCELED (the jobs are being stopped), -E2BIG (the input), or -ENOMEM: done() is not called then.
 */
int jobs_submit(struct jobs *jobs, const struct job_request *request, struct job **ret_job);

/* Nobody waits for it any more: one that waits is dropped, the answer of one that runs is thrown away. done() is not called. */
void job_forget(struct job *job);

/*
 * Let a helper close descriptors whose last close may hang, and those that cannot be sent. Never refused; what cannot be
 * queued for lack of memory stays open. No descriptor whose file has a flush operation may be passed: close(2) of the own copy
 * would wait for it.
 */
void jobs_close_files(struct jobs *jobs, uint32_t owner, const int *files, uint32_t count);

/* Change what a reload may change. */
void jobs_configure(struct jobs *jobs, uint32_t waiting_max, uint32_t running_max_ms);

struct jobs_counts {
	uint32_t helpers;  /* processes that are not stuck */
	uint32_t running;  /* jobs */
	uint32_t waiting;  /* jobs */
	uint32_t stuck;    /* helpers that were killed and have not ended */
	uint64_t given_up; /* jobs, ever */
};
void jobs_count(const struct jobs *jobs, struct jobs_counts *ret_counts);

/* Take no more jobs but closes; those that are queued go on. */
void jobs_stop(struct jobs *jobs);

/*
 * Kill the helpers without waiting for their end; done() of every job that is left is called with -ECANCELED. Takes NULL;
 * returns NULL.
 */
struct jobs *jobs_free(struct jobs *jobs);

#endif
