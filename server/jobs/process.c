/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Helpers as processes: started, listened to, given up, reaped.
 *
 * The pidfd is the handle: signals go to it and it is what is reaped. A helper that is killed is not listened to any more; it
 * stays in the list as stuck until the kernel lets it end, however long that takes.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "server/cleanup.h"
#include "server/clock.h"
#include "server/jobs/helper.h"
#include "server/jobs/private.h"
#include "server/log.h"
#include "signals/signals.h"

static void helper_free(struct helper *helper)
{
	LIST_REMOVE(helper, link);
	if (helper->readable)
		event_free(helper->readable);
	if (helper->ended)
		event_free(helper->ended);
	if (helper->timer)
		event_free(helper->timer);
	if (helper->channel >= 0)
		(void)close(helper->channel);
	if (helper->pidfd >= 0)
		(void)close(helper->pidfd);
	free(helper);
}

static void fail_job(struct helper *helper, int result)
{
	struct job *job = steal_pointer(helper->job);

	if (job)
		job_failed(job, result);
}

void helper_kill(struct helper *helper)
{
	if (helper->killed)
		return;
	helper->killed = true;
	(void)event_del(helper->readable);
	(void)event_del(helper->timer);
	/* Fails only where it has ended already, which on_ended() is about to hear. */
	(void)syscall(SYS_pidfd_send_signal, helper->pidfd, SIGKILL, NULL, 0);
	fail_job(helper, -EIO);
	jobs_turn(helper->jobs);
}

void helper_abandon(struct helper *helper)
{
	(void)syscall(SYS_pidfd_send_signal, helper->pidfd, SIGKILL, NULL, 0);
	fail_job(helper, -ECANCELED);
	helper_free(helper);
}

/* Returns whether the helper is still to be listened to. */
static bool packet_received(struct helper *helper, struct packet *packet)
{
	if (packet->header.type == PACKET_ANSWER && helper->busy && helper->job) {
		helper->order[0] = '\0';
		job_answered(steal_pointer(helper->job), packet);
		return true;
	}
	if (packet->header.type == PACKET_IDLE && helper->busy && !helper->job && packet->header.file_count == 0) {
		helper->busy = false;
		(void)event_del(helper->timer);
		jobs_turn(helper->jobs);
		return true;
	}

	log_error("a file helper said what none says", log_number("pid", helper->pid));
	for (uint32_t i = 0; i < packet->header.file_count; i++)
		jobs_close_files(helper->jobs, helper->lane.owner, &packet->files[i], 1);
	return false;
}

static void on_readable(int fd, short events, void *opaque)
{
	static struct packet packet; /* of the loop's thread alone, and not kept */
	struct helper *helper = opaque;
	int result;

	(void)events;
	do {
		result = packet_receive(fd, &packet, MSG_DONTWAIT);
		if (result == 0 && !packet_received(helper, &packet))
			result = -EBADMSG;
	} while (result == 0);
	if (result != -EAGAIN)
		helper_kill(helper);
}

static void on_ended(int fd, short events, void *opaque)
{
	struct helper *helper = opaque;
	struct jobs *jobs = helper->jobs;
	siginfo_t info = { 0 };

	(void)events;
	if (waitid(P_PIDFD, (id_t)fd, &info, WEXITED | WNOHANG) == 0 && info.si_pid == 0)
		return;
	if (!helper->killed) {
		on_readable(helper->channel, EV_READ, helper);
		log_error("a file helper ended", log_number("pid", helper->pid),
			  log_text("job", helper->busy ? job_kinds[helper->kind].name : NULL),
			  log_text("path", helper->busy && helper->path[0] ? helper->path : NULL));
	}
	fail_job(helper, -EIO);
	helper_free(helper);
	jobs_turn(jobs);
}

static void on_timeout(int fd, short events, void *opaque)
{
	struct helper *helper = opaque;

	(void)fd;
	(void)events;
	log_warning("file work given up", log_text("job", job_kinds[helper->kind].name),
		    log_text("path", helper->path[0] ? helper->path : NULL), log_number("pid", helper->pid),
		    log_number("after_ms", helper->jobs->options.running_max_ms));
	helper->jobs->given_up++;
	fail_job(helper, -ETIMEDOUT);
	helper_kill(helper);
}

