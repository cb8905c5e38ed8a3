/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of kinds: the only place where file work is declared.
 */
#include "server/jobs/kinds.h"

#include <unistd.h>

#include "server/jobs/functions.h"

/* Everything that came is closed after the answer. */
static int close_files(const json_t *input, int *files, uint32_t file_count, struct job_answer *answer)
{
	(void)input;
	(void)files;
	(void)file_count;
	(void)answer;
	return 0;
}

const struct job_kind_description job_kinds[JOB_KIND_COUNT] = {
	[JOB_CLOSE] = { "close", close_files },
	[JOB_CONNECT] = { "connect", job_connect },
	[JOB_RECEIVE_FILES] = { "receive descriptors", job_receive_files },
};
