/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Looking things up in the table of methods, and reading validated parameters.
 *
 * deadline_ms belongs to every method, so it stands in no row: it is added here, as the last parameter.
 */
#include "proto/method.h"

#include "proto/param_value.h"

#include <errno.h>
#include <string.h>

static const struct param deadline_param = {
	.name = "deadline_ms",
	.type = PARAM_INT,
	.minimum = 0,
	.maximum = METHOD_DEADLINE_MAX_MS,
	.unit = "ms",
	.description = "How long the call may take; then it fails with DEADLINE_EXCEEDED. Absent: as long as it takes",
};

static const char *const role_names[] = {
	[ROLE_NONE] = "none",
	[ROLE_OBSERVE] = "observe",
	[ROLE_RUN] = "run",
	[ROLE_ADMIN] = "admin",
};

static const char *const cancel_names[] = {
	[METHOD_CANCEL_DROPPED] = "dropped",
	[METHOD_CANCEL_REVERSED] = "reversed",
	[METHOD_CANCEL_ENDED] = "ended",
	[METHOD_CANCEL_STANDS] = "stands",
};

static const enum rpc_code common_errors[] = {
	RPC_INVALID_PARAMS,
	RPC_INTERNAL_ERROR,
	RPC_IN_FLIGHT_LIMIT,
	RPC_CANCELLED,
	RPC_INTERNAL,
	RPC_DEADLINE_EXCEEDED,
	RPC_UNAVAILABLE,
	RPC_PERMISSION_DENIED,
	RPC_DRAINING,
	RPC_RESOURCE_EXHAUSTED,
	RPC_OK,
};

const struct method *method_find(const char *name)
{
	const struct method *methods;
	size_t count;

	methods = method_table(&count);
	for (size_t i = 0; i < count; i++)
		if (strcmp(methods[i].name, name) == 0)
			return &methods[i];

	return NULL;
}

int method_lookup(const char *name, const struct method **ret_method, struct rpc_error *error)
{
	const struct method *method = method_find(name);

	if (!method)
		return rpc_error_set(error, RPC_METHOD_NOT_FOUND, "there is no method \"%.64s\"", name);

	*ret_method = method;
	return 0;
}

const enum rpc_code *method_common_errors(void)
{
	return common_errors;
}

static size_t own_param_count(const struct method *method)
{
	size_t count = 0;

	while (method->params && method->params[count].name)
		count++;

	return count;
}

size_t method_param_count(const struct method *method)
{
	return own_param_count(method) + 1;
}

const struct param *method_param(const struct method *method, size_t index)
{
	size_t own = own_param_count(method);

	if (index < own)
		return &method->params[index];

	return index == own ? &deadline_param : NULL;
}

const struct param *method_find_param(const struct method *method, const char *name)
{
	const struct param *param;

	for (size_t i = 0; (param = method_param(method, i)); i++)
		if (strcmp(param->name, name) == 0)
			return param;

	return NULL;
}

const char *role_name(enum role role)
{
	if (role < ROLE_NONE || role > ROLE_ADMIN)
		return role_names[ROLE_NONE];

	return role_names[role];
}

const char *method_cancel_name(enum method_cancel cancel)
{
	if (cancel < METHOD_CANCEL_DROPPED || cancel > METHOD_CANCEL_STANDS)
		return cancel_names[METHOD_CANCEL_STANDS];

	return cancel_names[cancel];
}

int role_from_name(const char *name, enum role *ret_role)
{
	for (enum role role = ROLE_OBSERVE; role <= ROLE_ADMIN; role++) {
		if (strcmp(role_names[role], name) == 0) {
			*ret_role = role;
			return 0;
		}
	}

	return -EINVAL;
}

int method_check_role(const struct method *method, enum role role, struct rpc_error *error)
{
	if (role >= method->role)
		return 0;

	return rpc_error_set(error, RPC_PERMISSION_DENIED, "%s needs the role %s, this peer has %s", method->name,
			     role_name(method->role), role_name(role));
}

static int check_value_role(const struct method *method, const struct param *param, const char *path,
			    const json_t *value, enum role role, struct rpc_error *error);

static int check_member_roles(const struct method *method, const struct param *param, const char *path,
			      const json_t *object, enum role role, struct rpc_error *error)
{
	int result = 0;

	for (const struct param *member = param->members; member->name && result == 0; member++) {
		const json_t *value = json_object_get(object, member->name);

		if (value)
			result = check_value_role(method, member, param_member_path(path, member->name).text, value,
						  role, error);
	}

	return result;
}

static int check_value_role(const struct method *method, const struct param *param, const char *path,
			    const json_t *value, enum role role, struct rpc_error *error)
{
	int result = 0;

	if (role < param->role) {
		result = rpc_error_set(error, RPC_PERMISSION_DENIED, "%s of %s needs the role %s, this peer has %s",
				       path, method->name, role_name(param->role), role_name(role));
		rpc_error_add_field(error, path);
		return result;
	}
	if (param->type == PARAM_OBJECT)
		return check_member_roles(method, param, path, value, role, error);
	if (param->type == PARAM_OBJECT_ARRAY)
		for (size_t i = 0; i < json_array_size(value) && result == 0; i++)
			result = check_member_roles(method, param, param_item_path(path, i).text,
						    json_array_get(value, i), role, error);

	return result;
}

int method_check_param_roles(const struct method *method, const json_t *params, enum role role, struct rpc_error *error)
{
	const struct param *param;
	int result = 0;

	for (size_t i = 0; (param = method_param(method, i)) && result == 0; i++) {
		const json_t *value = json_object_get(params, param->name);

		if (value)
			result = check_value_role(method, param, param->name, value, role, error);
	}

	return result;
}

const char *param_string(const json_t *params, const char *name)
{
	return json_string_value(json_object_get(params, name));
}

int64_t param_int(const json_t *params, const char *name, int64_t fallback)
{
	const json_t *value = json_object_get(params, name);

	return json_is_integer(value) ? json_integer_value(value) : fallback;
}

bool param_bool(const json_t *params, const char *name)
{
	return json_is_true(json_object_get(params, name));
}

bool param_given(const json_t *params, const char *name)
{
	return json_object_get(params, name) != NULL;
}

const json_t *param_object(const json_t *params, const char *name)
{
	const json_t *value = json_object_get(params, name);

	return json_is_object(value) ? value : NULL;
}

const json_t *param_array(const json_t *params, const char *name)
{
	const json_t *value = json_object_get(params, name);

	return json_is_array(value) ? value : NULL;
}

int64_t param_deadline_ms(const json_t *params)
{
	return param_int(params, deadline_param.name, -1);
}
