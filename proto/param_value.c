/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One value against its row: its type, its range, what its string must look like.
 *
 * What an object holds is not looked at here: method_validate.c does, by the rows of its members. A path names the value
 * in errors ("drives[1].path"); one that is too long for an error's field is cut there, never refused.
 */
#include "proto/param_value.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

int param_out_of_memory(struct rpc_error *error)
{
	(void)rpc_error_set(error, RPC_INTERNAL_ERROR, "memory is short");

	return -ENOMEM;
}

/* ---- paths ---- */

struct param_path param_member_path(const char *object, const char *member)
{
	struct param_path path;

	(void)snprintf(path.text, sizeof(path.text), "%s%s%s", object ? object : "", object ? "." : "", member);

	return path;
}

struct param_path param_item_path(const char *array, size_t index)
{
	struct param_path path;

	(void)snprintf(path.text, sizeof(path.text), "%s[%zu]", array, index);

	return path;
}

/* ---- strings ---- */

static bool is_name_byte(char byte, bool first)
{
	bool alphanumeric =
		(byte >= 'A' && byte <= 'Z') || (byte >= 'a' && byte <= 'z') || (byte >= '0' && byte <= '9');

	return alphanumeric || (!first && (byte == '.' || byte == '_' || byte == '-'));
}

static bool is_vm_id_byte(char byte, bool first)
{
	return (byte >= 'a' && byte <= 'z') || (byte >= '0' && byte <= '9') || (!first && byte == '-');
}

static bool is_graphic_byte(char byte, bool first)
{
	(void)first;

	return byte > ' ' && byte <= '~';
}

static bool is_cmdline_byte(char byte, bool first)
{
	return byte == ' ' || is_graphic_byte(byte, first);
}

/* What Linux takes for a name (dev_valid_name()), less '%', by which it would make up a name of its own. */
static bool is_interface_byte(char byte, bool first)
{
	return is_graphic_byte(byte, first) && byte != '/' && byte != ':' && byte != '%';
}

static bool every_byte(const char *text, bool (*accept)(char byte, bool first))
{
	for (size_t i = 0; text[i] != '\0'; i++)
		if (!accept(text[i], i == 0))
			return false;

	return true;
}

/* Absolute, without control characters, and without components that would make it name something else than it seems. */
static bool is_clean_path(const char *path)
{
	if (path[0] != '/')
		return false;

	for (const char *component = path; component; component = strchr(component + 1, '/')) {
		size_t length = strcspn(component + 1, "/");

		if ((length == 1 && component[1] == '.') || (length == 2 && strncmp(component + 1, "..", 2) == 0))
			return false;
	}
	for (const char *byte = path; *byte != '\0'; byte++)
		if ((unsigned char)*byte < 0x20 || *byte == 0x7f)
			return false;

	return true;
}

static bool is_interface(const char *name)
{
	return every_byte(name, is_interface_byte) && strcmp(name, ".") != 0 && strcmp(name, "..") != 0;
}

/* The value of a hexadecimal digit, or -1. */
static int hex_digit(char byte)
{
	if (byte >= '0' && byte <= '9')
		return byte - '0';
	if (byte >= 'a' && byte <= 'f')
		return byte - 'a' + 10;

	return byte >= 'A' && byte <= 'F' ? byte - 'A' + 10 : -1;
}

#define MAC_LENGTH (sizeof("02:00:00:00:00:01") - 1)

/* Six octets, of one station (IEEE 802: the first octet's lowest bit is clear), and not the address of none. */
static bool is_station_mac(const char *text)
{
	int any = 0;

	if (strlen(text) != MAC_LENGTH)
		return false;

	for (size_t i = 0; i < MAC_LENGTH; i++) {
		int digit = hex_digit(text[i]);

		if (i % 3 == 2 ? text[i] != ':' : digit < 0)
			return false;
		any |= i % 3 == 2 ? 0 : digit;
	}

	return any != 0 && (hex_digit(text[1]) & 1) == 0;
}

/* What is wrong with a string of a kind, or NULL. */
static const char *string_defect(enum string_kind kind, const char *text)
{
	switch (kind) {
	case STRING_TEXT:
		return NULL;
	case STRING_NAME:
		return every_byte(text, is_name_byte) ? NULL
						      : "must begin with a letter or digit and hold only letters, "
							"digits, '.', '_' and '-'";
	case STRING_PATH:
		return is_clean_path(text) ? NULL
					   : "must be an absolute path without \".\", \"..\" and control characters";
	case STRING_VM_ID:
		return every_byte(text, is_vm_id_byte) ? NULL : "must be a VM's id, such as \"vm-1\"";
	case STRING_MAC:
		return is_station_mac(text) ? NULL : "must be a station's MAC address, such as \"02:00:00:00:00:01\"";
	case STRING_INTERFACE:
		return is_interface(text) ? NULL : "must be a network interface's name, such as \"tap0\"";
	case STRING_PRINTABLE:
		return every_byte(text, is_graphic_byte) ? NULL : "must be printable ASCII without spaces";
	case STRING_CMDLINE:
		return every_byte(text, is_cmdline_byte) ? NULL : "must be printable ASCII";
	}

	return "is of a kind that is not known";
}

