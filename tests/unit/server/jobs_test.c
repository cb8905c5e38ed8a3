/* SPDX-License-Identifier: Apache-2.0 */
/*
 * File jobs: lanes as numbers, mounts as text, and helpers as processes, whose files here are sockets that close when they
 * are told to: SO_LINGER with bytes that nobody reads.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "server/jobs/jobs.h"
#include "server/jobs/lanes.h"
#include "server/jobs/mounts.h"

#define PEER 1000

/* ---- lanes ---- */

static size_t use(struct lane_use *uses, size_t count, uint32_t owner, uint64_t file_system, bool stuck, size_t times)
{
	while (times-- > 0)
		uses[count++] = (struct lane_use){ { owner, file_system }, stuck };
	return count;
}

Test(lanes, a_file_system_that_hangs_holds_up_its_own_lane_alone)
{
	struct lane_use uses[64];
	size_t count = use(uses, 0, PEER, 1, false, JOBS_LANE_MAX);

	cr_expect_eq(lane_decide(&(struct lane){ PEER, 1 }, uses, count), LANE_WAIT);
	cr_expect_eq(lane_decide(&(struct lane){ PEER, 2 }, uses, count), LANE_RUN);
	cr_expect_eq(lane_decide(&(struct lane){ PEER + 1, 1 }, uses, count), LANE_RUN);
	cr_expect_eq(lane_decide(&(struct lane){ JOBS_STATE_OWNER, 0 }, uses, count), LANE_RUN);
}

Test(lanes, an_owner_has_so_many_helpers_on_however_many_file_systems)
{
	struct lane_use uses[64];
	size_t count = 0, i;

	for (i = 0; i < JOBS_OWNER_MAX; i++)
		count = use(uses, count, PEER, i, false, 1);
	cr_expect_eq(lane_decide(&(struct lane){ PEER, 99 }, uses, count), LANE_WAIT);
	cr_expect_eq(lane_decide(&(struct lane){ PEER + 1, 99 }, uses, count), LANE_RUN);
}

Test(lanes, peers_never_take_the_places_of_the_state_folder)
{
	struct lane_use uses[128];
	size_t count = 0;
	uint32_t i;

	for (i = 0; i < JOBS_PEERS_MAX; i++)
		count = use(uses, count, PEER + i, 1, false, 1);
	count = use(uses, count, PEER, 1, true, JOBS_STUCK_MAX);
	cr_expect_neq(lane_decide(&(struct lane){ PEER + 99, 1 }, uses, count), LANE_RUN);
	cr_expect_eq(lane_decide(&(struct lane){ JOBS_STATE_OWNER, 0 }, uses, count), LANE_RUN);
}

Test(lanes, a_stuck_helper_is_replaced_up_to_a_bound)
{
	struct lane_use uses[64];
	size_t count = use(uses, 0, PEER, 1, true, JOBS_LANE_STUCK_MAX - 1);

	cr_expect_eq(lane_decide(&(struct lane){ PEER, 1 }, uses, count), LANE_RUN);
	count = use(uses, count, PEER, 1, true, 1);
	cr_expect_eq(lane_decide(&(struct lane){ PEER, 1 }, uses, count), LANE_REFUSE);
	cr_expect_eq(lane_decide(&(struct lane){ PEER, 2 }, uses, count), LANE_RUN);
	count = use(uses, count, PEER, 3, true, JOBS_OWNER_STUCK_MAX - JOBS_LANE_STUCK_MAX);
	cr_expect_eq(lane_decide(&(struct lane){ PEER, 2 }, uses, count), LANE_REFUSE);
	cr_expect_eq(lane_decide(&(struct lane){ PEER + 1, 1 }, uses, count), LANE_RUN);
}

/* ---- mounts ---- */

static const char mountinfo[] = "22 1 8:1 / / rw - ext4 /dev/a rw\n"
				"30 22 0:20 / /srv rw,nosuid shared:1 - fuse x rw\n"
				"31 30 0:21 / /srv/a\\040b rw - fuse y rw\n"
				"32 22 0:22 / /srv rw - tmpfs z rw\n"
				"not a mount\n";

