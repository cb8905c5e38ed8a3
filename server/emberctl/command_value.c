/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A word of a command line into a parameter's value, by the type that the table gives it.
 *
 * An object's members may be given as "key=value", separated by commas, where a dot reaches into an object within the
 * object. A value that holds a comma is for JSON, which every object may be given in.
 */
#include "emberctl/command_value.h"

#include "emberctl/text.h"
#include "proto/cleanup.h"

#include <errno.h>
#include <libgen.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FILE_TEXT_MAX (1024UL * 1024UL)
#define LABEL_SIZE    64

int command_complain(char *detail, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(detail, COMMAND_DETAIL_SIZE, format, arguments);
	va_end(arguments);
	return -EINVAL;
}

int command_absolute_path(const char *path, char **ret_path)
{
	cleanup_free char *copy_for_folder = NULL, *copy_for_name = NULL, *folder = NULL;
	char *absolute, *slash;

	if (path[0] == '/') {
		*ret_path = strdup(path);
		return *ret_path == NULL ? -ENOMEM : 0;
	}

	copy_for_folder = strdup(path);
	copy_for_name = strdup(path);
	if (copy_for_folder == NULL || copy_for_name == NULL)
		return -ENOMEM;
	folder = realpath(dirname(copy_for_folder), NULL);
	if (folder == NULL) {
		folder = getcwd(NULL, 0);
		if (folder == NULL)
			return -errno;
		slash = copy_for_name;
	} else {
		slash = basename(copy_for_name);
	}
	if (asprintf(&absolute, "%s%s%s", folder, strcmp(folder, "/") == 0 ? "" : "/", slash) < 0)
		return -ENOMEM;
	*ret_path = absolute;
	return 0;
}

/* name: of the file, for detail. *ret_length bytes, which the caller frees. */
static int read_file(FILE *file, const char *name, const char *flag, char **ret_text, size_t *ret_length, char *detail)
{
	cleanup_free char *text = malloc(FILE_TEXT_MAX + 1);

	if (text == NULL)
		return -ENOMEM;
	*ret_length = fread(text, 1, FILE_TEXT_MAX + 1, file);
	if (ferror(file))
		return command_complain(detail, "%s: %s cannot be read", flag, name);
	if (*ret_length > FILE_TEXT_MAX)
		return command_complain(detail, "%s: %s is longer than %lu bytes", flag, name, FILE_TEXT_MAX);
	*ret_text = steal_pointer(text);
	return 0;
}

int command_read_text(const char *flag, json_t **ret_value, char *detail)
{
	cleanup_free char *text = NULL;
	size_t length;
	int result;

	result = read_file(stdin, "standard input", flag, &text, &length, detail);
	if (result < 0)
		return result;
	*ret_value = json_stringn(text, length);
	return *ret_value == NULL ? command_complain(detail, "%s: standard input is not UTF-8", flag) : 0;
}

static int parse_integer(const char *flag, const char *text, json_t **ret_value, char *detail)
{
	long long value;
	char *end;

	errno = 0;
	value = strtoll(text, &end, 10);
	if (end == text || *end != '\0')
		return command_complain(detail, "%s takes a whole number, not \"%s\"", flag, text);
	if (errno == ERANGE)
		return command_complain(detail, "%s: %s is too large a number", flag, text);
	*ret_value = json_integer(value);
	return *ret_value == NULL ? -ENOMEM : 0;
}

static int parse_boolean(const char *flag, const char *text, json_t **ret_value, char *detail)
{
	if (strcmp(text, "true") == 0 || strcmp(text, "yes") == 0)
		*ret_value = json_true();
	else if (strcmp(text, "false") == 0 || strcmp(text, "no") == 0)
		*ret_value = json_false();
	else
		return command_complain(detail, "%s is true or false, not \"%s\"", flag, text);
	return 0;
}

static int parse_list(const char *text, json_t **ret_value)
{
	cleanup_json json_t *list = json_array();
	cleanup_free char *copy = strdup(text);
	char *rest = NULL;

	if (list == NULL || copy == NULL)
		return -ENOMEM;
	for (char *item = strtok_r(copy, ",", &rest); item != NULL; item = strtok_r(NULL, ",", &rest)) {
		if (json_array_append_new(list, json_string(item)) < 0)
			return -ENOMEM;
	}
	*ret_value = json_incref(list);
	return 0;
}

static int parse_text(const char *flag, const char *text, json_t **ret_value, char *detail)
{
	*ret_value = json_string(text);
	return *ret_value == NULL ? command_complain(detail, "%s: the text is not UTF-8", flag) : 0;
}

