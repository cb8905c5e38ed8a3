/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the filter lets through, what it kills, whom it covers, and that it is built the same each time.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "child.h"

TestSuite(filter, .init = need_root);

static void confine(struct child_report *report, const struct sandbox_filter *filter)
{
	struct sandbox_policy policy = test_policy(filter);
	struct sandbox_error error = { .text = "" };
	struct sandbox sandbox;

	sandbox_init(&sandbox, &policy);
	report->result = sandbox_advance(&sandbox, SANDBOX_STAGE_LAST, &error);
	memcpy(report->text, error.text, sizeof(report->text));
}

/* One system call, made raw. */
struct probe {
	const char *name;
	long number;
	unsigned long arguments[6];
};

struct probe_run {
	const struct sandbox_filter *filter;
	const struct probe *probe;
};

static long call_probe(const struct probe *probe)
{
	const unsigned long *a = probe->arguments;
	long result = syscall(probe->number, a[0], a[1], a[2], a[3], a[4], a[5]);

	return result < 0 ? -errno : result;
}

/* Report from inside the sandbox, then make the call; a second report tells that it was survived. */
static void probe_body(struct child_report *report, const void *argument)
{
	const struct probe_run *run = argument;

	confine(report, run->filter);
	child_send(report);
	(void)call_probe(run->probe);
	_exit(0);
}

static void assert_killed(const struct child_end *end, const char *name)
{
	cr_assert(end->reported, "%s: the child did not get into its sandbox", name);
	cr_assert_eq(end->report.result, 0, "%s: %s", name, end->report.text);
	cr_assert(sandbox_is_violation(end->code, end->status), "%s: not killed: code %d, status %d", name, end->code,
		  end->status);
}

#define RWX (PROT_READ | PROT_WRITE | PROT_EXEC)

Test(filter, calls_outside_the_policy_kill)
{
	static const struct probe probes[] = {
		{ "openat", __NR_openat, { (unsigned long)AT_FDCWD, 0, O_RDONLY } },
		{ "open", __NR_open, { 0, O_RDONLY } },
		{ "openat2", __NR_openat2, { 0 } },
		{ "socket", __NR_socket, { AF_UNIX, SOCK_STREAM } },
		{ "execve", __NR_execve, { 0 } },
		{ "execveat", __NR_execveat, { 0 } },
		{ "ptrace", __NR_ptrace, { PTRACE_TRACEME } },
		{ "clone", __NR_clone, { SIGCHLD } },
		{ "clone3", __NR_clone3, { 0 } },
		{ "fork", __NR_fork, { 0 } },
		{ "vfork", __NR_vfork, { 0 } },
		{ "kill", __NR_kill, { 1, 0 } },
		{ "tkill", __NR_tkill, { 1, 0 } },
		{ "tgkill of another process", __NR_tgkill, { 1, 1, 0 } },
		{ "ioctl of another request", __NR_ioctl, { CHILD_REPORT_FD, TEST_IOCTL + 1, 0 } },
		{ "mmap executable", __NR_mmap, { 0, 4096, RWX, MAP_PRIVATE | MAP_ANONYMOUS, (unsigned long)-1 } },
		{ "mprotect executable", __NR_mprotect, { 0, 4096, PROT_EXEC } },
		{ "madvise other advice", __NR_madvise, { 0, 0, MADV_REMOVE } },
		{ "prctl", __NR_prctl, { PR_SET_DUMPABLE, 1 } },
		{ "setresuid", __NR_setresuid, { 0, 0, 0 } },
		{ "process_vm_readv", __NR_process_vm_readv, { 0 } },
		{ "pidfd_getfd", __NR_pidfd_getfd, { 0 } },
		{ "bpf", __NR_bpf, { 0 } },
		{ "seccomp", __NR_seccomp, { SECCOMP_SET_MODE_STRICT } },
		{ "io_uring_setup", __NR_io_uring_setup, { 0 } },
		{ "userfaultfd", __NR_userfaultfd, { 0 } },
		{ "unshare", __NR_unshare, { CLONE_NEWUSER } },
		{ "a call of the x32 ABI", 0x40000000 + __NR_getpid, { 0 } },
		{ "a number that is no call", 0x3fffffff, { 0 } },
	};
	struct sandbox_filter *filter = test_filter();

	for (size_t i = 0; i < sizeof(probes) / sizeof(probes[0]); i++) {
		const struct probe_run run = { filter, &probes[i] };
		struct child_end end = child_run(probe_body, &run);

		assert_killed(&end, probes[i].name);
	}
	sandbox_filter_free(filter);
}

