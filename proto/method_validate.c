/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Validation of parameters against the table.
 *
 * Four steps, each on what the one before left: parameters by position become parameters by name; each is checked by
 * itself; the rules between them are checked (on what was given, a default counting as the value of an absent one);
 * defaults are filled in, but not those of parameters that a rule excludes here, so that "present" means "of use".
 *
 * An object among the parameters goes through the same steps with its members for parameters, on a copy that takes its
 * place. The recursion is as deep as the table's rows nest (PARAM_DEPTH_MAX), whatever the client sends.
 */
#include "proto/method.h"

#include "proto/cleanup.h"
#include "proto/param_value.h"

#include <string.h>

/* What is checked together: a call's parameters, or the members of one object among them. */
struct scope {
	const struct method *method;    /* whose parameters these are, where members is NULL */
	const struct param *members;    /* of an object */
	const struct param_rule *rules; /* between them */
	const char *path;               /* of the object, "drives[1]"; NULL: a call's parameters */
};

/* NULL past the last. */
static const struct param *scope_param(const struct scope *scope, size_t index)
{
	if (scope->members)
		return scope->members[index].name ? &scope->members[index] : NULL;

	return method_param(scope->method, index);
}

static const struct param *scope_find_param(const struct scope *scope, const char *name)
{
	const struct param *param;

	for (size_t i = 0; (param = scope_param(scope, i)); i++)
		if (strcmp(param->name, name) == 0)
			return param;

	return NULL;
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
			return param_out_of_memory(error);
	}

	return 0;
}

/* The parameters by name, in an object of our own. */
static int name_params(const struct method *method, const json_t *params, json_t *named, struct rpc_error *error)
{
	if (json_is_array(params))
		return name_positional(method, params, named, error);
	if (params && !json_is_object(params))
		return rpc_error_set(error, RPC_INVALID_PARAMS, "the parameters must be an object or an array");
	if (params && json_object_update(named, (json_t *)params) < 0)
		return param_out_of_memory(error);

	return 0;
}

/* ---- each by itself ---- */

static int check_value(const struct param *param, const char *path, const json_t *value, json_t **ret_value,
		       struct rpc_error *error);

static int check_names(const struct scope *scope, const json_t *named, struct rpc_error *error)
{
	const char *name;
	json_t *value;

	json_object_foreach((json_t *)named, name, value) {
		if (scope_find_param(scope, name))
			continue;
		if (scope->path)
			return rpc_error_set_field(error, param_member_path(scope->path, name).text,
						   "%s has no member \"%.64s\"", scope->path, name);
		return rpc_error_set_field(error, name, "%s has no parameter \"%.64s\"", scope->method->name, name);
	}

	return 0;
}

/* Check each that is given; an object among them is replaced by its copy with defaults. */
static int check_each(const struct scope *scope, json_t *named, struct rpc_error *error)
{
	const struct param *param;

	for (size_t i = 0; (param = scope_param(scope, i)); i++) {
		const json_t *value = json_object_get(named, param->name);
		struct param_path path = param_member_path(scope->path, param->name);
		json_t *checked = NULL;
		int result;

		if (!value && param->required)
			return rpc_error_set_field(error, path.text, "%s is missing", path.text);
		if (!value)
			continue;
		result = check_value(param, path.text, value, &checked, error);
		if (result < 0)
			return result;
		if (json_object_set_new(named, param->name, checked) < 0)
			return param_out_of_memory(error);
	}

	return 0;
}

/* ---- rules and defaults ---- */

/* Does the condition of a RULE_NEEDED or RULE_ONLY hold: is second given, or has it that value? */
static bool condition_holds(const struct scope *scope, const struct param_rule *rule, const json_t *named)
{
	const char *given = param_string(named, rule->second);
	const struct param *second = scope_find_param(scope, rule->second);
	cleanup_json json_t *fallback = NULL;

	if (!rule->value)
		return param_given(named, rule->second);
	if (!given && second && second->default_json) {
		fallback = json_loads(second->default_json, JSON_DECODE_ANY, NULL);
		given = json_string_value(fallback);
	}

	return given && strcmp(given, rule->value) == 0;
}

static int check_rule(const struct scope *scope, const struct param_rule *rule, const json_t *named,
		      struct rpc_error *error)
{
	struct param_path first_path = param_member_path(scope->path, rule->first);
	struct param_path second_path = param_member_path(scope->path, rule->second);
	bool first = param_given(named, rule->first), second = param_given(named, rule->second);
	const char *is = rule->value ? " is " : " is given", *value = rule->value ? rule->value : "";

