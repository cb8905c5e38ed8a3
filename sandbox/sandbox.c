/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The climb through the stages, and what a death means.
 *
 * The order is fixed by what each stage takes away from the next:
 *
 * 1 descriptors        first, so that nothing that the parent had open is there while anything else happens
 * 2 limits             needs no privilege to lower; a core dump of any later failure would hold the parent's memory
 * 3 bounding set       needs CAP_SETPCAP, which stage 4 ends
 * 4 identity           needs CAP_SETUID and CAP_SETGID, which stage 5 ends
 * 5 capabilities       what a change of identity leaves behind: much, where the daemon is a user with capabilities
 * 6 process            a change of credentials resets the dumpable flag and the parent-death signal (prctl(2))
 * 7 no_new_privs       stage 8 requires it
 * 8 filter             last, because it forbids what all the others do
 *
 * Stages 1 to 7 require a single thread: capset(2) and PR_SET_NO_NEW_PRIVS act on the calling thread only.
 */
#include "sandbox/sandbox.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include "sandbox/stages.h"

static const struct {
	const char *name;
	int (*enter)(const struct sandbox_policy *policy, struct sandbox_error *error);
} stages[SANDBOX_STAGE_COUNT] = {
	[SANDBOX_STAGE_NONE] = { "none", NULL },
	[SANDBOX_STAGE_DESCRIPTORS] = { "descriptors", stage_descriptors },
	[SANDBOX_STAGE_LIMITS] = { "limits", stage_limits },
	[SANDBOX_STAGE_BOUNDING_SET] = { "bounding-set", stage_bounding_set },
	[SANDBOX_STAGE_IDENTITY] = { "identity", stage_identity },
	[SANDBOX_STAGE_CAPABILITIES] = { "capabilities", stage_capabilities },
	[SANDBOX_STAGE_PROCESS] = { "process", stage_process },
	[SANDBOX_STAGE_NO_NEW_PRIVILEGES] = { "no-new-privileges", stage_no_new_privileges },
	[SANDBOX_STAGE_FILTER] = { "filter", stage_filter },
};

const char *sandbox_stage_name(enum sandbox_stage stage)
{
	if ((unsigned int)stage >= SANDBOX_STAGE_COUNT)
		return NULL;

	return stages[stage].name;
}

void sandbox_init(struct sandbox *sandbox, const struct sandbox_policy *policy)
{
	*sandbox = (struct sandbox){
		.policy = policy,
		.reached = SANDBOX_STAGE_NONE,
		.failed = SANDBOX_STAGE_NONE,
	};
}

/* unshare(2) of CLONE_THREAD changes nothing, and fails with EINVAL in a process of several threads. */
static int check_single_thread(struct sandbox_error *error)
{
	if (unshare(CLONE_THREAD) == 0)
		return 0;

	sandbox_error_set(error, "the process has more than one thread");
	return -EBUSY;
}

static int enter_stage(const struct sandbox_policy *policy, enum sandbox_stage stage, struct sandbox_error *error)
{
	int result;

	if (stage <= SANDBOX_STAGE_BEFORE_THREADS) {
		result = check_single_thread(error);
		if (result < 0)
			return result;
	}

	return stages[stage].enter(policy, error);
}

int sandbox_advance(struct sandbox *sandbox, enum sandbox_stage stage, struct sandbox_error *error)
{
	struct sandbox_error why = { .text = "" };
	enum sandbox_stage next;
	int result;

	if (sandbox->failed != SANDBOX_STAGE_NONE) {
		sandbox_error_set(error, "stage %d (%s) failed before", (int)sandbox->failed,
				  stages[sandbox->failed].name);
		return -ECANCELED;
	}
	if (stage <= SANDBOX_STAGE_NONE || stage >= SANDBOX_STAGE_COUNT) {
		sandbox_error_set(error, "there is no sandbox stage %d", (int)stage);
		return -EINVAL;
	}

	while (sandbox->reached < stage) {
		next = sandbox->reached + 1;
		result = enter_stage(sandbox->policy, next, &why);
		if (result < 0) {
			sandbox->failed = next;
			sandbox_error_set(error, "%s: stage %d (%s): %s", sandbox->policy->role, (int)next,
					  stages[next].name, why.text);
			return result;
		}
		sandbox->reached = next;
	}

	return 0;
}

bool sandbox_is_violation(int code, int status)
{
	return (code == CLD_KILLED || code == CLD_DUMPED) && status == SIGSYS;
}

void sandbox_describe_death(int code, int status, char *ret_text, size_t size)
{
	const char *name;

	if (code == CLD_EXITED) {
		(void)snprintf(ret_text, size, "exited with status %d", status);
		return;
	}
	if (code != CLD_KILLED && code != CLD_DUMPED) {
		(void)snprintf(ret_text, size, "unknown state %d", code);
		return;
	}
	if (sandbox_is_violation(code, status)) {
		(void)snprintf(ret_text, size, "killed by SIGSYS: a system call outside the policy");
		return;
	}

	name = sigabbrev_np(status);
	if (name)
		(void)snprintf(ret_text, size, "killed by SIG%s: %s", name, sigdescr_np(status));
	else
		(void)snprintf(ret_text, size, "killed by signal %d", status);
}