Test(mounts, the_longest_mount_point_that_begins_the_path_counts)
{
	uint64_t root = mounts_find(mountinfo, "/etc/x"), srv = mounts_find(mountinfo, "/srv/x");

	cr_expect_neq(root, 0);
	cr_expect_neq(srv, root);
	cr_expect_eq(mounts_find(mountinfo, "/srv"), srv);
	cr_expect_eq(mounts_find(mountinfo, "/srvx/y"), root);
	cr_expect_neq(mounts_find(mountinfo, "/srv/a b/c"), srv);
	cr_expect_neq(mounts_find(mountinfo, "/srv/a b/c"), root);
	cr_expect_eq(mounts_find(mountinfo, "/srv/a bc"), srv);
}

Test(mounts, of_two_mounts_on_one_point_the_later_counts)
{
	cr_expect_eq(mounts_find(mountinfo, "/srv/x"), mounts_find("32 22 0:22 / /srv rw - tmpfs z rw\n", "/srv/x"));
}

Test(mounts, the_own_mounts_can_be_read)
{
	struct mounts *mounts;

	cr_assert_eq(mounts_new(&mounts), 0);
	cr_expect_neq(mounts_file_system(mounts, "/proc/self"), mounts_file_system(mounts, "/"));
	cr_expect_null(mounts_free(mounts));
}

/* ---- helpers ---- */

static struct event_base *base;
static struct jobs *jobs;
static int results[64];
static unsigned int result_count;

static void begin(uint32_t waiting_max, uint32_t running_max_ms)
{
	const struct jobs_options options = { EMBERD_PATH, waiting_max, running_max_ms };

	base = event_base_new();
	cr_assert_eq(jobs_new(base, &options, &jobs), 0);
}

static void end(void)
{
	cr_expect_null(jobs_free(jobs));
	event_base_free(base);
}

static void on_done(void *opaque, const struct job_result *result)
{
	(void)opaque;
	results[result_count++] = result->result;
}

static void run_until_results(unsigned int count)
{
	while (result_count < count)
		cr_assert_eq(event_base_loop(base, EVLOOP_ONCE), 0);
}

/* A socket whose last close waits for a minute, and the other end, which is never read. */
static int lingering_socket(int *ret_peer)
{
	const struct linger linger = { .l_onoff = 1, .l_linger = 60 };
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t size = sizeof(address);
	static const char bytes[65536];
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), file;

	cr_assert_eq(bind(listener, (const struct sockaddr *)&address, size), 0);
	cr_assert_eq(listen(listener, 1), 0);
	cr_assert_eq(getsockname(listener, (struct sockaddr *)&address, &size), 0);
	file = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	cr_assert_eq(connect(file, (const struct sockaddr *)&address, size), 0);
	*ret_peer = accept(listener, NULL, NULL);
	(void)close(listener);
	cr_assert_eq(setsockopt(file, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)), 0);
	while (send(file, bytes, sizeof(bytes), MSG_DONTWAIT) > 0)
		;
	return file;
}

/* Takes the descriptor over. */
static int submit_close(int file, uint32_t owner, const char *order)
{
	const struct job_request request = { .kind = JOB_RECEIVE_FILES,
					     .owner = owner,
					     .order = order,
					     .input = json_pack("{s:i, s:i}", "bytes", 0, "room", 1),
					     .files = &file,
					     .file_count = 1,
					     .done = on_done };

	return jobs_submit(jobs, &request, NULL);
}

static struct jobs_counts counts(void)
{
	struct jobs_counts now;

	jobs_count(jobs, &now);
	return now;
}

Test(jobs, a_helper_receives_passes_on_and_answers)
{
	int ends[2];

	begin(4, 60000);
	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
	cr_assert_eq(submit_close(ends[0], PEER, NULL), 0);
	run_until_results(1);
	cr_expect_eq(results[0], 0);
	(void)close(ends[1]);
	end();
}

