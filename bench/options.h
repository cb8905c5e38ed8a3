/* SPDX-License-Identifier: Apache-2.0 */
#ifndef EMBER_BENCH_OPTIONS_H
#define EMBER_BENCH_OPTIONS_H

#include "bench/load.h"

#include <stdbool.h>
#include <stdio.h>

#define OPTIONS_DETAIL_SIZE 256

/* What the command line asks for. Strings point into it. */
struct options {
	const char *json_path; /* NULL: none; "-": standard output, and no tables there */
	const char *scenario;
	bool help, version;
	struct load load;
};

/*
 * Read the command line.
 *
 * argc, argv   as main() has them; getopt_long(3) reorders argv
 * socket_path  where no --socket is given
 * ret_options  filled on success; with help or version set, nothing else is checked
 * detail       at least OPTIONS_DETAIL_SIZE bytes: a sentence on failure
 *
 * Returns 0 or -EINVAL.
 */
int options_parse(int argc, char **argv, const char *socket_path, struct options *ret_options, char *detail);

void options_usage(FILE *out);

#endif
