/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How the daemon drains, stops and heeds signals.
 *
 * Draining is a list of those who wait for the last VM to end: calls of server.drain, and the first SIGTERM. While it
 * is not empty no VM is started. When the count of VMs (and of starts in progress) is zero, all who wait are told.
 *
 * Stopping has an order: no new clients; open calls answered; the VMs ended; answers flushed, for a moment; the loop
 * left. A second signal skips what takes time. Each step is an event of its own, so that none runs inside a caller that
 * still works with what the step ends.
 */
#include <errno.h>
#include <signal.h>

#include "pool/pool.h"
#include "server/clock.h"
#include "server/connection.h"
#include "server/http.h"
#include "server/log.h"
#include "server/notify.h"
#include "server/server.h"
#include "signals/signals.h"

#define FLUSH_INTERVAL_MS 10
#define FLUSH_ROUNDS      100

static void publish_state(struct server *server, const char *state)
{
	event_bus_publish(&server->events, EVENT_SERVER, json_pack("{s:s}", "event", state));
}

void server_vm_begun(struct server *server)
{
	server->vm_count++;
}

void server_vm_ended(struct server *server)
{
	server->vm_count--;
	event_active(server->drain_check, EV_TIMEOUT, 0);
}

void server_drain_add(struct server *server, struct server_drain *drain)
{
	LIST_INSERT_HEAD(&server->drains, drain, link);
	if (server->state == SERVER_SERVING) {
		server->state = SERVER_DRAINING;
		log_info("draining", log_number("vms", server->vm_count));
		publish_state(server, "draining");
	}
	event_active(server->drain_check, EV_TIMEOUT, 0);
}

static void serve_again(struct server *server)
{
	if (server->state != SERVER_DRAINING || !LIST_EMPTY(&server->drains))
		return;

	server->state = SERVER_SERVING;
	log_info("serving again");
	publish_state(server, "serving");
}

void server_drain_remove(struct server *server, struct server_drain *drain)
{
	LIST_REMOVE(drain, link);
	serve_again(server);
}

static void on_drain_check(evutil_socket_t fd, short events, void *opaque)
{
	struct server *server = opaque;
	struct server_drain *drain;

	(void)fd;
	(void)events;
	while (server->vm_count == 0 && (drain = LIST_FIRST(&server->drains)) != NULL) {
		LIST_REMOVE(drain, link);
		drain->drained(drain);
	}
	serve_again(server);
}

void server_stop(struct server *server, const char *reason)
{
	if (server->state == SERVER_STOPPING)
		return;

	server->state = SERVER_STOPPING;
	log_info("stopping", log_text("detail", reason));
	publish_state(server, "stopping");
	(void)notify_send("STOPPING=1");
	event_active(server->stop, EV_TIMEOUT, 0);
}

static void on_flush(evutil_socket_t fd, short events, void *opaque)
{
	struct server *server = opaque;

	(void)fd;
	(void)events;
	if (++server->flush_rounds >= FLUSH_ROUNDS || connections_unsent(server) + http_unsent(server->http) == 0)
		(void)event_base_loopbreak(server->base);
}

static void begin_flush(struct server *server)
{
	const struct timeval interval = clock_timeval(FLUSH_INTERVAL_MS);

	if (event_add(server->flush, &interval))
		(void)event_base_loopbreak(server->base);
}

static void on_pool_stopped(void *opaque)
{
	begin_flush(opaque);
}

static void on_stop(evutil_socket_t fd, short events, void *opaque)
{
	struct server *server = opaque;

	(void)fd;
	(void)events;
	if (server->acceptor)
		(void)evconnlistener_disable(server->acceptor);
	connections_abandon_calls(server);
	http_abandon_calls(server->http);
	pool_stop(server->pool, on_pool_stopped, server);
}

static void on_signal_drained(struct server_drain *drain)
{
	struct server *server = // NOLINT(bugprone-casting-through-void)
		(void *)((char *)drain - offsetof(struct server, signal_drain));

	server_stop(server, "all VMs have ended");
}

static void on_drain_timeout(evutil_socket_t fd, short events, void *opaque)
{
	(void)fd;
	(void)events;
	server_stop(opaque, "VMs still run after drain_timeout_ms");
}

static void on_termination(evutil_socket_t fd, short events, void *opaque)
{
	struct server *server = opaque;
	const struct timeval timeout = clock_timeval(server->config.drain_timeout_ms);

	(void)events;
	if (server->signal_draining) {
		log_warning("stopping at once", log_number("signal", fd));
		server->hurried = true;
		(void)event_base_loopbreak(server->base);
		return;
	}

	log_info("signal received", log_number("signal", fd));
	server->signal_draining = true;
	server->signal_drain.drained = on_signal_drained;
	server_drain_add(server, &server->signal_drain);
	if (event_add(server->drain_timeout, &timeout))
		server_stop(server, "out of memory for a timer");
}

static void on_hangup(evutil_socket_t fd, short events, void *opaque)
{
	(void)fd;
	(void)events;
	server_reload(opaque);
}

int server_lifecycle_init(struct server *server)
{
	struct event_base *base = server->base;

	LIST_INIT(&server->drains);
	server->signals[0] = evsignal_new(base, SIGTERM, on_termination, server);
	server->signals[1] = evsignal_new(base, SIGINT, on_termination, server);
	server->signals[2] = evsignal_new(base, SIGQUIT, on_termination, server);
	server->signals[3] = evsignal_new(base, SIGHUP, on_hangup, server);
	server->drain_check = event_new(base, -1, 0, on_drain_check, server);
	server->drain_timeout = event_new(base, -1, 0, on_drain_timeout, server);
	server->stop = event_new(base, -1, 0, on_stop, server);
	server->flush = event_new(base, -1, EV_PERSIST, on_flush, server);
	if (!server->drain_check || !server->drain_timeout || !server->stop || !server->flush)
		return -ENOMEM;

	for (size_t i = 0; i < sizeof(server->signals) / sizeof(server->signals[0]); i++)
		if (!server->signals[i] || event_add(server->signals[i], NULL))
			return -ENOMEM;
	signals_unblock();
	return 0;
}

void server_lifecycle_free(struct server *server)
{
	struct event *const own[] = { server->signals[0], server->signals[1],  server->signals[2],
				      server->signals[3], server->drain_check, server->drain_timeout,
				      server->stop,       server->flush };

	for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++)
		if (own[i])
			event_free(own[i]);
}