Test(jobs, an_input_that_is_too_long_is_refused)
{
	static char text[JOB_TEXT_MAX];
	struct job_request request = { .kind = JOB_RECEIVE_FILES, .owner = PEER, .done = on_done };

	memset(text, 'x', sizeof(text));
	request.input = json_pack("{s:s%}", "x", text, sizeof(text));
	begin(4, 60000);
	cr_expect_eq(jobs_submit(jobs, &request, NULL), -E2BIG);
	end();
}

Test(jobs, what_waits_is_bounded_by_owner_and_closes_are_never_refused)
{
	int peer, ends[2];
	unsigned int i;

	begin(1, 60000);
	/* All helpers of the lane hang in a close. */
	for (i = 0; i < JOBS_LANE_MAX; i++) {
		int file = lingering_socket(&peer);

		jobs_close_files(jobs, PEER, &file, 1);
	}
	while (counts().running < JOBS_LANE_MAX)
		cr_assert_eq(event_base_loop(base, EVLOOP_NONBLOCK), 0);

	for (i = 0; i < 2; i++) {
		cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
		cr_expect_eq(submit_close(ends[0], PEER, NULL), i == 0 ? 0 : -EAGAIN);
	}
	jobs_close_files(jobs, PEER, &ends[1], 1);
	cr_expect_eq(counts().waiting, 2);

	/* Another owner is served meanwhile, and so is the state folder. */
	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
	cr_expect_eq(submit_close(ends[0], PEER + 1, NULL), 0);
	cr_expect_eq(submit_close(ends[1], JOBS_STATE_OWNER, NULL), 0);
	run_until_results(2);
	end();
}

Test(jobs, what_runs_too_long_is_given_up_and_its_helper_replaced)
{
	int peer, ends[2], file;
	unsigned int i;

	begin(8, 300);
	for (i = 0; i < JOBS_LANE_MAX; i++) {
		file = lingering_socket(&peer);
		jobs_close_files(jobs, PEER, &file, 1);
	}
	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
	cr_expect_eq(submit_close(ends[0], PEER, NULL), 0);
	run_until_results(1);
	cr_expect_eq(results[0], 0);
	cr_expect_geq(counts().given_up, 1);
	end();
}

Test(jobs, the_same_order_is_kept_one_at_a_time)
{
	int ends[2];
	unsigned int i;

	begin(64, 60000);
	for (i = 0; i < 16; i++) {
		cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
		cr_expect_eq(submit_close(ends[0], PEER, "one"), 0);
		(void)close(ends[1]);
	}
	while (result_count < 16) {
		cr_assert_eq(event_base_loop(base, EVLOOP_ONCE), 0);
		cr_expect_leq(counts().helpers, 2, "one runs, one may still be closing");
	}
	end();
}

Test(jobs, what_is_left_at_the_end_is_told_and_nothing_is_waited_for)
{
	int peer, file, ends[2];
	unsigned int i;

	begin(8, 60000);
	for (i = 0; i < JOBS_LANE_MAX; i++) {
		file = lingering_socket(&peer);
		jobs_close_files(jobs, PEER, &file, 1);
	}
	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
	cr_expect_eq(submit_close(ends[0], PEER, NULL), 0);
	while (counts().running < JOBS_LANE_MAX)
		cr_assert_eq(event_base_loop(base, EVLOOP_NONBLOCK), 0);
	jobs_stop(jobs);
	end();
	cr_expect_eq(result_count, 1);
	cr_expect_eq(results[0], -ECANCELED);
}

static struct job *forgotten;

Test(jobs, a_forgotten_job_is_not_told_of)
{
	int ends[2];
	const struct job_request request = { .kind = JOB_CLOSE, .owner = PEER, .done = on_done };

	begin(8, 60000);
	cr_assert_eq(jobs_submit(jobs, &request, &forgotten), 0);
	job_forget(forgotten);
	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
	cr_expect_eq(submit_close(ends[0], PEER, NULL), 0);
	run_until_results(1);
	end();
	cr_expect_eq(result_count, 1);
}
