/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One row a limit: what the daemon needs of it, by the configuration, and what happens where it is less.
 *
 * The need is an estimate from below: with less than that, what is configured cannot be had. It is no reason not to
 * start, since a pool need not be full.
 */
#include "server/process_limits.h"

#include <stdint.h>
#include <sys/resource.h>

#include "server/log.h"

#define MIB UINT64_C(1048576)

/* The daemon's own, and a channel and a pidfd for each worker; a socket for each client. */
static uint64_t files_needed(const struct config *config)
{
	return 64 + 2 * (uint64_t)config->vms_max + 2 * (uint64_t)config->connections_max;
}

/* The largest guest that is configured. */
static uint64_t largest_guest(const struct config *config)
{
	uint64_t largest = 0;

	for (uint32_t i = 0; i < config->shapes.count; i++)
		if (config->shapes.items[i].memory_mib > largest)
			largest = config->shapes.items[i].memory_mib;
	return largest * MIB;
}

/* A worker reserves its guest's memory; what else it maps is little. */
static uint64_t addresses_needed(const struct config *config)
{
	return largest_guest(config) + 256 * MIB;
}

/* A worker with one vCPU has two threads. Counted by user, where that is not root. */
static uint64_t processes_needed(const struct config *config)
{
	return 8 + 2 * (uint64_t)config->vms_max;
}

static uint64_t any(const struct config *config)
{
	(void)config;
	return RLIM_INFINITY;
}

static const struct limit_row {
	__rlimit_resource_t resource;
	const char *name;
	uint64_t (*needed)(const struct config *config); /* NULL: raised, and never told of */
	const char *consequence;
} rows[] = {
	{ RLIMIT_NOFILE, "RLIMIT_NOFILE", files_needed,
	  "fewer VMs and clients than pool.max_vms and limits.connections allow can be served" },
	{ RLIMIT_NPROC, "RLIMIT_NPROC", processes_needed, "fewer workers than pool.max_vms allows can be forked" },
	{ RLIMIT_FSIZE, "RLIMIT_FSIZE", largest_guest, "snapshots with more memory than that cannot be kept" },
	{ RLIMIT_AS, "RLIMIT_AS", addresses_needed, "workers of the largest shape cannot be built" },
	{ RLIMIT_DATA, "RLIMIT_DATA", addresses_needed, "workers of the largest shape cannot be built" },
	{ RLIMIT_CPU, "RLIMIT_CPU", any, "the kernel ends the daemon when it has used so many seconds" },
	{ RLIMIT_MEMLOCK, "RLIMIT_MEMLOCK", NULL, NULL },
	{ RLIMIT_SIGPENDING, "RLIMIT_SIGPENDING", NULL, NULL },
};

static void raise_limit(const struct limit_row *row, const struct config *config)
{
	struct rlimit limit;
	uint64_t needed;

	if (getrlimit(row->resource, &limit))
		return;
	if (limit.rlim_cur < limit.rlim_max) {
		limit.rlim_cur = limit.rlim_max;
		(void)setrlimit(row->resource, &limit);
		(void)getrlimit(row->resource, &limit);
	}

	needed = row->needed ? row->needed(config) : 0;
	if (limit.rlim_cur != RLIM_INFINITY && limit.rlim_cur < needed)
		log_warning("a limit of the process is low", log_text("limit", row->name),
			    log_number("value", (int64_t)limit.rlim_cur),
			    needed == RLIM_INFINITY ? log_text("needed", NULL) : log_number("needed", (int64_t)needed),
			    log_text("detail", row->consequence));
}

void process_limits_raise(const struct config *config)
{
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		raise_limit(&rows[i], config);
}
