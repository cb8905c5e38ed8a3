/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kinds of file work: one table from kind to name and function. What a kind does is a pure function of its input and its
 * descriptors, and stands beside what it belongs to.
 */
#ifndef EMBER_SERVER_JOBS_KINDS_H
#define EMBER_SERVER_JOBS_KINDS_H

#include <stdint.h>

#include <jansson.h>

#define JOB_FILES_MAX 64    /* descriptors that a job may bring, or its answer */
#define JOB_TEXT_MAX  65536 /* bytes of input or output as JSON */

enum job_kind {
	JOB_CLOSE = 0,     /* close the descriptors */
	JOB_RECEIVE_FILES, /* take what a client passed off its socket (connection_files.c) */
	JOB_CONNECT,       /* connect to a Unix socket by its path (devices/vsock.c) */
	JOB_KIND_COUNT,
};

/* What a function answers with; starts empty. */
struct job_answer {
	json_t *output;           /* NULL: none; owned */
	int files[JOB_FILES_MAX]; /* owned: closed once they were sent */
	uint32_t file_count;
	const int
		*closed_late; /* more to close once the answer was sent, in which -1 stands for none; must stay valid */
	uint32_t closed_late_count;
};

/*
 * Runs in a helper.
 *
 * input  an object
 * files  those that came; the function may take some by setting them to -1. What is left is closed after the answer was sent.
 *
 * Returns 0 or -errno; what it answers with goes out in either case.
 */
typedef int (*job_function)(const json_t *input, int *files, uint32_t file_count, struct job_answer *answer);

struct job_kind_description {
	const char *name; /* in logs */
	job_function run;
};
extern const struct job_kind_description job_kinds[JOB_KIND_COUNT];

#endif
