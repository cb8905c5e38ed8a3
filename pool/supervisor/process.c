/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A child process and its channel: reading, timing out, stopping, reaping. The same for workers, loader and zygote.
 *
 * The pidfd is the handle: signals go to it and it is what is reaped, so that a process id that has been used
 * again can never be hit. It is opened here, by the id of a child that nobody can have reaped yet. Stopping escalates on a
 * timer: the message STOP, SIGTERM, SIGKILL; one that a disk holds in the kernel even then is let go of (disk.c). A process is done with when its pidfd has been reaped, and only then is its
 * owner told; what it still had to say is read first. One that was sent SIGKILL is not listened to until then.
 *
 * What a process says unasked costs it a token, so that one that floods is found out instead of served.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "pool/process/exit_status.h"
#include "pool/supervisor/internal.h"

#define END_LOOK_MS      10 /* between two looks at a killed process that does not end */
#define LAST_WORDS_TURNS 16 /* of reading what a dead process left; an honest one leaves a message or two */

/* Far more than an honest worker's own limit (process/report.c) and a socket full of what it said while we were away. */
#define UNASKED_MAX      1024
#define UNASKED_EVERY_NS UINT64_C(500000)

enum stop_step {
	STOP_NOT = 0,
	STOP_ASKED,
	STOP_TERMINATED,
	STOP_KILLED,
};

struct timeval pool_timeval(uint64_t nanoseconds)
{
	return (struct timeval){ .tv_sec = (time_t)(nanoseconds / 1000000000),
				 .tv_usec = (suseconds_t)(nanoseconds % 1000000000 / 1000) };
}

bool process_alive(const struct process *process)
{
	return process->pidfd >= 0;
}

void process_release(struct process *process)
{
	if (process->readable)
		event_free(process->readable);
	if (process->ended)
		event_free(process->ended);
	if (process->timer)
		event_free(process->timer);
	if (process->channel >= 0)
		(void)close(process->channel);
	if (process->pidfd >= 0)
		(void)close(process->pidfd);
	process->readable = process->ended = process->timer = NULL;
	process->channel = process->pidfd = -1;
	process->stop_step = STOP_NOT;
}

/* What became of a turn of reading. */
enum reading {
	READING_IDLE, /* nothing there now */
	READING_MORE, /* there may be more */
	READING_OVER, /* closed, or not to be listened to any longer */
};

static enum reading read_messages(struct process *process)
{
	for (int i = 0; i < POOL_MESSAGES_A_TURN; i++) {
		struct message message;
		struct error_detail detail = { "" };
		int result;

		if (process->channel < 0)
			return READING_OVER;
		result = channel_receive(process->channel, &message, false, &detail);
		if (result == -EAGAIN)
			return READING_IDLE;
		if (result == -EPIPE)
			return READING_OVER;
		if (result < 0) {
			process->lied(process->owner, result == -EBADMSG ? detail.text : strerror(-result));
			return READING_OVER;
		}
		process->received(process->owner, &message);
		message_close_fds(&message);
	}
	return READING_MORE;
}

static void on_readable(int fd, short events, void *opaque)
{
	struct process *process = opaque;

	(void)fd;
	(void)events;
	if (read_messages(process) != READING_OVER)
		return;

	/* A process that closed its channel, or lied on it, is of no more use. Its end is told by the pidfd. */
	process_stop(process, true);
}

static void on_ended(int fd, short events, void *opaque)
{
	struct process *process = opaque;
	siginfo_t info = { 0 };
	const char *reason = "worker_crashed";
	char text[MESSAGE_TEXT_MAX];
	bool clean = false;
	int result;

	(void)events;
	result = waitid(P_PIDFD, (id_t)fd, &info, WEXITED | WNOHANG);
	if (result < 0 && errno == EINTR)
		return; /* the pidfd is still readable, so this comes again */
	if (result < 0)
		(void)snprintf(text, sizeof(text), "could not be reaped: %s", strerror(errno));
	else if (info.si_pid == 0)
		return;
	else
		clean = exit_status_describe(&info, &reason, text, sizeof(text));

	/* A last FAILED with its reason, say. */
	for (int turn = 0; turn < LAST_WORDS_TURNS && read_messages(process) == READING_MORE; turn++)
		;

	process_release(process);
	process->reaped(process->owner, reason, text, clean);
}

static void signal_process(const struct process *process, int signal_number)
{
	/* Fails only where the process has ended already, which on_ended() is about to hear. */
	(void)syscall(SYS_pidfd_send_signal, process->pidfd, signal_number, NULL, 0);
}

void process_set_timer(struct process *process, uint64_t after_ns)
{
	struct timeval after = pool_timeval(after_ns + 999);

	(void)event_add(process->timer, &after);
}

static void kill_process(struct process *process)
{
	(void)event_del(process->readable);
	process->stop_step = STOP_KILLED;
	signal_process(process, SIGKILL);
}

