/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shapes with devices are kept warm as any, and a balloon answers for the guest's memory.
 */
#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "device_steps.h"
#include "guest.h"

#define SHAPES                                                                                                \
	"{\"pool\": {\"shapes\": [{\"vcpus\": 1, \"memory_mib\": 16, \"min\": 1, \"drives\": 1, \"rng\": 1}," \
	"{\"vcpus\": 1, \"memory_mib\": 16, \"min\": 1}]}}"

GUEST_IMAGE(virtio_use);

DAEMON_AND_CLIENT(SHAPES);

/* The row of pool.status with this name, or NULL. */
static json_t *shape_row(const char *name)
{
	json_t *status = call(client, "pool.status", NULL), *found = NULL, *row;
	size_t i;

	json_array_foreach(json_object_get(status, "shapes"), i, row)
		if (!strcmp(text_at(row, "shape"), name))
			found = json_incref(row);
	json_decref(status);
	return found;
}

DAEMON_TEST(device_shapes, are_kept_warm_by_the_configuration)
{
	const char *disk = path_in(&daemon_under_test, "disk");
	json_t *started, *row;

	write_disk(disk);
	pool_settle(client, 2, 0);
	row = shape_row("1x16-host+1d+rng");
	cr_assert_not_null(row);
	cr_expect_eq(int_at(row, "drives"), 1);
	cr_expect_eq(int_at(row, "rng"), 1);
	cr_expect_eq(int_at(row, "net"), 0);
	cr_expect_eq(int_at(row, "warm"), 1);
	json_decref(row);

	started = boot_image(&daemon_under_test, client, virtio_use_image, virtio_use_image_size,
			     json_pack("{s:[{s:s, s:s}], s:{}, s:s}", "drives", "path", disk, "serial", "test", "rng",
				       "temperature", "warm"));
	cr_expect_str_eq(text_at(started, "temperature"), "warm");
	wait_event(client, text_at(started, "vm"), 1, 1);
	json_decref(started);
	/* The slot of the other shape is none for it. */
	refused(client, RPC_POOL_EXHAUSTED, NULL, "vm.boot", "{s:i, s:s, s:{}}", "memory_mib", 16, "temperature",
		"warm", "vsock");
}

DAEMON_TEST(device_shapes, are_kept_warm_by_a_request)
{
	json_t *row = call(client, "pool.configure", "{s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:i}", "vcpus", 2,
			   "memory_mib", 32, "min", 1, "drives", 8, "net", 4, "vsock", 1, "rng", 1, "balloon", 1);

	cr_expect_str_eq(text_at(row, "shape"), "2x32-host+8d+4n+vsock+rng+balloon");
	cr_expect_eq(int_at(row, "min"), 1);
	json_decref(row);
	pool_settle(client, 3, 0);
	refused(client, RPC_INVALID_PARAMS, "drives", "pool.configure", "{s:i, s:i, s:i}", "vcpus", 1, "memory_mib", 16,
		"drives", 9);
	refused(client, RPC_INVALID_PARAMS, "balloon", "pool.configure", "{s:i, s:i, s:i}", "vcpus", 1, "memory_mib",
		16, "balloon", 2);
}

/* A shape of its own in all that names one: in the pool, a request, a snapshot and a clone of it. */
DAEMON_TEST(device_shapes, may_do_without_reinjection_of_the_pit)
{
	json_t *row = call(client, "pool.configure", "{s:i, s:i, s:i, s:b}", "vcpus", 1, "memory_mib", 16, "min", 1,
			   "pit_reinject", 0),
	       *started, *snapshot;

	cr_expect_str_eq(text_at(row, "shape"), "1x16-host+no-pit-reinject");
	json_decref(row);
	row = shape_row("1x16-host+no-pit-reinject");
	cr_assert_not_null(row);
	json_decref(row);
	started = call(client, "vm.boot", "{s:i, s:b}", "memory_mib", 16, "pit_reinject", 0);
	cr_expect_str_eq(text_at(started, "shape"), "1x16-host+no-pit-reinject");
	snapshot = call(client, "vm.snapshot", "{s:O, s:s}", "vm", json_object_get(started, "vm"), "name", "quiet");
	json_decref(snapshot);
	json_decref(started);
	snapshot = call(client, "snapshot.inspect", "{s:s}", "name", "quiet");
	cr_expect(json_is_false(json_object_get(snapshot, "pit_reinject")));
	json_decref(snapshot);
	started = call(client, "vm.restore", "{s:s}", "snapshot", "quiet");
	cr_expect_str_eq(text_at(started, "shape"), "1x16-host+no-pit-reinject");
	json_decref(started);
}

