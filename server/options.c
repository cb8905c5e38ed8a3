/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Flags name configuration options, and are kept as such: a reload reads the file again and lays the same flags over
 * it, so that what the command line said stays said.
 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "server/options.h"

enum flag {
	FLAG_CONFIG = 256,
	FLAG_SOCKET,
	FLAG_HTTP_SOCKET,
	FLAG_STATE_DIR,
	FLAG_CHECK_CONFIG,
	FLAG_VERSION,
	FLAG_HELP,
};

static const struct option flags[] = {
	{ "config", required_argument, NULL, FLAG_CONFIG },
	{ "socket", required_argument, NULL, FLAG_SOCKET },
	{ "http-socket", required_argument, NULL, FLAG_HTTP_SOCKET },
	{ "state-dir", required_argument, NULL, FLAG_STATE_DIR },
	{ "check-config", no_argument, NULL, FLAG_CHECK_CONFIG },
	{ "version", no_argument, NULL, FLAG_VERSION },
	{ "help", no_argument, NULL, FLAG_HELP },
	{ NULL, 0, NULL, 0 },
};

static const char usage[] =
	"usage: emberd [--config FILE] [--socket PATH] [--http-socket PATH] [--state-dir DIR]\n"
	"              [--check-config] [--version] [--help]\n"
	"\n"
	"  --config FILE        configuration, a JSON object; read again on SIGHUP\n"
	"  --socket PATH        Unix socket that serves JSON-RPC\n"
	"  --http-socket PATH   Unix socket that serves HTTP; \"\" for none\n"
	"  --state-dir DIR      folder of the snapshot catalog\n"
	"  --check-config       print OK, or each error of the configuration, and exit\n"
	"  --version            print the version and exit\n"
	"  --help               print this and exit\n"
	"\n"
	"Options of the configuration file; dots are nested objects, * marks what SIGHUP applies to a running daemon:\n"
	"\n";

static int add_setting(struct options *options, const char *option_path, const char *value)
{
	if (options->setting_count == OPTIONS_SETTINGS_MAX) {
		(void)fprintf(stderr, "emberd: too many flags\n");
		return -EINVAL;
	}

	options->settings[options->setting_count].option_path = option_path;
	options->settings[options->setting_count].value = value;
	options->setting_count++;
	return 0;
}

static int apply_flag(struct options *options, int flag)
{
	switch (flag) {
	case FLAG_CONFIG:
		options->config_path = optarg;
		return 0;
	case FLAG_SOCKET:
		return add_setting(options, "socket", optarg);
	case FLAG_HTTP_SOCKET:
		return add_setting(options, "http_socket", optarg);
	case FLAG_STATE_DIR:
		return add_setting(options, "state_dir", optarg);
	case FLAG_CHECK_CONFIG:
		options->check_config = true;
		return 0;
	case FLAG_VERSION:
		options->version = true;
		return 0;
	case FLAG_HELP:
		options->help = true;
		return 0;
	default:
		return -EINVAL;
	}
}

int options_parse(int argc, char **argv, struct options *ret_options)
{
	struct options options = { 0 };
	int flag;

	optind = 0;
	while ((flag = getopt_long(argc, argv, "", flags, NULL)) != -1) // NOLINT(concurrency-mt-unsafe)
		if (apply_flag(&options, flag)) {
			(void)fprintf(stderr, "Try \"emberd --help\".\n");
			return -EINVAL;
		}
	if (optind < argc) {
		(void)fprintf(stderr, "emberd: unexpected argument \"%s\"\nTry \"emberd --help\".\n", argv[optind]);
		return -EINVAL;
	}

	*ret_options = options;
	return 0;
}

static void print_option(void *opaque, const char *path, const char *type, const char *default_text, bool reloadable,
			 const char *help)
{
	(void)opaque;
	(void)printf("  %s%s (%s)\n      %s\n      default: %s\n", path, reloadable ? " *" : "", type, help,
		     default_text);
}

void options_print_help(void)
{
	(void)fputs(usage, stdout);
	config_each_option(print_option, NULL);
	(void)fputs("\nA shape: {\"vcpus\": 1, \"memory_mib\": 128, \"cpu_template\": \"host\" or \"portable\", "
		    "\"min\": 1, \"max\": 64, \"refill_concurrency\": 2}\n",
		    stdout);
}

int options_load_config(const struct options *options, struct config *ret_config, const struct config_report *report)
{
	unsigned int i;
	int error = 0;

	config_set_defaults(ret_config);
	if (options->config_path)
		error = config_apply_file(ret_config, options->config_path, report);
	for (i = 0; i < options->setting_count; i++)
		if (config_apply_text(ret_config, options->settings[i].option_path, options->settings[i].value, report))
			error = -EINVAL;
	if (!error)
		error = config_check(ret_config, report);
	return error;
}
