/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A progress bar on standard error, redrawn in place (carriage return, text, erase to the end of the line).
 */
#include "emberctl/progress.h"

#include "emberctl/value_text.h"
#include "proto/cleanup.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define BAR_WIDTH 30

void progress_init(struct progress *progress)
{
	const char *terminal = getenv("TERM");

	progress->enabled = isatty(STDERR_FILENO) && (terminal == NULL || strcmp(terminal, "dumb") != 0);
	progress->drawn = false;
}

/* An amount with its unit; bytes are scaled, other units are words behind the number. */
static void amount_text(const json_t *amount, const char *unit, char *text, size_t size)
{
	cleanup_free char *value = NULL;
	bool bytes = strcmp(unit, "bytes") == 0;

	if (value_text(bytes ? "amount_bytes" : NULL, amount, &value) < 0)
		return;
	snprintf(text, size, bytes || *unit == '\0' ? "%s" : "%s %s", value, unit);
}

void progress_text(const json_t *params, char *text, size_t size)
{
	const char *phase = json_string_value(json_object_get(params, "phase"));
	const char *unit = json_string_value(json_object_get(params, "unit"));
	const json_t *done = json_object_get(params, "done"), *total = json_object_get(params, "total");
	double share = json_number_value(total) > 0 ? json_number_value(done) / json_number_value(total) : 0;
	char bar[BAR_WIDTH + 1], done_text[64] = "", total_text[64] = "";
	size_t filled;

	share = share < 0 ? 0 : share > 1 ? 1 : share;
	filled = (size_t)(share * BAR_WIDTH);
	memset(bar, '#', filled);
	memset(bar + filled, '.', BAR_WIDTH - filled);
	bar[BAR_WIDTH] = '\0';
	amount_text(done, unit == NULL ? "" : unit, done_text, sizeof(done_text));
	amount_text(total, unit == NULL ? "" : unit, total_text, sizeof(total_text));
	snprintf(text, size, "%-8s [%s] %3.0f %%  %s of %s", phase == NULL ? "" : phase, bar, share * 100, done_text,
		 total_text);
}

void progress_show(struct progress *progress, const json_t *params)
{
	char text[256];

	if (!progress->enabled)
		return;
	progress_text(params, text, sizeof(text));
	fprintf(stderr, "\r%s\033[K", text);
	fflush(stderr);
	progress->drawn = true;
}

void progress_end(struct progress *progress)
{
	if (progress->drawn)
		fputs("\r\033[K", stderr);
	progress->drawn = false;
}
