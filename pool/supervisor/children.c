/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The zygote and the loader: one of each, started again when they end.
 *
 * The zygote is this executable, exec'd anew, so that it is small, single-threaded and knows nothing of what the supervisor
 * knows, whenever it is started. It probes KVM and forks on command; what it forks are children of the supervisor. Workers
 * live on when a zygote ends. The loader is forked by the zygote like a worker, and reads one snapshot at a time.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "pool/process/zygote.h"
#include "pool/supervisor/internal.h"
#include "snapshot/state.h"

#define PROBE_TIMEOUT_MS 30000
#define RETRIES_TO_TELL  3

extern char **environ;

static uint64_t retry_delay_ns(uint32_t failures)
{
	uint32_t shift = failures < 9 ? failures : 9;
	uint64_t delay_ms = (uint64_t)POOL_BACKOFF_MIN_MS << (shift > 0 ? shift - 1 : 0);

	return (delay_ms < POOL_BACKOFF_MAX_MS ? delay_ms : POOL_BACKOFF_MAX_MS) * 1000000;
}

static void retry_later(struct event *timer, uint32_t failures)
{
	struct timeval delay = pool_timeval(retry_delay_ns(failures));

	(void)event_add(timer, &delay);
}

/* ---- the zygote ---- */

/* posix_spawn() and not fork(): the supervisor may have a thread for file work. */
static int spawn_zygote(const struct pool *pool, int channel, pid_t *ret_pid)
{
	char parent[16], uid[16], gid[16];
	char *arguments[] = { "ember-zygote", (char *)pool_zygote_argument, parent, uid, gid, NULL };
	posix_spawn_file_actions_t actions;
	int result;

	(void)snprintf(parent, sizeof(parent), "%d", (int)getpid());
	(void)snprintf(uid, sizeof(uid), "%u", (unsigned)pool->options.worker_uid);
	(void)snprintf(gid, sizeof(gid), "%u", (unsigned)pool->options.worker_gid);

	result = posix_spawn_file_actions_init(&actions);
	if (result != 0)
		return -result;
	result = posix_spawn_file_actions_adddup2(&actions, channel, ZYGOTE_CHANNEL);
	if (result == 0)
		result = posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
	if (result == 0)
		result = posix_spawn(ret_pid, pool->options.executable, &actions, NULL, arguments, environ);
	(void)posix_spawn_file_actions_destroy(&actions);
	return -result;
}

static void zygote_received(void *owner, struct message *message)
{
	struct pool *pool = owner;
	uint64_t request = message->header.request;

	switch (message->header.type) {
	case MESSAGE_HOST:
		pool->host = message->payload.host;
		pool->zygote_failures = 0;
		if (!process_alive(&pool->loader))
			(void)loader_start(pool);
		pool_balance_soon(pool);
		break;
	case MESSAGE_FORKED:
		if (request == LOADER_FORK_REQUEST)
			loader_forked(pool, message);
		else
			slot_forked(pool, request, message);
		break;
	case MESSAGE_REFUSED:
		if (request == LOADER_FORK_REQUEST)
			loader_not_forked(pool, message->payload.text.text);
		else
			slot_not_forked(pool, request, message->payload.text.error, message->payload.text.text);
		break;
	case MESSAGE_FAILED:
		pool_report(pool, &(struct pool_event){ .kind = POOL_EVENT_ZYGOTE_ENDED,
							.is_error = true,
							.pid = pool->zygote.pid,
							.text = message->payload.text.text });
		break;
	default:
		pool->zygote.lied(pool, "a message that no zygote sends");
		break;
	}
}

static void zygote_lied(void *owner, const char *text)
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

	process_stop(&pool->zygote, true);
}

static void zygote_reaped(void *owner, const char *reason, const char *text, bool clean)
{
	struct pool *pool = owner;

	(void)reason;
	(void)clean;
	pool_report(pool,
		    &(struct pool_event){ .kind = POOL_EVENT_ZYGOTE_ENDED, .is_error = !pool->stopping, .text = text });
	slots_forking_failed(pool, "the zygote ended");
	if (pool->loader.channel >= 0 && !process_alive(&pool->loader))
		loader_not_forked(pool, "the zygote ended");
	if (!pool->stopping)
		retry_later(pool->zygote_retry, ++pool->zygote_failures);
	pool_check_stopped(pool);
}

static int spawn_and_watch(struct pool *pool)
{
	int ends[2];
	pid_t pid = 0;
	int pidfd;
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

	pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (pidfd < 0) {
		result = -errno;
		(void)close(ends[0]); /* the zygote ends when its channel does */
		return result;
	}

	pool->zygote.pool = pool;
	pool->zygote.owner = pool;
	pool->zygote.received = zygote_received;
	pool->zygote.lied = zygote_lied;
	pool->zygote.stalled = zygote_stalled;
	pool->zygote.reaped = zygote_reaped;
	return process_start(&pool->zygote, ends[0], pidfd, pid);
}

