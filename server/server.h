/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The daemon's state: one struct that everything in the event loop hangs from, and its life from start to stop.
 */
#ifndef EMBER_SERVER_SERVER_H
#define EMBER_SERVER_SERVER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include <event2/event.h>
#include <event2/listener.h>
#include <jansson.h>

#include "kvm/error_detail.h"
#include "server/config.h"
#include "server/events.h"
#include "server/options.h"

/* Connections that are accepted, on each socket, before what else is due gets its turn. */
#define ACCEPT_BURST 16

enum server_state {
	SERVER_SERVING = 0,
	SERVER_DRAINING, /* no VM is started any more; those that run go on */
	SERVER_STOPPING, /* everything is being ended; no call is taken any more */
};

#define INSTANCE_ID_SIZE 33 /* 128 bits in hexadecimal, terminated */

/* Somebody who waits until no VM runs; embedded. While there is one, no VM is started. */
struct server_drain {
	LIST_ENTRY(server_drain) link;
	void (*drained)(struct server_drain *drain); /* it is off the list */
};

struct server {
	struct event_base *base;
	struct config config;
	const struct options *options;
	enum server_state state;
	uint64_t started_ns; /* CLOCK_MONOTONIC */
	uint64_t last_call_number;
	uint64_t last_connection_number;
	char instance[INSTANCE_ID_SIZE]; /* random: which start this is */
	struct ids *ids;
	struct event_bus events;
	struct file_thread *files;
	struct jobs *jobs; /* file work, in helper processes */
	struct pool *pool;
	struct snapshots *snapshots;
	struct kernels *kernels;
	TAILQ_HEAD(, guest) vms;      /* in order of their start */
	LIST_HEAD(, devices) devices; /* of VMs, and of starts in progress: whose CIDs are taken */
	json_t *openrpc;              /* rpc.discover's answer; NULL: nobody has asked yet */
	int demo_image;               /* the demo guest's flat image, in a sealed memory file */

	struct unix_listener *listener;
	struct evconnlistener *acceptor;
	struct event *accept_pause;
	unsigned int accept_burst; /* connections since the last pause */
	bool failed;               /* to be said by server_run() */
	struct http *http;
	TAILQ_HEAD(, connection) connections;
	uint32_t connection_count;

	/* lifecycle.c's own */
	uint32_t vm_count; /* VMs, and starts in progress */
	LIST_HEAD(, server_drain) drains;
	struct server_drain signal_drain; /* on the list once SIGTERM came */
	bool signal_draining;
	bool hurried; /* a second signal came: wait for nothing */
	bool reloading;
	bool reload_again; /* asked for while one was in progress, or could not be begun */
	struct event *signals[4];
	struct event *drain_check; /* activated by hand */
	struct event *drain_timeout;
	struct event *stop; /* activated by hand */
	struct event *flush;
	unsigned int flush_rounds;
};

/*
 * Make everything that serves: sockets taken, snapshots, kernels, file thread, pool. Blocks until the host has been probed.
 *
 * config, options  options must outlive the server; config is copied
 * ret_server       the caller ends it with server_free()
 *
 * Returns 0, or -errno with the step in detail.
 */
int server_new(const struct config *config, const struct options *options, struct server **ret_server,
	       struct error_detail *detail);

/* Load the snapshots, then serve until stopped. Returns 0, or -errno (logged). */
int server_run(struct server *server);

/* Takes NULL and half-made servers. Returns NULL. */
struct server *server_free(struct server *server);

/* ---- life (lifecycle.c) ---- */

/* Make the events of signals, drain and stop. Returns 0 or -ENOMEM. */
int server_lifecycle_init(struct server *server);
void server_lifecycle_free(struct server *server);

/* A VM is being started, or a start ended without one, or a VM is gone: drains wait for the balance. */
void server_vm_begun(struct server *server);
void server_vm_ended(struct server *server);

/* Wait until no VM runs; drained is called from the loop, never from within this call. */
void server_drain_add(struct server *server, struct server_drain *drain);

/* Wait no longer; where nobody does, VMs are started again. */
void server_drain_remove(struct server *server, struct server_drain *drain);

/* Stop the daemon soon, from the loop: VMs are ended, open calls answered. reason is logged. */
void server_stop(struct server *server, const char *reason);

/* Read the configuration again and apply what can change at run time (reload.c). */
void server_reload(struct server *server);

#endif
