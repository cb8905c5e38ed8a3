/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ember-bench: the load that the command line asks for, then the figures.
 */
#include "bench/load.h"
#include "bench/options.h"
#include "bench/report.h"
#include "signals/signals.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum exit_status {
	STATUS_OK = 0,
	STATUS_FAILED = 1,
	STATUS_USAGE = 2,
	STATUS_UNREACHABLE = 3,
};

static struct load_result result; /* too large for the stack */

static int write_json(const char *path, const json_t *report)
{
	bool standard = strcmp(path, "-") == 0;
	FILE *out = standard ? stdout : fopen(path, "we");
	int failure = 0;

	if (out == NULL) {
		failure = -errno;
		fprintf(stderr, "ember-bench: %s: %s\n", path, strerror(-failure));
		return failure;
	}
	if (json_dumpf(report, out, JSON_INDENT(2) | JSON_REAL_PRECISION(9)) < 0 || fputc('\n', out) == EOF)
		failure = -EIO;
	if ((standard ? fflush(out) : fclose(out)) != 0)
		failure = -EIO;
	if (failure < 0)
		fprintf(stderr, "ember-bench: %s cannot be written\n", path);
	return failure;
}

static enum exit_status report(const struct options *options)
{
	json_t *figures = NULL;
	int failure;

	if (options->json_path == NULL || strcmp(options->json_path, "-") != 0)
		report_text(&options->load, &result, stdout);
	if (options->json_path == NULL)
		return fflush(stdout) == 0 ? STATUS_OK : STATUS_FAILED;
	if (report_json(&options->load, &result, &figures) < 0) {
		fprintf(stderr, "ember-bench: out of memory\n");
		return STATUS_FAILED;
	}
	failure = write_json(options->json_path, figures);
	json_decref(figures);
	return failure < 0 ? STATUS_FAILED : STATUS_OK;
}

static bool has_errors(const struct load *load)
{
	for (size_t i = 0; i < load->series_count; i++) {
		if (result.measurements[i].error_count > 0)
			return true;
	}
	return false;
}

static enum exit_status run(const struct options *options)
{
	enum exit_status status;
	int failure = load_run(&options->load, &result);

	if (result.detail[0] != '\0')
		fprintf(stderr, "ember-bench: %s\n", result.detail);
	else if (failure < 0)
		fprintf(stderr, "ember-bench: %s\n", strerror(-failure));
	if (failure < 0 && failure != -EIO)
		return failure == -ENOMEM ? STATUS_FAILED : STATUS_UNREACHABLE;
	status = report(options);
	return failure < 0 || has_errors(&options->load) ? STATUS_FAILED : status;
}

int main(int argc, char **argv)
{
	const char *from_environment = getenv("EMBER_SOCKET");
	const char *socket_path =
		from_environment != NULL && *from_environment != '\0' ? from_environment : EMBER_DEFAULT_SOCKET;
	char detail[OPTIONS_DETAIL_SIZE];
	struct options options;
	enum exit_status status;

	signals_prepare(SIGNALS_OF_COMMAND);
	if (options_parse(argc, argv, socket_path, &options, detail) < 0) {
		fprintf(stderr, "ember-bench: %s\n", detail);
		return STATUS_USAGE;
	}
	if (options.help) {
		options_usage(stdout);
		return STATUS_OK;
	}
	if (options.version) {
		printf("ember-bench %s\n", EMBER_VERSION);
		return STATUS_OK;
	}
	status = run(&options);
	load_result_release(&result);
	return (int)status;
}