void zygote_retry(int fd, short events, void *opaque)
{
	struct pool *pool = opaque;

	(void)fd;
	(void)events;
	if (pool->stopping)
		return;
	if (spawn_and_watch(pool) < 0 && !process_alive(&pool->zygote))
		retry_later(pool->zygote_retry, ++pool->zygote_failures);
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
	if (message.header.type != MESSAGE_HOST) {
		message_close_fds(&message);
		error_detail_set(detail, "the zygote did not begin with its probe");
		return -EPROTO;
	}

	pool->host = message.payload.host;
	return 0;
}

int zygote_fork(struct pool *pool, uint64_t request, const struct message_fork *fork, int channel)
{
	if (!process_alive(&pool->zygote))
		return -ESRCH;
	return process_send(&pool->zygote, MESSAGE_FORK, request, fork, &channel);
}

/* ---- the loader ---- */

static void feed_loader(struct pool *pool)
{
	struct operation *operation = TAILQ_FIRST(&pool->loads);
	struct message_load load;
	int files[2];

	if (!pool->loader_ready || !operation || !TAILQ_EMPTY(&pool->loader.operations))
		return;

	TAILQ_REMOVE(&pool->loads, operation, link);
	load = (struct message_load){ .verify_memory = operation->verify_memory };
	files[0] = operation->state_file;
	files[1] = operation->memory_file;
	operation_add(&pool->loader, operation);
	if (process_send(&pool->loader, MESSAGE_LOAD, operation->id, &load, files) < 0)
		process_stop(&pool->loader, true); /* and its reaping fails the operation */
}

static bool state_is_sealed(int state)
{
	const int wanted = F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;
	struct stat status;
	int seals = fcntl(state, F_GET_SEALS);

	return seals >= 0 && (seals & wanted) == wanted && fstat(state, &status) == 0 &&
	       status.st_size == sizeof(struct vm_state);
}

static void loader_lied(void *owner, const char *text)
{
	struct pool *pool = owner;

	pool_report(pool,
		    &(struct pool_event){
			    .kind = POOL_EVENT_WORKER_LIED, .is_error = true, .pid = pool->loader.pid, .text = text });
	process_stop(&pool->loader, true);
}

static void loader_answered(struct pool *pool, struct operation *operation, struct message *message)
{
	struct pool_result result = { .status = POOL_OK };
	const struct message_loaded *loaded = &message->payload.loaded;

	if (message->header.type == MESSAGE_REFUSED) {
		result.status = POOL_REFUSED;
		result.error = message->payload.text.error;
		error_detail_set(&result.detail, "%s", message->payload.text.text);
	} else if (!state_is_sealed(message->fds[0]) || loaded->vcpus < 1 || loaded->vcpus > MACHINE_VCPUS_MAX ||
		   loaded->cpu_template >= CPU_TEMPLATE_COUNT || loaded->memory_size > GUEST_MEMORY_SIZE_MAX) {
		loader_lied(pool, "a state that is not sealed, or with a shape that cannot be");
		return;
	}

	operation_take(&pool->loader, operation);
	operation_finish(operation, &result, result.status == POOL_OK ? message : NULL);
	feed_loader(pool);
}

static void loader_received(void *owner, struct message *message)
{
	struct pool *pool = owner;
	struct operation *operation = operation_find(&pool->loader, message->header.request);

	switch (message->header.type) {
	case MESSAGE_LOADER_READY:
		pool->loader_ready = true;
		pool->loader_failures = 0;
		process_watch(&pool->loader);
		feed_loader(pool);
		return;
	case MESSAGE_FAILED:
		pool_report(pool, &(struct pool_event){ .kind = POOL_EVENT_LOADER_ENDED,
							.is_error = true,
							.pid = pool->loader.pid,
							.text = message->payload.text.text });
		return;
	case MESSAGE_PROGRESS:
		if (!operation || message->payload.progress.done > message->payload.progress.total)
			break;
		operation->deadline_ns = monotonic_ns() + (uint64_t)pool->options.reply_timeout_ms * 1000000;
		process_watch(&pool->loader);
		if (operation->progress)
			operation->progress(operation->opaque, message->payload.progress.done,
					    message->payload.progress.total);
		return;
	case MESSAGE_LOADED:
	case MESSAGE_REFUSED:
		if (!operation)
			break;
		loader_answered(pool, operation, message);
		return;
	default:
		break;
	}
	loader_lied(pool, "a message that does not answer anything");
}

