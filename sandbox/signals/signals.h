/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What each process does with each signal: one table for all kinds of process.
 *
 * A signal whose default action ends a process must not end the daemon with its VMs because a log has reached RLIMIT_FSIZE or a
 * script sent SIGUSR1 to the wrong process. And what a parent ignored or blocked is inherited through exec(2), so that it must
 * be put right: a daemon whose parent ignored SIGCHLD could wait for no child.
 */
#ifndef EMBER_SANDBOX_SIGNALS_SIGNALS_H
#define EMBER_SANDBOX_SIGNALS_SIGNALS_H

#include <spawn.h>
#include <stddef.h>

enum signals_of {
	SIGNALS_OF_DAEMON,  /* the supervisor */
	SIGNALS_OF_CHILD,   /* zygote, workers, loader, and the supervisor's helpers */
	SIGNALS_OF_COMMAND, /* emberctl, ember-bench */
	SIGNALS_OF_COUNT,
};

enum signal_use {
	SIGNAL_KEPT = 0, /* as it was inherited */
	SIGNAL_DEFAULT,  /* the default action */
	SIGNAL_IGNORED,
	SIGNAL_HANDLED, /* left alone here: the process has a handler for it, or is about to */
};

/* One row of the table. */
struct signal_row {
	int first, last;  /* numbers; real-time signals are one row */
	const char *name; /* "SIGPIPE" */
	enum signal_use use[SIGNALS_OF_COUNT];
	const char *why; /* for documents */
};

/* The table. *ret_count rows. Signals that a fault of the process's own raises (SIGSEGV, SIGABRT, ...) are in no row. */
const struct signal_row *signals_table(size_t *ret_count);

/*
 * Take over the table's column. At the beginning of a process of that kind, before it has threads.
 *
 * A handler that is there already (a sanitizer's, a profiler's) stays. No signal is blocked afterwards, but SIGHUP in the daemon: it is to
 * wait until there is a handler, see signals_unblock(). Commands keep what was blocked.
 */
void signals_prepare(enum signals_of kind);

/* The daemon's handlers stand: signals that came meanwhile are delivered now. */
void signals_unblock(void);

/*
 * Have a child that is spawned (posix_spawn(3)) start in a session of its own, so that an interrupt from the terminal does not end it before
 * its parent has; and with no signal blocked or ignored, whatever its parent does with them.
 *
 * attributes  initialised; stays the caller's
 *
 * Returns 0 or an errno, positive as posix_spawn(3)'s.
 */
int signals_spawn_attributes(posix_spawnattr_t *attributes);

/* The table as Markdown, for the README. ret_text: the caller frees it. Returns 0 or -ENOMEM. */
int signals_markdown(char **ret_text);

#endif
