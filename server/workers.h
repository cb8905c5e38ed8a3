/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The daemon's pool: made from the configuration, its events logged and published.
 */
#ifndef EMBER_SERVER_WORKERS_H
#define EMBER_SERVER_WORKERS_H

#include <jansson.h>

#include "devices/machine.h"
#include "kvm/error_detail.h"
#include "pool/pool.h"
#include "proto/status.h"
#include "server/call.h"

struct server;

/* Start the pool and give it its shapes. Blocks until the host has been probed. Returns 0 or -errno as pool_new(). */
int workers_start(struct server *server, struct error_detail *detail);

/*
 * Does the pool keep more guest memory warm than the host has? text, of WORKERS_WARNING_SIZE bytes, then says so with the figures.
 */
#define WORKERS_WARNING_SIZE 256
bool workers_memory_warning(struct server *server, char *text);

/* Take over what a reload changed. A shape that is not configured any more keeps nothing warm. */
void workers_configure(struct server *server, const struct config_shapes *before);

/*
 * A shape's name in text of at least SHAPE_TEXT_SIZE bytes: vCPUs, MiB, CPU template, and the virtio devices that it has:
 * "1x128-host", "2x256-host+1d+2n+vsock+rng+balloon+no-pit-reinject". Returns text.
 */
#define SHAPE_TEXT_SIZE 64
const char *shape_text(const struct machine_shape *shape, char *text);

/* Set the members shape, vcpus, memory_mib, cpu_template, pit_reinject, and the count of each device. Returns 0 or -ENOMEM. */
int shape_to_json(const struct machine_shape *shape, json_t *object);

/* An error for what the pool said. Returns its errno. */
int workers_error(const struct pool_result *result, struct rpc_error *error);

/* End a call with that error. */
void workers_fail(struct call *call, const struct pool_result *result);

#endif
