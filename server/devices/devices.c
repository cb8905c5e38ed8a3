/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A VM's devices as a whole: planned in the loop, opened on the file thread, given to the pool, undone in the end.
 *
 * Descriptors of drives and TAP devices are the worker's alone once it has them: the locks on images, and a TAP device
 * that exists by its descriptor, end with the worker. What the daemon keeps is the vsock's socket, whose file it must
 * remove, and the CID.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/method.h"
#include "server/cleanup.h"
#include "server/devices/private.h"
#include "server/devices/record.h"
#include "server/file_thread.h"
#include "server/server.h"

const json_t *device_record_item(const struct devices *devices, const char *kind, uint32_t index)
{
	return json_array_get(param_array(devices->record, kind), index);
}

void device_error_field(struct rpc_error *error, const char *kind, uint32_t index, const char *member)
{
	char field[RPC_FIELD_SIZE];

	(void)snprintf(field, sizeof(field), "%s[%u].%s", kind, index, member);
	rpc_error_add_field(error, field);
}

struct rate_limit_options device_limit(const json_t *limit)
{
	return (struct rate_limit_options){
		.bytes = { .per_second = (uint64_t)param_int(limit, "bytes_per_second", 0),
			   .burst = (uint64_t)param_int(limit, "bytes_burst", 0) },
		.operations = { .per_second = (uint64_t)param_int(limit, "ops_per_second", 0),
				.burst = (uint64_t)param_int(limit, "ops_burst", 0) },
	};
}

static void plan_rng(struct devices *devices)
{
	const json_t *rng = param_object(devices->record, "rng");

	devices->pool.has_rng = rng != NULL;
	devices->pool.rng = device_limit(rng);
}

static void plan_balloon(struct devices *devices)
{
	const json_t *balloon = param_object(devices->record, "balloon");

	devices->pool.has_balloon = balloon != NULL;
	devices->pool.balloon = (struct pool_balloon){
		.deflate_on_oom = param_bool(balloon, "deflate_on_oom"),
		.free_page_reporting = param_bool(balloon, "free_page_reporting"),
		.target_mib = (uint32_t)param_int(balloon, "target_mib", 0),
	};
}

static int plan_metadata(struct devices *devices, const json_t *metadata, struct rpc_error *error)
{
	size_t size;

	if (!metadata)
		return 0;
	size = json_dumpb(metadata, (char *)devices->pool.metadata, sizeof(devices->pool.metadata), JSON_COMPACT);
	if (size == 0 || size > sizeof(devices->pool.metadata))
		return rpc_error_set_field(error, "metadata", "the document is too long");
	devices->pool.has_metadata = true;
	devices->pool.metadata_size = (uint32_t)size;
	return 0;
}

int devices_new(struct server *server, const struct devices_options *options, struct devices **ret_devices,
		struct rpc_error *error)
{
	struct devices *devices = calloc(1, sizeof(*devices));
	int failed;

	if (!devices) {
		devices_drop_taps(server, options->taps);
		return rpc_error_set(error, RPC_INTERNAL, "the daemon is out of memory");
	}
	devices->server = server;
	devices->references = 1;
	devices->record = json_incref(options->record);
	devices->restore = options->restore;
	devices->pool.vsock.listener = -1;
	LIST_INSERT_HEAD(&server->devices, devices, link);

	drives_plan(devices, options->images, options->bases);
	plan_rng(devices);
	plan_balloon(devices);
	failed = nets_plan(devices, options->taps, error);
	if (!failed)
		failed = vsock_plan(devices, error);
	if (!failed)
		failed = plan_metadata(devices, options->metadata, error);
	if (failed) {
		(void)devices_free(devices);
		return failed;
	}

	*ret_devices = devices;
	return 0;
}

int devices_open(struct devices *devices, struct rpc_error *error)
{
	int failed = drives_open(devices, error);

	if (!failed)
		failed = nets_open(devices, error);
	if (!failed)
		failed = vsock_open(devices, error);
	if (failed)
		drives_close(devices);
	return failed;
}

const struct pool_devices *devices_for_pool(const struct devices *devices)
{
	return &devices->pool;
}

void devices_set_shape(const struct devices *devices, struct machine_shape *shape)
{
	shape->disks = devices->pool.drive_count;
	shape->nets = devices->pool.net_count;
	shape->vsocks = devices->pool.has_vsock;
	shape->rngs = devices->pool.has_rng;
	shape->balloons = devices->pool.has_balloon;
}

void devices_settle(struct devices *devices)
{
	devices->settled = true;
	drives_close(devices);
	nets_close(devices);
}

void devices_hold(struct devices *devices)
{
	devices->references++;
}

void devices_release(struct devices *devices)
{
	if (--devices->references > 0)
		return;
	json_decref(devices->record);
	free(devices);
}

/* On the file thread: an overlay that was made may have to be removed. */
static int close_drives(void *opaque)
{
	drives_close(opaque);
	return 0;
}

static void on_drives_closed(void *opaque, int result)
{
	(void)result;
	devices_release(opaque);
}

struct devices *devices_free(struct devices *devices)
{
	if (!devices)
		return NULL;

	nets_close(devices);
	vsock_close(devices);
	LIST_REMOVE(devices, link);
	if (drives_are_open(devices) &&
	    file_thread_submit_undo(devices->server->files, close_drives, on_drives_closed, devices) == 0)
		return NULL;

	/* None is open; or the daemon stops: rather wait than leave a file. */
	drives_close(devices);
	devices_release(devices);
	return NULL;
}

bool devices_have_files(const struct devices *devices)
{
	return devices->pool.drive_count > 0 || devices->pool.net_count > 0 || devices->pool.has_vsock;
}

json_t *devices_record(const struct devices *devices)
{
	return devices->record;
}

int devices_remember(const struct devices *devices, json_t **ret_memory, struct rpc_error *error)
{
	cleanup_json json_t *images = json_array();
	json_t *memory;
	int failed = images ? drives_remember(devices, images, error) : -ENOMEM;

	if (failed)
		return failed;
	memory = record_memory(devices->record, images);
	if (!memory)
		return rpc_error_set(error, RPC_INTERNAL, "the daemon is out of memory");

	*ret_memory = memory;
	return 0;
}
