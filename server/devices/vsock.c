/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A vsock's side on the host: a CID that no other VM of this daemon has, a socket that listens for who wants to reach the
 * guest, and sockets beside it that the guest reaches by their port.
 *
 *	PATH         whoever connects says "CONNECT PORT" and is put through to that port of the guest's, by the worker
 *	PATH_PORT    where the guest is put through to when it connects to that port of the host's, by a helper: a worker
 *	             opens nothing
 *
 * The socket has the mode and the group of the daemon's own: who may start VMs may speak to them.
 */
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "devices/virtio/vsock/vsock.h"
#include "proto/method.h"
#include "proto/reason.h"
#include "server/cleanup.h"
#include "server/devices/private.h"
#include "server/jobs/functions.h"
#include "server/jobs/jobs.h"
#include "server/server.h"

#define VSOCK_FOLDER "vsock"
#define CID_MAX      (UINT32_MAX - 1)
#define PORT_SUFFIX  "_4294967295" /* the longest */
#define BACKLOG      128

_Static_assert(sizeof(((struct sockaddr_un *)NULL)->sun_path) == VSOCK_PATH_SIZE, "a path fits an address");

static bool is_taken(const struct devices *asking, uint32_t cid)
{
	const struct devices *devices;

	LIST_FOREACH(devices, &asking->server->devices, link)
		if (devices != asking && devices->pool.has_vsock && devices->pool.vsock.cid == cid)
			return true;
	return false;
}

/* A free one, from a random place on: who comes after a VM does not find its CID again by chance. */
static int choose_cid(const struct devices *asking, uint32_t *ret_cid)
{
	uint32_t cid;

	if (getrandom(&cid, sizeof(cid), 0) != sizeof(cid))
		return -EIO;
	cid = VSOCK_CID_MIN + cid % (CID_MAX - VSOCK_CID_MIN + 1);
	/* There are more of them than there can be VMs. */
	while (is_taken(asking, cid))
		cid = cid == CID_MAX ? VSOCK_CID_MIN : cid + 1;

	*ret_cid = cid;
	return 0;
}

static int plan_cid(struct devices *devices, const json_t *vsock, struct rpc_error *error)
{
	uint32_t cid = (uint32_t)param_int(vsock, "cid", 0);
	int failed;

	if (cid == 0 && choose_cid(devices, &cid))
		return rpc_error_set(error, RPC_INTERNAL, "no CID could be chosen");
	if (is_taken(devices, cid)) {
		failed = rpc_error_set(error, RPC_ALREADY_EXISTS, "another VM has the CID %" PRIu32, cid);
		rpc_error_add_field(error, "vsock.cid");
		return failed;
	}

	devices->pool.vsock.cid = cid;
	devices->pool.has_vsock = true;
	return 0;
}

/* vsock/CID.sock beside the daemon's own socket: whoever reaches that one reaches this. */
static int default_path(const struct devices *devices, char *path, size_t size)
{
	const char *own = devices->server->config.socket_path;
	const char *slash = strrchr(own, '/');

	return snprintf(path, size, "%.*s/" VSOCK_FOLDER "/%" PRIu32 ".sock", (int)(slash - own), own,
			devices->pool.vsock.cid);
}

void devices_sweep(const struct server *server)
{
	const char *own = server->config.socket_path, *slash = strrchr(own, '/');
	struct unix_listener *listener;
	struct error_detail detail;
	char path[CONFIG_PATH_MAX + NAME_MAX];
	const struct dirent *entry;
	DIR *folder;

	(void)snprintf(path, sizeof(path), "%.*s/" VSOCK_FOLDER, (int)(slash - own), own);
	folder = opendir(path);
	if (!folder)
		return;
	while ((entry = readdir(folder)) != NULL) {
		const char *suffix = strrchr(entry->d_name, '.');

		if (!suffix || strcmp(suffix, ".sock") != 0)
			continue;
		(void)snprintf(path, sizeof(path), "%.*s/" VSOCK_FOLDER "/%s", (int)(slash - own), own, entry->d_name);
		/* A stale one is replaced, and then removed as our own; one that is served is left alone. */
		if (unix_listener_open(path, 0, CONFIG_NO_ID, &listener, &detail) == 0)
			(void)unix_listener_close(listener);
	}
	(void)closedir(folder);
}

