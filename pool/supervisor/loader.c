/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The loader, one for each load.
 *
 * It is forked by the zygote like a worker, ahead of time, reads one snapshot or kernel, and ends; the next is forked while the
 * others wait in the pool's loads. So a file that takes its loader over has nothing to vouch for but itself. It
 * parses what anyone may have written, so its answers are checked like a worker's: a state must be sealed, and of a shape
 * that can be; a kernel must have been written as is said.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kvm/linux/boot.h"
#include "kvm/linux/unpack.h"
#include "pool/supervisor/internal.h"
#include "snapshot/state.h"

static void feed_loader(struct pool *pool)
{
	struct operation *operation = TAILQ_FIRST(&pool->loads);
	struct message_load load;

	if (!pool->loader_ready || !operation || !TAILQ_EMPTY(&pool->loader.operations))
		return;

	TAILQ_REMOVE(&pool->loads, operation, link);
	load = (struct message_load){ .verify_memory = operation->verify_memory };
	operation_add(&pool->loader, operation);
	if (process_send(&pool->loader, operation->asked, operation->id, &load, operation->files) < 0)
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

static bool state_can_be(const struct message *message)
{
	struct machine_shape shape;

	message_loaded_shape(&message->payload.loaded, &shape);
	return state_is_sealed(message->fds[0]) && machine_shape_check(&shape, NULL) == 0;
}

static bool file_has_size(int file, uint64_t size)
{
	struct stat status;

	return fstat(file, &status) == 0 && status.st_size >= 0 && (uint64_t)status.st_size == size;
}

static bool kernel_can_be(const struct operation *operation, const struct message_kernel_loaded *loaded)
{
	const uint32_t bzimage = UINT32_C(1) << KERNEL_ENTRY_BZIMAGE;
	const uint32_t elf = UINT32_C(1) << KERNEL_ENTRY_ELF64 | UINT32_C(1) << KERNEL_ENTRY_PVH;
	bool is_elf = loaded->format == KERNEL_ELF;
	bool has_elf = is_elf || loaded->elf_size > 0;
	uint32_t entries = (is_elf ? 0 : bzimage) | (has_elf ? elf : 0);

	return loaded->format < KERNEL_FORMAT_COUNT && loaded->packing < KERNEL_PACKING_COUNT &&
	       loaded->protocol <= UINT16_MAX && loaded->entries != 0 && (loaded->entries & ~entries) == 0 &&
	       !(is_elf && (loaded->elf_size > 0 || loaded->packing != KERNEL_PACKING_NONE || loaded->protocol > 0)) &&
	       loaded->cmdline_max <= LINUX_CMDLINE_MAX && loaded->memory_size <= GUEST_MEMORY_SIZE_MAX &&
	       loaded->image_size > 0 && loaded->image_size <= KERNEL_UNPACKED_MAX &&
	       loaded->elf_size <= KERNEL_UNPACKED_MAX && file_has_size(operation->files[1], loaded->image_size) &&
	       file_has_size(operation->files[2], loaded->elf_size);
}

static void loader_answered(struct pool *pool, struct operation *operation, struct message *message)
{
	struct pool_result result = { .status = POOL_OK };

	if (message->header.type == MESSAGE_REFUSED) {
		result.status = POOL_REFUSED;
		result.error = message->payload.text.error;
		result.reason = (enum reason)message->payload.text.reason;
		error_detail_set(&result.detail, "%s", message->payload.text.text);
	} else if (message->header.type == MESSAGE_LOADED && !state_can_be(message)) {
		loader_lied(pool, "a state that is not sealed, or with a shape that cannot be");
		return;
	} else if (message->header.type == MESSAGE_KERNEL_LOADED &&
		   !kernel_can_be(operation, &message->payload.kernel_loaded)) {
		loader_lied(pool, "a kernel that cannot be, or that was not written as is said");
		return;
	}

	operation_take(&pool->loader, operation);
	pool->loader_ready = false;
	pool->loader_spent = true;
	process_stop(&pool->loader, true);
	operation_finish(operation, &result, result.status == POOL_OK ? message : NULL);
}

static bool answers(const struct message *message, const struct operation *operation)
{
	return message->header.type == MESSAGE_REFUSED ||
	       (message->header.type == MESSAGE_LOADED) == (operation->asked == MESSAGE_LOAD);
}

static void loader_received(void *owner, struct message *message)
{
	struct pool *pool = owner;
	struct operation *operation = operation_find(&pool->loader, message->header.request);

	/* What one that is being killed still had on its way is not for anybody: it may have lied. */
	if (pool->loader.stop_step != 0)
		return;

	switch (message->header.type) {
	case MESSAGE_LOADER_READY:
		if (pool->loader_ready || pool->loader_spent)
			break;
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
		process_stop(&pool->loader, true);
		return;
	case MESSAGE_PROGRESS:
		if (!operation || process_floods(&pool->loader) ||
		    !operation_progressed(&pool->loader, operation, &message->payload.progress))
			break;
		return;
	case MESSAGE_LOADED:
	case MESSAGE_KERNEL_LOADED:
	case MESSAGE_REFUSED:
		if (!operation || !answers(message, operation))
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

void loads_fail_all(struct pool *pool, enum pool_status status, const char *text)
{
	struct operation *operation;

	while ((operation = TAILQ_FIRST(&pool->loads))) {
		TAILQ_REMOVE(&pool->loads, operation, link);
		operation_finish_later(operation, status, 0, text);
	}
}

/* The loader is not there: what waits for it is told when it keeps failing to start. */
static void loader_missing(struct pool *pool, const char *text)
{
	if (pool->stopping) {
		pool_deliver_soon(pool);
		return;
	}
	if (++pool->loader_failures >= POOL_RETRIES_TO_TELL)
		loads_fail_all(pool, POOL_WORKER_DIED, text);
	retry_later(pool->loader_retry, pool->loader_failures);
}

static void loader_reaped(void *owner, const char *reason, const char *text, bool clean)
{
	struct pool *pool = owner;

	(void)reason;
	(void)clean;
	pool->loader_ready = false;
	if (pool->loader_spent && !pool->stopping) {
		pool->loader_spent = false;
		loader_start_or_retry(pool);
		return;
	}
	if (!pool->stopping)
		pool_report(pool, &(struct pool_event){ .kind = POOL_EVENT_LOADER_ENDED,
							.is_error = true,
							.pid = pool->loader.pid,
							.text = text });
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

void loader_start_or_retry(struct pool *pool)
{
	/* Without a zygote there is nothing to ask; its next HOST message starts the loader. */
	if (!pool->stopping && pool->zygote_ready && loader_start(pool) < 0)
		retry_later(pool->loader_retry, ++pool->loader_failures);
}

void loader_retry(int fd, short events, void *opaque)
{
	(void)fd;
	(void)events;
	loader_start_or_retry(opaque);
}

void loader_forked(struct pool *pool, const struct message *message)
{
	struct process *loader = &pool->loader;
	int channel = loader->channel;
	int result;

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
	result = process_start(loader, channel, message->payload.forked.pid);
	if (result < 0) {
		loader_missing(pool, strerror(-result));
		return;
	}
	if (pool->stopping)
		process_stop(loader, true);
	else
		process_set_timer(loader, (uint64_t)pool->options.reply_timeout_ms * 1000000);
}

void loader_not_forked(struct pool *pool, const char *text)
{
	if (process_alive(&pool->loader)) {
		zygote_lied(pool, "no loader, where there is one");
		return;
	}
	process_release(&pool->loader);
	loader_missing(pool, text);
}

/* Begin a load with copies of its message's descriptors. On failure the operation is freed. */
static int load_begin(struct operation *operation, const int *files, size_t count)
{
	struct pool *pool = operation->pool;

	for (size_t i = 0; i < count; i++) {
		operation->files[i] = fcntl(files[i], F_DUPFD_CLOEXEC, 0);
		if (operation->files[i] < 0) {
			int result = -errno;

			operation_free(operation);
			return result;
		}
	}

	if (pool->stopping) {
		operation_finish_later(operation, POOL_SHUTTING_DOWN, 0, "the pool is being stopped");
		return 0;
	}
	TAILQ_INSERT_TAIL(&pool->loads, operation, link);
	feed_loader(pool);
	return 0;
}

void pool_load_cancel(struct pool *pool, const void *opaque)
{
	struct operation *operation;

	TAILQ_FOREACH(operation, &pool->loads, link) {
		if (operation->opaque == opaque)
			break;
	}
	if (!operation)
		return;
	TAILQ_REMOVE(&pool->loads, operation, link);
	operation_finish_later(operation, POOL_CANCELLED, -ECANCELED, "cancelled");
}

int pool_load(struct pool *pool, int state_file, int memory_file, bool verify_memory,
	      void (*progress)(void *opaque, uint64_t done, uint64_t total),
	      void (*done)(void *opaque, const struct pool_result *result, int state,
			   const struct message_loaded *loaded),
	      void *opaque)
{
	struct operation *operation = operation_new(pool, MESSAGE_LOAD, opaque);
	const int files[] = { state_file, memory_file };

	if (!operation)
		return -ENOMEM;
	operation->progress = progress;
	operation->load_done = done;
	operation->verify_memory = verify_memory;
	return load_begin(operation, files, sizeof(files) / sizeof(files[0]));
}

int pool_kernel_load(struct pool *pool, int source, int image, int elf,
		     void (*progress)(void *opaque, uint64_t done, uint64_t total),
		     void (*done)(void *opaque, const struct pool_result *result,
				  const struct message_kernel_loaded *loaded),
		     void *opaque)
{
	struct operation *operation = operation_new(pool, MESSAGE_KERNEL_LOAD, opaque);
	const int files[] = { source, image, elf };

	if (!operation)
		return -ENOMEM;
	operation->progress = progress;
	operation->kernel_done = done;
	return load_begin(operation, files, sizeof(files) / sizeof(files[0]));
}
