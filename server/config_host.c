/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What only the host can tell of a configuration.
 *
 * Sockets and the state folder are made where there are none, with one folder above a socket at most: so something must be there
 * to make them in. A daemon that runs with the same configuration is no error here, since a configuration is checked
 * before a reload.
 */
#include "server/config_host.h"

#include <errno.h>
#include <grp.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include "server/config_table.h"

#define MIB UINT64_C(1048576)

/* ---- folders ---- */

/* Cut the last part of a path. Returns whether there is anything left above it. */
static bool cut_last(char *path)
{
	char *slash = strrchr(path, '/');

	if (!slash || path[1] == '\0')
		return false;
	slash[slash == path] = '\0';
	return true;
}

/* A folder that is there, or can be made in the one above it. */
static int check_folder(const struct config_report *report, const char *option, const char *folder, bool made_later)
{
	char above[CONFIG_PATH_MAX];
	struct stat status;

	if (stat(folder, &status) == 0) {
		if (!S_ISDIR(status.st_mode)) {
			config_report_error(report, option, "%s is not a folder", folder);
			return -EINVAL;
		}
		if (access(folder, W_OK | X_OK)) {
			config_report_error(report, option, "nothing can be made in the folder %s: %s", folder,
					    strerrordesc_np(errno));
			return -EINVAL;
		}
		return 0;
	}
	if (errno != ENOENT || !made_later) {
		config_report_error(report, option, "the folder %s cannot be used: %s", folder, strerrordesc_np(errno));
		return -EINVAL;
	}

	(void)snprintf(above, sizeof(above), "%s", folder);
	while (strlen(above) > 1 && above[strlen(above) - 1] == '/')
		above[strlen(above) - 1] = '\0';
	return cut_last(above) ? check_folder(report, option, above, false) : 0; // NOLINT(misc-no-recursion): once
}

/* ---- sockets ---- */

static int check_socket(const struct config_report *report, const char *option, const char *path, size_t reserved)
{
	char folder[CONFIG_PATH_MAX];
	struct stat status;

	(void)snprintf(folder, sizeof(folder), "%s", path);
	if (strlen(path) > SOCKET_PATH_MAX) {
		config_report_error(report, option, "a socket's path has at most %d bytes, this one has %zu",
				    SOCKET_PATH_MAX, strlen(path));
		return -EINVAL;
	}
	if (!cut_last(folder))
		return 0;
	if (strlen(folder) + reserved > SOCKET_PATH_MAX) {
		config_report_error(report, option,
				    "the folder of the socket has at most %zu bytes, so that the sockets of vsocks fit "
				    "in it; this one has %zu",
				    SOCKET_PATH_MAX - reserved, strlen(folder));
		return -EINVAL;
	}
	if (lstat(path, &status) == 0 && !S_ISSOCK(status.st_mode)) {
		config_report_error(report, option, "%s exists and is not a socket", path);
		return -EINVAL;
	}
	return check_folder(report, option, folder, true);
}

/* ---- users and groups ---- */

static bool may_give_group(uint32_t gid)
{
	gid_t groups[1024];
	int count = getgroups(1024, groups);

	if (geteuid() == 0 || gid == getegid())
		return true;
	for (int i = 0; i < count; i++)
		if (groups[i] == gid)
			return true;
	return false;
}

static int check_identities(const struct config *config, const struct config_report *report)
{
	int error = 0;

	if (geteuid() == 0 && config->worker_uid == 0) {
		config_report_error(report, "worker.user", "must not be root: workers give up all privileges");
		error = -EINVAL;
	}
	if (geteuid() == 0 && config->worker_gid == 0) {
		config_report_error(report, "worker.group", "must not be root's: workers give up all privileges");
		error = -EINVAL;
	}
	if (config->socket_group != CONFIG_NO_ID && !may_give_group(config->socket_group)) {
		config_report_error(report, "socket_group", "the daemon's user is not in group %u and not root",
				    config->socket_group);
		error = -EINVAL;
	}
	return error;
}

/* ---- memory ---- */

bool config_memory_is_scarce(uint64_t warm_bytes, char *text, size_t size)
{
	struct sysinfo info;
	uint64_t host_bytes;

	if (sysinfo(&info))
		return false;
	host_bytes = (uint64_t)info.totalram * info.mem_unit;
	if (warm_bytes <= host_bytes)
		return false;

	(void)snprintf(text, size,
		       "%" PRIu64 " MiB of guest memory are kept warm, and the host has %" PRIu64
		       " MiB: warm slots only reserve addresses, but not all of them can be used at once",
		       warm_bytes / MIB, host_bytes / MIB);
	return true;
}

static void check_memory(const struct config *config, const struct config_report *report)
{
	uint64_t warm_bytes = 0;
	char text[256];

	for (uint32_t i = 0; i < config->shapes.count; i++)
		warm_bytes += config->shapes.items[i].min * MIB * config->shapes.items[i].memory_mib;
	if (report->warning && config_memory_is_scarce(warm_bytes, text, sizeof(text)))
		report->warning(report->opaque, "pool.shapes", text);
}

int config_check_host(const struct config *config, const struct config_report *report)
{
	int error = 0;

	if (check_socket(report, "socket", config->socket_path, VSOCK_DEFAULT_PATH_MAX))
		error = -EINVAL;
	if (config->http_socket_path[0] && check_socket(report, "http_socket", config->http_socket_path, 0))
		error = -EINVAL;
	if (check_folder(report, "state_dir", config->state_dir, true))
		error = -EINVAL;
	if (check_identities(config, report))
		error = -EINVAL;
	check_memory(config, report);
	return error;
}
