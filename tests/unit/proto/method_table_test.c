/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of methods is sound in itself, and so are the documents made from it.
 */
#include "proto/device_params.h"
#include "proto/method.h"
#include "proto/openrpc.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EACH_METHOD(method)                                    \
	size_t count_;                                         \
	const struct method *methods_ = method_table(&count_); \
	for (const struct method *method = methods_; method < methods_ + count_; method++)

static const char *const promised_methods[] = {
	"server.ping",       "server.info",     "server.drain",     "pool.status",     "pool.configure",
	"snapshot.register", "snapshot.list",   "snapshot.inspect", "snapshot.verify", "snapshot.remove",
	"kernel.add",        "kernel.list",     "kernel.inspect",   "kernel.remove",   "vm.boot",
	"vm.restore",        "vm.pause",        "vm.resume",        "vm.snapshot",     "vm.release",
	"vm.kill",           "vm.power_button", "vm.balloon",       "vm.list",         "vm.info",
	"vm.wait",           "vm.console",      "events.subscribe", "rpc.discover",    "rpc.cancel",
};

Test(method_table, every_promised_method_is_there_and_no_other)
{
	size_t count, promised = sizeof(promised_methods) / sizeof(promised_methods[0]);

	(void)method_table(&count);
	cr_assert_eq(count, promised);
	for (size_t i = 0; i < promised; i++)
		cr_assert_not_null(method_find(promised_methods[i]), "%s", promised_methods[i]);
}

Test(method_table, names_are_unique_and_grouped_by_family)
{
	size_t count;
	const struct method *methods = method_table(&count);

	for (size_t i = 0; i < count; i++) {
		size_t family = strcspn(methods[i].name, ".") + 1;

		cr_assert_eq(method_find(methods[i].name), &methods[i], "%s stands twice", methods[i].name);
		for (size_t j = 0; j + 1 < i; j++)
			if (strncmp(methods[j].name, methods[i].name, family) == 0)
				cr_assert_eq(strncmp(methods[i - 1].name, methods[i].name, family), 0,
					     "%s stands apart from its family", methods[i].name);
	}
}

static bool is_object(const struct param *param)
{
	return param->type == PARAM_OBJECT || param->type == PARAM_OBJECT_ARRAY;
}

Test(method_table, every_method_and_parameter_is_documented)
{
	EACH_METHOD(method)
	{
		const struct param *param;

		cr_assert(method->summary && method->summary[0], "%s", method->name);
		cr_assert_neq(method->summary[strlen(method->summary) - 1], '.', "%s", method->name);
		cr_assert(method->result_description && method->result_description[0], "%s", method->name);
		cr_assert(method->role >= ROLE_OBSERVE && method->role <= ROLE_ADMIN, "%s", method->name);
		cr_assert(method->cancel >= METHOD_CANCEL_DROPPED && method->cancel <= METHOD_CANCEL_STANDS,
			  "%s does not say what becomes of it when it is cancelled", method->name);
		for (size_t i = 0; (param = method_param(method, i)); i++) {
			cr_assert(param->description && param->description[0], "%s %s", method->name, param->name);
			cr_assert_neq(param->description[strlen(param->description) - 1], '.', "%s %s", method->name,
				      param->name);
		}
	}
}

Test(method_table, parameters_are_unique_with_the_required_ones_first)
{
	EACH_METHOD(method)
	{
		const struct param *param;
		bool optional_seen = false;

		for (size_t i = 0; (param = method_param(method, i)); i++) {
			cr_assert_eq(method_find_param(method, param->name), param, "%s has %s twice", method->name,
				     param->name);
			cr_assert_not(param->required && optional_seen, "%s: %s", method->name, param->name);
			cr_assert_not(param->required && param->default_json, "%s: %s", method->name, param->name);
			optional_seen |= !param->required;
		}
		cr_assert_str_eq(method_param(method, method_param_count(method) - 1)->name, "deadline_ms");
	}
}

