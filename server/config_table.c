/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every option of the configuration, once.
 *
 * Defaults are JSON texts that go through the same parser as a file, so a default out of its own bounds is found by
 * the first test that runs.
 */
#include "server/config_table.h"

#include "kvm/memory.h"
#include "proto/client/ember.h"
#include "proto/device_params.h"

static const char *const log_levels[] = { "debug", "info", "warning", "error", NULL };
static const char *const log_formats[] = { "auto", "json", "text", NULL };
static const char *const cpu_templates[] = { "host", "portable", NULL };

#define KIB 1024U
#define MIB (1024U * 1024U)

_Static_assert((uint64_t)MEMORY_MAX_MIB << 20 == GUEST_MEMORY_SIZE_MAX, "a request may ask for what a VM can have");

/* A number's line. */
#define NUMBER(member, low, high, text)                                                                        \
	.type = CONFIG_NUMBER, .offset = offsetof(struct config, member), .minimum = (low), .maximum = (high), \
	.default_text = (text)
#define VALUE(kind, member, text) .type = (kind), .offset = offsetof(struct config, member), .default_text = (text)
#define SHAPE_NUMBER(member, low, high, text)                                                                        \
	.type = CONFIG_NUMBER, .offset = offsetof(struct config_shape, member), .minimum = (low), .maximum = (high), \
	.default_text = (text)

