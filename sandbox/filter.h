/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which system calls a role may make: tables of rules, and the seccomp program made of them.
 *
 * Rules are written in small sets beside the code that needs them; a role's policy names the sets that it is made of.
 * What no rule allows kills the whole process. The program is built once, in the zygote, because building costs
 * milliseconds; a worker only installs it.
 */
#ifndef EMBER_SANDBOX_FILTER_H
#define EMBER_SANDBOX_FILTER_H

#include <stddef.h>
#include <stdint.h>
#include <sys/syscall.h>

#include "sandbox/error.h"

#define SANDBOX_CONDITIONS_MAX 3

enum sandbox_comparison {
	SANDBOX_ANY = 0,     /* no condition */
	SANDBOX_MASKED,      /* (argument & mask) == value */
	SANDBOX_OWN_PROCESS, /* argument == the process id of whoever installs the filter */
};

struct sandbox_condition {
	enum sandbox_comparison comparison;
	uint32_t argument; /* 0 .. 5 */
	uint64_t mask;
	uint64_t value;
};

/* One system call that is let through. Several rules for one call: any of them. */
struct sandbox_rule {
	int number; /* __NR_... of x86-64 */
	int error;  /* 0: the call is made; else it is not made, and fails with this errno */
	struct sandbox_condition conditions[SANDBOX_CONDITIONS_MAX]; /* all must hold */
};

/* The kernel reads most arguments as 32-bit integers and ignores what is above; so does a rule that compares them. */
#define SANDBOX_INT UINT64_C(0xffffffff)

#define SANDBOX_ALLOW(call)            \
	{                              \
		.number = __NR_##call, \
	}
/* Only where the integer argument equals a value. */
#define SANDBOX_ALLOW_INT(call, position, wanted)                                       \
	{                                                                               \
		.number = __NR_##call, .conditions = {                                  \
			{ SANDBOX_MASKED, (position), SANDBOX_INT, (uint32_t)(wanted) } \
		}                                                                       \
	}
/* Only where none of these bits is set in the argument. */
#define SANDBOX_ALLOW_WITHOUT(call, position, bits)                                                          \
	{                                                                                                    \
		.number = __NR_##call, .conditions = { { SANDBOX_MASKED, (position), (uint32_t)(bits), 0 } } \
	}
/* Only where the argument is the caller's own process id. */
#define SANDBOX_ALLOW_OWN(call, position)                          \
	{                                                          \
		.number = __NR_##call, .conditions = {             \
			{ SANDBOX_OWN_PROCESS, (position), 0, 0 }, \
		}                                                  \
	}
/* Not made; fails with an error number that the caller is known to take well. */
#define SANDBOX_REFUSE(call, number_)                     \
	{                                                 \
		.number = __NR_##call, .error = (number_) \
	}

struct sandbox_rule_set {
	const char *name; /* for error texts */
	const struct sandbox_rule *rules;
	size_t count;
	/*
	 * System calls by number alone, as code below lists what it needs: let through, but for those that a rule of any set in
	 * the filter names, whose conditions hold then, and ioctl(2), of which the filter knows the requests.
	 */
	const int *calls;
	size_t call_count;
};

#define SANDBOX_RULE_SET(set_name, table)                                                         \
	{                                                                                         \
		.name = (set_name), .rules = (table), .count = sizeof(table) / sizeof((table)[0]) \
	}

#define SANDBOX_CALL_SET(set_name, table, table_count)                            \
	{                                                                         \
		.name = (set_name), .calls = (table), .call_count = (table_count) \
	}

/* ioctl(2) requests that are let through, on any descriptor. */
struct sandbox_ioctl_set {
	const char *name;
	const unsigned long *requests;
	size_t count;
};

/*
 * What glibc and threads that exist already need to keep going: memory without PROT_EXEC, futexes, time, signals
 * within the process, exit. No descriptors, no new threads or processes.
 */
extern const struct sandbox_rule_set sandbox_rules_runtime;

#ifdef EMBER_SANITIZE
/*
 * For sanitizer builds only: what AddressSanitizer's runtime does besides, and what it does when it reports. It may
 * write to descriptor 2; its attempts to open files fail with EACCES, so that a report comes out without symbols
 * rather than not at all. Under these sets, too, a role must end by _exit(2): exit(3) starts the leak check, which
 * clones and traces.
 */
extern const struct sandbox_rule_set sandbox_rules_sanitizer;
extern const struct sandbox_rule_set sandbox_rules_sanitizer_report;
#endif

/* A seccomp program. Opaque; read-only after it is built, so it may be shared with forked children. */
struct sandbox_filter;

/*
 * Make the program.
 *
 * sets, set_count      rules; the sets may overlap
 * ioctls, ioctl_count  may be NULL and 0
 * ret_filter           the caller's, ended by sandbox_filter_free()
 *
 * Returns 0, -EINVAL (a rule that makes no sense; error names it), -ENOMEM, or -errno of libseccomp.
 */
int sandbox_filter_build(const struct sandbox_rule_set *const *sets, size_t set_count,
			 const struct sandbox_ioctl_set *const *ioctls, size_t ioctl_count,
			 struct sandbox_filter **ret_filter, struct sandbox_error *error);

/*
 * Install the program in every thread of this process, for good (seccomp(2), SECCOMP_FILTER_FLAG_TSYNC). no_new_privs
 * must be set. Nothing is opened or allocated.
 *
 * Every thread must have begun to run code of ours: one that is still on its way makes calls (set_robust_list(2),
 * rseq(2)) that no policy allows.
 *
 * Returns 0, -ESRCH (a thread has diverging filters), or -errno of seccomp(2).
 */
int sandbox_filter_load(const struct sandbox_filter *filter, struct sandbox_error *error);

/*
 * The program's bytes (struct sock_filter), for tests and for showing. They stay the filter's.
 *
 * Returns their number.
 */
size_t sandbox_filter_program(const struct sandbox_filter *filter, const void **ret_program);

/* Takes NULL; returns NULL. */
struct sandbox_filter *sandbox_filter_free(struct sandbox_filter *filter);

#endif
