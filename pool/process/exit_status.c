/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Exit statuses and signals in words.
 */
#include "pool/process/exit_status.h"

#include <stdio.h>
#include <sys/wait.h>

#include "sandbox/sandbox.h"

static bool describe_exit(int status, const char **ret_reason, char *text, size_t size)
{
	switch (status) {
	case EXIT_STATUS_STOPPED:
		*ret_reason = "stopped";
		(void)snprintf(text, size, "ended as asked");
		return true;
	case EXIT_STATUS_STAGE_FAILED:
		*ret_reason = "stage_failed";
		(void)snprintf(text, size, "a stage of its start failed");
		return false;
	case EXIT_STATUS_CHANNEL_LOST:
		*ret_reason = "worker_crashed";
		(void)snprintf(text, size, "lost its channel");
		return false;
	case EXIT_STATUS_MEMORY_FILE_CUT:
		*ret_reason = "memory_file_truncated";
		(void)snprintf(text, size, "the snapshot's memory file was cut short while it was in use");
		return false;
	default:
		*ret_reason = "worker_crashed";
		(void)snprintf(text, size, "exited with status %d", status);
		return false;
	}
}

bool exit_status_describe(const siginfo_t *info, const char **ret_reason, char *text, size_t size)
{
	if (info->si_code == CLD_EXITED)
		return describe_exit(info->si_status, ret_reason, text, size);

	sandbox_describe_death(info->si_code, info->si_status, text, size);
	if (sandbox_is_violation(info->si_code, info->si_status))
		*ret_reason = "sandbox_violation";
	else if (info->si_status == SIGKILL || info->si_status == SIGTERM)
		*ret_reason = "worker_killed";
	else
		*ret_reason = "worker_crashed";
	return false;
}
