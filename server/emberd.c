/* SPDX-License-Identifier: Apache-2.0 */
/*
 * emberd: the daemon's main function.
 *
 * Exit status: 0 after an orderly stop (or --help, --version, a right --check-config); 1 for a configuration or a
 * start that failed; 2 for a command line that makes no sense.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "pool/pool.h"
#include "server/config_host.h"
#include "server/dispatch.h"
#include "server/jobs/helper.h"
#include "server/log.h"
#include "server/options.h"
#include "server/process_limits.h"
#include "server/server.h"
#include "signals/signals.h"

static void print_report(void *opaque, const char *path, const char *message)
{
	(void)fprintf(opaque, "emberd: %s: %s\n", path, message);
}

static void print_warning(void *opaque, const char *path, const char *message)
{
	(void)fprintf(opaque, "emberd: warning: %s: %s\n", path, message);
}

static void log_warning_report(void *opaque, const char *path, const char *message)
{
	(void)opaque;
	log_warning("configuration warning", log_text("option", path), log_text("detail", message));
}

/* A daemon started with a standard descriptor closed must not get a socket there. */
static int open_standard_files(void)
{
	int file;

	do
		file = open("/dev/null", O_RDWR);
	while (file >= 0 && file <= STDERR_FILENO);
	if (file < 0)
		return -errno;

	(void)close(file);
	return 0;
}

static int serve(const struct config *config, const struct options *options)
{
	struct error_detail detail = { "" };
	struct server *server = NULL;
	int error;

	process_limits_raise(config);

	error = dispatch_check(&detail);
	if (!error)
		error = server_new(config, options, &server, &detail);
	if (error) {
		log_error("cannot start", log_errno(error), log_text("detail", detail.text[0] ? detail.text : NULL));
		return EXIT_FAILURE;
	}

	error = server_run(server);
	(void)server_free(server);
	if (!error)
		log_info("stopped");
	return error ? EXIT_FAILURE : EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
	struct config_report report = { .opaque = stderr, .error = print_report, .warning = print_warning };
	struct options options;
	struct config *config;
	int status;

	/* The pool's zygote is this program, too. */
	if (argc > 1 && !strcmp(argv[1], pool_zygote_argument))
		return pool_zygote_main(argc, argv);
	/* So are the helpers that do file work. */
	if (argc > 1 && !strcmp(argv[1], jobs_helper_argument))
		return jobs_helper_main(argc, argv);
	signals_prepare(SIGNALS_OF_DAEMON);
	status = open_standard_files();
	if (status < 0) {
		(void)fprintf(stderr, "emberd: cannot open /dev/null: %s\n", strerrordesc_np(-status));
		return EXIT_FAILURE;
	}
	if (options_parse(argc, argv, &options))
		return 2;
	if (options.help) {
		options_print_help();
		return EXIT_SUCCESS;
	}
	if (options.version) {
		(void)printf("emberd %s\n", EMBER_VERSION);
		return EXIT_SUCCESS;
	}

	config = calloc(1, sizeof(*config));
	if (!config)
		(void)fprintf(stderr, "emberd: out of memory for the configuration\n");
	if (!config || options_load_config(&options, config, &report)) {
		free(config);
		return EXIT_FAILURE;
	}
	log_configure((enum log_level)config->log_level, (enum log_format)config->log_format);
	if (!options.check_config)
		report.warning = log_warning_report;
	if (config_check_host(config, &report)) {
		free(config);
		return EXIT_FAILURE;
	}
	if (options.check_config) {
		(void)printf("OK\n");
		status = EXIT_SUCCESS;
	} else {
		status = serve(config, &options);
	}
	free(config);
	return status;
}
