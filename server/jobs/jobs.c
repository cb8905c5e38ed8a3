/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which job runs when, and who hears of its end.
 *
 * Jobs wait in one list, in the order in which they came. A turn goes through it and starts every job whose lane has room and
 * whose order nobody before it shares; an idle helper takes it, or a new one. What has ended is told in a turn as well, so that
 * nobody is called back from within jobs_submit().
 */
#include "server/jobs/jobs.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "server/cleanup.h"
#include "server/jobs/private.h"
#include "server/log.h"

#define USES_MAX 256

void jobs_turn(struct jobs *jobs)
{
	event_active(jobs->turn, EV_TIMEOUT, 0);
}

static void free_job(struct job *job)
{
	free(job->text);
	free(job);
}

/* ---- ends ---- */

/* Files that nobody took. */
static void close_rest(struct jobs *jobs, uint32_t owner, const int *files, uint32_t count)
{
	int rest[JOB_FILES_MAX];
	uint32_t left = 0;

	for (uint32_t i = 0; i < count; i++)
		if (files[i] >= 0)
			rest[left++] = files[i];
	jobs_close_files(jobs, owner, rest, left);
}

void job_answered(struct job *job, struct packet *packet)
{
	struct jobs *jobs = job->jobs;
	cleanup_json json_t *output = packet->header.text_size ? json_loadb(packet->text, packet->header.text_size,
									    JSON_REJECT_DUPLICATES, NULL)
							       : NULL;
	const struct job_result result = { .result = packet->header.result,
					   .output = output,
					   .files = packet->files,
					   .file_count = packet->header.file_count };
	int files[JOB_FILES_MAX];
	struct job_result own = result;

	/* The packet's buffer is used again by what done() may start. */
	memcpy(files, packet->files, packet->header.file_count * sizeof(int));
	own.files = files;
	TAILQ_REMOVE(&jobs->running, job, link);
	if (job->done)
		job->done(job->opaque, &own);
	close_rest(jobs, job->lane.owner, files, own.file_count);
	free_job(job);
	jobs_turn(jobs);
}

void job_failed(struct job *job, int result)
{
	struct jobs *jobs = job->jobs;

	TAILQ_REMOVE(job->state == JOB_RUNNING ? &jobs->running : &jobs->waiting, job, link);
	job->state = JOB_ENDED;
	job->result = result;
	TAILQ_INSERT_TAIL(&jobs->ended, job, link);
	jobs_turn(jobs);
}

static void tell_ended(struct jobs *jobs)
{
	struct job *job;

	while ((job = TAILQ_FIRST(&jobs->ended)) != NULL) {
		const struct job_result result = { .result = job->result };

		TAILQ_REMOVE(&jobs->ended, job, link);
		/* It could not be handed to a helper; where the jobs end, the process does, and its descriptors with it. */
		if (job->file_count > 0 && job->kind != JOB_CLOSE)
			jobs_close_files(jobs, job->lane.owner, job->files, job->file_count);
		if (job->done)
			job->done(job->opaque, &result);
		free_job(job);
	}
}

void job_forget(struct job *job)
{
	job->done = NULL;
	if (job->state == JOB_WAITING)
		job_failed(job, -ECANCELED);
}

/* ---- turns ---- */

static size_t collect_uses(const struct jobs *jobs, struct lane_use *uses)
{
	const struct helper *helper;
	size_t count = 0;

	LIST_FOREACH(helper, &jobs->helpers, link)
		if (helper->busy && count < USES_MAX)
			uses[count++] = (struct lane_use){ helper->lane, helper->killed };
	return count;
}

static enum lane_verdict decide(const struct jobs *jobs, const struct lane *lane)
{
	struct lane_use uses[USES_MAX];

	return lane_decide(lane, uses, collect_uses(jobs, uses));
}

/*
 * Does a job that came before this one, and has not ended, share its order? One that was given up has not ended while its
 * helper is stuck: it may still do what it was to do.
 */
