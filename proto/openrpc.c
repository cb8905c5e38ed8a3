/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The OpenRPC document.
 *
 * Every builder returns a new reference, or NULL where memory is short; json_pack() and the _new functions take NULL
 * for a part and fail in their turn, so only the last result has to be looked at.
 */
#include "proto/openrpc.h"

#include "proto/cleanup.h"
#include "proto/method.h"
#include "proto/param_document.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define ERROR_REFERENCE "#/components/errors/"

/* Set a member, and drop the object where that fails: a chain of these needs one check at its end. */
static json_t *with(json_t *object, const char *name, json_t *value)
{
	if (json_object_set_new(object, name, value) == 0)
		return object;

	json_decref(object);
	return NULL;
}

static json_t *with_text(json_t *object, const char *name, const char *text)
{
	return text ? with(object, name, json_string(text)) : object;
}

/* Append an item, likewise. */
static json_t *and_item(json_t *array, json_t *item)
{
	if (json_array_append_new(array, item) == 0)
		return array;

	json_decref(array);
	return NULL;
}

/* ---- parameters ---- */

static const char *kind_pattern(enum string_kind kind)
{
	switch (kind) {
	case STRING_TEXT:
		return NULL;
	case STRING_NAME:
		return "^[A-Za-z0-9][A-Za-z0-9._-]*$";
	case STRING_PATH:
		return "^/(?!(.*/)?\\.\\.?(/|$))[^\\u0000-\\u001f\\u007f]*$";
	case STRING_VM_ID:
		return "^[a-z0-9][a-z0-9-]*$";
	case STRING_MAC:
		return "^(?!00(:00){5}$)[0-9A-Fa-f][02468ACEace](:[0-9A-Fa-f]{2}){5}$";
	case STRING_INTERFACE: /* '!' to '~' but for '%', '/' and ':' */
		return "^(?!\\.\\.?$)[!-$&-.0-9;-~]+$";
	case STRING_PRINTABLE:
		return "^[!-~]*$";
	case STRING_CMDLINE:
		return "^[ -~]*$";
	}

	return NULL;
}

static json_t *enum_schema(const struct param *param)
{
	json_t *values = json_array();

	for (size_t i = 0; param->values[i]; i++)
		values = and_item(values, json_string(param->values[i]));

	return json_pack("{s:s, s:o}", "type", "string", "enum", values);
}

static json_t *members_schema(const struct param *param);

static json_t *param_type_schema(const struct param *param)
{
	switch (param->type) {
	case PARAM_BOOL:
		return json_pack("{s:s}", "type", "boolean");
	case PARAM_INT:
		return json_pack("{s:s, s:I, s:I}", "type", "integer", "minimum", (json_int_t)param->minimum, "maximum",
				 (json_int_t)param->maximum);
	case PARAM_STRING: /* JSON Schema counts characters where we count bytes: never fewer bytes than characters */
		return with_text(json_pack("{s:s, s:I, s:I}", "type", "string", "minLength",
					   (json_int_t)(param->minimum > 0), "maxLength", (json_int_t)param->maximum),
				 "pattern", kind_pattern(param->kind));
	case PARAM_ENUM:
		return enum_schema(param);
	case PARAM_ENUM_ARRAY:
		return json_pack("{s:s, s:o, s:I, s:I, s:b}", "type", "array", "items", enum_schema(param), "minItems",
				 (json_int_t)param->minimum, "maxItems", (json_int_t)param->maximum, "uniqueItems", 1);
	case PARAM_ID:
		return json_pack("{s:[s, s]}", "type", "string", "number");
	case PARAM_OBJECT:
		return members_schema(param);
	case PARAM_OBJECT_ARRAY:
		return json_pack("{s:s, s:o, s:I, s:I}", "type", "array", "items", members_schema(param), "minItems",
				 (json_int_t)param->minimum, "maxItems", (json_int_t)param->maximum);
	case PARAM_JSON: /* JSON Schema has no word for the size of an object's text */
		return json_pack("{s:s, s:I}", "type", "object", "x-max-bytes", (json_int_t)param->maximum);
	}

	return NULL;
}