	switch (rule->type) {
	case RULE_EXACTLY_ONE:
		if (first != second)
			return 0;
		return rpc_error_set_field(error, first_path.text, "%s of %s and %s must be given",
					   first ? "only one" : "one", first_path.text, second_path.text);
	case RULE_AT_MOST_ONE:
		if (!first || !second)
			return 0;
		return rpc_error_set_field(error, first_path.text, "only one of %s and %s may be given",
					   first_path.text, second_path.text);
	case RULE_NEEDED:
		if (first || !condition_holds(scope, rule, named))
			return 0;
		return rpc_error_set_field(error, first_path.text, "%s must be given when %s%s%s", first_path.text,
					   second_path.text, is, value);
	case RULE_ONLY:
		if (!first || condition_holds(scope, rule, named))
			return 0;
		return rpc_error_set_field(error, first_path.text, "%s may be given only when %s%s%s", first_path.text,
					   second_path.text, is, value);
	}

	return 0;
}

static int check_rules(const struct scope *scope, const json_t *named, struct rpc_error *error)
{
	for (const struct param_rule *rule = scope->rules; rule && rule->first; rule++) {
		int result = check_rule(scope, rule, named, error);

		if (result < 0)
			return result;
	}

	return 0;
}

/* Does a rule say that the parameter has no place in this call? */
static bool is_excluded(const struct scope *scope, const struct param *param, const json_t *named)
{
	for (const struct param_rule *rule = scope->rules; rule && rule->first; rule++)
		if (rule->type == RULE_ONLY && strcmp(rule->first, param->name) == 0 &&
		    !condition_holds(scope, rule, named))
			return true;

	return false;
}

static int fill_defaults(const struct scope *scope, json_t *named, struct rpc_error *error)
{
	const struct param *param;

	for (size_t i = 0; (param = scope_param(scope, i)); i++) {
		if (!param->default_json || param_given(named, param->name) || is_excluded(scope, param, named))
			continue;
		if (json_object_set_new(named, param->name, json_loads(param->default_json, JSON_DECODE_ANY, NULL)) < 0)
			return param_out_of_memory(error);
	}

	return 0;
}

static int check_scope(const struct scope *scope, json_t *named, struct rpc_error *error)
{
	int result = check_names(scope, named, error);

	if (result == 0)
		result = check_each(scope, named, error);
	if (result == 0)
		result = check_rules(scope, named, error);
	if (result == 0)
		result = fill_defaults(scope, named, error);

	return result;
}

/* ---- objects among the parameters ---- */

static int check_object(const struct param *param, const char *path, const json_t *object, json_t **ret_object,
			struct rpc_error *error)
{
	struct scope scope = { .members = param->members, .rules = param->rules, .path = path };
	cleanup_json json_t *named = json_copy((json_t *)object);
	int result;

	if (!named)
		return param_out_of_memory(error);
	result = check_scope(&scope, named, error);
	if (result < 0)
		return result;

	*ret_object = steal_pointer(named);
	return 0;
}

static int check_items(const struct param *param, const char *path, const json_t *array, json_t **ret_array,
		       struct rpc_error *error)
{
	cleanup_json json_t *checked = json_array();

	if (!checked)
		return param_out_of_memory(error);

	for (size_t i = 0; i < json_array_size(array); i++) {
		json_t *item = NULL;
		int result = check_object(param, param_item_path(path, i).text, json_array_get(array, i), &item, error);

		if (result < 0)
			return result;
		if (json_array_append_new(checked, item) < 0)
			return param_out_of_memory(error);
	}

	*ret_array = steal_pointer(checked);
	return 0;
}

/* Check a value. *ret_value: a new reference to it, or where it holds members, to a copy with their defaults. */
static int check_value(const struct param *param, const char *path, const json_t *value, json_t **ret_value,
		       struct rpc_error *error)
{
	int result = param_value_check(param, path, value, error);

	if (result < 0)
		return result;
	if (param->type == PARAM_OBJECT)
		return check_object(param, path, value, ret_value, error);
	if (param->type == PARAM_OBJECT_ARRAY)
		return check_items(param, path, value, ret_value, error);

	*ret_value = json_incref((json_t *)value);
	return 0;
}

int param_check(const struct param *param, const json_t *value, struct rpc_error *error)
{
	cleanup_json json_t *checked = NULL;

	return check_value(param, param->name, value, &checked, error);
}

int method_validate(const struct method *method, const json_t *params, json_t **ret_params, struct rpc_error *error)
{
	struct scope scope = { .method = method, .rules = method->rules };
	cleanup_json json_t *named = json_object();
	int result;

	if (!named)
		return param_out_of_memory(error);

	result = name_params(method, params, named, error);
	if (result == 0)
		result = check_scope(&scope, named, error);
	if (result < 0)
		return result;

	*ret_params = steal_pointer(named);
	return 0;
}
