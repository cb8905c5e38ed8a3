/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What every role needs: glibc, and threads that exist already.
 *
 * Found by reading what glibc 2.36 does in malloc, free, pthread_mutex, pthread_cond, pthread_kill, clock_gettime
 * (the vDSO falls back to the system call where the clock source has no user-space reader), raise, abort and exit.
 * Calls that open, connect, signal others, make threads or map code are not here, and no role should add them.
 */
#include "sandbox/filter.h"

#include <asm/ioctls.h>
#include <asm/termbits.h>
#include <errno.h>
#include <sys/mman.h>
#include <sys/prctl.h>

static const struct sandbox_rule runtime_rules[] = {
	/* Memory that is never executable. */
	SANDBOX_ALLOW_WITHOUT(mmap, 2, PROT_EXEC),
	SANDBOX_ALLOW_WITHOUT(mprotect, 2, PROT_EXEC),
	SANDBOX_ALLOW(munmap),
	SANDBOX_ALLOW(mremap),
	SANDBOX_ALLOW(brk),
	SANDBOX_ALLOW_INT(madvise, 2, MADV_DONTNEED), /* free(3) of arenas, a thread's stack at its end */

	/* Threads and their end. */
	SANDBOX_ALLOW(futex),
	SANDBOX_ALLOW(sched_yield),
	SANDBOX_ALLOW(getpid),
	SANDBOX_ALLOW(gettid),
	SANDBOX_ALLOW(exit),
	SANDBOX_ALLOW(exit_group),

	/* Signals, within the process. */
	SANDBOX_ALLOW_OWN(tgkill, 0),
	SANDBOX_ALLOW(rt_sigprocmask),
	SANDBOX_ALLOW(rt_sigaction), /* abort(3) */
	SANDBOX_ALLOW(rt_sigreturn),
	SANDBOX_ALLOW(restart_syscall),

	/* Time. */
	SANDBOX_ALLOW(clock_gettime),
	SANDBOX_ALLOW(gettimeofday),
	SANDBOX_ALLOW(clock_nanosleep),
};

const struct sandbox_rule_set sandbox_rules_runtime = SANDBOX_RULE_SET("runtime", runtime_rules);

#ifdef EMBER_SANITIZE
static const struct sandbox_rule sanitizer_rules[] = {
	SANDBOX_ALLOW_INT(madvise, 2, MADV_NOHUGEPAGE), /* shadow memory */
	SANDBOX_ALLOW_INT(madvise, 2, MADV_DONTDUMP),
	SANDBOX_ALLOW_INT(prctl, 0, PR_SET_VMA), /* names for its mappings */
	SANDBOX_ALLOW(sigaltstack),              /* each thread's end */
};

static const struct sandbox_rule sanitizer_report_rules[] = {
	SANDBOX_ALLOW_INT(write, 0, 2), SANDBOX_ALLOW_INT(ioctl, 1, TCGETS), /* is descriptor 2 a terminal? */
	SANDBOX_REFUSE(openat, EACCES), SANDBOX_REFUSE(open, EACCES),        SANDBOX_REFUSE(readlink, EACCES),
};

const struct sandbox_rule_set sandbox_rules_sanitizer = SANDBOX_RULE_SET("sanitizer", sanitizer_rules);
const struct sandbox_rule_set sandbox_rules_sanitizer_report =
	SANDBOX_RULE_SET("sanitizer-report", sanitizer_report_rules);
#endif