static int spawn(const char *executable, int channel, pid_t *ret_pid)
{
	char parent[16];
	char *arguments[] = { HELPER_TITLE, (char *)jobs_helper_argument, parent, NULL };
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	int result;

	(void)snprintf(parent, sizeof(parent), "%d", (int)getpid());
	result = posix_spawn_file_actions_init(&actions);
	if (result)
		return -result;
	result = posix_spawnattr_init(&attributes);
	if (result) {
		(void)posix_spawn_file_actions_destroy(&actions);
		return -result;
	}
	result = signals_spawn_attributes(&attributes);
	if (result == 0)
		result = posix_spawn_file_actions_adddup2(&actions, channel, HELPER_CHANNEL);
	if (result == 0)
		result = posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDWR, 0);
	if (result == 0)
		result = posix_spawn_file_actions_adddup2(&actions, STDIN_FILENO, STDOUT_FILENO);
	if (result == 0)
		result = posix_spawn(ret_pid, executable, &actions, &attributes, arguments, environ);
	(void)posix_spawnattr_destroy(&attributes);
	(void)posix_spawn_file_actions_destroy(&actions);
	return -result;
}

static int watch(struct helper *helper)
{
	struct event_base *base = helper->jobs->base;

	helper->pidfd = (int)syscall(SYS_pidfd_open, helper->pid, 0);
	if (helper->pidfd < 0)
		return -errno;
	helper->readable = event_new(base, helper->channel, EV_READ | EV_PERSIST, on_readable, helper);
	helper->ended = event_new(base, helper->pidfd, EV_READ | EV_PERSIST, on_ended, helper);
	helper->timer = event_new(base, -1, 0, on_timeout, helper);
	if (!helper->readable || !helper->ended || !helper->timer || event_add(helper->readable, NULL) ||
	    event_add(helper->ended, NULL))
		return -ENOMEM;
	return 0;
}

int helper_start(struct jobs *jobs, struct helper **ret_helper)
{
	struct helper *helper = calloc(1, sizeof(*helper));
	int ends[2], result;

	if (!helper)
		return -ENOMEM;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0) {
		result = -errno;
		free(helper);
		return result;
	}
	helper->jobs = jobs;
	helper->channel = ends[0];
	helper->pidfd = -1;
	LIST_INSERT_HEAD(&jobs->helpers, helper, link);
	result = spawn(jobs->options.executable, ends[1], &helper->pid);
	(void)close(ends[1]);
	if (result == 0)
		result = watch(helper);
	if (result) {
		/* The end of its channel ends one that was spawned. */
		helper_free(helper);
		return result;
	}

	*ret_helper = helper;
	return 0;
}

/* In flight they have another reference, so that this is not the last close. */
static void close_own_copies(struct job *job)
{
	for (uint32_t i = 0; i < job->file_count; i++)
		(void)close(job->files[i]);
	job->file_count = 0;
}

static void note_job(struct helper *helper, struct job *job)
{
	struct jobs *jobs = helper->jobs;
	const struct timeval limit = clock_timeval(jobs->options.running_max_ms);

	TAILQ_REMOVE(&jobs->waiting, job, link);
	job->state = JOB_RUNNING;
	TAILQ_INSERT_TAIL(&jobs->running, job, link);
	helper->busy = true;
	helper->job = job;
	helper->kind = job->kind;
	helper->lane = job->lane;
	memcpy(helper->path, job->path, sizeof(helper->path));
	memcpy(helper->order, job->order, sizeof(helper->order));
	(void)event_add(helper->timer, &limit);
}

int helper_give(struct helper *helper, struct job *job)
{
	const struct packet_header header = { .type = PACKET_JOB,
					      .kind = (uint16_t)job->kind,
					      .file_count = job->file_count,
					      .text_size = job->text_size };
	const struct packet_header go = { .type = PACKET_GO };
	int result = packet_send(helper->channel, &header, job->text, job->files, MSG_DONTWAIT);

	if (result) {
		helper_kill(helper);
		return result;
	}
	close_own_copies(job);
	note_job(helper, job);
	if (packet_send(helper->channel, &go, NULL, NULL, MSG_DONTWAIT))
		helper_kill(helper);
	return 0;
}