static bool is_behind_another(const struct jobs *jobs, const struct job *job)
{
	const struct helper *helper;
	const struct job *other;

	if (job->order[0] == '\0')
		return false;
	LIST_FOREACH(helper, &jobs->helpers, link)
		if (strcmp(helper->order, job->order) == 0)
			return true;
	for (other = TAILQ_FIRST(&jobs->waiting); other != job; other = TAILQ_NEXT(other, link))
		if (strcmp(other->order, job->order) == 0)
			return true;
	return false;
}

static struct helper *find_idle(const struct jobs *jobs)
{
	struct helper *helper;

	LIST_FOREACH(helper, &jobs->helpers, link)
		if (!helper->busy && !helper->killed)
			return helper;
	return NULL;
}

/* Returns 0; or -errno: no helper can be had now. */
static int start_job(struct jobs *jobs, struct job *job)
{
	struct helper *helper;
	int result;

	/* One that has ended meanwhile takes no job. */
	while ((helper = find_idle(jobs)) != NULL)
		if (helper_give(helper, job) == 0)
			return 0;
	result = helper_start(jobs, &helper);
	return result ? result : helper_give(helper, job);
}

static void end_surplus(struct jobs *jobs)
{
	struct helper *helper, *next;
	uint32_t idle = 0;

	for (helper = LIST_FIRST(&jobs->helpers); helper; helper = next) {
		next = LIST_NEXT(helper, link);
		if (!helper->busy && !helper->killed && ++idle > HELPERS_IDLE_MAX)
			helper_kill(helper);
	}
}

static void start_waiting(struct jobs *jobs)
{
	struct job *job, *next;
	int result = 0;

	for (job = TAILQ_FIRST(&jobs->waiting); job && !result; job = next) {
		enum lane_verdict verdict = decide(jobs, &job->lane);

		next = TAILQ_NEXT(job, link);
		if (verdict == LANE_REFUSE && job->kind != JOB_CLOSE)
			job_failed(job, -EBUSY);
		else if (verdict == LANE_RUN && !is_behind_another(jobs, job))
			result = start_job(jobs, job);
	}
	if (!result)
		return;

	log_error("no file helper can be started", log_errno(result));
	/* Tried again when the next helper ends its job; where none is at work there is nothing to wait for. */
	if (TAILQ_EMPTY(&jobs->running)) {
		while ((job = TAILQ_FIRST(&jobs->waiting)) != NULL)
			job_failed(job, result);
	}
}

static void on_turn(int fd, short events, void *opaque)
{
	struct jobs *jobs = opaque;

	(void)fd;
	(void)events;
	tell_ended(jobs);
	start_waiting(jobs);
	tell_ended(jobs);
	end_surplus(jobs);
}

/* ---- coming ---- */

static uint32_t count_waiting(const struct jobs *jobs, uint32_t owner)
{
	const struct job *job;
	uint32_t count = 0;

	TAILQ_FOREACH(job, &jobs->waiting, link)
		count += job->lane.owner == owner;
	return count;
}

static int admit(const struct jobs *jobs, const struct job_request *request, const struct lane *lane)
{
	if (request->kind == JOB_CLOSE)
		return 0;
	if (jobs->stopping)
		return -ECANCELED;
	if (decide(jobs, lane) == LANE_REFUSE)
		return -EBUSY;
	return count_waiting(jobs, lane->owner) >= jobs->options.waiting_max ? -EAGAIN : 0;
}

static int new_job(struct jobs *jobs, const struct job_request *request, const struct lane *lane, struct job **ret_job)
{
	cleanup_json json_t *input = request->input ? request->input : json_object();
	struct job *job = calloc(1, sizeof(*job));

	if (!job)
		return -ENOMEM;
	job->text = input ? json_dumps(input, JSON_COMPACT) : NULL;
	if (!job->text) {
		free_job(job);
		return -ENOMEM;
	}
	if (strlen(job->text) > JOB_TEXT_MAX || request->file_count > JOB_FILES_MAX) {
		free_job(job);
		return -E2BIG;
	}
	job->text_size = (uint32_t)strlen(job->text);
	job->jobs = jobs;
	job->kind = request->kind;
	job->lane = *lane;
	(void)snprintf(job->path, sizeof(job->path), "%s", request->path ? request->path : "");
	(void)snprintf(job->order, sizeof(job->order), "%s", request->order ? request->order : "");
	if (request->file_count > 0)
		memcpy(job->files, request->files, request->file_count * sizeof(int));
	job->file_count = request->file_count;
	job->done = request->done;
	job->opaque = request->opaque;
	*ret_job = job;
	return 0;
}

