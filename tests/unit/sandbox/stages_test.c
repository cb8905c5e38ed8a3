/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Each stage, entered for real in a child and seen in what the kernel says of that child. Runs as root.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "child.h"

TestSuite(stages, .init = need_root);

/* Enter stages up to one, and tell how that went. */
static void advance(struct child_report *report, const struct sandbox_policy *policy, enum sandbox_stage stage)
{
	struct sandbox_error error = { .text = "" };
	struct sandbox sandbox;

	sandbox_init(&sandbox, policy);
	report->result = sandbox_advance(&sandbox, stage, &error);
	report->failed = sandbox.failed;
	report->reached = sandbox.reached;
	memcpy(report->text, error.text, sizeof(report->text));
}

/* A child that goes to the stage given and reads its /proc/self/status there. */
static void go_to_stage(struct child_report *report, const void *argument)
{
	const enum sandbox_stage *stage = argument;
	const struct sandbox_policy policy = test_policy(NULL);

	advance(report, &policy, *stage);
	read_proc_status(getpid(), report);
}

static struct child_end at_stage(enum sandbox_stage stage)
{
	struct child_end end = child_run(go_to_stage, &stage);

	cr_assert(end.reported);
	cr_assert_eq(end.report.result, 0, "%s", end.report.text);
	cr_assert_eq(end.report.reached, stage);
	return end;
}

static void assert_failed(const struct child_end *end, int result, enum sandbox_stage stage, const char *text)
{
	cr_assert(end->reported);
	cr_assert_eq(end->report.result, result, "%d: %s", end->report.result, end->report.text);
	cr_assert_eq(end->report.failed, stage);
	cr_assert_eq(end->report.reached, stage - 1);
	cr_assert_not_null(strstr(end->report.text, text), "\"%s\" does not say \"%s\"", end->report.text, text);
	cr_assert_not_null(strstr(end->report.text, sandbox_stage_name(stage)), "%s", end->report.text);
}

Test(stages, every_stage_has_a_name_of_its_own)
{
	for (int i = SANDBOX_STAGE_NONE; i < SANDBOX_STAGE_COUNT; i++) {
		cr_assert_not_null(sandbox_stage_name((enum sandbox_stage)i));
		for (int j = 0; j < i; j++)
			cr_assert_str_neq(sandbox_stage_name((enum sandbox_stage)i),
					  sandbox_stage_name((enum sandbox_stage)j));
	}
	cr_assert_null(sandbox_stage_name(SANDBOX_STAGE_COUNT));
	cr_assert_null(sandbox_stage_name((enum sandbox_stage) - 1));
}

/* Counts the descriptors that are open below 1024; looks whether 0 and 1 are /dev/null. */
static void look_at_descriptors(struct child_report *report, const void *argument)
{
	const struct sandbox_policy policy = test_policy(NULL);
	int stray = fcntl(STDERR_FILENO, F_DUPFD, 700);

	(void)argument;
	report->values[0] = stray >= 700;
	advance(report, &policy, SANDBOX_STAGE_DESCRIPTORS);
	for (int fd = 0; fd < 1024; fd++)
		report->values[1] += fcntl(fd, F_GETFD) >= 0;
	report->values[2] = fcntl(CHILD_REPORT_FD, F_GETFD) >= 0;
	report->values[3] = (int)write(STDOUT_FILENO, "x", 1);
	report->values[4] = (int)read(STDIN_FILENO, &report->values[5], 1);
}

Test(stages, descriptors_not_kept_are_closed_and_the_standard_ones_lead_nowhere)
{
	struct child_end end = child_run(look_at_descriptors, NULL);

	cr_assert(end.reported);
	cr_assert_eq(end.report.result, 0, "%s", end.report.text);
	cr_assert(end.report.values[0]);
	cr_assert_eq(end.report.values[1], 4, "%d descriptors are open, not 0, 1, 2 and the kept one",
		     end.report.values[1]);
	cr_assert(end.report.values[2]);
	cr_assert_eq(end.report.values[3], 1);
	cr_assert_eq(end.report.values[4], 0, "standard input gives something");
}

