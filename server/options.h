/* SPDX-License-Identifier: Apache-2.0 */
/*
 * emberd's command line.
 */
#ifndef EMBER_SERVER_OPTIONS_H
#define EMBER_SERVER_OPTIONS_H

#include <stdbool.h>

#include "server/config.h"

#define OPTIONS_SETTINGS_MAX 8

struct options {
	const char *config_path; /* NULL: no file */
	bool check_config;
	bool version;
	bool help;
	/* Flags that set what the file can set, too; a later one wins. */
	struct {
		const char *option_path;
		const char *value;
	} settings[OPTIONS_SETTINGS_MAX];
	unsigned int setting_count;
};

/*
 * Read the command line; what is wrong with it is said on standard error. Strings stay argv's.
 *
 * Returns 0 or -EINVAL.
 */
int options_parse(int argc, char **argv, struct options *ret_options);

/* Print flags and configuration options on standard output. */
void options_print_help(void);

/*
 * Form the configuration: defaults, the file, the flags, and the check of the whole. Blocks on the file.
 *
 * Returns 0 or -errno (reported).
 */
int options_load_config(const struct options *options, struct config *ret_config, const struct config_report *report);

#endif