int vsock_plan(struct devices *devices, struct rpc_error *error)
{
	json_t *vsock = json_object_get(devices->record, "vsock");
	const char *wanted = param_string(vsock, "path");
	int length, failed;

	if (!vsock)
		return 0;
	failed = plan_cid(devices, vsock, error);
	if (failed)
		return failed;

	/* There is room for any CID in the default path: config_check_host() has seen to it. */
	length = wanted ? snprintf(devices->vsock_path, VSOCK_PATH_SIZE, "%s", wanted)
			: default_path(devices, devices->vsock_path, VSOCK_PATH_SIZE);
	if (length < 0 || (size_t)length + sizeof(PORT_SUFFIX) > VSOCK_PATH_SIZE) {
		failed = rpc_error_set(
			error, RPC_INVALID_ARGUMENT,
			"the vsock's path must have at most %zu bytes, so that a port fits after it; it has %d",
			VSOCK_PATH_SIZE - sizeof(PORT_SUFFIX), length);
		rpc_error_add_field(error, "vsock.path");
		return failed;
	}
	if (json_object_set_new(vsock, "cid", json_integer(devices->pool.vsock.cid)) ||
	    json_object_set_new(vsock, "path", json_string(devices->vsock_path)))
		return rpc_error_set(error, RPC_INTERNAL, "the daemon is out of memory");
	return 0;
}

int vsock_open(struct devices *devices, struct rpc_error *error)
{
	const struct config *config = &devices->server->config;
	struct error_detail detail = { "" };
	int failed;

	if (!devices->pool.has_vsock)
		return 0;
	failed = unix_listener_open(devices->vsock_path, config->socket_mode, config->socket_group, &devices->listener,
				    &detail);
	if (!failed && listen(unix_listener_fd(devices->listener), BACKLOG)) {
		error_detail_set(&detail, "cannot listen: %s", strerrordesc_np(errno));
		failed = -errno;
	}
	if (failed) {
		(void)rpc_error_set_errno(error, DEED_LISTEN_PATH, failed, detail.text);
		rpc_error_add_field(error, "vsock.path");
		return failed;
	}

	devices->pool.vsock.listener = unix_listener_fd(devices->listener);
	return 0;
}

void vsock_close(struct devices *devices)
{
	devices->listener = unix_listener_close(devices->listener);
	devices->pool.vsock.listener = -1;
}

json_t *devices_vsock_json(const struct devices *devices)
{
	if (!devices->pool.has_vsock)
		return json_null();
	return json_pack("{s:I, s:s}", "cid", (json_int_t)devices->pool.vsock.cid, "path", devices->vsock_path);
}

/* In a helper. */
int job_connect(const json_t *input, int *files, uint32_t file_count, struct job_answer *answer)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	const char *path = param_string(input, "path");
	cleanup_close int file = -1;

	(void)files;
	(void)file_count;
	if (!path || strlen(path) >= sizeof(address.sun_path))
		return -ENAMETOOLONG;
	memcpy(address.sun_path, path, strlen(path));
	file = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (file < 0 || connect(file, (const struct sockaddr *)&address, sizeof(address)))
		return -errno;

	answer->files[answer->file_count++] = steal_fd(&file);
	return 0;
}

int devices_connect(const struct devices *devices, uint32_t port,
		    void (*done)(void *opaque, const struct job_result *result), void *opaque)
{
	char path[VSOCK_PATH_SIZE + sizeof(PORT_SUFFIX)];
	struct job_request request = {
		.kind = JOB_CONNECT,
		/* Guests ask for it: a lane of their own. */
		.owner = devices->server->config.worker_uid,
		.path = devices->vsock_path,
		.done = done,
		.opaque = opaque,
	};

	if (!devices->pool.has_vsock)
		return -ENOTCONN;
	(void)snprintf(path, sizeof(path), "%s_%" PRIu32, devices->vsock_path, port);
	request.input = json_pack("{s:s}", "path", path);
	return jobs_submit(devices->server->jobs, &request, NULL);
}