static json_t *param_schema(const struct param *param)
{
	json_t *schema = param_type_schema(param);

	if (param->default_json)
		schema = with(schema, "default", json_loads(param->default_json, JSON_DECODE_ANY, NULL));

	return schema;
}

static json_t *with_unit_and_role(json_t *document, const struct param *param)
{
	document = with_text(document, "x-unit", param->unit);

	return param->role == ROLE_NONE ? document : with_text(document, "x-role", role_name(param->role));
}

/* The description and, of objects, the rules between their members. */
static json_t *param_description(const struct param *param)
{
	cleanup_free char *text = NULL;
	size_t size = 0;
	FILE *out;

	out = open_memstream(&text, &size);
	if (!out)
		return NULL;

	(void)fputs(param->description, out);
	if (param->rules)
		(void)fputc('.', out);
	param_describe_rules(param->rules, out);
	if (fclose(out) != 0)
		return NULL;

	return json_string(text);
}

static json_t *members_schema(const struct param *param)
{
	cleanup_json json_t *properties = json_object(), *required = json_array();

	for (const struct param *member = param->members; member->name; member++) {
		json_t *schema = with(param_schema(member), "description", param_description(member));

		properties = with(properties, member->name, with_unit_and_role(schema, member));
		if (member->required)
			required = and_item(required, json_string(member->name));
	}

	return json_pack("{s:s, s:O, s:O, s:b}", "type", "object", "properties", properties, "required", required,
			 "additionalProperties", 0);
}

static json_t *param_document(const struct param *param)
{
	json_t *document;

	document = json_pack("{s:s, s:o, s:b, s:o}", "name", param->name, "description", param_description(param),
			     "required", (int)param->required, "schema", param_schema(param));

	return with_unit_and_role(document, param);
}

static json_t *params_document(const struct method *method)
{
	const struct param *param;
	json_t *params = json_array();

	for (size_t i = 0; (param = method_param(method, i)); i++)
		params = and_item(params, param_document(param));

	return params;
}

/* ---- results ---- */

static json_t *fields_schema(const struct result_field *fields);

static json_t *field_type_schema(const struct result_field *field)
{
	switch (field->type) {
	case RESULT_BOOL:
		return json_pack("{s:s}", "type", "boolean");
	case RESULT_INT:
		return json_pack("{s:s}", "type", "integer");
	case RESULT_STRING:
		return json_pack("{s:s}", "type", "string");
	case RESULT_OBJECT:
		return fields_schema(field->fields);
	case RESULT_OBJECT_ARRAY:
		return json_pack("{s:s, s:o}", "type", "array", "items", fields_schema(field->fields));
	case RESULT_STRING_ARRAY:
		return json_pack("{s:s, s:{s:s}}", "type", "array", "items", "type", "string");
	case RESULT_INT_MAP:
		return json_pack("{s:s, s:{s:s}}", "type", "object", "additionalProperties", "type", "integer");
	}

	return NULL;
}

static json_t *field_schema(const struct result_field *field)
{
	json_t *schema = field_type_schema(field);

	if (field->nullable)
		schema = with(schema, "type", json_pack("[O, s]", json_object_get(schema, "type"), "null"));

	return with_text(schema, "description", field->description);
}

static json_t *fields_schema(const struct result_field *fields)
{
	cleanup_json json_t *properties = json_object(), *required = json_array();

	if (!fields)
		return json_pack("{s:s}", "type", "object");

	for (const struct result_field *field = fields; field->name; field++) {
		properties = with(properties, field->name, field_schema(field));
		if (!field->optional)
			required = and_item(required, json_string(field->name));
	}

	return json_pack("{s:s, s:O, s:O, s:b}", "type", "object", "properties", properties, "required", required,
			 "additionalProperties", 0);
}

/* ---- errors ---- */

static const char *code_name(const struct rpc_code_info *info)
{
	return info->reason ? info->reason : info->status;
}

