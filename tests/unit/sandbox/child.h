/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Children that enter a sandbox so that the test need not, and what they tell and how they die.
 */
#ifndef EMBER_TESTS_SANDBOX_CHILD_H
#define EMBER_TESTS_SANDBOX_CHILD_H

#include <stdbool.h>
#include <sys/types.h>

#include "sandbox/sandbox.h"

#define TEST_UID 12345
#define TEST_GID 23456

/* What a child reports; the test gives each field its meaning. */
struct child_report {
	int result; /* of sandbox_advance() */
	enum sandbox_stage failed;
	enum sandbox_stage reached;
	int values[8];
	char text[256];         /* the error's text */
	char proc_status[4096]; /* /proc/self/status */
};

/* How a child ended; report is valid where reported. */
struct child_end {
	int code;
	int status;
	bool reported;
	struct child_report report;
};

typedef void (*child_body)(struct child_report *report, const void *argument);

/* Run body in a forked child: it sends its report and exits with 0, unless something kills it first. */
struct child_end child_run(child_body body, const void *argument);

/*
 * Called by a body that is about to do what may kill it: sends the report as it stands, once. The descriptor of the
 * report's pipe is CHILD_REPORT_FD in every child, so that a policy can keep it.
 */
void child_send(const struct child_report *report);
#define CHILD_REPORT_FD 30

/* Copy the value of a field of /proc/self/status ("CapBnd") as a hexadecimal number, or of its first decimal. */
unsigned long long status_hex(const struct child_report *report, const char *field);
long status_decimal(const struct child_report *report, const char *field);

/* Fill report->proc_status; must be able to open files. */
void read_proc_status(pid_t pid, struct child_report *report);

/* For a suite's .init: what these tests take away, only root has. */
void need_root(void);

/* A policy that keeps what a test child needs; the filter is the caller's. */
struct sandbox_policy test_policy(const struct sandbox_filter *filter);

/* The filter that most tests install: the runtime's rules, what test children do, and one ioctl request. */
struct sandbox_filter *test_filter(void);
#define TEST_IOCTL 0x5421 /* FIONBIO */

#endif