static void loader_stalled(void *owner)
{
	struct pool *pool = owner;

	pool_report(pool, &(struct pool_event){ .kind = POOL_EVENT_WORKER_STALLED,
						.is_error = true,
						.pid = pool->loader.pid,
						.text = "the loader did not answer in time" });
	process_stop(&pool->loader, true);
}

/* The loader is not there: what waits for it is told when it keeps failing to start. */
static void loader_missing(struct pool *pool, const char *text)
{
	struct operation *operation;

	pool->loader_ready = false;
	if (pool->stopping || ++pool->loader_failures >= RETRIES_TO_TELL) {
		while ((operation = TAILQ_FIRST(&pool->loads))) {
			TAILQ_REMOVE(&pool->loads, operation, link);
			operation_finish_later(operation, pool->stopping ? POOL_SHUTTING_DOWN : POOL_WORKER_DIED, 0,
					       text);
		}
	}
	if (!pool->stopping)
		retry_later(pool->loader_retry, pool->loader_failures);
	pool_check_stopped(pool);
}

static void loader_reaped(void *owner, const char *reason, const char *text, bool clean)
{
	struct pool *pool = owner;

	(void)reason;
	(void)clean;
	if (!pool->stopping)
		pool_report(pool,
			    &(struct pool_event){ .kind = POOL_EVENT_LOADER_ENDED, .is_error = true, .text = text });
	operations_fail(&pool->loader, pool->stopping ? POOL_SHUTTING_DOWN : POOL_WORKER_DIED, text);
	loader_missing(pool, text);
}

int loader_start(struct pool *pool)
{
	struct message_fork fork = { .role = MESSAGE_ROLE_LOADER, .sent_ns = monotonic_ns() };
	int ends[2];
	int result;

	if (pool->loader.channel >= 0)
		return 0;
	result = channel_pair(ends);
	if (result < 0)
		return result;
	result = zygote_fork(pool, LOADER_FORK_REQUEST, &fork, ends[1]);
	(void)close(ends[1]);
	if (result < 0) {
		(void)close(ends[0]);
		return result;
	}

	pool->loader.channel = ends[0];
	return 0;
}

void loader_retry(int fd, short events, void *opaque)
{
	struct pool *pool = opaque;

	(void)fd;
	(void)events;
	/* Without a zygote there is nothing to ask; its next HOST message starts the loader. */
	if (!pool->stopping && process_alive(&pool->zygote) && loader_start(pool) < 0)
		retry_later(pool->loader_retry, ++pool->loader_failures);
}

void loader_forked(struct pool *pool, struct message *message)
{
	struct process *loader = &pool->loader;
	int channel = loader->channel;

	if (channel < 0 || process_alive(loader)) {
		zygote_lied(pool, "a loader that was not asked for");
		return;
	}
	loader->pool = pool;
	loader->owner = pool;
	loader->received = loader_received;
	loader->lied = loader_lied;
	loader->stalled = loader_stalled;
	loader->reaped = loader_reaped;
	if (process_start(loader, channel, message_steal_fd(message, 0), message->payload.forked.pid) < 0 ||
	    pool->stopping) {
		process_stop(loader, true);
		return;
	}
	process_set_timer(loader, (uint64_t)pool->options.reply_timeout_ms * 1000000);
}

void loader_not_forked(struct pool *pool, const char *text)
{
	process_release(&pool->loader);
	loader_missing(pool, text);
}

int pool_load(struct pool *pool, int state_file, int memory_file, bool verify_memory,
	      void (*progress)(void *opaque, uint64_t done, uint64_t total),
	      void (*done)(void *opaque, const struct pool_result *result, int state,
			   const struct message_loaded *loaded),
	      void *opaque)
{
	struct operation *operation = operation_new(pool, MESSAGE_LOAD, opaque);

	if (!operation)
		return -ENOMEM;
	operation->progress = progress;
	operation->load_done = done;
	operation->verify_memory = verify_memory;
	operation->state_file = fcntl(state_file, F_DUPFD_CLOEXEC, 0);
	operation->memory_file = fcntl(memory_file, F_DUPFD_CLOEXEC, 0);
	if (operation->state_file < 0 || operation->memory_file < 0) {
		int result = -errno;

		if (operation->state_file >= 0)
			(void)close(operation->state_file);
		free(operation);
		return result;
	}

	if (pool->stopping) {
		operation_finish_later(operation, POOL_SHUTTING_DOWN, 0, "the pool is being stopped");
		return 0;
	}
	TAILQ_INSERT_TAIL(&pool->loads, operation, link);
	feed_loader(pool);
	return 0;
}