static void take_stop_step(struct process *process)
{
	switch (process->stop_step) {
	case STOP_NOT:
		process->stop_step = STOP_ASKED;
		if (process_send(process, MESSAGE_STOP, 0, NULL, NULL) == 0)
			break;
		/* fall through */
	case STOP_ASKED:
		process->stop_step = STOP_TERMINATED;
		signal_process(process, SIGTERM);
		break;
	case STOP_KILLED:
		if (disk_abandons(process))
			return;
		/* fall through */
	default:
		kill_process(process);
		break;
	}

	process_set_timer(process, (uint64_t)process->pool->options.stop_grace_ms * 1000000);
}

void process_stop(struct process *process, bool kill)
{
	if (!process_alive(process) || process->stop_step == STOP_KILLED)
		return;
	if (kill) {
		kill_process(process);
		process_set_timer(process, (uint64_t)process->pool->options.stop_grace_ms * 1000000);
	} else if (process->stop_step == STOP_NOT) {
		take_stop_step(process);
	}
}

void process_heard(struct process *process)
{
	process->heard_ns = monotonic_ns();
	process->told_waiting = false;
}

void process_watch(struct process *process)
{
	const struct operation *operation;
	uint64_t earliest = 0;
	uint64_t now;

	if (process->stop_step != STOP_NOT || !process->timer)
		return;
	TAILQ_FOREACH(operation, &process->operations, link) {
		if (operation->deadline_ns != 0 && (earliest == 0 || operation->deadline_ns < earliest))
			earliest = operation->deadline_ns;
	}
	if (earliest == 0) {
		(void)event_del(process->timer);
		return;
	}

	now = monotonic_ns();
	process_set_timer(process, earliest > now ? earliest - now : 0);
}

static void on_timer(int fd, short events, void *opaque)
{
	struct process *process = opaque;

	(void)fd;
	(void)events;
	if (process->stop_step != STOP_NOT)
		take_stop_step(process);
	else
		process->stalled(process->owner);
}

/* Wait for a child that has been killed: an interruption must not leave a zombie. */
static void reap(idtype_t type, id_t id)
{
	siginfo_t info;

	while (waitid(type, id, &info, WEXITED) < 0 && errno == EINTR)
		;
}

/* End a child that there is no pidfd of. It is ours until it is reaped, so its id cannot be another's. */
static void end_by_id(pid_t pid)
{
	siginfo_t info;

	if (waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) < 0)
		return; /* no child of ours */
	(void)kill(pid, SIGKILL);
	reap(P_PID, (id_t)pid);
}

/* Wait until it can be reaped: as long as that takes, but no longer than until a time where a disk holds it in the kernel. */
static void await_end(const struct process *process, uint64_t until_ns)
{
	struct pollfd ended = { .fd = process->pidfd, .events = POLLIN };
	uint64_t now = monotonic_ns();
	int result;

	do {
		result = poll(&ended, 1, until_ns > now ? (int)((until_ns - now) / 1000000) + 1 : END_LOOK_MS);
		now = monotonic_ns();
	} while ((result < 0 && errno == EINTR) || (result == 0 && (now < until_ns || !disk_holds(process->pid))));
}

void process_end_now(struct process *process)
{
	uint64_t until_ns = process->pool->end_by_ns;
	siginfo_t info;

	if (process_alive(process)) {
		if (until_ns == 0)
			until_ns = monotonic_ns() + (uint64_t)process->pool->options.stop_grace_ms * 1000000;
		signal_process(process, SIGKILL);
		await_end(process, until_ns);
		/* One that is still there is left to whoever reaps our orphans. */
		(void)waitid(P_PIDFD, (id_t)process->pidfd, &info, WEXITED | WNOHANG);
	}
	process_release(process);
}

int process_start(struct process *process, int channel, pid_t pid)
{
	struct event_base *base = process->pool->options.base;
	int result;

	process->channel = channel;
	process->pid = pid;
	process->stop_step = STOP_NOT;
	process->tokens = UNASKED_MAX;
	process->tokens_at_ns = monotonic_ns();
	process->operation_count = 0;
	TAILQ_INIT(&process->operations);
	process_heard(process);

	process->pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (process->pidfd < 0) {
		result = -errno;
		end_by_id(pid);
		process_release(process);
		return result;
	}
	process->readable = event_new(base, channel, EV_READ | EV_PERSIST, on_readable, process);
	process->ended = event_new(base, process->pidfd, EV_READ | EV_PERSIST, on_ended, process);
	process->timer = evtimer_new(base, on_timer, process);
	if (!process->readable || !process->ended || !process->timer || event_add(process->readable, NULL) < 0 ||
	    event_add(process->ended, NULL) < 0) {
		process_end_now(process);
		return -ENOMEM;
	}

	return 0;
}

int process_send(struct process *process, enum message_type type, uint64_t request, const void *payload, const int *fds)
{
	return channel_send(process->channel, type, request, payload, fds, false);
}

bool process_floods(struct process *process)
{
	uint64_t earned = (monotonic_ns() - process->tokens_at_ns) / UNASKED_EVERY_NS;

	process->tokens_at_ns += earned * UNASKED_EVERY_NS;
	process->tokens = earned < UNASKED_MAX - process->tokens ? process->tokens + (uint32_t)earned : UNASKED_MAX;
	if (process->tokens == 0)
		return true;
	process->tokens--;
	return false;
}
