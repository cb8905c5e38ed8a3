/* SPDX-License-Identifier: Apache-2.0 */
#ifndef EMBERCTL_PROGRESS_H
#define EMBERCTL_PROGRESS_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

/* The bar of the call in progress, on standard error; nothing is drawn where that is not a terminal. */
struct progress {
	bool enabled;
	bool drawn; /* a bar stands on the line */
};

void progress_init(struct progress *progress);

/* Draw the state that a "progress" notification reports: {phase, done, total, unit}. */
void progress_show(struct progress *progress, const json_t *params);

/* Take the bar off the line, so that what comes next starts on an empty one. */
void progress_end(struct progress *progress);

/*
 * A bar as text: "memory  [##########..........]  50 %  64 MiB of 128 MiB".
 *
 * text  filled with at most size - 1 bytes
 */
void progress_text(const json_t *params, char *text, size_t size);

#endif
