/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stages 3 and 5: the bounding set and the capability sets.
 *
 * libcap-ng makes the changes; what the kernel then says of the process is asked of the kernel directly, not of the
 * library's memory of it. The bounding set (and the secure bits) can only be changed with CAP_SETPCAP. A daemon that
 * runs as an ordinary user does not have it; for such a process the bounding set is moot, since it only bounds what
 * execve(2) grants, and no_new_privs (stage 7) makes execve(2) grant nothing.
 *
 * libcap-ng keeps the thread id that it acts on, and renews it only after fork(3). Workers are cloned by clone3(2),
 * so the id is set here.
 */
#include "sandbox/stages.h"

#include <cap-ng.h>
#include <errno.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

/* Uid 0 means nothing at execve(2), ambient capabilities cannot be raised, and all of that is locked. */
#define SECURE_BITS                                                                                       \
	(SECBIT_NOROOT | SECBIT_NOROOT_LOCKED | SECBIT_NO_SETUID_FIXUP_LOCKED | SECBIT_KEEP_CAPS_LOCKED | \
	 SECBIT_NO_CAP_AMBIENT_RAISE | SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED)

struct capability_sets {
	uint64_t effective;
	uint64_t permitted;
	uint64_t inheritable;
};

static int read_sets(struct capability_sets *ret_sets)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3, .pid = 0 };
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = { { 0 } };

	if (syscall(__NR_capget, &header, data) < 0)
		return -errno;

	*ret_sets = (struct capability_sets){
		.effective = (uint64_t)data[1].effective << 32 | data[0].effective,
		.permitted = (uint64_t)data[1].permitted << 32 | data[0].permitted,
		.inheritable = (uint64_t)data[1].inheritable << 32 | data[0].inheritable,
	};
	return 0;
}

/* The first capability of the bounding set, or -1 where it is empty. */
static int first_bounded(void)
{
	int capability = 0;
	int set;

	while ((set = prctl(PR_CAPBSET_READ, capability, 0, 0, 0)) == 0)
		capability++;

	/* EINVAL: past the last capability that the kernel knows. */
	return set > 0 ? capability : -1;
}

static bool has_ambient(void)
{
	int capability = 0;
	int set;

	while ((set = prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, capability, 0, 0)) == 0)
		capability++;

	return set > 0;
}

int stage_bounding_set(const struct sandbox_policy *policy, struct sandbox_error *error)
{
	struct capability_sets sets = { 0 };
	int bits;
	int result;

	(void)policy;
	result = read_sets(&sets);
	if (result < 0) {
		sandbox_error_set(error, "capget: %s", strerror(-result));
		return result;
	}
	if (!(sets.effective & UINT64_C(1) << CAP_SETPCAP))
		return 0;

	/* Bits that are locked already must be asked for again, or the kernel refuses. */
	bits = prctl(PR_GET_SECUREBITS, 0, 0, 0, 0);
	if (bits < 0 || prctl(PR_SET_SECUREBITS, bits | SECURE_BITS, 0, 0, 0) < 0) {
		result = -errno;
		sandbox_error_set(error, "PR_SET_SECUREBITS: %s", strerror(-result));
		return result;
	}
	if (first_bounded() < 0)
		return 0;

	capng_setpid(gettid());
	capng_clear(CAPNG_SELECT_BOUNDS);
	result = capng_apply(CAPNG_SELECT_BOUNDS);
	if (result != 0 || first_bounded() >= 0) {
		sandbox_error_set(error, "the bounding set cannot be emptied (libcap-ng: %d, first left: %d)", result,
				  first_bounded());
		return -EPERM;
	}

	return 0;
}

int stage_capabilities(const struct sandbox_policy *policy, struct sandbox_error *error)
{
	struct capability_sets sets = { 0 };
	int applied;
	int result;

	(void)policy;
	if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0) {
		result = -errno;
		sandbox_error_set(error, "PR_CAP_AMBIENT_CLEAR_ALL: %s", strerror(-result));
		return result;
	}
	capng_setpid(gettid());
	capng_clear(CAPNG_SELECT_CAPS);
	applied = capng_apply(CAPNG_SELECT_CAPS);

	result = read_sets(&sets);
	if (result < 0) {
		sandbox_error_set(error, "capget: %s", strerror(-result));
		return result;
	}
	if (applied != 0 || sets.effective != 0 || sets.permitted != 0 || sets.inheritable != 0 || has_ambient()) {
		sandbox_error_set(error, "capabilities cannot be dropped (libcap-ng: %d, permitted left: 0x%llx)",
				  applied, (unsigned long long)sets.permitted);
		return -EPERM;
	}

	/* CAP_SETUID would have been the way back from stage 4. */
	if (setresuid((uid_t)-1, 0, (uid_t)-1) == 0 || errno != EPERM) {
		sandbox_error_set(error, "user 0 can be had back");
		return -EPERM;
	}

	return 0;
}