static void keep_a_closed_descriptor(struct child_report *report, const void *argument)
{
	static const int keep[] = { CHILD_REPORT_FD, 777 };
	struct sandbox_policy policy = test_policy(NULL);

	(void)argument;
	policy.keep = keep;
	policy.keep_count = 2;
	advance(report, &policy, SANDBOX_STAGE_BEFORE_THREADS);
	report->values[0] = (int)getuid();
}

Test(stages, a_kept_descriptor_that_is_not_open_stops_at_stage_1)
{
	struct child_end end = child_run(keep_a_closed_descriptor, NULL);

	assert_failed(&end, -EBADF, SANDBOX_STAGE_DESCRIPTORS, "777");
	cr_assert_eq(end.report.values[0], 0, "later stages were entered");
}

static void keep_too_many_descriptors(struct child_report *report, const void *argument)
{
	int keep[SANDBOX_KEEP_MAX + 1];
	struct sandbox_policy policy = test_policy(NULL);

	(void)argument;
	for (size_t i = 0; i < sizeof(keep) / sizeof(keep[0]); i++)
		keep[i] = CHILD_REPORT_FD;
	policy.keep = keep;
	policy.keep_count = sizeof(keep) / sizeof(keep[0]);
	advance(report, &policy, SANDBOX_STAGE_DESCRIPTORS);
}

Test(stages, too_many_kept_descriptors_are_an_error)
{
	struct child_end end = child_run(keep_too_many_descriptors, NULL);

	assert_failed(&end, -EINVAL, SANDBOX_STAGE_DESCRIPTORS, "65 descriptors");
}

static void look_at_limits(struct child_report *report, const void *argument)
{
	static const struct sandbox_limit limits[] = { { RLIMIT_NOFILE, 50 }, { RLIMIT_FSIZE, 1 << 20 } };
	const struct rlimit before = { .rlim_cur = 1000, .rlim_max = 2000 };
	struct sandbox_policy policy = test_policy(NULL);
	struct rlimit limit = { 0 };

	(void)argument;
	policy.limits = limits;
	policy.limit_count = 2;
	(void)setrlimit(RLIMIT_FSIZE, &before);
	(void)setrlimit(RLIMIT_CORE, &before);
	advance(report, &policy, SANDBOX_STAGE_LIMITS);
	(void)getrlimit(RLIMIT_CORE, &limit);
	report->values[0] = (int)(limit.rlim_cur + limit.rlim_max);
	(void)getrlimit(RLIMIT_NOFILE, &limit);
	report->values[1] = (int)limit.rlim_cur;
	report->values[2] = (int)limit.rlim_max;
	(void)getrlimit(RLIMIT_FSIZE, &limit);
	report->values[3] = (int)limit.rlim_cur;
	report->values[4] = (int)limit.rlim_max;
}

Test(stages, limits_are_lowered_and_never_raised)
{
	struct child_end end = child_run(look_at_limits, NULL);

	cr_assert(end.reported);
	cr_assert_eq(end.report.result, 0, "%s", end.report.text);
	cr_assert_eq(end.report.values[0], 0, "core dumps are allowed");
	cr_assert_eq(end.report.values[1], 50);
	cr_assert_eq(end.report.values[2], 50);
	cr_assert_eq(end.report.values[3], 1000);
	cr_assert_eq(end.report.values[4], 2000);
}

static void set_an_impossible_limit(struct child_report *report, const void *argument)
{
	static const struct sandbox_limit limits[] = { { (__rlimit_resource_t)1000, 0 } };
	struct sandbox_policy policy = test_policy(NULL);

	(void)argument;
	policy.limits = limits;
	policy.limit_count = 1;
	advance(report, &policy, SANDBOX_STAGE_LAST);
}

Test(stages, a_limit_that_does_not_exist_stops_at_stage_2)
{
	struct child_end end = child_run(set_an_impossible_limit, NULL);

	assert_failed(&end, -EINVAL, SANDBOX_STAGE_LIMITS, "1000");
}

Test(stages, the_bounding_set_is_empty_and_the_secure_bits_are_locked)
{
	struct child_end before = at_stage(SANDBOX_STAGE_LIMITS);
	struct child_end end = at_stage(SANDBOX_STAGE_BOUNDING_SET);

	cr_assert_neq(status_hex(&before.report, "CapBnd"), 0);
	cr_assert_eq(status_hex(&end.report, "CapBnd"), 0);
	cr_assert_eq(status_decimal(&end.report, "Uid"), 0, "the identity changed too early");
}