Test(method_table, every_default_is_a_valid_value)
{
	EACH_METHOD(method)
	{
		const struct param *param;

		for (size_t i = 0; (param = method_param(method, i)); i++) {
			struct rpc_error error = RPC_ERROR_INIT;
			json_t *value;

			if (!param->default_json)
				continue;
			value = json_loads(param->default_json, JSON_DECODE_ANY, NULL);
			cr_assert_not_null(value, "%s %s", method->name, param->name);
			cr_assert_eq(param_check(param, value, &error), 0, "%s: %s", method->name, error.message);
			json_decref(value);
		}
	}
}

Test(method_table, every_range_and_set_of_values_makes_sense)
{
	EACH_METHOD(method)
	{
		const struct param *param;

		for (size_t i = 0; (param = method_param(method, i)); i++) {
			bool is_enum = param->type == PARAM_ENUM || param->type == PARAM_ENUM_ARRAY;

			cr_assert_leq(param->minimum, param->maximum, "%s %s", method->name, param->name);
			cr_assert_eq(is_enum, param->values != NULL, "%s %s", method->name, param->name);
			cr_assert_eq(is_object(param), param->members != NULL, "%s %s", method->name, param->name);
			if (param->type == PARAM_STRING || param->type == PARAM_INT || param->type == PARAM_ENUM_ARRAY)
				cr_assert_gt(param->maximum, 0, "%s %s", method->name, param->name);
		}
	}
}

Test(method_table, rules_name_parameters_that_exist)
{
	EACH_METHOD(method)
	{
		for (const struct param_rule *rule = method->rules; rule && rule->first; rule++) {
			const struct param *second = method_find_param(method, rule->second);

			cr_assert_not_null(method_find_param(method, rule->first), "%s %s", method->name, rule->first);
			cr_assert_not_null(second, "%s %s", method->name, rule->second);
			if (rule->value) {
				json_t *value = json_string(rule->value);

				cr_assert_eq(param_check(second, value, NULL), 0, "%s %s", method->name, rule->value);
				json_decref(value);
			}
		}
	}
}

/* ---- members of objects ---- */

static const struct param *find_member(const struct param *members, const char *name)
{
	for (; members->name; members++)
		if (strcmp(members->name, name) == 0)
			return members;

	return NULL;
}

static void check_member(const struct param *member, const char *where)
{
	bool is_enum = member->type == PARAM_ENUM || member->type == PARAM_ENUM_ARRAY;
	struct rpc_error error = RPC_ERROR_INIT;
	json_t *value;

	cr_assert(member->description && member->description[0], "%s.%s", where, member->name);
	cr_assert_neq(member->description[strlen(member->description) - 1], '.', "%s.%s", where, member->name);
	cr_assert_leq(member->minimum, member->maximum, "%s.%s", where, member->name);
	cr_assert_eq(is_enum, member->values != NULL, "%s.%s", where, member->name);
	cr_assert_eq(is_object(member), member->members != NULL, "%s.%s", where, member->name);
	if (member->type == PARAM_STRING && member->kind == STRING_PATH)
		cr_assert_eq(member->role, ROLE_ADMIN, "%s.%s", where, member->name);
	if (!member->default_json)
		return;

	cr_assert_not(member->required || is_object(member), "%s.%s", where, member->name);
	cr_assert_eq(member->role, ROLE_NONE, "%s.%s: a default that a peer may not give", where, member->name);
	value = json_loads(member->default_json, JSON_DECODE_ANY, NULL);
	cr_assert_not_null(value, "%s.%s", where, member->name);
	cr_assert_eq(param_check(member, value, &error), 0, "%s.%s: %s", where, member->name, error.message);
	json_decref(value);
}

