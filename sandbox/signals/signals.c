/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of signals.
 *
 * Ignored signals are not even queued, so that they interrupt no system call and no vCPU. The signal that kicks a vCPU out of
 * KVM_RUN is a real-time one; its handler is set where vCPUs are made and replaces what is said here.
 */
#include "signals/signals.h"

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#define ROW(number) (number), (number), #number
#define USE(daemon, child, command)                               \
	{                                                         \
		SIGNAL_##daemon, SIGNAL_##child, SIGNAL_##command \
	}

static const char nobody[] = "nothing here sends it, and a stray one ends no VM";

static struct signal_row rows[] = {
	{ ROW(SIGPIPE), USE(IGNORED, IGNORED, DEFAULT), "a peer that is gone is an error of the write: EPIPE" },
	{ ROW(SIGXFSZ), USE(IGNORED, IGNORED, IGNORED),
	  "a file that reaches RLIMIT_FSIZE is an error of the write: EFBIG" },
	{ ROW(SIGXCPU), USE(IGNORED, IGNORED, KEPT),
	  "the soft RLIMIT_CPU ends nothing; the hard one does, by SIGKILL" },
	{ ROW(SIGCHLD), USE(DEFAULT, DEFAULT, KEPT), "children can be waited for, whatever the parent did with it" },
	{ ROW(SIGTERM), USE(HANDLED, DEFAULT, KEPT),
	  "the daemon drains and stops, at the second one at once; others end" },
	{ ROW(SIGINT), USE(HANDLED, IGNORED, KEPT), "as SIGTERM; for the others the daemon is there" },
	{ ROW(SIGQUIT), USE(HANDLED, IGNORED, KEPT), "as SIGINT" },
	{ ROW(SIGHUP), USE(HANDLED, IGNORED, KEPT), "the daemon reads its configuration again" },
	{ ROW(SIGUSR1), USE(IGNORED, IGNORED, KEPT), nobody },
	{ ROW(SIGUSR2), USE(IGNORED, IGNORED, KEPT), nobody },
	{ ROW(SIGALRM), USE(IGNORED, IGNORED, KEPT), nobody },
	{ ROW(SIGVTALRM), USE(IGNORED, IGNORED, KEPT), nobody },
	{ ROW(SIGPROF), USE(IGNORED, IGNORED, KEPT), nobody },
	{ ROW(SIGIO), USE(IGNORED, IGNORED, KEPT), nobody },
	{ ROW(SIGPWR), USE(IGNORED, IGNORED, KEPT), nobody },
	{ ROW(SIGSTKFLT), USE(IGNORED, IGNORED, KEPT), nobody },
	{ 0, 0, "SIGRTMIN to SIGRTMAX", USE(IGNORED, IGNORED, KEPT),
	  "likewise; in a worker the first of them kicks a vCPU out of KVM_RUN" },
};

#define ROW_COUNT (sizeof(rows) / sizeof(rows[0]))

/* glibc keeps some real-time signals for itself, so that the first is known at run time only. */
__attribute__((constructor)) static void complete_rows(void)
{
	rows[ROW_COUNT - 1].first = SIGRTMIN;
	rows[ROW_COUNT - 1].last = SIGRTMAX;
}

const struct signal_row *signals_table(size_t *ret_count)
{
	*ret_count = ROW_COUNT;

	return rows;
}

static bool has_handler(int number)
{
	struct sigaction action;

	return sigaction(number, NULL, &action) == 0 &&
	       ((action.sa_flags & SA_SIGINFO) || (action.sa_handler != SIG_DFL && action.sa_handler != SIG_IGN));
}

static void apply(const struct signal_row *row, enum signal_use use)
{
	struct sigaction action = { .sa_handler = use == SIGNAL_IGNORED ? SIG_IGN : SIG_DFL };

	if (use != SIGNAL_IGNORED && use != SIGNAL_DEFAULT)
		return;
	(void)sigemptyset(&action.sa_mask);
	for (int number = row->first; number <= row->last; number++) {
		if (!has_handler(number))
			(void)sigaction(number, &action, NULL);
	}
}

void signals_prepare(enum signals_of kind)
{
	sigset_t blocked;

	for (size_t i = 0; i < ROW_COUNT; i++)
		apply(&rows[i], rows[i].use[kind]);

	if (kind == SIGNALS_OF_COMMAND)
		return;
	(void)sigemptyset(&blocked);
	if (kind == SIGNALS_OF_DAEMON)
		(void)sigaddset(&blocked, SIGHUP);
	(void)sigprocmask(SIG_SETMASK, &blocked, NULL);
}

void signals_unblock(void)
{
	sigset_t none;

	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
}

int signals_spawn_attributes(posix_spawnattr_t *attributes)
{
	sigset_t none, all;
	int result;

	(void)sigemptyset(&none);
	(void)sigfillset(&all);
	result = posix_spawnattr_setflags(attributes,
					  POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
	if (result == 0)
		result = posix_spawnattr_setsigmask(attributes, &none);
	if (result == 0)
		result = posix_spawnattr_setsigdefault(attributes, &all);
	return result;
}

/* ---- for documents ---- */

int signals_markdown(char **ret_text)
{
	static const char *const uses[] = { [SIGNAL_KEPT] = "as inherited",
					    [SIGNAL_DEFAULT] = "default",
					    [SIGNAL_IGNORED] = "ignored",
					    [SIGNAL_HANDLED] = "handled" };
	char *text = NULL;
	size_t size = 0;
	bool failed;
	FILE *out = open_memstream(&text, &size);

	if (!out)
		return -ENOMEM;
	(void)fputs("| signal | daemon | zygote, workers, loader, helpers | emberctl, ember-bench | why |\n"
		    "| --- | --- | --- | --- | --- |\n",
		    out);
	for (size_t i = 0; i < ROW_COUNT; i++)
		(void)fprintf(out, "| `%s` | %s | %s | %s | %s |\n", rows[i].name, uses[rows[i].use[SIGNALS_OF_DAEMON]],
			      uses[rows[i].use[SIGNALS_OF_CHILD]], uses[rows[i].use[SIGNALS_OF_COMMAND]], rows[i].why);
	failed = ferror(out) != 0;
	if (fclose(out) != 0 || failed) {
		free(text);
		return -ENOMEM;
	}

	*ret_text = text;
	return 0;
}