DAEMON_TEST(device_shapes, follow_a_reload)
{
	json_t *row;

	pool_settle(client, 2, 0);
	daemon_write_config(&daemon_under_test,
			    "{\"pool\": {\"shapes\": [{\"vcpus\": 1, \"memory_mib\": 16, \"min\": 1, "
			    "\"vsock\": 1}]}}");
	daemon_signal(&daemon_under_test, SIGHUP);
	daemon_wait_log(&daemon_under_test, "configuration reloaded");
	pool_settle(client, 1, 0);
	row = shape_row("1x16-host+vsock");
	cr_assert_not_null(row);
	cr_expect_eq(int_at(row, "warm"), 1);
	json_decref(row);
}

DAEMON_TEST(device_shapes, a_balloon_has_a_target)
{
	json_t *started = call(client, "vm.boot", "{s:i, s:{s:i}}", "memory_mib", 16, "balloon", "target_mib", 2),
	       *told;

	told = call(client, "vm.balloon", "{s:O}", "vm", json_object_get(started, "vm"));
	cr_expect_eq(int_at(told, "target_mib"), 2);
	cr_expect_eq(int_at(told, "actual_mib"), 0, "the demo guest has no driver");
	cr_expect(json_is_null(json_object_get(told, "statistics")));
	json_decref(told);
	told = call(client, "vm.balloon", "{s:O, s:i}", "vm", json_object_get(started, "vm"), "target_mib", 5);
	cr_expect_eq(int_at(told, "target_mib"), 5);
	json_decref(told);
	refused(client, RPC_INVALID_ARGUMENT, "target_mib", "vm.balloon", "{s:O, s:i}", "vm",
		json_object_get(started, "vm"), "target_mib", 17);

	/* A clone's is the one that the snapshot had. */
	perform(client, "vm.snapshot", "{s:O, s:s}", "vm", json_object_get(started, "vm"), "name", "one");
	json_decref(started);
	started = call(client, "vm.restore", "{s:s}", "snapshot", "one");
	told = call(client, "vm.balloon", "{s:O}", "vm", json_object_get(started, "vm"));
	cr_expect_eq(int_at(told, "target_mib"), 5);
	json_decref(told);
	json_decref(started);

	started = call(client, "vm.boot", "{s:i}", "memory_mib", 16);
	refused(client, RPC_FAILED_PRECONDITION, "balloon", "vm.balloon", "{s:O}", "vm",
		json_object_get(started, "vm"));
	json_decref(started);
}

DAEMON_TEST(device_shapes, a_kernel_that_is_not_there)
{
	refused(client, RPC_NOT_FOUND, "kernel", "vm.boot", "{s:s}", "kernel", "debian");
	refused(client, RPC_INVALID_PARAMS, "", "vm.boot", "{s:s, s:s}", "kernel", "debian", "image", "/image");
	refused(client, RPC_INVALID_PARAMS, "cmdline", "vm.boot", "{s:s}", "cmdline", "quiet");
	refused(client, RPC_INVALID_PARAMS, "entry", "vm.boot", "{s:s, s:s}", "image", "/image", "entry", "pvh");
	refused(client, RPC_INVALID_PARAMS, "entry", "vm.boot", "{s:s}", "entry", "long");
}