static json_t *errors_document(void)
{
	const struct rpc_code_info *codes;
	json_t *errors = json_object();
	size_t count;

	codes = rpc_code_table(&count);
	for (size_t i = 0; i < count; i++) {
		json_t *data = with_text(json_pack("{s:s}", "status", codes[i].status), "reason", codes[i].reason);

		errors = with(errors, code_name(&codes[i]),
			      json_pack("{s:i, s:s, s:o}", "code", (int)codes[i].code, "message", codes[i].meaning,
					"data", data));
	}

	return errors;
}

static json_t *and_error_references(json_t *array, const enum rpc_code *codes)
{
	for (; codes && *codes != RPC_OK; codes++) {
		char reference[96];

		(void)snprintf(reference, sizeof(reference), ERROR_REFERENCE "%s", code_name(rpc_code_info(*codes)));
		array = and_item(array, json_pack("{s:s}", "$ref", reference));
	}

	return array;
}

/* ---- methods ---- */

/* What the schemas cannot say: the role, the rules between parameters, and how the call behaves. */
static json_t *describe_method(const struct method *method)
{
	cleanup_free char *text = NULL;
	size_t size = 0;
	FILE *out;

	out = open_memstream(&text, &size);
	if (!out)
		return NULL;

	(void)fprintf(out, "%s. Needs the role %s.", method->summary, role_name(method->role));
	param_describe_rules(method->rules, out);
	if (method->flags & METHOD_PROGRESS)
		(void)fputs(" Sends progress notifications while it works.", out);
	if (method->flags & METHOD_LONG)
		(void)fputs(" May take long: give it a deadline.", out);
	if (fclose(out) != 0)
		return NULL;

	return json_string(text);
}

static json_t *method_document(const struct method *method)
{
	int family = (int)strcspn(method->name, ".");
	json_t *errors = and_error_references(json_array(), method_common_errors());

	errors = and_error_references(errors, method->errors);

	return json_pack("{s:s, s:[{s:s#}], s:s, s:o, s:s, s:o, s:{s:s, s:s, s:o}, s:o, s:s, s:s}", "name",
			 method->name, "tags", "name", method->name, family, "summary", method->summary, "description",
			 describe_method(method), "paramStructure", "either", "params", params_document(method),
			 "result", "name", "result", "description", method->result_description, "schema",
			 fields_schema(method->result), "errors", errors, "x-role", role_name(method->role), "x-cancel",
			 method_cancel_name(method->cancel));
}

int openrpc_method_document(const struct method *method, json_t **ret_document)
{
	json_t *document = method_document(method);

	if (!document)
		return -ENOMEM;

	*ret_document = document;
	return 0;
}

static json_t *methods_document(void)
{
	const struct method *methods;
	json_t *document = json_array();
	size_t count;

	methods = method_table(&count);
	for (size_t i = 0; i < count; i++)
		document = and_item(document, method_document(&methods[i]));

	return document;
}

/* What the daemon sends by itself; OpenRPC 1.3 has no place for it but an extension. */
static json_t *notifications_document(void)
{
	return json_pack("[{s:s, s:s}, {s:s, s:s}]", "name", "progress", "description",
			 "How far a call has come: params {id, phase, done, total, unit}; id is the call's", "name",
			 "event", "description",
			 "What happened, to those who called events.subscribe: params {subscription, kind, ...}");
}

int openrpc_document(const char *version, json_t **ret_document)
{
	json_t *document;

	document = json_pack("{s:s, s:{s:s, s:s, s:s, s:{s:s}}, s:o, s:{s:o}, s:o}", "openrpc", OPENRPC_VERSION, "info",
			     "title", "Ember", "description", "A pre-forked pool of warm KVM virtual machines",
			     "version", version, "license", "name", "Apache-2.0", "methods", methods_document(),
			     "components", "errors", errors_document(), "x-notifications", notifications_document());
	if (!document)
		return -ENOMEM;

	*ret_document = document;
	return 0;
}
