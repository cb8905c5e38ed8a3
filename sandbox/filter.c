/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From tables of rules to a seccomp program, and into the kernel.
 *
 * libseccomp compiles the rules. It can only hand the program out through a descriptor (seccomp_export_bpf(3)), so it
 * goes through a memfd into a buffer of ours, once, in the zygote. Workers are forked from the zygote and install
 * that buffer with seccomp(2) directly: no compiler, no allocation, one system call.
 *
 * One thing about a worker is not known in the zygote: its process id, which tgkill(2) is restricted to. The program is
 * compiled with a number in its place that no process can have (the kernel's greatest is 2^22), and the copy that is
 * installed has the comparisons with that number replaced.
 *
 * The default action is SECCOMP_RET_KILL_PROCESS, also for another architecture's calls (int 0x80) and for the x32 ABI.
 */
#include "sandbox/filter.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* Stands for the process id of whoever installs the program. */
#define OWN_PROCESS_MARK UINT32_C(0x6f776e70)

struct sandbox_filter {
	size_t count;       /* instructions */
	size_t own_process; /* how many of them compare with OWN_PROCESS_MARK */
	struct sock_filter program[];
};

static void release_context(scmp_filter_ctx *context)
{
	if (*context)
		seccomp_release(*context);
}

static void close_descriptor(const int *fd)
{
	if (*fd >= 0)
		(void)close(*fd);
}

static void free_filter(struct sandbox_filter **filter)
{
	free(*filter);
}

#define cleanup_context __attribute__((cleanup(release_context)))
#define cleanup_fd      __attribute__((cleanup(close_descriptor)))
#define cleanup_filter  __attribute__((cleanup(free_filter)))

/* The last error, which is never "no error". */
static int negative_errno(void)
{
	return errno > 0 ? -errno : -EIO;
}

/* One condition as libseccomp takes it. */
static int translate_condition(const struct sandbox_condition *condition, struct scmp_arg_cmp *ret_comparison)
{
	struct scmp_arg_cmp comparison = { .arg = condition->argument };

	if (condition->argument > 5)
		return -EINVAL;

	switch (condition->comparison) {
	case SANDBOX_MASKED:
		/* A value outside the mask can never match, one equal to the mark would be replaced. */
		if (condition->mask == 0 || (condition->value & ~condition->mask) != 0 ||
		    (uint32_t)condition->value == OWN_PROCESS_MARK)
			return -EINVAL;
		comparison.op = SCMP_CMP_MASKED_EQ;
		comparison.datum_a = condition->mask;
		comparison.datum_b = condition->value;
		break;
	case SANDBOX_OWN_PROCESS:
		comparison.op = SCMP_CMP_MASKED_EQ;
		comparison.datum_a = SANDBOX_INT;
		comparison.datum_b = OWN_PROCESS_MARK;
		break;
	case SANDBOX_ANY:
	default:
		return -EINVAL;
	}

	*ret_comparison = comparison;
	return 0;
}

/* A rule that another set has already given is no error. */
static int add_rule(scmp_filter_ctx context, const struct sandbox_rule *rule)
{
	struct scmp_arg_cmp comparisons[SANDBOX_CONDITIONS_MAX];
	uint32_t action = rule->error ? SCMP_ACT_ERRNO((uint32_t)rule->error) : SCMP_ACT_ALLOW;
	unsigned int count = 0;
	size_t i;
	int result;

	if (rule->number < 0 || rule->error < 0 || rule->error > 4095)
		return -EINVAL;

	for (i = 0; i < SANDBOX_CONDITIONS_MAX; i++) {
		if (rule->conditions[i].comparison == SANDBOX_ANY)
			continue;
		result = translate_condition(&rule->conditions[i], &comparisons[count++]);
		if (result < 0)
			return result;
	}

	result = seccomp_rule_add_exact_array(context, action, rule->number, count, comparisons);
	return result == -EEXIST ? 0 : result;
}

static int add_rule_set(scmp_filter_ctx context, const struct sandbox_rule_set *set, struct sandbox_error *error)
{
	size_t i;
	int result;

	for (i = 0; i < set->count; i++) {
		result = add_rule(context, &set->rules[i]);
		if (result < 0) {
			sandbox_error_set(error, "rule %zu of set %s (system call %d): %s", i, set->name,
					  set->rules[i].number, strerror(-result));
			return result;
		}
	}

	return 0;
}

/* Does a rule of any set name this call? */
static bool has_rule(const struct sandbox_rule_set *const *sets, size_t set_count, int number)
{
	for (size_t i = 0; i < set_count; i++)
		for (size_t j = 0; j < sets[i]->count; j++)
			if (sets[i]->rules[j].number == number)
				return true;

	return false;
}

static int add_calls(scmp_filter_ctx context, const struct sandbox_rule_set *const *sets, size_t set_count,
		     const struct sandbox_rule_set *set, struct sandbox_error *error)
{
	int result;

	for (size_t i = 0; i < set->call_count; i++) {
		const struct sandbox_rule rule = { .number = set->calls[i] };

		if (rule.number == __NR_ioctl || has_rule(sets, set_count, rule.number))
			continue;
		result = add_rule(context, &rule);
		if (result < 0) {
			sandbox_error_set(error, "call %zu of set %s (system call %d): %s", i, set->name, rule.number,
					  strerror(-result));
			return result;
		}
	}

	return 0;
}

static int add_ioctl_set(scmp_filter_ctx context, const struct sandbox_ioctl_set *set, struct sandbox_error *error)
{
	size_t i;
	int result;

	for (i = 0; i < set->count; i++) {
		const struct sandbox_rule rule = SANDBOX_ALLOW_INT(ioctl, 1, set->requests[i]);

		result = set->requests[i] > UINT32_MAX ? -EINVAL : add_rule(context, &rule);
		if (result < 0) {
			sandbox_error_set(error, "ioctl request 0x%lx of set %s: %s", set->requests[i], set->name,
					  strerror(-result));
			return result;
		}
	}

	return 0;
}

/* An empty program of ours: this architecture only, death by default, system calls found by binary search. */
static int start_program(scmp_filter_ctx *ret_context, struct sandbox_error *error)
{
	cleanup_context scmp_filter_ctx context = NULL;
	int result;

	context = seccomp_init(SCMP_ACT_KILL_PROCESS);
	if (!context) {
		sandbox_error_set(error, "libseccomp gave no context");
		return -ENOMEM;
	}

	result = seccomp_attr_set(context, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
	if (result == 0)
		result = seccomp_attr_set(context, SCMP_FLTATR_CTL_OPTIMIZE, 2);
	if (result < 0) {
		sandbox_error_set(error, "libseccomp takes no attributes: %s", strerror(-result));
		return result;
	}

	*ret_context = context;
	context = NULL;
	return 0;
}

static bool compares_with_mark(const struct sock_filter *instruction)
{
	return instruction->code == (BPF_JMP | BPF_JEQ | BPF_K) && instruction->k == OWN_PROCESS_MARK;
}

static size_t count_marks(const struct sandbox_filter *filter)
{
	size_t marks = 0;
	size_t i;

	for (i = 0; i < filter->count; i++)
		marks += compares_with_mark(&filter->program[i]);

	return marks;
}

/* Read a whole memfd of instructions into a new filter. */
static int read_program(int fd, struct sandbox_filter **ret_filter)
{
	cleanup_filter struct sandbox_filter *filter = NULL;
	struct stat status;
	ssize_t got;

	if (fstat(fd, &status) < 0)
		return negative_errno();
	if (status.st_size <= 0 || (size_t)status.st_size % sizeof(struct sock_filter) != 0 ||
	    (size_t)status.st_size / sizeof(struct sock_filter) > BPF_MAXINSNS)
		return -E2BIG;

	filter = calloc(1, sizeof(*filter) + (size_t)status.st_size);
	if (!filter)
		return -ENOMEM;

	got = pread(fd, filter->program, (size_t)status.st_size, 0);
	if (got < 0)
		return negative_errno();
	if (got != (ssize_t)status.st_size)
		return -EIO;

	filter->count = (size_t)status.st_size / sizeof(struct sock_filter);
	filter->own_process = count_marks(filter);

	*ret_filter = filter;
	filter = NULL;
	return 0;
}

static int export_program(scmp_filter_ctx context, struct sandbox_filter **ret_filter, struct sandbox_error *error)
{
	cleanup_fd int fd = -1;
	int result;

	fd = memfd_create("sandbox-filter", MFD_CLOEXEC);
	if (fd < 0) {
		result = negative_errno();
		sandbox_error_set(error, "memfd_create: %s", strerror(-result));
		return result;
	}

	result = seccomp_export_bpf(context, fd);
	if (result == 0)
		result = read_program(fd, ret_filter);
	if (result < 0)
		sandbox_error_set(error, "the filter's program cannot be had: %s", strerror(-result));

	return result;
}

/* Does any rule compare with the installer's process id? */
static bool has_own_process(const struct sandbox_rule_set *const *sets, size_t set_count)
{
	size_t i;
	size_t j;
	size_t k;

	for (i = 0; i < set_count; i++)
		for (j = 0; j < sets[i]->count; j++)
			for (k = 0; k < SANDBOX_CONDITIONS_MAX; k++)
				if (sets[i]->rules[j].conditions[k].comparison == SANDBOX_OWN_PROCESS)
					return true;

	return false;
}

int sandbox_filter_build(const struct sandbox_rule_set *const *sets, size_t set_count,
			 const struct sandbox_ioctl_set *const *ioctls, size_t ioctl_count,
			 struct sandbox_filter **ret_filter, struct sandbox_error *error)
{
	cleanup_context scmp_filter_ctx context = NULL;
	cleanup_filter struct sandbox_filter *filter = NULL;
	size_t i;
	int result;

	result = start_program(&context, error);
	for (i = 0; i < set_count && result == 0; i++)
		result = add_rule_set(context, sets[i], error);
	for (i = 0; i < set_count && result == 0; i++)
		result = add_calls(context, sets, set_count, sets[i], error);
	for (i = 0; i < ioctl_count && result == 0; i++)
		result = add_ioctl_set(context, ioctls[i], error);
	if (result == 0)
		result = export_program(context, &filter, error);
	if (!filter)
		return result < 0 ? result : -EIO;

	/* A compiler that found another way to compare would leave calls restricted to a process that cannot be. */
	if (filter->own_process == 0 && has_own_process(sets, set_count)) {
		sandbox_error_set(error, "the program does not compare with the process id where its rules do");
		return -ENOTSUP;
	}

	*ret_filter = filter;
	filter = NULL;
	return 0;
}

int sandbox_filter_load(const struct sandbox_filter *filter, struct sandbox_error *error)
{
	struct sock_filter program[BPF_MAXINSNS];
	struct sock_fprog description = { .len = (unsigned short)filter->count, .filter = program };
	uint32_t own = (uint32_t)getpid();
	long result;
	size_t i;

	if (filter->count == 0 || filter->count > BPF_MAXINSNS) {
		sandbox_error_set(error, "a filter of %zu instructions", filter->count);
		return -EINVAL;
	}

	for (i = 0; i < filter->count; i++) {
		program[i] = filter->program[i];
		if (compares_with_mark(&program[i]))
			program[i].k = own;
	}

	/* A positive result is a thread that could not be brought under the filter. */
	result = syscall(__NR_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &description);
	if (result > 0) {
		sandbox_error_set(error, "thread %ld has another filter", result);
		return -ESRCH;
	}
	if (result < 0) {
		result = -errno;
		sandbox_error_set(error, "seccomp: %s", strerror((int)-result));
		return (int)result;
	}

	return 0;
}

size_t sandbox_filter_program(const struct sandbox_filter *filter, const void **ret_program)
{
	*ret_program = filter->program;
	return filter->count * sizeof(filter->program[0]);
}

struct sandbox_filter *sandbox_filter_free(struct sandbox_filter *filter)
{
	free(filter);
	return NULL;
}