static int parse_path(const char *flag, const char *text, json_t **ret_value, char *detail)
{
	cleanup_free char *path = NULL;
	int result;

	if (*text == '\0')
		return command_complain(detail, "%s: the path is empty", flag);
	result = command_absolute_path(text, &path);
	if (result < 0)
		return result == -ENOMEM ? result : command_complain(detail, "%s: the current folder is gone", flag);
	return parse_text(flag, path, ret_value, detail);
}

/* An id made of digits is the number: JSON-RPC tells 7 from "7", and numbers are what clients use. */
static int parse_id(const char *flag, const char *text, json_t **ret_value, char *detail)
{
	if (*text != '\0' && text[strspn(text, "0123456789")] == '\0')
		return parse_integer(flag, text, ret_value, detail);
	return parse_text(flag, text, ret_value, detail);
}

/* ---- JSON ---- */

/* flags: of json_loadb(). *ret_used: how many bytes the JSON has. */
static int load_json(const char *flag, const char *text, size_t length, size_t flags, json_t **ret_value,
		     size_t *ret_used, char *detail)
{
	json_error_t error;

	*ret_value = json_loadb(text, length, flags | JSON_REJECT_DUPLICATES, &error);
	if (*ret_value == NULL)
		return command_complain(detail, "%s: not valid JSON: %s", flag, error.text);
	*ret_used = (size_t)error.position;
	return 0;
}

static int parse_json(const char *flag, const char *text, json_t **ret_value, char *detail)
{
	size_t used;

	return load_json(flag, text, strlen(text), 0, ret_value, &used, detail);
}

/* JSON, or "@FILE". */
static int parse_document(const char *flag, const char *text, json_t **ret_value, char *detail)
{
	cleanup_free char *content = NULL;
	size_t length = 0, used;
	FILE *file;
	int result;

	if (text[0] != '@')
		return parse_json(flag, text, ret_value, detail);
	file = fopen(text + 1, "re");
	if (file == NULL)
		return command_complain(detail, "%s: %s: %s", flag, text + 1, strerror(errno));
	result = read_file(file, text + 1, flag, &content, &length, detail);
	fclose(file);
	return result < 0 ? result : load_json(flag, content, length, 0, ret_value, &used, detail);
}

/* ---- objects ---- */

static bool is_json(const char *text)
{
	return *text == '{' || *text == '[';
}

/* The object of that name in an object, made where there is none. NULL where there is no memory. */
static json_t *inner_object(json_t *object, const char *name)
{
	json_t *inner = json_object_get(object, name);

	if (inner != NULL)
		return inner;
	return json_object_set_new(object, name, json_object()) < 0 ? NULL : json_object_get(object, name);
}

/* Where a member goes: "limit.ops_burst" into the object "limit" of an object. */
struct place {
	const struct param *member;
	json_t *object;
};

/* Find the place of a key, whose dots are cut. label: what detail calls the member. */
static int find_place(const struct param *param, const char *label, char *key, json_t *object, struct place *ret_place,
		      char *detail)
{
	const struct param *member;
	char *rest = key;

	for (char *name = strsep(&rest, "."); name != NULL; name = strsep(&rest, ".")) {
		for (member = param->members; member->name != NULL; member++) {
			if (strcmp(member->name, name) == 0)
				break;
		}
		if (member->name == NULL || (rest != NULL && member->type != PARAM_OBJECT))
			return command_complain(detail, "%s: there is no such member", label);
		if (rest != NULL)
			object = inner_object(object, name);
		if (object == NULL)
			return -ENOMEM;
		param = member;
	}
	if (json_object_get(object, param->name) != NULL)
		return command_complain(detail, "%s is given twice", label);
	*ret_place = (struct place){ .member = param, .object = object };
	return 0;
}

/* Where a member's value ends: at the next comma, or where its JSON does. */
static int find_end(const struct param *member, const char *label, const char *text, const char **ret_end, char *detail)
{
	bool may_be_json = member->members != NULL || member->type == PARAM_JSON;
	cleanup_json json_t *value = NULL;
	size_t used = strcspn(text, ",");
	int result;

	if (may_be_json && is_json(text)) {
		result = load_json(label, text, strlen(text), JSON_DISABLE_EOF_CHECK, &value, &used, detail);
		if (result < 0)
			return result;
		if (text[used] != ',' && text[used] != '\0')
			return command_complain(detail, "%s: a comma is missing before \"%s\"", label, text + used);
	}
	*ret_end = text + used;
	return 0;
}