static void drop_bounding_set_twice(struct child_report *report, const void *argument)
{
	const struct sandbox_policy policy = test_policy(NULL);

	(void)argument;
	advance(report, &policy, SANDBOX_STAGE_BOUNDING_SET);
	advance(report, &policy, SANDBOX_STAGE_BEFORE_THREADS);
	report->values[0] = prctl(PR_GET_SECUREBITS, 0, 0, 0, 0);
}

Test(stages, stages_entered_by_the_parent_already_are_no_obstacle)
{
	struct child_end end = child_run(drop_bounding_set_twice, NULL);

	cr_assert_eq(end.report.result, 0, "%s", end.report.text);
	cr_assert_eq(end.report.values[0] & 1, 1, "uid 0 would still mean something at execve");
}

Test(stages, the_identity_is_the_policys_without_groups)
{
	struct child_end end = at_stage(SANDBOX_STAGE_IDENTITY);
	const char *uids = strstr(end.report.proc_status, "\nUid:");
	const char *groups = strstr(end.report.proc_status, "\nGroups:");

	cr_assert_not_null(uids);
	cr_assert_eq(strncmp(uids, "\nUid:\t12345\t12345\t12345\t12345\nGid:\t23456\t23456\t23456\t23456\n", 58), 0,
		     "%s", uids);
	cr_assert_not_null(groups);
	cr_assert_eq(groups[strspn(groups + 1, "Groups:\t ") + 1], '\n', "%s", groups);
}

static void become_root(struct child_report *report, const void *argument)
{
	struct sandbox_policy policy = test_policy(NULL);

	(void)argument;
	policy.uid = 0;
	advance(report, &policy, SANDBOX_STAGE_BEFORE_THREADS);
}

Test(stages, a_policy_for_root_stops_at_stage_4)
{
	struct child_end end = child_run(become_root, NULL);

	assert_failed(&end, -EINVAL, SANDBOX_STAGE_IDENTITY, "user 0");
}

static void start_as_a_user(struct child_report *report, const void *argument)
{
	const uid_t *saved = argument;
	const struct sandbox_policy policy = test_policy(NULL);

	if (setresgid(500, 500, 500) < 0 || setresuid(500, 500, *saved) < 0)
		_exit(97);
	advance(report, &policy, SANDBOX_STAGE_BEFORE_THREADS);
	read_proc_status(getpid(), report);
}

Test(stages, an_ordinary_user_stays_who_it_is_and_loses_the_rest)
{
	const uid_t saved = 500;
	struct child_end end = child_run(start_as_a_user, &saved);

	cr_assert_eq(end.report.result, 0, "%s", end.report.text);
	cr_assert_eq(status_decimal(&end.report, "Uid"), 500);
	cr_assert_eq(status_hex(&end.report, "CapPrm"), 0);
	cr_assert_eq(status_decimal(&end.report, "NoNewPrivs"), 1);
}

Test(stages, a_saved_user_0_is_a_way_back_and_stops_at_stage_4)
{
	const uid_t saved = 0;
	struct child_end end = child_run(start_as_a_user, &saved);

	assert_failed(&end, -EPERM, SANDBOX_STAGE_IDENTITY, "500:500:0");
}

/* A user with capabilities, some of them ambient: a service manager starts daemons so. */
static void start_as_a_user_with_capabilities(struct child_report *report, const void *argument)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2] = { { 0 } };
	const struct sandbox_policy policy = test_policy(NULL);

	(void)argument;
	data[0].effective = data[0].permitted = data[0].inheritable = 1U << CAP_SETUID | 1U << CAP_NET_ADMIN;
	if (prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) < 0 || setresgid(500, 500, 500) < 0 || setresuid(500, 500, 500) < 0 ||
	    syscall(__NR_capset, &header, data) < 0 ||
	    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_NET_ADMIN, 0, 0) < 0)
		_exit(97);
	report->values[0] = prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, CAP_NET_ADMIN, 0, 0);
	advance(report, &policy, SANDBOX_STAGE_CAPABILITIES);
	read_proc_status(getpid(), report);
}

