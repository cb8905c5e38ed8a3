/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a worker, the loader or the zygote ends, and how that reads.
 */
#ifndef EMBER_POOL_PROCESS_EXIT_STATUS_H
#define EMBER_POOL_PROCESS_EXIT_STATUS_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>

enum exit_status {
	EXIT_STATUS_STOPPED = 0,          /* as asked */
	EXIT_STATUS_STAGE_FAILED = 80,    /* a MESSAGE_FAILED says which */
	EXIT_STATUS_CHANNEL_LOST = 81,    /* the supervisor is gone, or spoke nonsense */
	EXIT_STATUS_MEMORY_FILE_CUT = 82, /* SIGBUS in guest memory: the snapshot's file is shorter than it was */
};

/*
 * Say how a process ended.
 *
 * info        from waitid(2)
 * ret_reason  a stable word: "stopped", "stage_failed", "memory_file_truncated", "sandbox_violation", "worker_killed", "worker_crashed"
 * text        a clause for people, terminated
 *
 * Returns whether it ended by itself with EXIT_STATUS_STOPPED.
 */
bool exit_status_describe(const siginfo_t *info, const char **ret_reason, char *text, size_t size);

#endif
