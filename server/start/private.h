/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One start: what boots and restores share. start.c has the way that both take, boot.c and restore.c where each begins.
 */
#ifndef EMBER_SERVER_START_PRIVATE_H
#define EMBER_SERVER_START_PRIVATE_H

#include "pool/pool.h"
#include "server/devices/devices.h"
#include "server/guest.h"
#include "server/kernels.h"
#include "server/snapshot_load.h"

struct start {
	struct server *server;
	struct call *call; /* NULL: abandoned */
	json_t *params;    /* the call's */
	struct guest *vm;
	struct pool_start wanted;
	struct pool_request *request;
	struct snapshot_load *load;
	uint64_t holder;             /* as whom it holds: */
	struct catalog_entry *entry; /* NULL: none */
	struct kernel *kernel;       /* NULL: none */
	struct pool_kernel wanted_kernel;
	struct devices_taps taps; /* until the devices have them */
	struct devices *devices;
	char *path;             /* of a snapshot; or, while one of the catalog is tried, its id */
	int image;              /* our own; -1: none */
	struct rpc_error error; /* what a step on the file thread failed with */
};

/* Begin, for a call that is taken over. NULL: the call was answered. */
struct start *start_new(struct call *call);

/* Say no; error is released. */
void start_fail(struct start *start, struct rpc_error *error);
void start_fail_memory(struct start *start);

/*
 * Go on with a record of devices: plan them, open them with what else there is to open, and ask the pool.
 *
 * record  taken over
 * images  see struct devices_options
 */
void start_with_devices(struct start *start, json_t *record, const json_t *images);

/* boot.c: open image and initial file system. On the file thread; as devices_open(). */
bool boot_has_files(const struct start *start);
int boot_open_files(struct start *start, struct rpc_error *error);

#endif
