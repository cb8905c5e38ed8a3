/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From one JSON value to one option's place in memory, by the option's type.
 *
 * A value is checked whole before anything is written, so an option is either set or left as it was. Users and groups
 * may be given by name; names are looked up here, once, and the daemon works with numbers from then on.
 */
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "server/cleanup.h"
#include "server/config_table.h"

/* Enough for any sane entry of the user or group database; a larger one counts as absent. */
#define LOOKUP_BUFFER 65536

#define REPORT_PATH_MAX 256

void config_report_error(const struct config_report *report, const char *path, const char *format, ...)
{
	va_list arguments;
	char message[512];

	va_start(arguments, format);
	(void)vsnprintf(message, sizeof(message), format, arguments);
	va_end(arguments);
	report->error(report->opaque, path, message);
}

static int parse_path(const char *path, bool optional, const json_t *value, char *ret_text,
		      const struct config_report *report)
{
	const char *text = json_string_value(value);

	if (!text || (text[0] != '/' && !(optional && text[0] == '\0'))) {
		config_report_error(report, path, "must be an absolute path%s", optional ? ", or \"\" for none" : "");
		return -EINVAL;
	}
	if (json_string_length(value) != strlen(text)) {
		config_report_error(report, path, "must not contain a zero byte");
		return -EINVAL;
	}
	if (strlen(text) >= CONFIG_PATH_MAX) {
		config_report_error(report, path, "must be shorter than %d bytes", CONFIG_PATH_MAX);
		return -EINVAL;
	}

	/* The bytes after the text, too: config_reload() compares whole options. */
	memset(ret_text, 0, CONFIG_PATH_MAX);
	(void)snprintf(ret_text, CONFIG_PATH_MAX, "%s", text);
	return 0;
}

static int parse_number(const struct config_option *option, const char *path, const json_t *value, uint32_t *ret_number,
			const struct config_report *report)
{
	json_int_t number = json_integer_value(value);

	if (!json_is_integer(value) || number < option->minimum || number > option->maximum) {
		config_report_error(report, path, "must be a whole number from %u to %u", option->minimum,
				    option->maximum);
		return -EINVAL;
	}

	*ret_number = (uint32_t)number;
	return 0;
}

static int parse_choice(const struct config_option *option, const char *path, const json_t *value, uint32_t *ret_index,
			const struct config_report *report)
{
	const char *text = json_string_value(value);
	char names[128] = "";
	uint32_t i;

	for (i = 0; option->choices[i]; i++) {
		size_t length = strlen(names);

		if (text && !strcmp(text, option->choices[i])) {
			*ret_index = i;
			return 0;
		}
		(void)snprintf(names + length, sizeof(names) - length, "%s\"%s\"", i ? ", " : "", option->choices[i]);
	}

	config_report_error(report, path, "must be one of %s", names);
	return -EINVAL;
}

static int parse_bool(const char *path, const json_t *value, uint32_t *ret_value, const struct config_report *report)
{
	if (!json_is_boolean(value)) {
		config_report_error(report, path, "must be true or false");
		return -EINVAL;
	}

	*ret_value = json_is_true(value);
	return 0;
}

static int parse_mode(const char *path, const json_t *value, uint32_t *ret_mode, const struct config_report *report)
{
	const char *text = json_string_value(value);
	unsigned long mode;
	char *end;

	if (text && *text && strspn(text, "01234567") == strlen(text)) {
		mode = strtoul(text, &end, 8);
		if (mode <= 0777) {
			*ret_mode = (uint32_t)mode;
			return 0;
		}
	}

	config_report_error(report, path, "must be a string of octal digits, at most \"0777\"");
	return -EINVAL;
}

static int look_up_user(const char *name, uint32_t *ret_uid)
{
	cleanup_free char *buffer = malloc(LOOKUP_BUFFER);
	struct passwd entry, *found = NULL;

	if (!buffer)
		return -ENOMEM;
	if (getpwnam_r(name, &entry, buffer, LOOKUP_BUFFER, &found) || !found)
		return -ENOENT;

	*ret_uid = entry.pw_uid;
	return 0;
}

static int look_up_group(const char *name, uint32_t *ret_gid)
{
	cleanup_free char *buffer = malloc(LOOKUP_BUFFER);
	struct group entry, *found = NULL;

	if (!buffer)
		return -ENOMEM;
	if (getgrnam_r(name, &entry, buffer, LOOKUP_BUFFER, &found) || !found)
		return -ENOENT;

	*ret_gid = entry.gr_gid;
	return 0;
}

/* A user's or group's number, or its name. (uint32_t)-1 means "no change" to the kernel, hence is no id. */
static int parse_id(bool is_user, const char *path, const json_t *value, uint32_t *ret_id,
		    const struct config_report *report)
{
	const char *name = json_string_value(value);
	json_int_t number = json_integer_value(value);

	if (json_is_integer(value) && number >= 0 && number < CONFIG_NO_ID) {
		*ret_id = (uint32_t)number;
		return 0;
	}
	if (!name) {
		config_report_error(report, path, "must be a %s name or a number from 0 to %u",
				    is_user ? "user" : "group", CONFIG_NO_ID - 1);
		return -EINVAL;
	}
	if (is_user ? look_up_user(name, ret_id) : look_up_group(name, ret_id)) {
		config_report_error(report, path, "there is no %s named \"%.64s\"", is_user ? "user" : "group", name);
		return -EINVAL;
	}
	return 0;
}

