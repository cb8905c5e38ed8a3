/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One emberd-fault with a folder and a page of its own, and what is seen of it from outside.
 *
 * Nothing here asserts: what is wrong is text in the daemon's complaint, and the test goes on.
 */
#ifndef EMBER_TESTS_FAULT_DAEMON_H
#define EMBER_TESTS_FAULT_DAEMON_H

#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "page.h"

#define COMPLAINT_MAX 1024
#define CHILDREN_MAX  64

/* How long anything may take, far beyond what it does take. */
#define WAIT_MS 60000

struct daemon {
	pid_t pid; /* 0: it does not run */
	const char *program;
	char folder[64];
	char socket_path[96];
	char http_path[96];
	char state_dir[96];
	char config_path[96];
	char log_path[96];
	struct fault_page *page;
	char complaint[COMPLAINT_MAX]; /* the first thing that was wrong; empty: nothing */

	/* As it was before the first fault. */
	size_t files;    /* descriptors of the supervisor */
	size_t children; /* processes */
	char *names;     /* of what is in the folder */
};

int64_t now_ms(void);
void sleep_ms(long ms);

/* Make the folder, the page and the configuration. Ends the program where that fails. */
void daemon_prepare(struct daemon *daemon, const char *program, uint32_t frames);

/* Remove the folder. The daemon must not run. */
void daemon_discard(struct daemon *daemon);

/* Note what is wrong, unless something has been noted. */
__attribute__((format(printf, 2, 3))) void complain(struct daemon *daemon, const char *format, ...);

/*
 * Start it and wait until it serves.
 *
 * Returns whether it does. One that ended by itself with a status that is not 0 and a sentence in its log is no complaint.
 */
bool daemon_start(struct daemon *daemon);

/* Is it there? One that has ended is a complaint, with how it ended and the end of its log. */
bool daemon_lives(struct daemon *daemon);

/* SIGTERM. It must end with a status of its own, and with it all processes that it had. */
void daemon_stop(struct daemon *daemon);

/* Kill it, whatever it does. */
void daemon_kill(struct daemon *daemon);

/* Send a signal to a child of that name, where there is one. */
void daemon_kill_child(const struct daemon *daemon, const char *name, int number);

/* Wait until nothing changes any more, and keep what it has then as what it must have later. */
void daemon_remember(struct daemon *daemon);

/* Has it what it had? If not, and ret_why is given: what is different. */
bool daemon_is_as_before(const struct daemon *daemon, char ret_why[COMPLAINT_MAX]);

/* Delete what a removal that failed has left: temporaries, which the daemon sweeps at its next start, and a vsock's socket. */
void daemon_remove_remainders(const struct daemon *daemon);

/* Make the next call of the site fail, after so many that pass. */
void daemon_arm(struct daemon *daemon, uint64_t key, int error, int calls);

/* Make nothing fail any more. Returns whether something has. */
bool daemon_disarm(struct daemon *daemon);

/* Print the last lines of its log. */
void daemon_print_log(const struct daemon *daemon);

#endif
