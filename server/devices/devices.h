/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is behind a VM's devices on the host: disk images and overlays, TAP devices, a vsock's sockets. From parameters to
 * the descriptors that the pool hands to a worker, and what is to be undone when the VM is gone.
 *
 *	devices_new()      loop          a record of what is wanted; MAC addresses and a CID chosen
 *	devices_open()     file thread   files opened and locked, TAP devices attached, a socket bound
 *	devices_settle()   loop          the worker has descriptors of its own
 *	devices_free()     loop          the VM is gone, or was not started
 *
 * A record is an object of vm.boot's parameters drives, net, vsock, rng and balloon: what was wanted, what was chosen, and
 * what a later snapshot remembers (record.h).
 */
#ifndef EMBER_SERVER_DEVICES_DEVICES_H
#define EMBER_SERVER_DEVICES_DEVICES_H

#include <stdbool.h>
#include <stdint.h>

#include <jansson.h>

#include "devices/machine.h"
#include "pool/devices.h"
#include "proto/status.h"
#include "server/connection.h"

struct devices;
struct job_result;
struct server;

/* TAP devices that came with a request, by the interface that wants them: descriptors of our own, or -1. */
struct devices_taps {
	int files[MACHINE_NETS_MAX];
};
#define DEVICES_TAPS_NONE                   \
	(struct devices_taps)               \
	{                                   \
		.files = { -1, -1, -1, -1 } \
	}
_Static_assert(MACHINE_NETS_MAX == 4, "as many as DEVICES_TAPS_NONE names");

/*
 * Take the descriptors that "net" of a request refers to, while its line is being served.
 *
 * connection  NULL: it came by HTTP, which brings none
 * params      validated
 *
 * Returns 0; or an errno with the error set: one did not come, or is asked for twice.
 */
int devices_take_taps(const struct connection *connection, const json_t *params, struct devices_taps *ret_taps,
		      struct rpc_error *error);
void devices_drop_taps(struct server *server, struct devices_taps *taps);

struct devices_options {
	json_t *record;            /* a reference is taken; what is chosen is written into it */
	const json_t *metadata;    /* or NULL; a reference is taken */
	struct devices_taps *taps; /* taken over */
	bool restore;
	const json_t *images; /* restore: what the images were (record.h), or NULL; used during the call */
	const int *bases;     /* restore: CATALOG_OVERLAYS; must stay open until the VM has been started */
};

/*
 * Plan a VM's devices.
 *
 * ret_devices  the caller ends it with devices_free()
 *
 * Returns 0; or an errno with the error set: a CID that is in use, a path that is too long, memory.
 */
int devices_new(struct server *server, const struct devices_options *options, struct devices **ret_devices,
		struct rpc_error *error);

/*
 * Open what is behind them. On the file thread, while the loop leaves the devices alone.
 *
 * Returns 0, or an errno with the error set, its field the parameter; then nothing that it made is left.
 */
int devices_open(struct devices *devices, struct rpc_error *error);

/* What the pool is to be given; valid as long as the devices. */
const struct pool_devices *devices_for_pool(const struct devices *devices);

/* How many there are of each kind. */
void devices_set_shape(const struct devices *devices, struct machine_shape *shape);

/* The VM runs: descriptors that only its worker needs are closed, and an overlay that was made stays. */
void devices_settle(struct devices *devices);

/* Undo what outlives no VM, and release them. Takes NULL; returns NULL. */
struct devices *devices_free(struct devices *devices);

/* Keep them readable beyond devices_free(), for who looks at them on the file thread. */
void devices_hold(struct devices *devices);
void devices_release(struct devices *devices);

/* Is there anything for devices_open() to open? */
bool devices_have_files(const struct devices *devices);

/* The record; belongs to the devices. */
json_t *devices_record(const struct devices *devices);

/* {"cid", "path"}, a new reference; null where there is no vsock. NULL: out of memory. */
json_t *devices_vsock_json(const struct devices *devices);

/*
 * The guest connects to a port of the host's: let a helper connect to PATH_PORT.
 *
 * done  called once, from the loop, unless this fails; its file is the connected socket where the result is 0
 *
 * Returns 0, or -errno: -ENOTCONN (there is no vsock), or as jobs_submit().
 */
int devices_connect(const struct devices *devices, uint32_t port,
		    void (*done)(void *opaque, const struct job_result *result), void *opaque);

/* Remove sockets that a daemon left in the folder of those whose path nobody chose. Blocks; before the loop runs. */
void devices_sweep(const struct server *server);

/* ---- for snapshots ---- */

/* Does this drive have an overlay, so that a snapshot must keep it? */
bool devices_has_overlay(const struct devices *devices, uint32_t drive);

/* The first drive that is written in place, or -1. */
int devices_in_place(const struct devices *devices);

/*
 * What a snapshot is to remember, when the VM stands still: the record, and what its images are now. On the file thread,
 * while the loop leaves the devices alone.
 *
 * ret_memory  a new reference, see record.h
 *
 * Returns 0; or an errno with the error set: an image was changed by others, or replaced.
 */
int devices_remember(const struct devices *devices, json_t **ret_memory, struct rpc_error *error);

#endif