/* start: after the '=', NULL where there is none, which is a yes. *ret_end: after the value. */
static int set_member(const struct place *place, const char *label, const char *start, const char **ret_end,
		      char *detail)
{
	cleanup_free char *text = NULL;
	json_t *value = NULL;
	int result;

	if (start == NULL && place->member->type != PARAM_BOOL)
		return command_complain(detail, "%s needs a value after an equals sign", label);
	if (start != NULL) {
		result = find_end(place->member, label, start, ret_end, detail);
		if (result < 0)
			return result;
	}
	text = start == NULL ? strdup("true") : strndup(start, (size_t)(*ret_end - start));
	if (text == NULL)
		return -ENOMEM;
	result = command_parse_value(place->member, label, text, &value, detail);
	if (result < 0)
		return result;
	return json_object_set_new(place->object, place->member->name, value) < 0 ? -ENOMEM : 0;
}

/* The first "key=value" of a text, or "key" alone. *ret_rest: what follows its comma, NULL after the last. */
static int parse_member(const struct param *param, const char *flag, const char *text, json_t *object,
			const char **ret_rest, char *detail)
{
	size_t length = strcspn(text, "=,");
	cleanup_free char *key = strndup(text, length);
	const char *end = text + length;
	char label[2 * LABEL_SIZE];
	struct place place = { .member = NULL };
	int result;

	if (key == NULL)
		return -ENOMEM;
	snprintf(label, sizeof(label), "%.*s, %.*s", LABEL_SIZE - 2, flag, LABEL_SIZE, key);
	text_replace(key, '-', '_');
	result = find_place(param, label, key, object, &place, detail);
	if (result < 0)
		return result;
	result = set_member(&place, label, *end == '=' ? end + 1 : NULL, &end, detail);
	if (result < 0)
		return result;
	*ret_rest = *end == ',' ? end + 1 : NULL;
	return 0;
}

static int parse_members(const struct param *param, const char *flag, const char *text, json_t **ret_value,
			 char *detail)
{
	cleanup_json json_t *object = json_object();
	const char *rest = *text == '\0' ? NULL : text;
	int result = 0;

	if (object == NULL)
		return -ENOMEM;
	while (rest != NULL && result == 0)
		result = parse_member(param, flag, rest, object, &rest, detail);
	if (result < 0)
		return result;
	*ret_value = steal_pointer(object);
	return 0;
}

static int parse_object(const struct param *param, const char *flag, const char *text, json_t **ret_value, char *detail)
{
	cleanup_json json_t *object = NULL;
	int result;

	if (!is_json(text))
		return parse_members(param, flag, text, ret_value, detail);
	result = parse_json(flag, text, &object, detail);
	if (result < 0)
		return result;
	if (!json_is_object(object))
		return command_complain(detail, "%s is one object, not a list", flag);
	*ret_value = steal_pointer(object);
	return 0;
}

/* One object, or a list of them in JSON: a list either way. */
static int parse_object_array(const struct param *param, const char *flag, const char *text, json_t **ret_value,
			      char *detail)
{
	json_t *object = NULL;
	int result;

	if (*text == '[')
		return parse_json(flag, text, ret_value, detail);
	result = parse_object(param, flag, text, &object, detail);
	if (result < 0)
		return result;
	*ret_value = json_pack("[o]", object);
	return *ret_value == NULL ? -ENOMEM : 0;
}

int command_parse_value(const struct param *param, const char *flag, const char *text, json_t **ret_value, char *detail)
{
	switch (param->type) {
	case PARAM_BOOL:
		return parse_boolean(flag, text, ret_value, detail);
	case PARAM_INT:
		return parse_integer(flag, text, ret_value, detail);
	case PARAM_ENUM_ARRAY:
		return parse_list(text, ret_value);
	case PARAM_ID:
		return parse_id(flag, text, ret_value, detail);
	case PARAM_OBJECT:
		return parse_object(param, flag, text, ret_value, detail);
	case PARAM_OBJECT_ARRAY:
		return parse_object_array(param, flag, text, ret_value, detail);
	case PARAM_JSON:
		return parse_document(flag, text, ret_value, detail);
	case PARAM_ENUM:
	case PARAM_STRING:
		break;
	}
	if (param->type == PARAM_STRING && param->kind == STRING_PATH)
		return parse_path(flag, text, ret_value, detail);
	return parse_text(flag, text, ret_value, detail);
}
