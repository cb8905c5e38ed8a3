/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SIGHUP: the configuration is read again on the file thread, and applied in the loop.
 *
 * A configuration with any error is not applied at all. What cannot change while the daemon runs is reported, and the
 * rest is applied. A signal that comes while the file is being read may be about a later one, so it is read once more:
 * the last configuration is in force in the end.
 */
#include <errno.h>
#include <stdlib.h>

#include "server/clock.h"
#include "server/file_thread.h"
#include "server/http.h"
#include "server/jobs/jobs.h"
#include "server/log.h"
#include "server/notify.h"
#include "server/server.h"
#include "server/workers.h"

#define REPORTS_MAX 16
#define RETRY_MS    100

struct reload {
	struct server *server;
	struct config wanted;
	unsigned int report_count; /* may be over REPORTS_MAX: the rest was not kept */
	struct {
		char path[CONFIG_PATH_MAX];
		char message[256];
	} reports[REPORTS_MAX];
};

/* On the file thread, which does not log. */
static void keep_report(void *opaque, const char *path, const char *message)
{
	struct reload *reload = opaque;

	if (reload->report_count < REPORTS_MAX) {
		(void)snprintf(reload->reports[reload->report_count].path, CONFIG_PATH_MAX, "%s", path);
		(void)snprintf(reload->reports[reload->report_count].message, 256, "%s", message);
	}
	reload->report_count++;
}

static int load(void *opaque)
{
	struct reload *reload = opaque;
	const struct config_report report = { .opaque = reload, .error = keep_report };

	return options_load_config(reload->server->options, &reload->wanted, &report);
}

static void log_fixed(void *opaque, const char *path, const char *message)
{
	(void)opaque;
	log_warning("configuration option not applied", log_text("option", path), log_text("detail", message));
}

static void refuse(const struct reload *reload)
{
	unsigned int i;

	for (i = 0; i < reload->report_count && i < REPORTS_MAX; i++)
		log_error("configuration error", log_text("option", reload->reports[i].path),
			  log_text("detail", reload->reports[i].message));
	log_error("configuration not reloaded", log_number("errors", reload->report_count));
}

static void apply(struct server *server, const struct config *wanted)
{
	const struct config_report fixed = { .error = log_fixed };
	const struct config_shapes before = server->config.shapes;
	char text[WORKERS_WARNING_SIZE];

	config_reload(&server->config, wanted, &fixed);
	log_configure((enum log_level)server->config.log_level, (enum log_format)server->config.log_format);
	workers_configure(server, &before);
	if (workers_memory_warning(server, text))
		log_warning("configuration warning", log_text("option", "pool.shapes"), log_text("detail", text));
	http_configure(server->http);
	jobs_configure(server->jobs, server->config.file_jobs_max, server->config.file_job_ms);
	log_info("configuration reloaded", log_text("path", server->options->config_path));
	event_bus_publish(&server->events, EVENT_SERVER, json_pack("{s:s}", "event", "reloaded"));
}

static void on_loaded(void *opaque, int result)
{
	struct reload *reload = opaque;
	struct server *server = reload->server;

	if (result)
		refuse(reload);
	else
		apply(server, &reload->wanted);
	free(reload);
	server->reloading = false;
	if (server->reload_again)
		server_reload(server);
	else
		(void)notify_send("READY=1");
}

static void on_retry(evutil_socket_t fd, short events, void *opaque)
{
	struct server *server = opaque;

	(void)fd;
	(void)events;
	if (server->reload_again && !server->reloading && server->state != SERVER_STOPPING)
		server_reload(server);
}

/* It could not be begun: later, until it can. */
static void retry(struct server *server, int error)
{
	const struct timeval delay = clock_timeval(RETRY_MS);

	server->reload_again = true;
	log_error("configuration not reloaded yet", log_errno(error));
	if (event_base_once(server->base, -1, EV_TIMEOUT, on_retry, server, &delay))
		log_error("configuration not reloaded", log_errno(ENOMEM));
}

void server_reload(struct server *server)
{
	struct reload *reload;
	int error;

	if (server->reloading) {
		server->reload_again = true;
		return;
	}
	server->reload_again = false;
	reload = calloc(1, sizeof(*reload));
	if (!reload) {
		retry(server, ENOMEM);
		return;
	}

	reload->server = server;
	(void)notify_reloading();
	error = file_thread_submit(server->files, load, on_loaded, reload);
	if (error) {
		free(reload);
		retry(server, error);
		return;
	}
	server->reloading = true;
}