static void call_by_interrupt_80(struct child_report *report, const void *argument)
{
	long result = 20; /* getpid(2) of i386, which the same number of x86-64 does not mean */

	confine(report, argument);
	child_send(report);
	__asm__ volatile("int $0x80" : "+a"(result) : : "memory", "r8", "r9", "r10", "r11");
	_exit(0);
}

Test(filter, calls_of_another_architecture_kill)
{
	struct sandbox_filter *filter = test_filter();
	struct child_end end = child_run(call_by_interrupt_80, filter);

	/* A kernel without 32-bit emulation answers the interrupt with SIGSEGV: the call is not made either way. */
	cr_assert(end.reported);
	cr_assert_eq(end.report.result, 0, "%s", end.report.text);
	cr_assert_eq(end.code, CLD_KILLED);
	cr_assert(end.status == SIGSYS || end.status == SIGSEGV, "signal %d", end.status);
	sandbox_filter_free(filter);
}

static volatile sig_atomic_t signals_seen;

static void count_signal(int signal_number)
{
	(void)signal_number;
	signals_seen++;
}

/* What the runtime rules promise, one after another; each value is a result. */
static void do_what_is_allowed(struct child_report *report, const void *argument)
{
	struct timespec now = { 0 };
	void *page;
	int off = 0;

	(void)signal(SIGUSR1, count_signal);
	confine(report, argument);
	page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	report->values[0] = page != MAP_FAILED && madvise(page, 4096, MADV_DONTNEED) == 0 &&
			    mprotect(page, 4096, PROT_NONE) == 0 && munmap(page, 4096) == 0;
	report->values[1] = raise(SIGUSR1) == 0 && signals_seen == 1;
	report->values[2] = clock_gettime(CLOCK_MONOTONIC, &now) == 0 && syscall(__NR_clock_gettime, 1, &now) == 0;
	/* The kernel reads a request as 32 bits; what is above must not matter to the filter either. */
	report->values[3] = (int)syscall(__NR_ioctl, CHILD_REPORT_FD, TEST_IOCTL, &off);
	report->values[4] = (int)syscall(__NR_ioctl, CHILD_REPORT_FD, UINT64_C(0x100000000) + TEST_IOCTL, &off);
	report->values[5] = sched_yield();
	report->values[6] = syscall(__NR_getcwd, report->text, 1) == -1 ? errno : 0;
	free(malloc((size_t)1 << 24));
}

Test(filter, what_the_policy_allows_works)
{
	struct sandbox_filter *filter = test_filter();

	/* Twice, from one filter: each child's own process id is in its own copy. */
	for (int i = 0; i < 2; i++) {
		struct child_end end = child_run(do_what_is_allowed, filter);

		cr_assert(end.reported, "killed: code %d, status %d", end.code, end.status);
		cr_assert_eq(end.report.result, 0, "%s", end.report.text);
		cr_assert_eq(end.report.values[0], 1, "memory");
		cr_assert_eq(end.report.values[1], 1, "a signal to itself");
		cr_assert_eq(end.report.values[2], 1, "time");
		cr_assert_eq(end.report.values[3], 0, "the ioctl request");
		cr_assert_eq(end.report.values[4], 0, "the ioctl request with high bits");
		cr_assert_eq(end.report.values[5], 0, "sched_yield");
		cr_assert_eq(end.report.values[6], ENOTDIR, "a call that is refused with an error of its own");
		cr_assert_eq(end.code, CLD_EXITED);
		cr_assert_eq(end.status, 0);
	}
	sandbox_filter_free(filter);
}

/* A second thread and the two points where its leader waits for it. */
struct second_thread {
	pthread_barrier_t started;
	pthread_barrier_t confined;
};

static void start_second_thread(struct second_thread *second, void *(*body)(void *argument))
{
	pthread_t thread;

	if (pthread_barrier_init(&second->started, NULL, 2) != 0 ||
	    pthread_barrier_init(&second->confined, NULL, 2) != 0 || pthread_create(&thread, NULL, body, second) != 0)
		_exit(97);
	(void)pthread_barrier_wait(&second->started);
}

/* Waits for its leader to be confined, then makes a forbidden call. */
static void *break_out(void *argument)
{
	struct second_thread *second = argument;

	(void)pthread_barrier_wait(&second->started);
	(void)pthread_barrier_wait(&second->confined);
	(void)syscall(__NR_socket, AF_UNIX, SOCK_STREAM, 0);
	_exit(0);
}

static void confine_two_threads(struct child_report *report, const void *argument)
{
	const struct sandbox_policy policy = test_policy(argument);
	struct sandbox_error error = { .text = "" };
	struct second_thread second;
	struct sandbox sandbox;

	sandbox_init(&sandbox, &policy);
	report->result = sandbox_advance(&sandbox, SANDBOX_STAGE_BEFORE_THREADS, &error);
	start_second_thread(&second, break_out);
	if (report->result == 0)
		report->result = sandbox_advance(&sandbox, SANDBOX_STAGE_LAST, &error);
	memcpy(report->text, error.text, sizeof(report->text));
	child_send(report);
	(void)pthread_barrier_wait(&second.confined);
	for (;;)
		(void)pause();
}

