/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The configuration as a whole: defaults, a file laid over them, flags laid over that, and what a reload may change.
 *
 * A file is one JSON object; dots in an option's path are nested objects there. A key that is no option and leads to
 * none is an error: a misspelt limit must not silently be no limit.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "server/cleanup.h"
#include "server/config.h"
#include "server/config_table.h"
#include "snapshot/json_value.h"

#define PATH_TEXT_MAX 256

static const struct config_option *find_option(const char *path)
{
	const struct config_option *option;

	for (option = config_options; option->path; option++)
		if (!strcmp(option->path, path))
			return option;
	return NULL;
}

/* Does any option's path start with this one and a dot? */
static bool leads_to_options(const char *path)
{
	const struct config_option *option;
	size_t length = strlen(path);

	for (option = config_options; option->path; option++)
		if (!strncmp(option->path, path, length) && option->path[length] == '.')
			return true;
	return false;
}

/* Nesting is bounded by the table: only known prefixes are descended into. */
static int apply_object(struct config *config, const char *prefix, const json_t *object, // NOLINT(misc-no-recursion)
			const struct config_report *report)
{
	char path[PATH_TEXT_MAX];
	const char *name;
	int error = 0;
	json_t *value;

	json_object_foreach((json_t *)object, name, value) {
		const struct config_option *option;

		(void)snprintf(path, sizeof(path), "%s%s%.64s", prefix, *prefix ? "." : "", name);
		option = strchr(name, '.') ? NULL : find_option(path);
		if (option) {
			if (config_parse_value(option, path, value, config, report))
				error = -EINVAL;
		} else if (strchr(name, '.') || !leads_to_options(path)) {
			config_report_error(report, path, "unknown key");
			error = -EINVAL;
		} else if (!json_is_object(value)) {
			config_report_error(report, path, "must be an object");
			error = -EINVAL;
		} else if (apply_object(config, path, value, report)) {
			error = -EINVAL;
		}
	}
	return error;
}

int config_apply_json(struct config *config, const json_t *root, const struct config_report *report)
{
	if (!json_is_object(root)) {
		config_report_error(report, "configuration", "must be one JSON object");
		return -EINVAL;
	}

	return apply_object(config, "", root, report);
}

/* A whole regular file of at most CONFIG_FILE_MAX bytes. */
static int read_file(const char *path, char **ret_text, size_t *ret_length)
{
	cleanup_close int file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	cleanup_free char *text = NULL;
	struct stat status;
	size_t length = 0;
	ssize_t got;

	if (file < 0 || fstat(file, &status))
		return -errno;
	if (!S_ISREG(status.st_mode))
		return -EINVAL;
	if (status.st_size > CONFIG_FILE_MAX)
		return -EFBIG;

	text = malloc(CONFIG_FILE_MAX);
	if (!text)
		return -ENOMEM;
	while (length < CONFIG_FILE_MAX) {
		got = read(file, text + length, CONFIG_FILE_MAX - length);
		if (got < 0)
			return -errno;
		if (got == 0)
			break;
		length += (size_t)got;
	}

	*ret_text = steal_pointer(text);
	*ret_length = length;
	return 0;
}

int config_apply_file(struct config *config, const char *path, const struct config_report *report)
{
	cleanup_json json_t *root = NULL;
	cleanup_free char *text = NULL;
	json_error_t problem;
	size_t length = 0;
	int error;

	error = read_file(path, &text, &length);
	if (error) {
		config_report_error(report, path, "cannot be read: %s",
				    error == -EINVAL ? "not a regular file" : strerrordesc_np(-error));
		return error;
	}

	root = json_loadb(text, length, JSON_REJECT_DUPLICATES, &problem);
	if (!root) {
		char why[JSON_ERROR_TEXT_LENGTH];

		error = json_load_failure(&problem, why, sizeof(why));
		config_report_error(report, path, "line %d, column %d: %s", problem.line, problem.column, why);
		return error;
	}
	return config_apply_json(config, root, report);
}

int config_apply_text(struct config *config, const char *option_path, const char *text,
		      const struct config_report *report)
{
	const struct config_option *option = find_option(option_path);
	cleanup_json json_t *value = NULL;

	if (!option)
		return -EINVAL;

	value = json_string(text);
	if (!value) {
		config_report_error(report, option_path, "must be UTF-8");
		return -EINVAL;
	}
	return config_parse_value(option, option_path, value, config, report);
}

static void ignore_report(void *opaque, const char *path, const char *message)
{
	(void)opaque;
	(void)path;
	(void)message;
}

void config_set_defaults(struct config *config)
{
	const struct config_report ignore = { .error = ignore_report };
	const struct config_option *option;

	memset(config, 0, sizeof(*config));
	for (option = config_options; option->path; option++) {
		cleanup_json json_t *value = json_loads(option->default_text, JSON_DECODE_ANY, NULL);

		(void)config_parse_value(option, option->path, value, config, &ignore);
	}

	if (geteuid() != 0)
		config->admin.users.items[config->admin.users.count++] = (uint32_t)geteuid();
}

int config_check(const struct config *config, const struct config_report *report)
{
	uint64_t warm = 0;
	int error = 0;
	uint32_t i;

	if (!strcmp(config->socket_path, config->http_socket_path)) {
		config_report_error(report, "http_socket", "must not be the same path as socket");
		error = -EINVAL;
	}
	if (config->output_drop_bytes <= config->output_pause_bytes) {
		config_report_error(report, "limits.output_drop_bytes", "must be above limits.output_pause_bytes (%u)",
				    config->output_pause_bytes);
		error = -EINVAL;
	}
	if (config->unconfigured_shape.min > config->unconfigured_shape.max) {
		config_report_error(report, "pool.unconfigured.min", "must not be above pool.unconfigured.max (%u)",
				    config->unconfigured_shape.max);
		error = -EINVAL;
	}
	for (i = 0; i < config->shapes.count; i++)
		warm += config->shapes.items[i].min;
	if (warm > config->vms_max) {
		config_report_error(report, "pool.max_vms", "must be at least the sum of all shapes' min (%llu)",
				    (unsigned long long)warm);
		error = -EINVAL;
	}
	return error;
}

void config_reload(struct config *running, const struct config *wanted, const struct config_report *fixed)
{
	const struct config_option *option;

	for (option = config_options; option->path; option++) {
		void *here = (char *)running + option->offset;
		const void *there = (const char *)wanted + option->offset;
		size_t size = config_type_size(option->type);

		if (!memcmp(here, there, size))
			continue;
		if (option->reloadable)
			memcpy(here, there, size);
		else
			config_report_error(fixed, option->path, "changes at the next start only");
	}
}

json_t *config_limits(const struct config *config)
{
	cleanup_json json_t *limits = json_object();
	const struct config_option *option;

	for (option = config_options; option->path; option++) {
		const uint32_t *value = (const void *)((const char *)config + option->offset);

		if (option->limit_name && json_object_set_new(limits, option->limit_name, json_integer(*value)))
			return NULL;
	}
	return steal_pointer(limits);
}

void config_each_option(void (*visit)(void *opaque, const char *path, const char *type, const char *default_text,
				      bool reloadable, const char *help),
			void *opaque)
{
	const struct config_option *option;

	for (option = config_options; option->path; option++)
		visit(opaque, option->path, config_type_name(option->type), option->default_text, option->reloadable,
		      option->help);
}