const struct config_option config_options[] = {
	{ "socket", VALUE(CONFIG_PATH, socket_path, "\"" EMBER_DEFAULT_SOCKET "\""),
	  .help = "Unix socket that serves JSON-RPC" },
	{ "http_socket", VALUE(CONFIG_OPTIONAL_PATH, http_socket_path, "\"/run/ember/http.sock\""),
	  .help = "Unix socket that serves HTTP; \"\" for none" },
	{ "socket_mode", VALUE(CONFIG_MODE, socket_mode, "\"0660\""), .help = "permissions of both sockets, octal" },
	{ "socket_group", VALUE(CONFIG_OPTIONAL_GROUP, socket_group, "\"\""),
	  .help = "group of both sockets; \"\" leaves it as the daemon's" },
	{ "state_dir", VALUE(CONFIG_PATH, state_dir, "\"/var/lib/ember\""),
	  .help = "folder of the snapshot catalog, of snapshots that are given a name only, and of the kernel store" },
	{ "worker.user", VALUE(CONFIG_USER, worker_uid, "65534"),
	  .help = "what workers and the loader run as where the daemon is root" },
	{ "worker.group", VALUE(CONFIG_GROUP, worker_gid, "65534"), .help = "likewise" },

	{ "pool.shapes", VALUE(CONFIG_SHAPES, shapes, "[{\"vcpus\": 1, \"memory_mib\": 128, \"min\": 2, \"max\": 64}]"),
	  .reloadable = true, .help = "what is kept warm; see the members of a shape" },
	{ "pool.unconfigured.min", NUMBER(unconfigured_shape.min, 0, 1024, "0"), .reloadable = true,
	  .help = "slots kept warm of a shape that a request or snapshot brings and pool.shapes does not name" },
	{ "pool.unconfigured.max", NUMBER(unconfigured_shape.max, 1, 1024, "64"), .reloadable = true,
	  .help = "workers of such a shape, those with VMs included" },
	{ "pool.unconfigured.refill_concurrency", NUMBER(unconfigured_shape.refill_concurrency, 1, 64, "2"),
	  .reloadable = true, .help = "workers of such a shape built at one time" },
	{ "pool.max_vms", NUMBER(vms_max, 1, 4096, "256"), .reloadable = true, .limit_name = "vms",
	  .help = "workers of all shapes together, those with VMs included" },
	{ "pool.queue_limit", NUMBER(queue_limit, 0, 65536, "256"), .reloadable = true, .limit_name = "queue",
	  .help = "requests that may wait for a slot" },
	{ "pool.reply_timeout_ms", NUMBER(reply_timeout_ms, 100, 3600000, "30000"), .reloadable = true,
	  .help = "how long a worker that waits for no disk may take over one message before it is killed" },
	{ "pool.stop_grace_ms", NUMBER(stop_grace_ms, 10, 60000, "1000"), .reloadable = true,
	  .help = "how long each step of stopping a worker may take: message, SIGTERM, SIGKILL" },

	{ "limits.connections", NUMBER(connections_max, 1, 65536, "256"), .reloadable = true,
	  .limit_name = "connections", .help = "clients connected at one time, each socket by itself" },
	{ "limits.open_calls", NUMBER(open_calls_max, 1, 65536, "64"), .reloadable = true, .limit_name = "open_calls",
	  .help = "calls of one connection in progress at one time" },
	{ "limits.line_bytes", NUMBER(line_bytes_max, 1024, 64 * MIB, "1048576"), .reloadable = true,
	  .limit_name = "line_bytes", .help = "longest request line, newline not counted; for new connections" },
	{ "limits.nesting", NUMBER(nesting_max, 4, 512, "32"), .reloadable = true, .limit_name = "nesting",
	  .help = "deepest nesting of arrays and objects in a request" },
	{ "limits.batch", NUMBER(batch_max, 1, 65536, "64"), .reloadable = true, .limit_name = "batch",
	  .help = "requests in one batch" },
	{ "limits.output_pause_bytes", NUMBER(output_pause_bytes, 4 * KIB, 256 * MIB, "262144"), .reloadable = true,
	  .limit_name = "output_pause_bytes",
	  .help = "unread answers of one client beyond which its further requests wait" },
	{ "limits.output_drop_bytes", NUMBER(output_drop_bytes, 64 * KIB, 1024 * MIB, "16777216"), .reloadable = true,
	  .limit_name = "output_drop_bytes", .help = "unread answers beyond which a client is disconnected" },
	{ "limits.subscriptions", NUMBER(subscriptions_max, 1, 1024, "8"), .reloadable = true,
	  .limit_name = "subscriptions", .help = "event subscriptions of one connection" },
	{ "limits.http_body_bytes", NUMBER(http_body_bytes_max, 1024, 16 * MIB, "65536"), .reloadable = true,
	  .limit_name = "http_body_bytes", .help = "longest body of an HTTP request" },
	{ "limits.http_header_bytes", NUMBER(http_header_bytes_max, 1024, MIB, "8192"), .reloadable = true,
	  .limit_name = "http_header_bytes", .help = "longest head of an HTTP request" },
	{ "limits.http_timeout_ms", NUMBER(http_timeout_ms, 100, 3600000, "30000"), .reloadable = true,
	  .limit_name = "http_timeout_ms",
	  .help = "how long an HTTP client may take over a request, over reading its answer, and between two requests" },
	{ "limits.file_jobs", NUMBER(file_jobs_max, 1, 65536, "256"), .reloadable = true, .limit_name = "file_jobs",
	  .help = "file jobs of one peer that may wait for a helper" },
	{ "limits.file_job_ms", NUMBER(file_job_ms, 100, 3600000, "60000"), .reloadable = true,
	  .limit_name = "file_job_ms", .help = "how long a file job may run before it is given up" },

	{ "roles.observe.users", VALUE(CONFIG_USERS, observe.users, "[]"), .reloadable = true,
	  .help = "who may look: uids or user names" },
	{ "roles.observe.groups", VALUE(CONFIG_GROUPS, observe.groups, "[]"), .reloadable = true,
	  .help = "likewise: gids or group names" },
	{ "roles.run.users", VALUE(CONFIG_USERS, run.users, "[]"), .reloadable = true,
	  .help = "who may also start and use VMs" },
	{ "roles.run.groups", VALUE(CONFIG_GROUPS, run.groups, "[]"), .reloadable = true, .help = "likewise" },
	{ "roles.admin.users", VALUE(CONFIG_USERS, admin.users, "[0]"), .reloadable = true,
	  .help = "who may do everything; where this is not given, root and the daemon's own user" },
	{ "roles.admin.groups", VALUE(CONFIG_GROUPS, admin.groups, "[]"), .reloadable = true, .help = "likewise" },

	{ "log.level", VALUE(CONFIG_CHOICE, log_level, "\"info\""), .choices = log_levels, .reloadable = true,
	  .help = "the least level that is written" },
	{ "log.format", VALUE(CONFIG_CHOICE, log_format, "\"auto\""), .choices = log_formats, .reloadable = true,
	  .help = "auto: text on a terminal, else JSON" },
	{ "drain_timeout_ms", NUMBER(drain_timeout_ms, 0, 86400000, "30000"), .reloadable = true,
	  .help = "how long SIGTERM waits for VMs to end before they are stopped" },
	{ .path = NULL },
};