Test(stages, capabilities_of_a_user_are_dropped_ambient_ones_too)
{
	struct child_end end = child_run(start_as_a_user_with_capabilities, NULL);

	cr_assert(end.reported);
	cr_assert_eq(end.report.values[0], 1);
	cr_assert_eq(end.report.result, 0, "%s", end.report.text);
	cr_assert_eq(status_hex(&end.report, "CapEff"), 0);
	cr_assert_eq(status_hex(&end.report, "CapPrm"), 0);
	cr_assert_eq(status_hex(&end.report, "CapInh"), 0);
	cr_assert_eq(status_hex(&end.report, "CapAmb"), 0);
}

Test(stages, no_capability_is_left_to_what_was_root)
{
	static const char *const sets[] = { "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb" };
	struct child_end end = at_stage(SANDBOX_STAGE_CAPABILITIES);

	for (size_t i = 0; i < sizeof(sets) / sizeof(sets[0]); i++)
		cr_assert_eq(status_hex(&end.report, sets[i]), 0, "%s", sets[i]);
	cr_assert_eq(status_decimal(&end.report, "NoNewPrivs"), 0, "no_new_privs came too early");
}

static void look_at_process(struct child_report *report, const void *argument)
{
	const struct sandbox_policy policy = test_policy(NULL);

	(void)argument;
	/* Lost by the change of identity; the stage must set it again. */
	(void)prctl(PR_SET_PDEATHSIG, SIGTERM, 0, 0, 0);
	advance(report, &policy, SANDBOX_STAGE_PROCESS);
	report->values[0] = prctl(PR_GET_DUMPABLE, 0, 0, 0, 0);
	(void)prctl(PR_GET_PDEATHSIG, &report->values[1], 0, 0, 0);
}

Test(stages, the_process_is_not_dumpable_and_its_parents_death_is_armed)
{
	struct child_end end = child_run(look_at_process, NULL);

	cr_assert_eq(end.report.result, 0, "%s", end.report.text);
	cr_assert_eq(end.report.values[0], 0);
	cr_assert_eq(end.report.values[1], SIGKILL);
}

static void have_another_parent(struct child_report *report, const void *argument)
{
	struct sandbox_policy policy = test_policy(NULL);

	(void)argument;
	policy.parent = policy.parent + 1;
	advance(report, &policy, SANDBOX_STAGE_BEFORE_THREADS);
}

Test(stages, an_orphan_stops_at_stage_6)
{
	struct child_end end = child_run(have_another_parent, NULL);

	assert_failed(&end, -ESRCH, SANDBOX_STAGE_PROCESS, "has died");
}

/* Fork a child that enters the sandbox, reports, and waits for ever, as its parent does. */
_Noreturn static void have_a_confined_child(const struct sandbox_filter *filter)
{
	if (fork() == 0) {
		const struct sandbox_policy policy = test_policy(filter);
		struct child_report report = { .result = 0 };

		advance(&report, &policy, SANDBOX_STAGE_LAST);
		child_send(&report);
		for (;;)
			(void)pause();
	}

	for (;;)
		(void)pause();
}

Test(stages, a_confined_process_dies_with_its_parent)
{
	struct sandbox_filter *filter = test_filter();
	struct child_report report = { .result = -1 };
	siginfo_t information = { .si_pid = 0 };
	int ends[2];
	pid_t middle;

	cr_assert_eq(prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), 0);
	cr_assert_eq(pipe2(ends, 0), 0);
	middle = fork();
	cr_assert_geq(middle, 0);
	if (middle == 0) {
		(void)dup2(ends[1], CHILD_REPORT_FD);
		have_a_confined_child(filter);
	}

	(void)close(ends[1]);
	cr_assert_eq(read(ends[0], &report, sizeof(report)), (ssize_t)sizeof(report));
	cr_assert_eq(report.result, 0, "%s", report.text);
	cr_assert_eq(kill(middle, SIGKILL), 0);
	cr_assert_eq(waitid(P_PID, (id_t)middle, &information, WEXITED), 0);

	/* The grandchild is ours to reap now; that it ends at all is what is tested. */
	cr_assert_eq(waitid(P_ALL, 0, &information, WEXITED), 0);
	cr_assert_eq(information.si_code, CLD_KILLED);
	cr_assert_eq(information.si_status, SIGKILL);
	sandbox_filter_free(filter);
}

