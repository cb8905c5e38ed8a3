/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guests are booted from the files that lie beside the program in the outer machine.
 */
#include "daemon.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"

#define INITRD "/ember/guest.cpio"
#define MODULES                                                                              \
	"virtio_ring,virtio,virtio_mmio,virtio-rng,vsock,vmw_vsock_virtio_transport_common," \
	"vmw_vsock_virtio_transport,qemu_fw_cfg,failover,net_failover,virtio_net,virtio_balloon"
#define CMDLINE "console=ttyS0 quiet panic=-1 ember.modules=" MODULES " ember.do=network,agent"

struct ember *daemon_connect(void)
{
	const char *path = getenv("EMBER_SOCKET");
	struct ember *client;
	int result;

	if (!path)
		fail("EMBER_SOCKET is not set");
	result = ember_connect(path, WAIT_MS, &client);
	if (result < 0)
		fail("%s: %s", path, strerror(-result));
	return client;
}

json_t *daemon_call(struct ember *client, const char *method, json_t *params)
{
	struct ember_error error = { 0 };
	json_t *answer = NULL;

	if (ember_call(client, method, params, WAIT_MS, &answer, &error) < 0) {
		char *given = params ? json_dumps(params, 0) : NULL;
		char *data = error.data ? json_dumps(error.data, 0) : NULL;

		fail("expected %s %s to succeed, got: %s %s", method, given ? given : "", error.message,
		     data ? data : "");
	}
	json_decref(params);
	return answer;
}

void daemon_do(struct ember *client, const char *method, json_t *params)
{
	json_decref(daemon_call(client, method, params));
}

const json_t *member(const json_t *object, const char *path)
{
	const json_t *value = object;
	char copy[64], *rest = copy, *name;

	(void)snprintf(copy, sizeof(copy), "%s", path);
	while (value && (name = strsep(&rest, ".")))
		value = json_object_get(value, name);
	if (!value)
		fail("expected a member \"%s\", got %s", path, json_dumps(object, 0));
	return value;
}

const char *member_text(const json_t *object, const char *path)
{
	const json_t *value = member(object, path);

	EXPECT(json_is_string(value), "\"%s\" to be a text, got %s", path, json_dumps(object, 0));
	return json_string_value(value);
}

int64_t member_integer(const json_t *object, const char *path)
{
	const json_t *value = member(object, path);

	EXPECT(json_is_integer(value), "\"%s\" to be a number, got %s", path, json_dumps(object, 0));
	return json_integer_value(value);
}

/* Learn from the answer of vm.boot or vm.restore; drops it. */
static void guest_learn(struct guest *guest, json_t *started)
{
	(void)snprintf(guest->vm, sizeof(guest->vm), "%s", member_text(started, "vm"));
	(void)snprintf(guest->path, sizeof(guest->path), "%s", member_text(started, "vsock.path"));
	guest->cid = member_integer(started, "vsock.cid");
	guest->agent = (struct agent){ .path = guest->path };
	json_decref(started);
}

void guest_boot(struct ember *client, struct guest *ret_guest, json_t *extra, const char *arguments)
{
	char cmdline[1024];
	json_t *params;

	(void)snprintf(cmdline, sizeof(cmdline), CMDLINE " %s", arguments);
	params = json_pack("{s:s, s:s, s:s, s:s, s:i, s:{}, s:{}}", "kernel", "debian", "entry", "pvh", "initrd",
			   INITRD, "cmdline", cmdline, "memory_mib", 128, "vsock", "rng");
	if (!params || (extra && json_object_update(params, extra) < 0))
		fail("no memory");
	json_decref(extra);
	guest_learn(ret_guest, daemon_call(client, "vm.boot", params));
	daemon_do(client, "vm.wait", json_pack("{s:s, s:s}", "vm", ret_guest->vm, "for", "ready"));
}

void guest_restore(struct ember *client, struct guest *ret_guest, const char *snapshot, json_t *extra)
{
	json_t *params = json_pack("{s:s}", "snapshot", snapshot);

	if (!params || (extra && json_object_update(params, extra) < 0))
		fail("no memory");
	json_decref(extra);
	guest_learn(ret_guest, daemon_call(client, "vm.restore", params));
}

void guest_snapshot(struct ember *client, const struct guest *guest, const char *name)
{
	daemon_do(client, "vm.snapshot", json_pack("{s:s, s:s, s:b}", "vm", guest->vm, "name", name, "overwrite", 1));
}

void guest_take_snapshot(void *opaque)
{
	const struct guest_snapshot *snapshot = opaque;

	guest_snapshot(snapshot->client, snapshot->guest, snapshot->name);
}

void guest_release(struct ember *client, const struct guest *guest)
{
	daemon_do(client, "vm.release", json_pack("{s:s}", "vm", guest->vm));
}

pid_t guest_pid(struct ember *client, const struct guest *guest)
{
	json_t *info = daemon_call(client, "vm.info", json_pack("{s:s}", "vm", guest->vm));
	pid_t pid = (pid_t)member_integer(info, "pid");

	json_decref(info);
	return pid;
}

/* How many slots of a shape are warm. */
static int64_t count_warm(struct ember *client, const char *shape)
{
	json_t *status = daemon_call(client, "pool.status", NULL);
	const json_t *shapes = member(status, "shapes");
	int64_t warm = 0;

	for (size_t i = 0; i < json_array_size(shapes); i++) {
		const json_t *item = json_array_get(shapes, i);

		if (strcmp(member_text(item, "shape"), shape) == 0)
			warm = member_integer(item, "warm");
	}
	json_decref(status);
	return warm;
}

void pool_fill(struct ember *client, const struct guest *guest, unsigned int count)
{
	json_t *info = daemon_call(client, "vm.info", json_pack("{s:s}", "vm", guest->vm));
	int64_t deadline = monotonic_ns() + (int64_t)WAIT_MS * 1000000;
	const char *shape = member_text(info, "shape");

	daemon_do(client, "pool.configure",
		  json_pack("{s:I, s:I, s:s, s:i, s:i, s:i, s:i}", "vcpus", (json_int_t)member_integer(info, "vcpus"),
			    "memory_mib", (json_int_t)member_integer(info, "memory_mib"), "cpu_template",
			    member_text(info, "cpu_template"), "min", (int)count, "max", 64, "vsock", 1, "rng", 1));
	while (count_warm(client, shape) < count) {
		if (monotonic_ns() > deadline)
			fail("expected %u warm slots of %s, got %lld", count, shape,
			     (long long)count_warm(client, shape));
		pause_ms(50);
	}
	json_decref(info);
}