Test(filter, a_thread_made_before_is_covered_and_takes_the_process_with_it)
{
	struct sandbox_filter *filter = test_filter();
	struct child_end end = child_run(confine_two_threads, filter);

	assert_killed(&end, "socket in the second thread");
	sandbox_filter_free(filter);
}

/* Gives its thread a filter that the leader does not have. */
static void *filter_oneself(void *argument)
{
	struct sock_filter allow = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	struct sock_fprog program = { .len = 1, .filter = &allow };
	struct second_thread *second = argument;

	(void)prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	if (syscall(__NR_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) != 0)
		_exit(97);
	(void)pthread_barrier_wait(&second->started);
	for (;;)
		(void)pause();
	return NULL;
}

static void confine_a_diverging_thread(struct child_report *report, const void *argument)
{
	struct sandbox_error error = { .text = "" };
	struct second_thread second;

	start_second_thread(&second, filter_oneself);
	report->result = sandbox_filter_load(argument, &error);
	memcpy(report->text, error.text, sizeof(report->text));
	report->values[0] = prctl(PR_GET_SECCOMP, 0, 0, 0, 0);
}

Test(filter, a_thread_that_cannot_be_covered_is_an_error_and_no_thread_is)
{
	struct sandbox_filter *filter = test_filter();
	struct child_end end = child_run(confine_a_diverging_thread, filter);

	cr_assert(end.reported);
	cr_assert_eq(end.report.result, -ESRCH);
	cr_assert_not_null(strstr(end.report.text, "another filter"), "%s", end.report.text);
	cr_assert_eq(end.report.values[0], 0);
	sandbox_filter_free(filter);
}

static void load_without_no_new_privileges(struct child_report *report, const void *argument)
{
	struct sandbox_error error = { .text = "" };

	if (setresuid(TEST_UID, TEST_UID, TEST_UID) < 0)
		_exit(97);
	report->result = sandbox_filter_load(argument, &error);
	memcpy(report->text, error.text, sizeof(report->text));
}

Test(filter, the_kernels_refusal_is_an_error)
{
	struct sandbox_filter *filter = test_filter();
	struct child_end end = child_run(load_without_no_new_privileges, filter);

	cr_assert(end.reported);
	cr_assert_eq(end.report.result, -EACCES);
	cr_assert_not_null(strstr(end.report.text, "seccomp"), "%s", end.report.text);
	sandbox_filter_free(filter);
}

Test(filter, the_same_rules_give_the_same_program)
{
	struct sandbox_filter *first = test_filter();
	struct sandbox_filter *second = test_filter();
	const void *programs[2];
	size_t size = sandbox_filter_program(first, &programs[0]);

	cr_assert_gt(size, 100);
	cr_assert_eq(sandbox_filter_program(second, &programs[1]), size);
	cr_assert_eq(memcmp(programs[0], programs[1], size), 0);
	sandbox_filter_free(first);
	sandbox_filter_free(second);
	cr_assert_null(sandbox_filter_free(NULL));
}

/* Build a filter of one rule; it must be refused with the set's name. */
static void assert_rule_refused(const struct sandbox_rule *rule)
{
	const struct sandbox_rule_set set = { .name = "questionable", .rules = rule, .count = 1 };
	const struct sandbox_rule_set *const sets[] = { &set };
	struct sandbox_filter *filter = NULL;
	struct sandbox_error error = { .text = "" };

	cr_assert_eq(sandbox_filter_build(sets, 1, NULL, 0, &filter, &error), -EINVAL);
	cr_assert_not_null(strstr(error.text, "questionable"), "%s", error.text);
	cr_assert_null(filter);
}

Test(filter, rules_that_make_no_sense_are_refused)
{
	static const struct sandbox_rule rules[] = {
		{ .number = -1 },
		{ .number = __NR_read, .error = 5000 },
		{ .number = __NR_read, .error = -1 },
		{ .number = __NR_read, .conditions = { { SANDBOX_MASKED, 6, SANDBOX_INT, 0 } } },
		{ .number = __NR_read, .conditions = { { SANDBOX_MASKED, 0, 0, 0 } } },
		{ .number = __NR_read, .conditions = { { SANDBOX_MASKED, 0, 1, 2 } } },
		{ .number = __NR_read, .conditions = { { (enum sandbox_comparison)9, 0, 0, 0 } } },
	};

	for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++)
		assert_rule_refused(&rules[i]);
}