/* Is a size within what the row allows? noun: "bytes" */
static int check_size(const struct param *param, const char *path, size_t size, const char *noun,
		      struct rpc_error *error)
{
	if (size >= (uint64_t)param->minimum && size <= (uint64_t)param->maximum)
		return 0;
	if (param->minimum == param->maximum)
		return rpc_error_set_field(error, path, "%s must have %" PRId64 " %s, not %zu", path, param->maximum,
					   noun, size);

	return rpc_error_set_field(error, path, "%s must have %" PRId64 " to %" PRId64 " %s, not %zu", path,
				   param->minimum, param->maximum, noun, size);
}

static int check_string(const struct param *param, const char *path, const json_t *value, struct rpc_error *error)
{
	const char *defect;
	int result;

	if (!json_is_string(value))
		return rpc_error_set_field(error, path, "%s must be a string", path);
	result = check_size(param, path, json_string_length(value), "bytes", error);
	if (result < 0)
		return result;

	defect = string_defect(param->kind, json_string_value(value));
	if (defect)
		return rpc_error_set_field(error, path, "%s %s", path, defect);

	return 0;
}

static int check_int(const struct param *param, const char *path, const json_t *value, struct rpc_error *error)
{
	json_int_t number = json_integer_value(value);

	if (!json_is_integer(value))
		return rpc_error_set_field(error, path, "%s must be an integer", path);
	if (number < param->minimum || number > param->maximum)
		return rpc_error_set_field(error, path,
					   "%s must be from %" PRId64 " to %" PRId64 ", not %" JSON_INTEGER_FORMAT,
					   path, param->minimum, param->maximum, number);

	return 0;
}

/* "real, protected or long" */
static void list_values(const char *const *values, char *ret_text, size_t size)
{
	size_t used = 0;

	ret_text[0] = '\0';
	for (size_t i = 0; values[i] && used < size; i++) {
		const char *separator = i == 0 ? "" : values[i + 1] ? ", " : " or ";
		int written = snprintf(ret_text + used, size - used, "%s%s", separator, values[i]);

		used += written > 0 ? (size_t)written : 0;
	}
}

static int check_enum(const struct param *param, const char *path, const json_t *value, struct rpc_error *error)
{
	const char *text = json_string_value(value);
	char values[RPC_MESSAGE_SIZE / 2];

	for (size_t i = 0; text && param->values[i]; i++)
		if (strcmp(param->values[i], text) == 0)
			return 0;

	list_values(param->values, values, sizeof(values));

	return rpc_error_set_field(error, path, "%s must be %s%s", path,
				   param->type == PARAM_ENUM_ARRAY ? "an array of " : "", values);
}

static int check_enum_array(const struct param *param, const char *path, const json_t *value, struct rpc_error *error)
{
	size_t count = json_array_size(value);
	int result;

	if (!json_is_array(value))
		return rpc_error_set_field(error, path, "%s must be an array of strings", path);
	result = check_size(param, path, count, "items", error);
	if (result < 0)
		return result;

	for (size_t i = 0; i < count; i++) {
		result = check_enum(param, path, json_array_get(value, i), error);
		if (result < 0)
			return result;
		for (size_t j = 0; j < i; j++)
			if (json_equal(json_array_get(value, i), json_array_get(value, j)))
				return rpc_error_set_field(error, path, "%s holds \"%s\" twice", path,
							   json_string_value(json_array_get(value, i)));
	}

	return 0;
}

/* ---- objects ---- */

static int check_object(const char *path, const json_t *value, struct rpc_error *error)
{
	return json_is_object(value) ? 0 : rpc_error_set_field(error, path, "%s must be an object", path);
}

static int check_object_array(const struct param *param, const char *path, const json_t *value, struct rpc_error *error)
{
	size_t count = json_array_size(value);
	int result;

	if (!json_is_array(value))
		return rpc_error_set_field(error, path, "%s must be an array of objects", path);
	result = check_size(param, path, count, "items", error);
	for (size_t i = 0; i < count && result == 0; i++)
		result = check_object(param_item_path(path, i).text, json_array_get(value, i), error);

	return result;
}

/* The size is that of the object's compact text, however the client spaced it. */
static int check_json(const struct param *param, const char *path, const json_t *value, struct rpc_error *error)
{
	int result = check_object(path, value, error);
	size_t size;

	if (result < 0)
		return result;
	size = json_dumpb(value, NULL, 0, JSON_COMPACT);
	if (size == 0)
		return param_out_of_memory(error);

	return check_size(param, path, size, "bytes as compact JSON", error);
}

int param_value_check(const struct param *param, const char *path, const json_t *value, struct rpc_error *error)
{
	switch (param->type) {
	case PARAM_BOOL:
		if (json_is_boolean(value))
			return 0;
		return rpc_error_set_field(error, path, "%s must be true or false", path);
	case PARAM_INT:
		return check_int(param, path, value, error);
	case PARAM_STRING:
		return check_string(param, path, value, error);
	case PARAM_ENUM:
		return check_enum(param, path, value, error);
	case PARAM_ENUM_ARRAY:
		return check_enum_array(param, path, value, error);
	case PARAM_ID:
		if (json_is_string(value) || json_is_number(value))
			return 0;
		return rpc_error_set_field(error, path, "%s must be a string or a number", path);
	case PARAM_OBJECT:
		return check_object(path, value, error);
	case PARAM_OBJECT_ARRAY:
		return check_object_array(param, path, value, error);
	case PARAM_JSON:
		return check_json(param, path, value, error);
	}

	return rpc_error_set(error, RPC_INTERNAL_ERROR, "%s is of a type that is not known", path);
}
