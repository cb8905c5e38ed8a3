/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Validation of parameters against the table, and of results for tests.
 *
 * Four steps, each on what the one before left: parameters by position become parameters by name; each is checked by
 * itself; the rules between them are checked (on what was given, a default counting as the value of an absent one);
 * defaults are filled in, but not those of parameters that a rule excludes here, so that "present" means "of use".
 */
#include "proto/method.h"

#include "proto/cleanup.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static int out_of_memory(struct rpc_error *error)
{
	(void)rpc_error_set(error, RPC_INTERNAL_ERROR, "memory is short");

	return -ENOMEM;
}

/* ---- one value ---- */

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
	}

	return "is of a kind that is not known";
}

static int check_string(const struct param *param, const json_t *value, struct rpc_error *error)
{
	size_t length = json_string_length(value);
	const char *defect;

	if (!json_is_string(value))
		return rpc_error_set_field(error, param->name, "%s must be a string", param->name);
	if (length < (uint64_t)param->minimum || length > (uint64_t)param->maximum)
		return rpc_error_set_field(error, param->name, "%s must have %" PRId64 " to %" PRId64 " bytes, not %zu",
					   param->name, param->minimum, param->maximum, length);

	defect = string_defect(param->kind, json_string_value(value));
	if (defect)
		return rpc_error_set_field(error, param->name, "%s %s", param->name, defect);

	return 0;
}