Test(filter, an_ioctl_request_that_is_none_is_refused)
{
	static const unsigned long requests[] = { TEST_IOCTL, 0x100000000 };
	const struct sandbox_ioctl_set set = { "too wide", requests, 2 };
	const struct sandbox_ioctl_set *const sets[] = { &set };
	struct sandbox_filter *filter = NULL;
	struct sandbox_error error = { .text = "" };

	cr_assert_eq(sandbox_filter_build(NULL, 0, sets, 1, &filter, &error), -EINVAL);
	cr_assert_not_null(strstr(error.text, "0x100000000 of set too wide"), "%s", error.text);
}

Test(filter, calls_by_number_do_not_widen_what_a_rule_restricts)
{
	static const struct sandbox_rule rules[] = { SANDBOX_ALLOW_WITHOUT(mmap, 2, PROT_EXEC) };
	static const int calls[] = { SYS_mmap, SYS_ioctl, SYS_getppid };
	static const struct sandbox_rule as_rules[] = { SANDBOX_ALLOW_WITHOUT(mmap, 2, PROT_EXEC),
							SANDBOX_ALLOW(getppid) };
	static const struct sandbox_rule_set restricted = SANDBOX_RULE_SET("restricted", rules);
	static const struct sandbox_rule_set by_number = SANDBOX_CALL_SET("by number", calls, 3);
	static const struct sandbox_rule_set the_same = SANDBOX_RULE_SET("the same", as_rules);
	const struct sandbox_rule_set *const sets[] = { &by_number, &restricted };
	const struct sandbox_rule_set *const expected_sets[] = { &the_same };
	struct sandbox_filter *filter = NULL, *expected = NULL;
	struct sandbox_error error = { .text = "" };
	const void *program, *expected_program;
	size_t size;

	cr_assert_eq(sandbox_filter_build(sets, 2, NULL, 0, &filter, &error), 0, "%s", error.text);
	cr_assert_eq(sandbox_filter_build(expected_sets, 1, NULL, 0, &expected, &error), 0, "%s", error.text);
	size = sandbox_filter_program(filter, &program);
	cr_assert_eq(size, sandbox_filter_program(expected, &expected_program));
	cr_assert_eq(memcmp(program, expected_program, size), 0);
	sandbox_filter_free(filter);
	sandbox_filter_free(expected);
}

Test(filter, a_number_that_is_no_call_is_refused)
{
	static const int calls[] = { -1 };
	static const struct sandbox_rule_set by_number = SANDBOX_CALL_SET("by number", calls, 1);
	const struct sandbox_rule_set *const sets[] = { &by_number };
	struct sandbox_filter *filter = NULL;
	struct sandbox_error error = { .text = "" };

	cr_assert_eq(sandbox_filter_build(sets, 1, NULL, 0, &filter, &error), -EINVAL);
	cr_assert_not_null(strstr(error.text, "by number"), "%s", error.text);
}

Test(filter, sets_may_overlap)
{
	const struct sandbox_rule_set *const sets[] = { &sandbox_rules_runtime, &sandbox_rules_runtime };
	struct sandbox_filter *filter = NULL;
	struct sandbox_error error = { .text = "" };

	cr_assert_eq(sandbox_filter_build(sets, 2, NULL, 0, &filter, &error), 0, "%s", error.text);
	sandbox_filter_free(filter);
}

#ifdef EMBER_SANITIZE
/* Write past the end of memory, where only the reporting set allows anything to be said of it. */
static void write_past_the_end(struct child_report *report, const void *argument)
{
	static const struct sandbox_rule_set *const sets[] = {
		&sandbox_rules_runtime,
		&sandbox_rules_sanitizer,
		&sandbox_rules_sanitizer_report,
	};
	struct sandbox_filter *filter = NULL;
	volatile size_t past = 10;
	char *memory = malloc(past);

	if (dup2(*(const int *)argument, STDERR_FILENO) < 0 ||
	    sandbox_filter_build(sets, 3, NULL, 0, &filter, NULL) != 0)
		_exit(97);
	confine(report, filter);
	memory[past] = 1;
	free(memory);
}

Test(filter, a_sanitizers_report_comes_out)
{
	struct child_end end;
	char text[32769] = "";
	int ends[2];

	cr_assert_eq(pipe2(ends, O_CLOEXEC), 0);
	end = child_run(write_past_the_end, &ends[1]);
	cr_assert_eq(end.code, CLD_EXITED);
	cr_assert_gt(read(ends[0], text, sizeof(text) - 1), 0);
	cr_assert_not_null(strstr(text, "heap-buffer-overflow"), "%s", text);
}
#endif
