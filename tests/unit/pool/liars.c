/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A pool whose zygote is the impostor.
 */
#include "liars.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kvm/monotonic.h"

#define REPLY_TIMEOUT_MS 300

struct harness harness;

void open_with(const char *ways)
{
	cr_assert_eq(setenv("EMBER_IMPOSTOR", ways, 1), 0);
	harness_open_with(&harness, POOL_ZYGOTE, REPLY_TIMEOUT_MS);
}

void close_and_count(void)
{
	harness_close(&harness);
	/* Nobody is left behind: neither alive nor as a zombie. */
	cr_assert_eq(waitpid(-1, NULL, WNOHANG), -1);
	cr_assert_eq(errno, ECHILD);
}

unsigned open_files(void)
{
	unsigned count = 0;

	for (int fd = 0; fd < 1024; fd++)
		count += fcntl(fd, F_GETFD) >= 0;
	return count;
}

void wait_for_event(enum pool_event_kind kind, unsigned count)
{
	uint64_t until = monotonic_ns() + UINT64_C(20000000000);

	while (harness.events[kind] < count && monotonic_ns() < until)
		harness_turn(&harness, 2);
	cr_assert_geq(harness.events[kind], count, "no %s; last error: %s", pool_event_name(kind), harness.last_error);
}

static void find_pid(void *opaque, const struct pool_worker_status *status)
{
	if (status->state == SLOT_WARM)
		*(pid_t *)opaque = status->pid;
}

pid_t warm_pid(void)
{
	pid_t pid = 0;

	pool_each_worker(harness.pool, find_pid, &pid);
	return pid;
}