/* The object's members and rules are sound, and so are those of the objects in it. */
static void check_object(const struct param *object, unsigned int depth)
{
	cr_assert(is_object(object), "%s", object->name);
	cr_assert_leq(depth, PARAM_DEPTH_MAX, "%s", object->name);
	cr_assert_null(object->default_json, "%s", object->name);
	for (const struct param *member = object->members; member->name; member++) {
		cr_assert_eq(find_member(object->members, member->name), member, "%s.%s", object->name, member->name);
		check_member(member, object->name);
		if (member->members)
			check_object(member, depth + 1);
	}
	for (const struct param_rule *rule = object->rules; rule && rule->first; rule++) {
		cr_assert_not_null(find_member(object->members, rule->first), "%s.%s", object->name, rule->first);
		cr_assert_not_null(find_member(object->members, rule->second), "%s.%s", object->name, rule->second);
	}
}

Test(method_table, objects_among_the_parameters_are_sound)
{
	static const struct param devices[] = { PARAM_DRIVES,      PARAM_RESTORE_DRIVES, PARAM_NET,
						PARAM_RESTORE_NET, PARAM_VSOCK,          PARAM_RNG,
						PARAM_BALLOON };

	for (size_t i = 0; i < sizeof(devices) / sizeof(devices[0]); i++)
		check_object(&devices[i], 1);
	EACH_METHOD(method)
	{
		const struct param *param;

		for (size_t i = 0; (param = method_param(method, i)); i++)
			if (param->members)
				check_object(param, 1);
	}
}

Test(method_table, errors_are_listed_once)
{
	EACH_METHOD(method)
	{
		for (const enum rpc_code *code = method->errors; code && *code != RPC_OK; code++) {
			cr_assert_eq(rpc_code_info(*code)->code, *code, "%s", method->name);
			for (const enum rpc_code *other = method->errors; other < code; other++)
				cr_assert_neq(*other, *code, "%s lists %d twice", method->name, (int)*code);
			for (const enum rpc_code *other = method_common_errors(); *other != RPC_OK; other++)
				cr_assert_neq(*other, *code, "%s lists %d, which is common", method->name, (int)*code);
		}
	}
}

static void check_result_fields(const struct result_field *fields, const char *where)
{
	for (const struct result_field *field = fields; field && field->name; field++) {
		for (const struct result_field *other = fields; other < field; other++)
			cr_assert_str_neq(other->name, field->name, "%s of %s", field->name, where);
		cr_assert(field->type != RESULT_OBJECT_ARRAY || field->fields, "%s of %s", field->name, where);
		check_result_fields(field->fields, field->name);
	}
}

Test(method_table, result_fields_are_unique)
{
	EACH_METHOD(method)
	{
		check_result_fields(method->result, method->name);
	}
}

Test(method_table, an_unknown_method_is_not_found)
{
	struct rpc_error error = RPC_ERROR_INIT;
	const struct method *method = NULL;

	cr_assert_lt(method_lookup("vm.explode", &method, &error), 0);
	cr_assert_eq(error.code, RPC_METHOD_NOT_FOUND);
	cr_assert_str_eq(error.message, "there is no method \"vm.explode\"");
	cr_assert_null(method_find(""));
	cr_assert_null(method_find("vm."));
	cr_assert_null(method_find("vm.restore "));
}

/* ---- roles ---- */

Test(method_roles, names_go_both_ways)
{
	enum role role;

	for (enum role each = ROLE_OBSERVE; each <= ROLE_ADMIN; each++) {
		cr_assert_eq(role_from_name(role_name(each), &role), 0);
		cr_assert_eq(role, each);
	}
	cr_assert_lt(role_from_name("none", &role), 0);
	cr_assert_lt(role_from_name("root", &role), 0);
	cr_assert_str_eq(role_name(ROLE_NONE), "none");
	cr_assert_str_eq(role_name((enum role)17), "none");
}

Test(method_roles, each_role_may_do_what_those_below_it_may)
{
	EACH_METHOD(method)
	{
		struct rpc_error error = RPC_ERROR_INIT;

		cr_assert_eq(method_check_role(method, ROLE_ADMIN, &error), 0, "%s", method->name);
		cr_assert_lt(method_check_role(method, ROLE_NONE, &error), 0, "%s", method->name);
		cr_assert_eq(error.code, RPC_PERMISSION_DENIED);
		for (enum role role = ROLE_OBSERVE; role <= ROLE_ADMIN; role++)
			cr_assert_eq(method_check_role(method, role, NULL) == 0, role >= method->role, "%s",
				     method->name);
	}
}

