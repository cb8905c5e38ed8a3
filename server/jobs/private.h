/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What jobs.c (which job runs when) and process.c (the helpers' processes) share.
 */
#ifndef EMBER_SERVER_JOBS_PRIVATE_H
#define EMBER_SERVER_JOBS_PRIVATE_H

#include <sys/queue.h>
#include <sys/types.h>

#include "server/jobs/jobs.h"
#include "server/jobs/lanes.h"
#include "server/jobs/mounts.h"
#include "server/jobs/packet.h"

#define JOB_PATH_SHOWN   256
#define JOB_ORDER_SIZE   320
#define HELPERS_IDLE_MAX 4

enum job_state {
	JOB_WAITING = 0,
	JOB_RUNNING,
	JOB_ENDED, /* done() is due */
};

struct job {
	TAILQ_ENTRY(job) link; /* of waiting, running or ended */
	struct jobs *jobs;
	enum job_state state;
	enum job_kind kind;
	struct lane lane;
	char path[JOB_PATH_SHOWN];
	char order[JOB_ORDER_SIZE]; /* "": none */
	char *text;
	uint32_t text_size;
	int files[JOB_FILES_MAX];
	uint32_t file_count;
	void (*done)(void *opaque, const struct job_result *result); /* NULL: forgotten */
	void *opaque;
	int result; /* once it has ended without an answer */
};
TAILQ_HEAD(job_list, job);

struct helper {
	LIST_ENTRY(helper) link;
	struct jobs *jobs;
	pid_t pid;
	int pidfd;
	int channel; /* -1: not listened to any more */
	struct event *readable;
	struct event *ended;
	struct event *timer;
	bool busy;       /* it has a job, or closes what one brought */
	bool killed;     /* and has not ended */
	struct job *job; /* the one it runs; NULL: none, or it has been answered */
	enum job_kind kind;
	struct lane lane;
	char path[JOB_PATH_SHOWN];
	char order[JOB_ORDER_SIZE]; /* "": none, or the job has been answered */
};
LIST_HEAD(helper_list, helper);

struct jobs {
	struct event_base *base;
	struct jobs_options options;
	struct mounts *mounts;
	struct helper_list helpers;
	struct job_list waiting; /* as they came */
	struct job_list running;
	struct job_list ended;
	struct event *turn; /* activated by hand: start what may run, tell what has ended */
	uint64_t given_up;
	bool stopping;
};

/* ---- process.c ---- */

/* Returns 0 or -errno. */
int helper_start(struct jobs *jobs, struct helper **ret_helper);

/* Hand a waiting job to an idle helper. Returns 0: it runs, or has failed; or -errno: it still waits, the helper was killed. */
int helper_give(struct helper *helper, struct job *job);

/* SIGKILL; it is freed when it has ended. */
void helper_kill(struct helper *helper);

/* Kill it and forget it without waiting for its end. */
void helper_abandon(struct helper *helper);

/* ---- jobs.c ---- */

/* A helper has an answer to its job. The packet's files are the callee's. */
void job_answered(struct job *job, struct packet *packet);

/* A job will get no answer. */
void job_failed(struct job *job, int result);

/* There may be something to start, or to tell. */
void jobs_turn(struct jobs *jobs);

#endif
