/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Making and unmaking the daemon.
 *
 * Sockets come last, when everything behind them stands: a client that can connect is served. They go first, too.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include "demo_guest/demo_guest.h"
#include "pool/pool.h"
#include "server/cleanup.h"
#include "server/clock.h"
#include "server/connection.h"
#include "server/devices/devices.h"
#include "server/file_thread.h"
#include "server/http.h"
#include "server/ids.h"
#include "server/jobs/jobs.h"
#include "server/kernels.h"
#include "server/log.h"
#include "server/notify.h"
#include "server/server.h"
#include "server/snapshots.h"
#include "server/unix_listener.h"
#include "server/workers.h"

/* How long accepting rests after it failed, as where file descriptors ran out. */
#define ACCEPT_PAUSE_MS 100

/* How long the end waits for file work that has begun: after one signal to stop, and after two. */
#define UNHURRIED_MS 10000
#define HURRIED_MS   200

static void on_accept(struct evconnlistener *acceptor, evutil_socket_t socket, struct sockaddr *address, int length,
		      void *opaque)
{
	const struct timeval next_round = { 0 };
	struct server *server = opaque;

	(void)address;
	(void)length;
	connection_accept(server, socket);

	/* libevent accepts until no client waits; clients that come and go can see to it that one always does. */
	if (++server->accept_burst < ACCEPT_BURST)
		return;
	server->accept_burst = 0;
	(void)evconnlistener_disable(acceptor);
	(void)event_add(server->accept_pause, &next_round);
}

/* Without a pause the loop would spin: the connection that could not be accepted stays in the queue. */
static void on_accept_error(struct evconnlistener *acceptor, void *opaque)
{
	const struct timeval pause = clock_timeval(ACCEPT_PAUSE_MS);
	struct server *server = opaque;
	int error = EVUTIL_SOCKET_ERROR();

	log_error("connection not accepted", log_errno(error));
	(void)evconnlistener_disable(acceptor);
	(void)event_add(server->accept_pause, &pause);
}

static void on_accept_pause_over(evutil_socket_t fd, short events, void *opaque)
{
	struct server *server = opaque;

	(void)fd;
	(void)events;
	if (server->state != SERVER_STOPPING)
		(void)evconnlistener_enable(server->acceptor);
}

static int make_base(struct server *server)
{
	struct event_config *options = event_config_new();

	if (!options)
		return -ENOMEM;
	(void)event_config_set_flag(options, EVENT_BASE_FLAG_PRECISE_TIMER);
	server->base = event_base_new_with_config(options);
	event_config_free(options);
	return server->base ? 0 : -ENOMEM;
}