const struct config_option config_shape_options[] = {
	{ "vcpus", SHAPE_NUMBER(vcpus, 1, 8, NULL), .help = "virtual CPUs" },
	{ "memory_mib", SHAPE_NUMBER(memory_mib, 1, MEMORY_MAX_MIB, NULL), .help = "guest memory in MiB" },
	{ "cpu_template", .type = CONFIG_CHOICE, .offset = offsetof(struct config_shape, cpu_template),
	  .choices = cpu_templates, .default_text = "\"host\"", .help = "what CPUID the guest sees" },
	{ "pit_reinject", .type = CONFIG_BOOL, .offset = offsetof(struct config_shape, pit_reinject),
	  .default_text = "true",
	  .help = "ticks of the PIT that a guest is late for are raised again; false: dropped, and AMD's AVIC can work" },
	{ "drives", SHAPE_NUMBER(drives, 0, 8, "0"), .help = "disks" },
	{ "net", SHAPE_NUMBER(net, 0, 4, "0"), .help = "network interfaces" },
	{ "vsock", SHAPE_NUMBER(vsock, 0, 1, "0"), .help = "vsock devices" },
	{ "rng", SHAPE_NUMBER(rng, 0, 1, "0"), .help = "sources of entropy; vm.boot gives one to every kernel" },
	{ "balloon", SHAPE_NUMBER(balloon, 0, 1, "0"), .help = "balloons" },
	{ "min", SHAPE_NUMBER(min, 0, 1024, "1"), .help = "slots kept warm" },
	{ "max", SHAPE_NUMBER(max, 1, 1024, "64"), .help = "workers altogether, those with VMs included" },
	{ "refill_concurrency", SHAPE_NUMBER(refill_concurrency, 1, 64, "2"), .help = "workers built at one time" },
	{ .path = NULL },
};

const char *config_type_name(enum config_type type)
{
	static const char *const names[CONFIG_TYPE_COUNT] = {
		[CONFIG_PATH] = "absolute path",
		[CONFIG_OPTIONAL_PATH] = "absolute path or \"\"",
		[CONFIG_NUMBER] = "number",
		[CONFIG_CHOICE] = "word",
		[CONFIG_BOOL] = "true or false",
		[CONFIG_MODE] = "octal string",
		[CONFIG_USER] = "user name or uid",
		[CONFIG_GROUP] = "group name or gid",
		[CONFIG_OPTIONAL_GROUP] = "group name, gid or \"\"",
		[CONFIG_USERS] = "list of user names or uids",
		[CONFIG_GROUPS] = "list of group names or gids",
		[CONFIG_SHAPES] = "list of shapes",
	};

	return names[type];
}

size_t config_type_size(enum config_type type)
{
	switch (type) {
	case CONFIG_PATH:
	case CONFIG_OPTIONAL_PATH:
		return CONFIG_PATH_MAX;
	case CONFIG_USERS:
	case CONFIG_GROUPS:
		return sizeof(struct config_ids);
	case CONFIG_SHAPES:
		return sizeof(struct config_shapes);
	default:
		return sizeof(uint32_t);
	}
}