static int check_int(const struct param *param, const json_t *value, struct rpc_error *error)
{
	json_int_t number = json_integer_value(value);

	if (!json_is_integer(value))
		return rpc_error_set_field(error, param->name, "%s must be an integer", param->name);
	if (number < param->minimum || number > param->maximum)
		return rpc_error_set_field(error, param->name,
					   "%s must be from %" PRId64 " to %" PRId64 ", not %" JSON_INTEGER_FORMAT,
					   param->name, param->minimum, param->maximum, number);

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

static int check_enum(const struct param *param, const json_t *value, struct rpc_error *error)
{
	const char *text = json_string_value(value);
	char values[RPC_MESSAGE_SIZE / 2];

	for (size_t i = 0; text && param->values[i]; i++)
		if (strcmp(param->values[i], text) == 0)
			return 0;

	list_values(param->values, values, sizeof(values));

	return rpc_error_set_field(error, param->name, "%s must be %s%s", param->name,
				   param->type == PARAM_ENUM_ARRAY ? "an array of " : "", values);
}

static int check_enum_array(const struct param *param, const json_t *value, struct rpc_error *error)
{
	size_t count = json_array_size(value);
	int result;

	if (!json_is_array(value))
		return rpc_error_set_field(error, param->name, "%s must be an array of strings", param->name);
	if (count < (uint64_t)param->minimum || count > (uint64_t)param->maximum)
		return rpc_error_set_field(error, param->name, "%s must have %" PRId64 " to %" PRId64 " items, not %zu",
					   param->name, param->minimum, param->maximum, count);

	for (size_t i = 0; i < count; i++) {
		result = check_enum(param, json_array_get(value, i), error);
		if (result < 0)
			return result;
		for (size_t j = 0; j < i; j++)
			if (json_equal(json_array_get(value, i), json_array_get(value, j)))
				return rpc_error_set_field(error, param->name, "%s holds \"%s\" twice", param->name,
							   json_string_value(json_array_get(value, i)));
	}

	return 0;
}

int param_check(const struct param *param, const json_t *value, struct rpc_error *error)
{
	switch (param->type) {
	case PARAM_BOOL:
		if (json_is_boolean(value))
			return 0;
		return rpc_error_set_field(error, param->name, "%s must be true or false", param->name);
	case PARAM_INT:
		return check_int(param, value, error);
	case PARAM_STRING:
		return check_string(param, value, error);
	case PARAM_ENUM:
		return check_enum(param, value, error);
	case PARAM_ENUM_ARRAY:
		return check_enum_array(param, value, error);
	case PARAM_ID:
		if (json_is_string(value) || json_is_number(value))
			return 0;
		return rpc_error_set_field(error, param->name, "%s must be a string or a number", param->name);
	}

	return rpc_error_set(error, RPC_INTERNAL_ERROR, "%s is of a type that is not known", param->name);
}

/* ---- a call's parameters ---- */

static int name_positional(const struct method *method, const json_t *array, json_t *named, struct rpc_error *error)
{
	size_t count = json_array_size(array), most = method_param_count(method);

	if (count > most)
		return rpc_error_set(error, RPC_INVALID_PARAMS, "%s takes at most %zu parameters by position, not %zu",
				     method->name, most, count);

	for (size_t i = 0; i < count; i++) {
		json_t *value = json_array_get(array, i);

		if (!json_is_null(value) && json_object_set(named, method_param(method, i)->name, value) < 0)
			return out_of_memory(error);
	}

	return 0;
}

/* The parameters by name, in an object of our own. Names that the method does not have are refused here. */
static int name_params(const struct method *method, const json_t *params, json_t *named, struct rpc_error *error)
{
	const char *name;
	json_t *value;

	if (json_is_array(params))
		return name_positional(method, params, named, error);
	if (params && !json_is_object(params))
		return rpc_error_set(error, RPC_INVALID_PARAMS, "the parameters must be an object or an array");

	json_object_foreach((json_t *)params, name, value) {
		if (!method_find_param(method, name))
			return rpc_error_set_field(error, name, "%s has no parameter \"%.64s\"", method->name, name);
		if (json_object_set(named, name, value) < 0)
			return out_of_memory(error);
	}

	return 0;
}

static int check_each(const struct method *method, const json_t *named, struct rpc_error *error)
{
	const struct param *param;

	for (size_t i = 0; (param = method_param(method, i)); i++) {
		const json_t *value = json_object_get(named, param->name);
		int result = 0;

		if (value)
			result = param_check(param, value, error);
		else if (param->required)
			result = rpc_error_set_field(error, param->name, "%s is missing", param->name);
		if (result < 0)
			return result;
	}

	return 0;
}

/* Does the condition of a RULE_NEEDED or RULE_ONLY hold: is second given, or has it that value? */
static bool condition_holds(const struct method *method, const struct param_rule *rule, const json_t *named)
{
	const char *given = param_string(named, rule->second);
	const struct param *second = method_find_param(method, rule->second);
	cleanup_json json_t *fallback = NULL;

	if (!rule->value)
		return param_given(named, rule->second);
	if (!given && second && second->default_json) {
		fallback = json_loads(second->default_json, JSON_DECODE_ANY, NULL);
		given = json_string_value(fallback);
	}

	return given && strcmp(given, rule->value) == 0;
}

static int check_rule(const struct method *method, const struct param_rule *rule, const json_t *named,
		      struct rpc_error *error)
{
	bool first = param_given(named, rule->first), second = param_given(named, rule->second);
	const char *is = rule->value ? " is " : " is given", *value = rule->value ? rule->value : "";

	switch (rule->type) {
	case RULE_EXACTLY_ONE:
		if (first != second)
			return 0;
		return rpc_error_set_field(error, rule->first, "%s of %s and %s must be given",
					   first ? "only one" : "one", rule->first, rule->second);
	case RULE_NEEDED:
		if (first || !condition_holds(method, rule, named))
			return 0;
		return rpc_error_set_field(error, rule->first, "%s must be given when %s%s%s", rule->first,
					   rule->second, is, value);
	case RULE_ONLY:
		if (!first || condition_holds(method, rule, named))
			return 0;
		return rpc_error_set_field(error, rule->first, "%s may be given only when %s%s%s", rule->first,
					   rule->second, is, value);
	}

	return 0;
}

static int check_rules(const struct method *method, const json_t *named, struct rpc_error *error)
{
	for (const struct param_rule *rule = method->rules; rule && rule->first; rule++) {
		int result = check_rule(method, rule, named, error);

		if (result < 0)
			return result;
	}

	return 0;
}

/* Does a rule say that the parameter has no place in this call? */
static bool is_excluded(const struct method *method, const struct param *param, const json_t *named)
{
	for (const struct param_rule *rule = method->rules; rule && rule->first; rule++)
		if (rule->type == RULE_ONLY && strcmp(rule->first, param->name) == 0 &&
		    !condition_holds(method, rule, named))
			return true;

	return false;
}

static int fill_defaults(const struct method *method, json_t *named, struct rpc_error *error)
{
	const struct param *param;

	for (size_t i = 0; (param = method_param(method, i)); i++) {
		if (!param->default_json || param_given(named, param->name) || is_excluded(method, param, named))
			continue;
		if (json_object_set_new(named, param->name, json_loads(param->default_json, JSON_DECODE_ANY, NULL)) < 0)
			return out_of_memory(error);
	}

	return 0;
}

int method_validate(const struct method *method, const json_t *params, json_t **ret_params, struct rpc_error *error)
{
	cleanup_json json_t *named = json_object();
	int result;

	if (!named)
		return out_of_memory(error);

	result = name_params(method, params, named, error);
	if (result == 0)
		result = check_each(method, named, error);
	if (result == 0)
		result = check_rules(method, named, error);
	if (result == 0)
		result = fill_defaults(method, named, error);
	if (result < 0)
		return result;

	*ret_params = steal_pointer(named);
	return 0;
}