/* The demo guest as a file that nobody can change: workers get it like any other image. */
static int make_demo_image(int *ret_fd)
{
	cleanup_close int file = memfd_create("ember-demo-guest", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (file < 0 || pwrite(file, demo_guest_image, demo_guest_image_size, 0) != (ssize_t)demo_guest_image_size ||
	    fcntl(file, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL))
		return -EIO;

	*ret_fd = steal_fd(&file);
	return 0;
}

static int take_sockets(struct server *server, struct error_detail *detail)
{
	const struct config *config = &server->config;
	int error;

	error = unix_listener_open(config->socket_path, config->socket_mode, config->socket_group, &server->listener,
				   detail);
	if (!error && config->http_socket_path[0])
		error = http_new(server, &server->http, detail);
	return error;
}

static int listen_for_clients(struct server *server)
{
	server->acceptor = evconnlistener_new(server->base, on_accept, server, LEV_OPT_CLOSE_ON_EXEC, SOMAXCONN,
					      unix_listener_fd(server->listener));
	if (!server->acceptor)
		return -ENOMEM;

	evconnlistener_set_error_cb(server->acceptor, on_accept_error);
	return server->http ? http_listen(server->http) : 0;
}

static int start_jobs(struct server *server)
{
	const struct jobs_options options = {
		.executable = "/proc/self/exe",
		.waiting_max = server->config.file_jobs_max,
		.running_max_ms = server->config.file_job_ms,
	};

	return jobs_new(server->base, &options, &server->jobs);
}

static uint64_t next_event(void *opaque)
{
	const struct server *server = opaque;

	return ids_next(server->ids, IDS_EVENT);
}

/* What tells this start from others, and the numbers that go on from the one before. */
static int identify(struct server *server, struct error_detail *detail)
{
	unsigned char bytes[(INSTANCE_ID_SIZE - 1) / 2];
	int error;

	if (getrandom(bytes, sizeof(bytes), 0) != (ssize_t)sizeof(bytes))
		return -EIO;
	for (size_t i = 0; i < sizeof(bytes); i++)
		(void)snprintf(server->instance + 2 * i, 3, "%02x", bytes[i]);
	log_identify(server->instance);

	error = ids_open(server->config.state_dir, &server->ids, detail);
	if (!error)
		event_bus_identify(&server->events, server->instance, next_event, server);
	return error;
}

static int make_parts(struct server *server, struct error_detail *detail)
{
	int error;

	error = make_base(server);
	if (!error)
		error = server_lifecycle_init(server);
	if (error)
		return error;
	server->accept_pause = event_new(server->base, -1, 0, on_accept_pause_over, server);
	if (!server->accept_pause)
		return -ENOMEM;

	error = take_sockets(server, detail);
	if (!error)
		error = snapshots_open(server, &server->snapshots, detail);
	if (!error)
		error = identify(server, detail); /* the state folder is there */
	if (!error)
		error = kernels_open(server, &server->kernels, detail);
	if (!error)
		devices_sweep(server);
	if (!error)
		error = make_demo_image(&server->demo_image);
	/* The zygote is forked here: before there is a second thread. */
	if (!error)
		error = workers_start(server, detail);
	if (!error)
		error = start_jobs(server);
	if (!error)
		error = file_thread_start(server->base, server->config.file_jobs_max, &server->files);
	if (!error)
		ids_use_thread(server->ids, server->files);
	return error;
}

int server_new(const struct config *config, const struct options *options, struct server **ret_server,
	       struct error_detail *detail)
{
	struct server *server = calloc(1, sizeof(*server));
	int error;

	if (!server)
		return -ENOMEM;

	server->config = *config;
	server->options = options;
	server->started_ns = monotonic_ns();
	server->demo_image = -1;
	TAILQ_INIT(&server->connections);
	TAILQ_INIT(&server->vms);
	event_bus_init(&server->events);
	error = make_parts(server, detail);
	if (error) {
		(void)server_free(server);
		return error;
	}

	*ret_server = server;
	return 0;
}

static void on_snapshots_loaded(struct server *server)
{
	const struct config *config = &server->config;
	int error;

	if (server->state == SERVER_STOPPING)
		return;
	error = listen_for_clients(server);
	if (error) {
		log_error("cannot listen for clients", log_errno(error));
		server->failed = true;
		(void)event_base_loopbreak(server->base);
		return;
	}

	log_info("serving", log_text("path", config->socket_path),
		 log_text("http_path", config->http_socket_path[0] ? config->http_socket_path : NULL),
		 log_text("version", EMBER_VERSION));
	error = notify_send("READY=1");
	if (error)
		log_warning("the service manager cannot be told", log_errno(error));
}

int server_run(struct server *server)
{
	snapshots_load(server->snapshots, on_snapshots_loaded);
	if (event_base_dispatch(server->base) < 0) {
		log_error("the event loop failed");
		return -EIO;
	}

	return server->failed ? -EIO : 0;
}

/* A thread that hangs in a file system cannot be ended; the process can, and its workers with it. */
static void stop_file_thread(struct server *server)
{
	if (file_thread_stop(server->files, server->hurried ? HURRIED_MS : UNHURRIED_MS) == 0)
		return;
	log_error("file work hangs; ending without it");
	_exit(EXIT_FAILURE);
}

struct server *server_free(struct server *server)
{
	if (!server)
		return NULL;

	server->state = SERVER_STOPPING;
	if (server->acceptor)
		evconnlistener_free(server->acceptor);
	connections_close(server);
	(void)http_free(server->http);
	(void)unix_listener_close(server->listener);
	/* What the thread completes may need the pool; what the pool ends may ask for the thread, and is refused. */
	stop_file_thread(server);
	server->jobs = jobs_free(server->jobs);
	(void)pool_free(server->pool);
	(void)kernels_close(server->kernels);
	(void)snapshots_close(server->snapshots);
	(void)file_thread_free(server->files);
	server->ids = ids_close(server->ids);
	json_decref(server->openrpc);
	if (server->demo_image >= 0)
		(void)close(server->demo_image);
	if (server->accept_pause)
		event_free(server->accept_pause);
	server_lifecycle_free(server);
	if (server->base)
		event_base_free(server->base);
	free(server);
	return NULL;
}
