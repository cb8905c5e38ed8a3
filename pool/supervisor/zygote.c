/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The zygote, started again when it ends.
 *
 * The zygote is this executable, exec'd anew, so that it is small, single-threaded and knows nothing of what the supervisor
 * knows, whenever it is started. It probes KVM and forks on command; what it forks are children of the supervisor. Workers
 * live on when a zygote ends. It owes an answer to each fork within the time that any answer may take, or it is killed.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "pool/process/zygote.h"
#include "pool/supervisor/internal.h"
#include "signals/signals.h"

#define PROBE_TIMEOUT_MS 30000

static uint64_t retry_delay_ns(uint32_t failures)
{
	uint32_t shift = failures < 9 ? failures : 9;
	uint64_t delay_ms = (uint64_t)POOL_BACKOFF_MIN_MS << (shift > 0 ? shift - 1 : 0);

	return (delay_ms < POOL_BACKOFF_MAX_MS ? delay_ms : POOL_BACKOFF_MAX_MS) * 1000000;
}

void retry_later(struct event *timer, uint32_t failures)
{
	struct timeval delay = pool_timeval(retry_delay_ns(failures));

	(void)event_add(timer, &delay);
}

static int set_files(posix_spawn_file_actions_t *actions, int channel)
{
	int result = posix_spawn_file_actions_adddup2(actions, channel, ZYGOTE_CHANNEL);

	if (result == 0)
		result = posix_spawn_file_actions_addopen(actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
	return result;
}

/* posix_spawn() and not fork(): the supervisor may have a thread for file work. */
static int spawn_zygote(const struct pool *pool, int channel, pid_t *ret_pid)
{
	char parent[16], uid[16], gid[16];
	char *arguments[] = { ZYGOTE_TITLE, (char *)pool_zygote_argument, parent, uid, gid, NULL };
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	int result;

	(void)snprintf(parent, sizeof(parent), "%d", (int)getpid());
	(void)snprintf(uid, sizeof(uid), "%u", (unsigned)pool->options.worker_uid);
	(void)snprintf(gid, sizeof(gid), "%u", (unsigned)pool->options.worker_gid);

	result = posix_spawn_file_actions_init(&actions);
	if (result != 0)
		return -result;
	result = posix_spawnattr_init(&attributes);
	if (result != 0) {
		(void)posix_spawn_file_actions_destroy(&actions);
		return -result;
	}
	result = signals_spawn_attributes(&attributes);
	if (result == 0)
		result = set_files(&actions, channel);
	if (result == 0)
		result = posix_spawn(ret_pid, pool->options.executable, &actions, &attributes, arguments, environ);
	(void)posix_spawnattr_destroy(&attributes);
	(void)posix_spawn_file_actions_destroy(&actions);
	return -result;
}

/* What the server shows of the probe is read by these counts. */
static bool host_can_be(const struct message_host *host)
{
	return host->capability_count <= HOST_CAPABILITIES_MAX;
}

void zygote_watch(struct pool *pool)
{
	uint32_t timeout_ms = pool->stopping ? pool->options.stop_grace_ms : pool->options.reply_timeout_ms;

	if (!process_alive(&pool->zygote) || pool->zygote.stop_step != 0)
		return;
	if (!pool->zygote_ready)
		process_set_timer(&pool->zygote, (uint64_t)PROBE_TIMEOUT_MS * 1000000);
	else if (pool->forks_pending > 0)
		process_set_timer(&pool->zygote, (uint64_t)timeout_ms * 1000000);
	else
		(void)event_del(pool->zygote.timer);
}

static void host_received(struct pool *pool, const struct message_host *host)
{
	if (pool->zygote_ready || !host_can_be(host)) {
		zygote_lied(pool, "a probe that cannot be");
		return;
	}
	pool->host = *host;
	pool->zygote_ready = true;
	pool->zygote_failures = 0;
	zygote_watch(pool);
	if (!pool->stopping)
		loader_start_or_retry(pool);
	pool_balance_soon(pool);
}

/* The answer to a fork, of a worker or of the loader. */
static void fork_answered(struct pool *pool, const struct message *message)
{
	uint64_t request = message->header.request;
	bool forked = message->header.type == MESSAGE_FORKED;

	if (pool->forks_pending == 0 || (forked && message->payload.forked.pid <= 1)) {
		zygote_lied(pool, "an answer to no fork that was asked for");
		return;
	}
	pool->forks_pending--;
	zygote_watch(pool);
	if (request == LOADER_FORK_REQUEST && forked)
		loader_forked(pool, message);
	else if (request == LOADER_FORK_REQUEST)
		loader_not_forked(pool, message->payload.text.text);
	else if (forked)
		slot_forked(pool, request, message);
	else
		slot_not_forked(pool, request, message->payload.text.error, message->payload.text.text);
}

static void zygote_received(void *owner, struct message *message)
{
	struct pool *pool = owner;

	switch (message->header.type) {
	case MESSAGE_HOST:
		host_received(pool, &message->payload.host);
		break;
	case MESSAGE_FORKED:
	case MESSAGE_REFUSED:
		fork_answered(pool, message);
		break;
	case MESSAGE_FAILED:
		pool_report(pool, &(struct pool_event){ .kind = POOL_EVENT_ZYGOTE_ENDED,
							.is_error = true,
							.pid = pool->zygote.pid,
							.text = message->payload.text.text });
		process_stop(&pool->zygote, true);
		break;
	default:
		zygote_lied(pool, "a message that no zygote sends");
		break;
	}
}

void zygote_lied(void *owner, const char *text)
{
	struct pool *pool = owner;

	pool_report(pool,
		    &(struct pool_event){
			    .kind = POOL_EVENT_WORKER_LIED, .is_error = true, .pid = pool->zygote.pid, .text = text });
	process_stop(&pool->zygote, true);
}

static void zygote_stalled(void *owner)
{
	struct pool *pool = owner;

	pool_report(pool, &(struct pool_event){ .kind = POOL_EVENT_WORKER_STALLED,
						.is_error = true,
						.pid = pool->zygote.pid,
						.text = "the zygote did not answer in time" });
	process_stop(&pool->zygote, true);
}

/* There is none: who waits for a worker is told when that lasts. */
static void zygote_missing(struct pool *pool, const char *text)
{
	if (pool->stopping)
		return;
	if (++pool->zygote_failures >= POOL_RETRIES_TO_TELL)
		requests_fail_queued(pool, POOL_SHAPE_FAILING, text);
	retry_later(pool->zygote_retry, pool->zygote_failures);
}

static void zygote_reaped(void *owner, const char *reason, const char *text, bool clean)
{
	struct pool *pool = owner;

	(void)reason;
	(void)clean;
	pool_report(pool, &(struct pool_event){ .kind = POOL_EVENT_ZYGOTE_ENDED,
						.is_error = !pool->stopping,
						.pid = pool->zygote.pid,
						.text = text });
	pool->zygote_ready = false;
	pool->forks_pending = 0;
	slots_forking_failed(pool, "the zygote ended");
	if (pool->loader.channel >= 0 && !process_alive(&pool->loader))
		loader_not_forked(pool, "the zygote ended");
	zygote_missing(pool, text);
	pool_deliver_soon(pool);
}

static int spawn_and_watch(struct pool *pool)
{
	int ends[2];
	pid_t pid = 0;
	int result;

	result = channel_pair(ends);
	if (result < 0)
		return result;
	result = spawn_zygote(pool, ends[1], &pid);
	(void)close(ends[1]);
	if (result < 0) {
		(void)close(ends[0]);
		return result;
	}

	pool->zygote.pool = pool;
	pool->zygote.owner = pool;
	pool->zygote.received = zygote_received;
	pool->zygote.lied = zygote_lied;
	pool->zygote.stalled = zygote_stalled;
	pool->zygote.reaped = zygote_reaped;
	pool->zygote_ready = false;
	pool->forks_pending = 0;
	result = process_start(&pool->zygote, ends[0], pid);
	if (result == 0)
		zygote_watch(pool);
	return result;
}

void zygote_retry(int fd, short events, void *opaque)
{
	struct pool *pool = opaque;
	int result;

	(void)fd;
	(void)events;
	if (pool->stopping)
		return;
	result = spawn_and_watch(pool);
	if (result < 0)
		zygote_missing(pool, strerror(-result));
}

int zygote_start(struct pool *pool, struct error_detail *detail)
{
	struct message message;
	struct pollfd readable;
	int result;

	result = spawn_and_watch(pool);
	if (result < 0) {
		error_detail_set(detail, "the zygote cannot be started: %s", strerror(-result));
		return result;
	}

	readable = (struct pollfd){ .fd = pool->zygote.channel, .events = POLLIN };
	do {
		result = poll(&readable, 1, PROBE_TIMEOUT_MS);
	} while (result < 0 && errno == EINTR);
	if (result <= 0) {
		error_detail_set(detail, "the probe of KVM did not end in %d s", PROBE_TIMEOUT_MS / 1000);
		return result < 0 ? -errno : -ETIMEDOUT;
	}

	result = channel_receive(pool->zygote.channel, &message, false, detail);
	if (result == -EPIPE)
		error_detail_set(detail, "the zygote ended before it had probed KVM");
	if (result < 0)
		return result;
	if (message.header.type == MESSAGE_FAILED) {
		error_detail_set(detail, "%s", message.payload.text.text);
		return message.payload.text.error < 0 ? message.payload.text.error : -EIO;
	}
	if (message.header.type != MESSAGE_HOST || !host_can_be(&message.payload.host)) {
		message_close_fds(&message);
		error_detail_set(detail, "the zygote did not begin with its probe");
		return -EPROTO;
	}

	pool->host = message.payload.host;
	pool->zygote_ready = true;
	zygote_watch(pool);
	return 0;
}

int zygote_fork(struct pool *pool, uint64_t request, const struct message_fork *fork, int channel)
{
	int result;

	if (!process_alive(&pool->zygote) || !pool->zygote_ready)
		return -ESRCH;
	result = process_send(&pool->zygote, MESSAGE_FORK, request, fork, &channel);
	if (result < 0)
		return result;
	if (pool->forks_pending++ == 0)
		zygote_watch(pool);
	return 0;
}

void zygote_end_now(struct pool *pool)
{
	pid_t group = pool->zygote.pid; /* it leads its session; the id is taken until it is reaped */
	siginfo_t info;

	/* What it forked and has not told of yet is in its group, too. */
	if (process_alive(&pool->zygote) && kill(-group, SIGKILL) == 0) {
		while (waitid(P_PGID, (id_t)group, &info, WEXITED) == 0 || errno == EINTR)
			;
	}
	process_end_now(&pool->zygote);
}