Test(method_roles, a_path_needs_admin_though_its_method_does_not)
{
	static const char *const calls[][2] = {
		{ "vm.boot", "image" },
		{ "vm.restore", "snapshot_path" },
		{ "vm.snapshot", "path" },
	};

	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
		const struct method *method = method_find(calls[i][0]);
		struct rpc_error error = RPC_ERROR_INIT;
		json_t *params = json_pack("{s:s}", calls[i][1], "/srv/file");

		cr_assert_eq(method_check_role(method, ROLE_RUN, NULL), 0);
		cr_assert_lt(method_check_param_roles(method, params, ROLE_RUN, &error), 0);
		cr_assert_eq(error.code, RPC_PERMISSION_DENIED);
		cr_assert_str_eq(error.field, calls[i][1]);
		cr_assert_eq(method_check_param_roles(method, params, ROLE_ADMIN, NULL), 0);
		json_object_clear(params);
		cr_assert_eq(method_check_param_roles(method, params, ROLE_RUN, NULL), 0);
		json_decref(params);
	}
}

Test(method_roles, every_path_that_the_daemon_opens_needs_admin)
{
	EACH_METHOD(method)
	{
		const struct param *param;

		for (size_t i = 0; (param = method_param(method, i)); i++)
			if (param->type == PARAM_STRING && param->kind == STRING_PATH)
				cr_assert(param->role == ROLE_ADMIN || method->role == ROLE_ADMIN, "%s %s",
					  method->name, param->name);
	}
}

/* ---- codes ---- */

Test(rpc_codes, are_unique_in_number_and_name_and_in_their_ranges)
{
	size_t count;
	const struct rpc_code_info *codes = rpc_code_table(&count);

	for (size_t i = 0; i < count; i++) {
		int code = codes[i].code;
		const char *name = codes[i].reason ? codes[i].reason : codes[i].status;

		cr_assert((code >= -32099 && code <= -32000) || code == -32700 || (code >= -32603 && code <= -32600),
			  "%d", code);
		cr_assert_gt(codes[i].error_number, 0);
		cr_assert_eq(rpc_code_info(codes[i].code), &codes[i]);
		cr_assert_gt(strlen(codes[i].meaning), 10);
		for (size_t j = 0; j < i; j++)
			cr_assert_str_neq(name, codes[j].reason ? codes[j].reason : codes[j].status);
	}
	cr_assert_eq(rpc_code_info((enum rpc_code) - 1)->code, RPC_UNKNOWN);
}

Test(rpc_codes, statuses_have_gRPC_numbers)
{
	static const char *const names[] = {
		NULL,        "CANCELLED",      "UNKNOWN",           "INVALID_ARGUMENT",   "DEADLINE_EXCEEDED",
		"NOT_FOUND", "ALREADY_EXISTS", "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION",
		"ABORTED",   "OUT_OF_RANGE",   "UNIMPLEMENTED",     "INTERNAL",           "UNAVAILABLE",
		"DATA_LOSS", "UNAUTHENTICATED"
	};

	for (int i = 1; i <= 16; i++)
		cr_assert_str_eq(rpc_code_info((enum rpc_code)(-32020 - i))->status, names[i]);
}

/* ---- documents ---- */

