/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stages 1, 2, 4, 6 and 7: descriptors, limits, identity, process attributes, no_new_privs.
 *
 * Each stage takes something away, then looks whether it is gone, because a call that succeeds has not always done
 * what its caller meant (a container's user namespace may map several ids to one, a library may have been told another
 * id). Nothing here is allocated: the stages run in a process that was cloned from the zygote.
 */
#include "sandbox/stages.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

static int compare_descriptors(const void *left, const void *right)
{
	const int *a = left;
	const int *b = right;

	return (*a > *b) - (*a < *b);
}

/* Copy the kept descriptors in ascending order. */
static int sort_kept(const struct sandbox_policy *policy, int *ret_sorted, struct sandbox_error *error)
{
	size_t i;

	if (policy->keep_count > SANDBOX_KEEP_MAX) {
		sandbox_error_set(error, "%zu descriptors to keep, more than %d", policy->keep_count, SANDBOX_KEEP_MAX);
		return -EINVAL;
	}

	for (i = 0; i < policy->keep_count; i++) {
		if (fcntl(policy->keep[i], F_GETFD) < 0) {
			sandbox_error_set(error, "descriptor %d, to be kept, is not open", policy->keep[i]);
			return -EBADF;
		}
		ret_sorted[i] = policy->keep[i];
	}
	qsort(ret_sorted, policy->keep_count, sizeof(ret_sorted[0]), compare_descriptors);
	return 0;
}

static int close_between(unsigned int first, unsigned int last, struct sandbox_error *error)
{
	int result;

	if (first > last || close_range(first, last, 0) == 0)
		return 0;

	result = -errno;
	sandbox_error_set(error, "close_range(%u, %u): %s", first, last, strerror(-result));
	return result;
}

/* A library that writes to descriptor 2 must not find a guest's memory file there. */
static int fill_standard_descriptors(struct sandbox_error *error)
{
	int fd;
	int result;

	do {
		fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	} while (fd >= 0 && fd < STDERR_FILENO);
	if (fd < 0) {
		result = -errno;
		sandbox_error_set(error, "/dev/null: %s", strerror(-result));
		return result;
	}

	if (fd > STDERR_FILENO)
		(void)close(fd);
	return 0;
}

int stage_descriptors(const struct sandbox_policy *policy, struct sandbox_error *error)
{
	int sorted[SANDBOX_KEEP_MAX];
	unsigned int next = 0;
	size_t i;
	int result;

	result = sort_kept(policy, sorted, error);
	if (result < 0)
		return result;

	for (i = 0; i < policy->keep_count; i++) {
		if ((unsigned int)sorted[i] > next) {
			result = close_between(next, (unsigned int)sorted[i] - 1, error);
			if (result < 0)
				return result;
		}
		next = (unsigned int)sorted[i] + 1;
	}
	result = close_between(next, UINT_MAX, error);
	if (result < 0)
		return result;

	return fill_standard_descriptors(error);
}

/* Lower a limit, soft and hard; one that is lower already stays. */
static int lower_limit(__rlimit_resource_t resource, rlim_t value, struct sandbox_error *error)
{
	struct rlimit limit;
	int result;

	if (getrlimit(resource, &limit) == 0) {
		limit.rlim_max = limit.rlim_max < value ? limit.rlim_max : value;
		limit.rlim_cur = limit.rlim_cur < limit.rlim_max ? limit.rlim_cur : limit.rlim_max;
		if (setrlimit(resource, &limit) == 0)
			return 0;
	}

	result = -errno;
	sandbox_error_set(error, "resource limit %d: %s", (int)resource, strerror(-result));
	return result;
}

int stage_limits(const struct sandbox_policy *policy, struct sandbox_error *error)
{
	size_t i;
	int result;

	result = lower_limit(RLIMIT_CORE, 0, error);
	for (i = 0; i < policy->limit_count && result == 0; i++)
		result = lower_limit(policy->limits[i].resource, policy->limits[i].value, error);

	return result;
}

static int fail_with_errno(const char *what, struct sandbox_error *error)
{
	int result = -errno;

	sandbox_error_set(error, "%s: %s", what, strerror(-result));
	return result;
}

/* All three ids, real, effective and saved, must be the one wanted. */
static int verify_identity(uid_t uid, gid_t gid, struct sandbox_error *error)
{
	uid_t uids[3];
	gid_t gids[3];

	if (getresuid(&uids[0], &uids[1], &uids[2]) < 0 || getresgid(&gids[0], &gids[1], &gids[2]) < 0)
		return fail_with_errno("getresuid", error);

	if (uids[0] != uid || uids[1] != uid || uids[2] != uid || gids[0] != gid || gids[1] != gid || gids[2] != gid) {
		sandbox_error_set(error, "user %u:%u:%u, group %u:%u:%u where all should be %u and %u", uids[0],
				  uids[1], uids[2], gids[0], gids[1], gids[2], uid, gid);
		return -EPERM;
	}

	return 0;
}

static int become(uid_t uid, gid_t gid, struct sandbox_error *error)
{
	if (uid == 0 || gid == 0 || uid == (uid_t)-1 || gid == (gid_t)-1) {
		sandbox_error_set(error, "the policy's user %u or group %u is privileged or not an id", uid, gid);
		return -EINVAL;
	}
	if (setgroups(0, NULL) < 0)
		return fail_with_errno("setgroups", error);
	if (setresgid(gid, gid, gid) < 0)
		return fail_with_errno("setresgid", error);
	if (setresuid(uid, uid, uid) < 0)
		return fail_with_errno("setresuid", error);

	return verify_identity(uid, gid, error);
}

int stage_identity(const struct sandbox_policy *policy, struct sandbox_error *error)
{
	uid_t uid = getuid();

	/* A set-uid program keeps a way back in its saved id; so an ordinary user must be the same in all three. */
	if (uid != 0 && geteuid() != 0)
		return verify_identity(uid, getgid(), error);

	return become(policy->uid, policy->gid, error);
}

int stage_process(const struct sandbox_policy *policy, struct sandbox_error *error)
{
	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		return fail_with_errno("PR_SET_DUMPABLE", error);
	if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0)
		return fail_with_errno("PR_SET_PDEATHSIG", error);

	/* A parent that died before the signal was armed left no signal behind, but another parent. */
	if (getppid() != policy->parent) {
		sandbox_error_set(error, "the parent is process %d, not %d: it has died", (int)getppid(),
				  (int)policy->parent);
		return -ESRCH;
	}

	return 0;
}

int stage_no_new_privileges(const struct sandbox_policy *policy, struct sandbox_error *error)
{
	(void)policy;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return fail_with_errno("PR_SET_NO_NEW_PRIVS", error);

	return 0;
}

int stage_filter(const struct sandbox_policy *policy, struct sandbox_error *error)
{
	if (!policy->filter) {
		sandbox_error_set(error, "the policy has no filter");
		return -EINVAL;
	}

	return sandbox_filter_load(policy->filter, error);
}
