/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Workers that were built and die later: what that costs, and whom.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "liars.h"

TestSuite(deaths, .timeout = 120);

static pid_t other_warm_pid(pid_t than)
{
	pid_t pid;

	for (unsigned turns = 0; turns < 10000; turns++) {
		pid = warm_pid();
		if (pid != 0 && pid != than)
			return pid;
		harness_turn(&harness, 2);
	}
	cr_assert_fail("no worker becomes warm; last error: %s", harness.last_error);
	return 0;
}

Test(deaths, a_worker_that_was_built_and_is_killed_makes_no_shape_fail)
{
	struct machine_shape shape = harness_shape(1, 16);
	static struct started_vm vm;
	pid_t pid = 0;

	open_with("");
	harness_configure(&harness, &shape, 1, 2);
	/* More in a row than builds may fail before requests are refused. */
	for (unsigned i = 0; i < 6; i++) {
		pid = other_warm_pid(pid);
		cr_assert_eq(kill(pid, SIGKILL), 0);
	}
	while (warm_pid() == pid)
		harness_turn(&harness, 1);
	(void)harness_boot(&harness, &shape, POOL_TEMPERATURE_ANY, 0, &vm);
	harness_wait(&harness, &vm.answered);
	cr_expect_eq(vm.result.status, POOL_OK, "%s", vm.result.detail.text);
	cr_expect_eq(harness_status(&harness, &shape).failures, 0, "no build has failed");
	close_and_count();
}

Test(deaths, workers_that_end_when_they_are_warm_are_built_ahead_of_requests_more_and_more_seldom)
{
	struct machine_shape shape = harness_shape(1, 16);

	open_with("worker=ends_when_warm");
	harness_configure(&harness, &shape, 1, 1);
	wait_for_event(POOL_EVENT_SHAPE_BACKOFF, 3);
	cr_assert_not_null(strstr(harness.last_error, "for 400 ms"), "%s", harness.last_error);
	close_and_count();
}

/* Start a VM of a source, and end its worker by a signal. Returns how the start ended. */
static enum pool_status start_and_end(const char *source, int signal_number)
{
	static struct started_vm vm;
	struct pool_start start = { .shape = harness_shape(1, 16),
				    .image = harness_file("x", 1),
				    .memory = -1,
				    .state = -1,
				    .blame = { .has_owner = true, .owner = 7 } };

	(void)snprintf(start.blame.source, sizeof(start.blame.source), "%s", source);
	(void)harness_start(&harness, &start, &vm);
	(void)close(start.image);
	harness_wait(&harness, &vm.answered);
	if (vm.result.status != POOL_OK) {
		cr_expect_gt(vm.result.retry_after_ms, 0);
		cr_expect_not_null(strstr(vm.result.detail.text, source), "%s", vm.result.detail.text);
		return vm.result.status;
	}
	cr_assert_eq(kill(pool_vm_pid(vm.vm), signal_number), 0);
	harness_wait(&harness, &vm.gone);
	return POOL_OK;
}

Test(deaths, what_crashes_again_and_again_is_slowed_down_alone)
{
	unsigned count = 0;

	open_with("");
	while (count < 1000 && start_and_end("snapshot bad", SIGABRT) == POOL_OK)
		count++;
	cr_expect_lt(count, 1000);
	cr_expect_eq(start_and_end("snapshot bad", SIGABRT), POOL_CRASHING);
	cr_expect_eq(start_and_end("snapshot good", SIGABRT), POOL_OK);
	close_and_count();
}

Test(deaths, what_is_killed_again_and_again_is_served)
{
	open_with("");
	for (unsigned i = 0; i < 40; i++)
		cr_assert_eq(start_and_end("snapshot victim", SIGKILL), POOL_OK, "%u", i);
	close_and_count();
}