Test(documents, markdown_has_a_row_for_each_method_and_code)
{
	char *methods = NULL, *codes = NULL;
	const struct rpc_code_info *table;
	size_t count;
	const struct method *rows = method_table(&count);

	cr_assert_eq(method_markdown(rows, count, &methods), 0);
	cr_assert_eq(rpc_code_markdown(&codes), 0);
	EACH_METHOD(method)
	{
		char row[64];

		(void)snprintf(row, sizeof(row), "\n| `%s` | %s |", method->name, role_name(method->role));
		cr_assert_not_null(strstr(methods, row), "%s", row);
	}
	cr_assert_not_null(strstr(methods, "`[snapshot]`, `[snapshot_path]` (admin), `[detach=false]`"), "%s", methods);
	table = rpc_code_table(&count);
	for (size_t i = 0; i < count; i++) {
		char row[64];

		(void)snprintf(row, sizeof(row), "\n| %d | `%s` |", (int)table[i].code, table[i].status);
		cr_assert_not_null(strstr(codes, row), "%s", row);
	}
	free(methods);
	free(codes);
}

static void check_descriptor(const json_t *descriptor, const char *where)
{
	cr_assert(json_is_string(json_object_get(descriptor, "name")), "%s", where);
	cr_assert(json_is_object(json_object_get(descriptor, "schema")), "%s", where);
}

static void check_method_document(const json_t *document, const struct method *method, const json_t *errors)
{
	const json_t *params = json_object_get(document, "params");
	size_t i;
	json_t *item;

	cr_assert_str_eq(json_string_value(json_object_get(document, "name")), method->name);
	cr_assert_eq(json_array_size(params), method_param_count(method));
	json_array_foreach(params, i, item) {
		const struct param *param = method_param(method, i);

		check_descriptor(item, method->name);
		cr_assert_str_eq(json_string_value(json_object_get(item, "name")), param->name);
		cr_assert_eq(json_is_true(json_object_get(item, "required")), param->required);
	}
	check_descriptor(json_object_get(document, "result"), method->name);
	cr_assert_gt(json_array_size(json_object_get(document, "errors")), 0);
	json_array_foreach(json_object_get(document, "errors"), i, item) {
		const char *reference = json_string_value(json_object_get(item, "$ref"));
		const char *prefix = "#/components/errors/";

		cr_assert_eq(strncmp(reference, prefix, strlen(prefix)), 0, "%s", reference);
		cr_assert_not_null(json_object_get(errors, reference + strlen(prefix)), "%s", reference);
	}
}

Test(documents, openrpc_describes_every_method)
{
	json_t *document = NULL;
	const json_t *methods, *errors;
	size_t count;
	const struct method *table = method_table(&count);

	cr_assert_eq(openrpc_document("1.2.3", &document), 0);
	cr_assert_str_eq(json_string_value(json_object_get(document, "openrpc")), OPENRPC_VERSION);
	cr_assert_str_eq(json_string_value(json_object_get(json_object_get(document, "info"), "version")), "1.2.3");
	methods = json_object_get(document, "methods");
	errors = json_object_get(json_object_get(document, "components"), "errors");
	cr_assert_eq(json_array_size(methods), count);
	for (size_t i = 0; i < count; i++)
		check_method_document(json_array_get(methods, i), &table[i], errors);
	json_decref(document);
}

/* Every default that the document shows is what validation fills in. */
Test(documents, openrpc_defaults_are_those_of_validation)
{
	json_t *document = NULL, *params = NULL, *given = json_pack("{s:s}", "snapshot", "py312"), *param;
	size_t i;

	cr_assert_eq(openrpc_document("1", &document), 0);
	cr_assert_eq(method_validate(method_find("vm.restore"), given, &params, NULL), 0);
	json_array_foreach(json_object_get(document, "methods"), i, param) {
		const json_t *descriptor;
		size_t j;

		if (strcmp(json_string_value(json_object_get(param, "name")), "vm.restore") != 0)
			continue;
		json_array_foreach(json_object_get(param, "params"), j, descriptor) {
			const char *name = json_string_value(json_object_get(descriptor, "name"));
			const json_t *fallback = json_object_get(json_object_get(descriptor, "schema"), "default");

			if (fallback)
				cr_assert(json_equal(fallback, json_object_get(params, name)), "%s", name);
		}
	}
	cr_assert_eq(json_object_size(params), 5);
	json_decref(given);
	json_decref(params);
	json_decref(document);
}