Test(stages, no_new_privileges_is_set)
{
	struct child_end end = at_stage(SANDBOX_STAGE_NO_NEW_PRIVILEGES);

	cr_assert_eq(status_decimal(&end.report, "NoNewPrivs"), 1);
	cr_assert_eq(status_decimal(&end.report, "Seccomp"), 0, "the filter came too early");
}

static void have_no_filter(struct child_report *report, const void *argument)
{
	const struct sandbox_policy policy = test_policy(NULL);
	struct sandbox_error error = { .text = "" };
	struct sandbox sandbox;

	(void)argument;
	sandbox_init(&sandbox, &policy);
	report->values[0] = sandbox_advance(&sandbox, SANDBOX_STAGE_BEFORE_THREADS, &error);
	report->values[1] = sandbox_advance(&sandbox, SANDBOX_STAGE_DESCRIPTORS, &error);
	report->result = sandbox_advance(&sandbox, SANDBOX_STAGE_LAST, &error);
	report->failed = sandbox.failed;
	report->reached = sandbox.reached;
	memcpy(report->text, error.text, sizeof(report->text));
	report->values[2] = sandbox_advance(&sandbox, SANDBOX_STAGE_LAST, &error);
	report->values[3] = sandbox_advance(&sandbox, SANDBOX_STAGE_DESCRIPTORS, &error);
}

Test(stages, after_a_failure_no_stage_is_entered)
{
	struct child_end end = child_run(have_no_filter, NULL);

	assert_failed(&end, -EINVAL, SANDBOX_STAGE_FILTER, "no filter");
	cr_assert_eq(end.report.values[0], 0);
	cr_assert_eq(end.report.values[1], 0, "a stage entered already is not entered again");
	cr_assert_eq(end.report.values[2], -ECANCELED);
	cr_assert_eq(end.report.values[3], -ECANCELED);
}

Test(stages, a_stage_that_does_not_exist_is_an_error)
{
	struct sandbox_policy policy = { .role = "test" };
	struct sandbox sandbox;

	sandbox_init(&sandbox, &policy);
	cr_assert_eq(sandbox_advance(&sandbox, SANDBOX_STAGE_NONE, NULL), -EINVAL);
	cr_assert_eq(sandbox_advance(&sandbox, SANDBOX_STAGE_COUNT, NULL), -EINVAL);
	cr_assert_eq(sandbox.reached, SANDBOX_STAGE_NONE);
}

static void *wait_for_ever(void *argument)
{
	(void)argument;
	for (;;)
		(void)pause();
	return NULL;
}

static void start_with_two_threads(struct child_report *report, const void *argument)
{
	const struct sandbox_policy policy = test_policy(NULL);
	pthread_t thread;

	(void)argument;
	if (pthread_create(&thread, NULL, wait_for_ever, NULL) != 0)
		_exit(97);
	advance(report, &policy, SANDBOX_STAGE_BEFORE_THREADS);
}

Test(stages, a_second_thread_stops_at_stage_1)
{
	struct child_end end = child_run(start_with_two_threads, NULL);

	assert_failed(&end, -EBUSY, SANDBOX_STAGE_DESCRIPTORS, "more than one thread");
}

Test(stages, deaths_are_described)
{
	static const struct {
		int code;
		int status;
		const char *text;
		bool violation;
	} deaths[] = {
		{ CLD_KILLED, SIGSYS, "killed by SIGSYS: a system call outside the policy", true },
		{ CLD_DUMPED, SIGSYS, "killed by SIGSYS: a system call outside the policy", true },
		{ CLD_EXITED, SIGSYS, "exited with status 31", false },
		{ CLD_KILLED, SIGKILL, "killed by SIGKILL: Killed", false },
		{ CLD_KILLED, 64, "killed by signal 64", false },
		{ 77, 1, "unknown state 77", false },
	};
	char text[80];

	for (size_t i = 0; i < sizeof(deaths) / sizeof(deaths[0]); i++) {
		sandbox_describe_death(deaths[i].code, deaths[i].status, text, sizeof(text));
		cr_assert_str_eq(text, deaths[i].text);
		cr_assert_eq(sandbox_is_violation(deaths[i].code, deaths[i].status), deaths[i].violation);
	}
	sandbox_describe_death(CLD_KILLED, SIGSYS, text, 7);
	cr_assert_str_eq(text, "killed");
}
