/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a worker and the loader lose their privileges: named, numbered stages, in one order, none of which can be undone.
 *
 * A process enters stages 1 to 7 while it has one thread, because capabilities and no_new_privs belong to threads and
 * are inherited by those made later. It then builds what it needs (a VM and its vCPU threads, from descriptors that
 * it kept) and enters stage 8, which covers every thread at once. A process that needs to build nothing enters them
 * all in one go. No guest's or snapshot's byte may be touched before stage 8.
 *
 * The zygote may enter stages 1 to 3 itself: its children inherit them, and find less to do.
 *
 * A stage that fails ends the climb: later calls refuse, and the process must exit after it said why.
 */
#ifndef EMBER_SANDBOX_SANDBOX_H
#define EMBER_SANDBOX_SANDBOX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/types.h>

#include "sandbox/error.h"
#include "sandbox/filter.h"

enum sandbox_stage {
	SANDBOX_STAGE_NONE = 0,
	SANDBOX_STAGE_DESCRIPTORS, /* every descriptor but the kept ones is closed; 0, 1 and 2 are at least /dev/null */
	SANDBOX_STAGE_LIMITS,      /* no core dumps, and the policy's resource limits */
	SANDBOX_STAGE_BOUNDING_SET,      /* no capability can be gained again; secure bits locked */
	SANDBOX_STAGE_IDENTITY,          /* no supplementary groups, an unprivileged gid and uid */
	SANDBOX_STAGE_CAPABILITIES,      /* every capability set is empty */
	SANDBOX_STAGE_PROCESS,           /* not dumpable, killed when its parent dies */
	SANDBOX_STAGE_NO_NEW_PRIVILEGES, /* execve(2) grants nothing */
	SANDBOX_STAGE_FILTER,            /* the system calls of the policy, or death */
	SANDBOX_STAGE_COUNT,
};

/* The last stage to enter before threads are made, and the last of all. */
#define SANDBOX_STAGE_BEFORE_THREADS SANDBOX_STAGE_NO_NEW_PRIVILEGES
#define SANDBOX_STAGE_LAST           SANDBOX_STAGE_FILTER

/* "descriptors", "limits", ...; "none" for SANDBOX_STAGE_NONE; NULL where there is no such stage. */
const char *sandbox_stage_name(enum sandbox_stage stage);

struct sandbox_limit {
	__rlimit_resource_t resource; /* RLIMIT_... */
	rlim_t value;                 /* soft and hard; never raises what the process has */
};

#define SANDBOX_KEEP_MAX 64

/* What one process of a role will be. */
struct sandbox_policy {
	const char *role; /* "worker", "loader": for error texts */

	/* Used where the daemon runs as root; elsewhere the process stays who it is. Neither may be 0. */
	uid_t uid;
	gid_t gid;

	/*
	 * The parent: as getppid(2) gives it. The process dies when its parent does, and at once where it is an
	 * orphan already.
	 */
	pid_t parent;

	const int *keep; /* descriptors that stay open; all must be. Any order */
	size_t keep_count;

	const struct sandbox_limit *limits; /* RLIMIT_CORE is 0 without being named */
	size_t limit_count;

	const struct sandbox_filter *filter; /* from sandbox_filter_build(); stays the caller's */
};

/* How far a process has come. Plain data. */
struct sandbox {
	const struct sandbox_policy *policy;
	enum sandbox_stage reached; /* the last stage entered */
	enum sandbox_stage failed;  /* the stage that could not be entered, or SANDBOX_STAGE_NONE */
};

/* Stand at the beginning. policy must live until the last stage is entered. */
void sandbox_init(struct sandbox *sandbox, const struct sandbox_policy *policy);

/*
 * Enter every stage from the next one up to and including `stage`.
 *
 * error  on failure says which stage and why
 *
 * Returns 0; -ECANCELED where an earlier call failed; -EINVAL for a stage that does not exist or a policy that cannot
 * be; -EBUSY where stages 1 to 7 find more than one thread; else -errno of what failed. sandbox->failed then names
 * the stage.
 */
int sandbox_advance(struct sandbox *sandbox, enum sandbox_stage stage, struct sandbox_error *error);

/*
 * What waitid(2) told of a process's death, as a person reads it: "killed by SIGSYS: a system call outside the policy".
 *
 * code, status    what waitid(2) left in si_code and si_status: CLD_..., and an exit status or a signal
 * ret_text, size    where to put it; always terminated where size > 0
 */
void sandbox_describe_death(int code, int status, char *ret_text, size_t size);

/* Was it the filter? Which call it was, the kernel's audit log says (type 1326, in dmesg where no auditd runs). */
bool sandbox_is_violation(int code, int status);

#endif