static int parse_ids(bool is_user, const char *path, const json_t *value, struct config_ids *ret_ids,
		     const struct config_report *report)
{
	struct config_ids ids = { 0 };
	char item_path[REPORT_PATH_MAX];
	int error = 0;
	size_t i;

	if (!json_is_array(value) || json_array_size(value) > CONFIG_IDS_MAX) {
		config_report_error(report, path, "must be an array of at most %d entries", CONFIG_IDS_MAX);
		return -EINVAL;
	}

	for (i = 0; i < json_array_size(value); i++) {
		(void)snprintf(item_path, sizeof(item_path), "%s[%zu]", path, i);
		if (parse_id(is_user, item_path, json_array_get(value, i), &ids.items[i], report))
			error = -EINVAL;
	}
	if (error)
		return error;

	ids.count = (uint32_t)json_array_size(value);
	*ret_ids = ids;
	return 0;
}

static const struct config_option *find_shape_option(const char *name)
{
	const struct config_option *option;

	for (option = config_shape_options; option->path; option++)
		if (!strcmp(option->path, name))
			return option;
	return NULL;
}

static int parse_shape_members(const char *path, const json_t *value, struct config_shape *shape,
			       const struct config_report *report)
{
	char member_path[REPORT_PATH_MAX];
	const char *name;
	int error = 0;
	json_t *member;

	json_object_foreach((json_t *)value, name, member) {
		const struct config_option *option = find_shape_option(name);

		(void)snprintf(member_path, sizeof(member_path), "%s.%.64s", path, name);
		if (!option) {
			config_report_error(report, member_path, "unknown key");
			error = -EINVAL;
		} else if (config_parse_value(option, member_path, member, shape, report)) {
			error = -EINVAL;
		}
	}
	return error;
}

static int parse_shape(const char *path, const json_t *value, struct config_shape *ret_shape,
		       const struct config_report *report)
{
	const struct config_option *option;
	char member_path[REPORT_PATH_MAX];
	struct config_shape shape = { 0 };
	int error;

	if (!json_is_object(value)) {
		config_report_error(report, path, "must be an object");
		return -EINVAL;
	}

	error = parse_shape_members(path, value, &shape, report);
	for (option = config_shape_options; option->path; option++) {
		cleanup_json json_t *default_value = NULL;

		if (json_object_get(value, option->path))
			continue;
		(void)snprintf(member_path, sizeof(member_path), "%s.%s", path, option->path);
		if (!option->default_text) {
			config_report_error(report, member_path, "missing");
			error = -EINVAL;
			continue;
		}
		default_value = json_loads(option->default_text, JSON_DECODE_ANY, NULL);
		if (config_parse_value(option, member_path, default_value, &shape, report))
			error = -EINVAL;
	}
	if (!error && shape.min > shape.max) {
		(void)snprintf(member_path, sizeof(member_path), "%s.min", path);
		config_report_error(report, member_path, "must not be above max (%u)", shape.max);
		error = -EINVAL;
	}
	if (!error)
		*ret_shape = shape;
	return error;
}

bool config_shape_equal(const struct config_shape *left, const struct config_shape *right)
{
	return left->vcpus == right->vcpus && left->memory_mib == right->memory_mib &&
	       left->cpu_template == right->cpu_template && left->drives == right->drives && left->net == right->net &&
	       left->vsock == right->vsock && left->rng == right->rng && left->balloon == right->balloon &&
	       left->pit_reinject == right->pit_reinject;
}

static int parse_shapes(const char *path, const json_t *value, struct config_shapes *ret_shapes,
			const struct config_report *report)
{
	cleanup_free struct config_shapes *shapes = calloc(1, sizeof(*shapes));
	char item_path[REPORT_PATH_MAX];
	int error = 0;
	uint32_t i, j;

	if (!shapes || !json_is_array(value) || json_array_size(value) > CONFIG_SHAPES_MAX) {
		config_report_error(report, path, "must be an array of at most %d shapes", CONFIG_SHAPES_MAX);
		return -EINVAL;
	}

	shapes->count = (uint32_t)json_array_size(value);
	for (i = 0; i < shapes->count; i++) {
		(void)snprintf(item_path, sizeof(item_path), "%s[%u]", path, i);
		if (parse_shape(item_path, json_array_get(value, i), &shapes->items[i], report)) {
			error = -EINVAL;
			continue;
		}
		for (j = 0; j < i; j++)
			if (config_shape_equal(&shapes->items[i], &shapes->items[j])) {
				config_report_error(report, item_path, "is the same shape as entry %u", j);
				error = -EINVAL;
			}
	}
	if (!error)
		*ret_shapes = *shapes;
	return error;
}

int config_parse_value(const struct config_option *option, const char *path, const json_t *value, void *base,
		       const struct config_report *report)
{
	void *place = (char *)base + option->offset;

	switch (option->type) {
	case CONFIG_PATH:
	case CONFIG_OPTIONAL_PATH:
		return parse_path(path, option->type == CONFIG_OPTIONAL_PATH, value, place, report);
	case CONFIG_NUMBER:
		return parse_number(option, path, value, place, report);
	case CONFIG_CHOICE:
		return parse_choice(option, path, value, place, report);
	case CONFIG_BOOL:
		return parse_bool(path, value, place, report);
	case CONFIG_MODE:
		return parse_mode(path, value, place, report);
	case CONFIG_OPTIONAL_GROUP:
		if (json_is_string(value) && json_string_length(value) == 0) {
			*(uint32_t *)place = CONFIG_NO_ID;
			return 0;
		}
		return parse_id(false, path, value, place, report);
	case CONFIG_USER:
	case CONFIG_GROUP:
		return parse_id(option->type == CONFIG_USER, path, value, place, report);
	case CONFIG_USERS:
	case CONFIG_GROUPS:
		return parse_ids(option->type == CONFIG_USERS, path, value, place, report);
	case CONFIG_SHAPES:
		return parse_shapes(path, value, place, report);
	case CONFIG_TYPE_COUNT:
		break;
	}
	return -EINVAL;
}
