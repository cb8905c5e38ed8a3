/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Operations: messages that wait for an answer, and the one callback that each of them ends in.
 *
 * An operation is in exactly one list at a time: a process's (sent), the pool's loads (waiting for the loader) or the pool's completed (failed
 * at once: its callback waits for the loop, so that no function calls back its own caller).
 *
 * A process answers in the order in which it was asked. While it tells how far it is with one operation, the others wait
 * their turn and their deadlines move along; how often is bounded, so that progress which leads nowhere ends as silence does.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "pool/supervisor/internal.h"

#define PROGRESS_STEPS 256 /* how often an operation's progress may move deadlines */

struct operation *operation_new(struct pool *pool, enum message_type asked, void *opaque)
{
	struct operation *operation = calloc(1, sizeof(*operation));

	if (!operation)
		return NULL;
	operation->pool = pool;
	operation->id = ++pool->next_operation;
	operation->asked = asked;
	operation->opaque = opaque;
	for (uint32_t i = 0; i < MESSAGE_FDS_MAX; i++)
		operation->files[i] = -1;
	return operation;
}

static uint64_t reply_deadline(const struct process *process)
{
	return monotonic_ns() + (uint64_t)process->pool->options.reply_timeout_ms * UINT64_C(1000000);
}

void operation_add(struct process *process, struct operation *operation)
{
	if (TAILQ_EMPTY(&process->operations))
		process_heard(process);
	operation->deadline_ns = reply_deadline(process);
	TAILQ_INSERT_TAIL(&process->operations, operation, link);
	process->operation_count++;
	process_watch(process);
}

struct operation *operation_find(struct process *process, uint64_t id)
{
	struct operation *operation;

	TAILQ_FOREACH(operation, &process->operations, link) {
		if (operation->id == id)
			return operation;
	}
	return NULL;
}

bool operation_progressed(struct process *process, struct operation *operation, const struct message_progress *progress)
{
	uint64_t deadline_ns;
	struct operation *waiting;

	if (progress->done > progress->total || progress->done < operation->progress_done ||
	    (operation->progress_total != 0 && progress->total != operation->progress_total))
		return false;

	operation->progress_total = progress->total;
	operation->progress_done = progress->done;
	if (progress->done - operation->progress_credited > progress->total / PROGRESS_STEPS) {
		operation->progress_credited = progress->done;
		process_heard(process);
		deadline_ns = reply_deadline(process);
		TAILQ_FOREACH(waiting, &process->operations, link)
			waiting->deadline_ns = deadline_ns;
		process_watch(process);
	}
	if (operation->progress)
		operation->progress(operation->opaque, progress->done, progress->total);
	return true;
}

void operation_take(struct process *process, struct operation *operation)
{
	TAILQ_REMOVE(&process->operations, operation, link);
	process->operation_count--;
	process_heard(process);
	process_watch(process);
}

void operation_free(struct operation *operation)
{
	for (uint32_t i = 0; i < MESSAGE_FDS_MAX; i++) {
		if (operation->files[i] >= 0)
			(void)close(operation->files[i]);
	}
	free(operation);
}

/* answer: the message that ended it well, else NULL. Frees the operation. */
void operation_finish(struct operation *operation, const struct pool_result *result, struct message *answer)
{
	const union message_payload *payload = answer ? &answer->payload : NULL;
	void *opaque = operation->opaque;

	if (operation->snapshot_done)
		operation->snapshot_done(opaque, result, payload ? &payload->snapshot_done : NULL);
	else if (operation->console_read_done)
		operation->console_read_done(opaque, result, payload ? payload->console_data.offset : 0,
					     payload ? payload->console_data.dropped : 0,
					     payload ? payload->console_data.data : NULL,
					     payload ? payload->console_data.size : 0);
	else if (operation->console_written_done)
		operation->console_written_done(opaque, result, payload ? payload->console_written.written : 0);
	else if (operation->balloon_done)
		operation->balloon_done(opaque, result, payload ? &payload->balloon_status : NULL);
	else if (operation->load_done)
		operation->load_done(opaque, result, answer ? message_steal_fd(answer, 0) : -1,
				     payload ? &payload->loaded : NULL);
	else if (operation->kernel_done)
		operation->kernel_done(opaque, result, payload ? &payload->kernel_loaded : NULL);
	else if (operation->done)
		operation->done(opaque, result);

	operation_free(operation);
}

void operation_finish_later(struct operation *operation, enum pool_status status, int error, const char *text)
{
	operation->result = (struct pool_result){ .status = status, .error = error };
	error_detail_set(&operation->result.detail, "%s", text);
	TAILQ_INSERT_TAIL(&operation->pool->completed, operation, link);
	pool_deliver_soon(operation->pool);
}

void operations_fail(struct process *process, enum pool_status status, const char *text)
{
	struct operation *operation;

	while ((operation = TAILQ_FIRST(&process->operations))) {
		TAILQ_REMOVE(&process->operations, operation, link);
		process->operation_count--;
		operation->result = (struct pool_result){ .status = status };
		error_detail_set(&operation->result.detail, "%s", text);
		operation_finish(operation, &operation->result, NULL);
	}
}
