/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A result held against the fields that the table gives it: every field there, none besides, each of its type.
 */
#include "proto/method.h"

#include <string.h>

static int check_fields(const struct result_field *fields, const json_t *object, const char *where,
			struct rpc_error *error);

static int mistyped(const struct result_field *field, const char *where, const char *expected, struct rpc_error *error)
{
	return rpc_error_set(error, RPC_INTERNAL_ERROR, "%s of %s must be %s", field->name, where, expected);
}

static bool every_item(const json_t *array, bool (*accept)(const json_t *value))
{
	size_t i;
	json_t *value;

	json_array_foreach((json_t *)array, i, value) {
		if (!accept(value))
			return false;
	}

	return json_is_array(array);
}

static bool every_member(const json_t *object, bool (*accept)(const json_t *value))
{
	const char *name;
	json_t *value;

	json_object_foreach((json_t *)object, name, value) {
		if (!accept(value))
			return false;
	}

	return json_is_object(object);
}

static bool is_string(const json_t *value)
{
	return json_is_string(value);
}

static bool is_integer(const json_t *value)
{
	return json_is_integer(value);
}

static int check_object_array(const struct result_field *field, const json_t *value, const char *where,
			      struct rpc_error *error)
{
	size_t i;
	json_t *item;

	if (!json_is_array(value))
		return mistyped(field, where, "an array of objects", error);

	json_array_foreach((json_t *)value, i, item) {
		int result = check_fields(field->fields, item, field->name, error);

		if (result < 0)
			return result;
	}

	return 0;
}

static int check_field(const struct result_field *field, const json_t *value, const char *where,
		       struct rpc_error *error)
{
	if (!value)
		return field->optional
			       ? 0
			       : rpc_error_set(error, RPC_INTERNAL_ERROR, "%s of %s is missing", field->name, where);
	if (json_is_null(value) && field->nullable)
		return 0;

	switch (field->type) {
	case RESULT_BOOL:
		return json_is_boolean(value) ? 0 : mistyped(field, where, "true or false", error);
	case RESULT_INT:
		return json_is_integer(value) ? 0 : mistyped(field, where, "an integer", error);
	case RESULT_STRING:
		return json_is_string(value) ? 0 : mistyped(field, where, "a string", error);
	case RESULT_OBJECT:
		return check_fields(field->fields, value, field->name, error);
	case RESULT_OBJECT_ARRAY:
		return check_object_array(field, value, where, error);
	case RESULT_STRING_ARRAY:
		return every_item(value, is_string) ? 0 : mistyped(field, where, "an array of strings", error);
	case RESULT_INT_MAP:
		return every_member(value, is_integer) ? 0 : mistyped(field, where, "an object of integers", error);
	}

	return mistyped(field, where, "of a known type", error);
}

static const struct result_field *find_field(const struct result_field *fields, const char *name)
{
	for (; fields->name; fields++)
		if (strcmp(fields->name, name) == 0)
			return fields;

	return NULL;
}

static int check_fields(const struct result_field *fields, const json_t *object, const char *where,
			struct rpc_error *error)
{
	const char *name;
	json_t *value;

	if (!json_is_object(object))
		return rpc_error_set(error, RPC_INTERNAL_ERROR, "%s must be an object", where);
	if (!fields)
		return 0;

	for (const struct result_field *field = fields; field->name; field++) {
		int result = check_field(field, json_object_get(object, field->name), where, error);

		if (result < 0)
			return result;
	}
	json_object_foreach((json_t *)object, name, value) {
		if (!find_field(fields, name))
			return rpc_error_set(error, RPC_INTERNAL_ERROR, "%s of %s is not in the table", name, where);
	}

	return 0;
}

int method_check_result(const struct method *method, const json_t *result, struct rpc_error *error)
{
	return check_fields(method->result, result, method->name, error);
}
