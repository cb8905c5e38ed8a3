/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One child at a time: a pipe for its report, waitid(2) for its end.
 */
#include "child.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

void child_send(const struct child_report *report)
{
	if (write(CHILD_REPORT_FD, report, sizeof(*report)) != (ssize_t)sizeof(*report))
		_exit(99);
}

static void run_body(int report_fd, child_body body, const void *argument)
{
	struct child_report report = { .result = 0 };

	if (dup2(report_fd, CHILD_REPORT_FD) < 0)
		_exit(98);
	(void)close(report_fd);
	body(&report, argument);
	child_send(&report);
	_exit(0);
}

struct child_end child_run(child_body body, const void *argument)
{
	struct child_end end = { .reported = false };
	siginfo_t information = { .si_pid = 0 };
	int ends[2];
	pid_t pid;

	cr_assert_eq(pipe2(ends, O_CLOEXEC), 0);
	pid = fork();
	cr_assert_geq(pid, 0);
	if (pid == 0)
		run_body(ends[1], body, argument);

	(void)close(ends[1]);
	end.reported = read(ends[0], &end.report, sizeof(end.report)) == (ssize_t)sizeof(end.report);
	(void)close(ends[0]);
	cr_assert_eq(waitid(P_PID, (id_t)pid, &information, WEXITED), 0);
	end.code = information.si_code;
	end.status = information.si_status;
	return end;
}

static const char *find_field(const struct child_report *report, const char *field)
{
	char line[64];
	const char *found;

	(void)snprintf(line, sizeof(line), "\n%s:", field);
	found = strstr(report->proc_status, line);
	cr_assert_not_null(found, "no %s in /proc/self/status", field);
	return found + strlen(line);
}

unsigned long long status_hex(const struct child_report *report, const char *field)
{
	return strtoull(find_field(report, field), NULL, 16);
}

long status_decimal(const struct child_report *report, const char *field)
{
	return strtol(find_field(report, field), NULL, 10);
}

void read_proc_status(pid_t pid, struct child_report *report)
{
	char path[64];
	ssize_t got;
	int fd;

	(void)snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	got = fd < 0 ? -1 : read(fd, report->proc_status, sizeof(report->proc_status) - 1);
	report->proc_status[got > 0 ? got : 0] = '\0';
	(void)close(fd);
}

void need_root(void)
{
	cr_assert_eq(geteuid(), 0, "these tests must be run as root: they watch how its privileges are given up");
}

struct sandbox_policy test_policy(const struct sandbox_filter *filter)
{
	static const int keep[] = { CHILD_REPORT_FD, STDERR_FILENO };
	struct sandbox_policy policy = {
		.role = "test",
		.uid = TEST_UID,
		.gid = TEST_GID,
		.parent = getppid(),
		.keep = keep,
		.keep_count = sizeof(keep) / sizeof(keep[0]),
		.filter = filter,
	};

	return policy;
}

struct sandbox_filter *test_filter(void)
{
	static const struct sandbox_rule rules[] = {
		SANDBOX_ALLOW(write),
		SANDBOX_ALLOW(pause),
		SANDBOX_REFUSE(getcwd, ENOTDIR),
	};
	static const struct sandbox_rule_set set = SANDBOX_RULE_SET("test", rules);
	static const unsigned long requests[] = { TEST_IOCTL };
	static const struct sandbox_ioctl_set ioctls = { "test", requests, 1 };
	static const struct sandbox_ioctl_set *const ioctl_sets[] = { &ioctls };
	static const struct sandbox_rule_set *const sets[] = {
		&sandbox_rules_runtime,
		&set,
#ifdef EMBER_SANITIZE
		&sandbox_rules_sanitizer,
#endif
	};
	struct sandbox_filter *filter = NULL;
	struct sandbox_error error = { .text = "" };

	cr_assert_eq(sandbox_filter_build(sets, sizeof(sets) / sizeof(sets[0]), ioctl_sets, 1, &filter, &error), 0,
		     "%s", error.text);
	return filter;
}
