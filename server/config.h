/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The daemon's configuration: defaults, then a JSON file, then flags.
 *
 * One table (config_table.c) names each option with its type, bounds, default and description. It drives the parser,
 * the defaults, `emberd --help`, what a reload may change, and the limits that `server.info` reports.
 */
#ifndef EMBER_SERVER_CONFIG_H
#define EMBER_SERVER_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <jansson.h>

#include "server/log.h"

#define CONFIG_SHAPES_MAX 32
#define CONFIG_IDS_MAX    64
#define CONFIG_PATH_MAX   1024    /* bytes of a file name, the terminating zero included */
#define CONFIG_FILE_MAX   1048576 /* bytes */
#define CONFIG_NO_ID      UINT32_MAX

struct config_shape {
	uint32_t vcpus;
	uint32_t memory_mib;
	uint32_t cpu_template; /* enum cpu_template */
	uint32_t pit_reinject; /* 0 or 1 */
	uint32_t drives;
	uint32_t net;
	uint32_t vsock;
	uint32_t rng;
	uint32_t balloon;
	uint32_t min;
	uint32_t max;
	uint32_t refill_concurrency;
};

/* Are they targets of one shape? */
bool config_shape_equal(const struct config_shape *left, const struct config_shape *right);

struct config_shapes {
	uint32_t count;
	struct config_shape items[CONFIG_SHAPES_MAX];
};

/* Uids or gids. */
struct config_ids {
	uint32_t count;
	uint32_t items[CONFIG_IDS_MAX];
};

struct config_role {
	struct config_ids users;
	struct config_ids groups;
};

struct config {
	char socket_path[CONFIG_PATH_MAX];
	char http_socket_path[CONFIG_PATH_MAX]; /* "": no HTTP */
	char state_dir[CONFIG_PATH_MAX];
	uint32_t socket_mode;
	uint32_t socket_group; /* CONFIG_NO_ID: as the daemon creates it */
	uint32_t worker_uid;
	uint32_t worker_gid;

	struct config_shapes shapes;
	struct config_shape unconfigured_shape; /* targets of a shape that only a request names; vcpus etc. unused */
	uint32_t vms_max;
	uint32_t queue_limit;
	uint32_t reply_timeout_ms;
	uint32_t stop_grace_ms;

	uint32_t connections_max;
	uint32_t open_calls_max; /* of one connection */
	uint32_t line_bytes_max;
	uint32_t nesting_max;
	uint32_t batch_max;
	uint32_t output_pause_bytes; /* unread output of a client beyond which its requests wait */
	uint32_t output_drop_bytes;  /* beyond which it is disconnected */
	uint32_t subscriptions_max;  /* of one connection */
	uint32_t http_body_bytes_max;
	uint32_t http_header_bytes_max;
	uint32_t http_timeout_ms;
	uint32_t file_jobs_max; /* of one peer, waiting */
	uint32_t file_job_ms;   /* until one is given up */

	struct config_role observe;
	struct config_role run;
	struct config_role admin;

	uint32_t log_level;  /* enum log_level */
	uint32_t log_format; /* enum log_format */
	uint32_t drain_timeout_ms;
};

/*
 * Told of each thing wrong: the option's path ("limits.line_bytes", "pool.shapes[1].max", or a file name) and a
 * sentence.
 */
struct config_report {
	void *opaque;
	void (*error)(void *opaque, const char *path, const char *message);
	void (*warning)(void *opaque, const char *path,
			const char *message); /* not wrong, but to be known; NULL: no matter */
};

/* Set every option to its default; the daemon's own uid is admin besides root. */
void config_set_defaults(struct config *config);

/*
 * Apply a parsed configuration. Goes on after an error, so that all of them are reported; options that were right are
 * then set, those that were wrong are not.
 *
 * Returns 0, or -EINVAL when anything was reported.
 */
int config_apply_json(struct config *config, const json_t *root, const struct config_report *report);

/* Read a file and apply it: as above, or -errno of reading it (reported too). Blocks. */
int config_apply_file(struct config *config, const char *path, const struct config_report *report);

/* Set one option from text: a flag's value. Returns 0 or -EINVAL (reported under the path). */
int config_apply_text(struct config *config, const char *option_path, const char *value,
		      const struct config_report *report);

/* What no single option shows: bounds that options set each other. Returns 0 or -EINVAL (reported). */
int config_check(const struct config *config, const struct config_report *report);

/*
 * Copy to `running` what may change while the daemon runs, from `wanted`.
 *
 * fixed  called for each option that differs and needs a restart
 */
void config_reload(struct config *running, const struct config *wanted, const struct config_report *fixed);

/* The limits among the options, as server.info reports them: {"line_bytes": 1048576, ...}. NULL: out of memory. */
json_t *config_limits(const struct config *config);

/* Calls back for each option, in the table's order; default_text is its default as the file would spell it. */
void config_each_option(void (*visit)(void *opaque, const char *path, const char *type, const char *default_text,
				      bool reloadable, const char *help),
			void *opaque);

#endif