int jobs_submit(struct jobs *jobs, const struct job_request *request, struct job **ret_job)
{
	struct lane lane = { .owner = request->owner };
	struct job *job;
	int result;

	if (request->path && request->owner != JOBS_STATE_OWNER)
		lane.file_system = mounts_file_system(jobs->mounts, request->path);
	result = admit(jobs, request, &lane);
	if (result) {
		json_decref(request->input);
		return result;
	}
	result = new_job(jobs, request, &lane, &job);
	if (result)
		return result;

	TAILQ_INSERT_TAIL(&jobs->waiting, job, link);
	jobs_turn(jobs);
	if (ret_job)
		*ret_job = job;
	return 0;
}

void jobs_close_files(struct jobs *jobs, uint32_t owner, const int *files, uint32_t count)
{
	const struct job_request request = { .kind = JOB_CLOSE, .owner = owner, .files = files, .file_count = count };

	if (count > 0 && jobs_submit(jobs, &request, NULL))
		log_error("descriptors stay open: out of memory", log_number("count", count));
}

void jobs_configure(struct jobs *jobs, uint32_t waiting_max, uint32_t running_max_ms)
{
	jobs->options.waiting_max = waiting_max;
	jobs->options.running_max_ms = running_max_ms;
}

void jobs_count(const struct jobs *jobs, struct jobs_counts *ret_counts)
{
	const struct helper *helper;
	const struct job *job;

	*ret_counts = (struct jobs_counts){ .given_up = jobs->given_up };
	LIST_FOREACH(helper, &jobs->helpers, link) {
		ret_counts->helpers += !helper->killed;
		ret_counts->stuck += helper->killed && helper->busy;
		ret_counts->running += helper->busy && !helper->killed;
	}
	TAILQ_FOREACH(job, &jobs->waiting, link)
		ret_counts->waiting++;
}

/* ---- beginning and end ---- */

int jobs_new(struct event_base *base, const struct jobs_options *options, struct jobs **ret_jobs)
{
	struct jobs *jobs = calloc(1, sizeof(*jobs));
	int result;

	if (!jobs)
		return -ENOMEM;
	jobs->base = base;
	jobs->options = *options;
	LIST_INIT(&jobs->helpers);
	TAILQ_INIT(&jobs->waiting);
	TAILQ_INIT(&jobs->running);
	TAILQ_INIT(&jobs->ended);
	jobs->turn = event_new(base, -1, 0, on_turn, jobs);
	result = jobs->turn ? mounts_new(&jobs->mounts) : -ENOMEM;
	if (result) {
		(void)jobs_free(jobs);
		return result;
	}

	*ret_jobs = jobs;
	return 0;
}

void jobs_stop(struct jobs *jobs)
{
	if (jobs)
		jobs->stopping = true;
}

struct jobs *jobs_free(struct jobs *jobs)
{
	struct helper *helper;
	struct job *job, *next;

	if (!jobs)
		return NULL;

	jobs->stopping = true;
	while ((helper = LIST_FIRST(&jobs->helpers)) != NULL)
		helper_abandon(helper);
	for (job = TAILQ_FIRST(&jobs->waiting); job; job = next) {
		next = TAILQ_NEXT(job, link);
		if (job->kind != JOB_CLOSE)
			job_failed(job, -ECANCELED);
	}
	tell_ended(jobs);
	while ((job = TAILQ_FIRST(&jobs->waiting)) != NULL) {
		TAILQ_REMOVE(&jobs->waiting, job, link);
		free_job(job);
	}
	(void)mounts_free(jobs->mounts);
	if (jobs->turn)
		event_free(jobs->turn);
	free(jobs);
	return NULL;
}
