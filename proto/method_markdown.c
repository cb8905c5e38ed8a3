/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The README's tables, written from the tables of the program, so that a test can hold one against the other.
 */
#include "proto/method.h"

#include "proto/cleanup.h"
#include "proto/param_document.h"
#include "proto/param_value.h"
#include "proto/reason.h"

#include <errno.h>
#include <stdio.h>

/* `name`, `[name=default]` where it may be left out, and the role where it needs more than the method does */
static void write_param(FILE *out, const struct method *method, const struct param *param, bool first)
{
	if (!first)
		(void)fputs(", ", out);
	if (param->required)
		(void)fprintf(out, "`%s`", param->name);
	else if (param->default_json && param->type != PARAM_ENUM_ARRAY)
		(void)fprintf(out, "`[%s=%s]`", param->name, param->default_json);
	else
		(void)fprintf(out, "`[%s]`", param->name);
	if (param->role > method->role)
		(void)fprintf(out, " (%s)", role_name(param->role));
}

static void write_method(FILE *out, const struct method *method)
{
	(void)fprintf(out, "| `%s` | %s | ", method->name, role_name(method->role));
	for (size_t i = 0; method->params && method->params[i].name; i++)
		write_param(out, method, &method->params[i], i == 0);
	(void)fprintf(out, " | %s%s | %s |\n", method->summary,
		      (method->flags & METHOD_PROGRESS) ? ". Streams progress" : "",
		      method_cancel_name(method->cancel));
}

static void write_methods(const struct method *methods, size_t count, FILE *out)
{
	(void)fputs("| method | role | parameters | what it does | cancelled |\n| --- | --- | --- | --- | --- |\n",
		    out);
	for (size_t i = 0; i < count; i++)
		write_method(out, &methods[i]);
}

/* ---- objects among the parameters ---- */

/* A place where a table of members is used: a parameter of a method, or a member of one. */
struct use {
	const struct method *method;
	const struct param *param;
	const char *path; /* "drives[].limit" */
};

/* Called for each use, in the tables' order. */
typedef void visit_use(const struct use *use, void *context);

static void visit_param(const struct method *method, const struct param *param, const char *object, visit_use *visit,
			void *context)
{
	char path[2 * RPC_FIELD_SIZE];

	if (!param->members)
		return;

	(void)snprintf(path, sizeof(path), "%s%s", param_member_path(object, param->name).text,
		       param->type == PARAM_OBJECT_ARRAY ? "[]" : "");
	visit(&(struct use){ .method = method, .param = param, .path = path }, context);
	for (const struct param *member = param->members; member->name; member++)
		visit_param(method, member, path, visit, context);
}

static void visit_uses(const struct method *methods, size_t count, visit_use *visit, void *context)
{
	for (size_t i = 0; i < count; i++)
		for (const struct param *param = methods[i].params; param && param->name; param++)
			visit_param(&methods[i], param, NULL, visit, context);
}

/* The uses of one table of members, for its title. */
struct title {
	FILE *out;
	const struct param *members;
	const struct method *last; /* whose uses have been written */
};

static void write_use(const struct use *use, void *context)
{
	struct title *title = context;

	if (use->param->members != title->members)
		return;
	if (use->method != title->last)
		(void)fprintf(title->out, "%s`%s`: ", title->last ? "; " : "", use->method->name);
	else
		(void)fputs(", ", title->out);
	(void)fprintf(title->out, "`%s`", use->path);
	title->last = use->method;
}

static void write_member(const struct param *member, FILE *out)
{
	(void)fprintf(out, "| `%s`", member->name);
	if (member->role != ROLE_NONE)
		(void)fprintf(out, " (%s)", role_name(member->role));
	(void)fputs(" | ", out);
	param_describe_values(member, out);
	if (member->required)
		(void)fputs(" | must be given", out);
	else
		(void)fprintf(out, member->default_json ? " | `%s`" : " | %s",
			      member->default_json ? member->default_json : "");
	(void)fprintf(out, " | %s |\n", member->description);
}

struct objects {
	FILE *out;
	const struct method *methods;
	size_t count;
};

struct first_use {
	const struct param *members;
	const struct method *method;
	const struct param *param;
};

static void find_first_use(const struct use *use, void *context)
{
	struct first_use *first = context;

	if (first->param || use->param->members != first->members)
		return;
	first->method = use->method;
	first->param = use->param;
}

/* A table of members, where it is used first. */
static void write_object(const struct use *use, void *context)
{
	const struct objects *objects = context;
	struct title title = { .out = objects->out, .members = use->param->members };
	struct first_use first = { .members = use->param->members };

	visit_uses(objects->methods, objects->count, find_first_use, &first);
	if (first.method != use->method || first.param != use->param)
		return;

	visit_uses(objects->methods, objects->count, write_use, &title);
	if (use->param->rules)
		(void)fputc('.', objects->out);
	param_describe_rules(use->param->rules, objects->out);
	(void)fputs("\n\n| member | values | default | what it is |\n| --- | --- | --- | --- |\n", objects->out);
	for (const struct param *member = use->param->members; member->name; member++)
		write_member(member, objects->out);
	(void)fputc('\n', objects->out);
}

static void write_objects(const struct method *methods, size_t count, FILE *out)
{
	struct objects objects = { .out = out, .methods = methods, .count = count };

	visit_uses(methods, count, write_object, &objects);
}

/* ---- error codes ---- */

static void write_codes(const struct method *methods, size_t method_count, FILE *out)
{
	const struct rpc_code_info *codes;
	size_t count;

	(void)methods;
	(void)method_count;
	codes = rpc_code_table(&count);
	(void)fputs(
		"| code | `data.status` | `data.reason` | `retry_after_ms` | meaning |\n| --- | --- | --- | --- | --- |\n",
		out);
	for (size_t i = 0; i < count; i++)
		(void)fprintf(out, "| %d | `%s` | %s%s%s | %s | %s |\n", (int)codes[i].code, codes[i].status,
			      codes[i].reason ? "`" : "", codes[i].reason ? codes[i].reason : "",
			      codes[i].reason ? "`" : "", codes[i].retry_ms >= 0 ? "yes" : "", codes[i].meaning);
}

static void write_reasons(const struct method *methods, size_t method_count, FILE *out)
{
	(void)methods;
	(void)method_count;
	(void)fputs("| `data.reason` | `data.status` | `retry_after_ms` | meaning |\n| --- | --- | --- | --- |\n", out);
	for (int i = REASON_NONE + 1; i < REASON_COUNT; i++) {
		const struct reason_info *info = reason_info((enum reason)i);

		if (info->name)
			(void)fprintf(out, "| `%s` | `%s` | %s | %s |\n", info->name, rpc_code_info(info->code)->status,
				      info->retry_ms >= 0 ? "yes" : "", info->text);
	}
}

/* ---- texts ---- */

typedef void write_tables(const struct method *methods, size_t count, FILE *out);

/* Collect what a function writes. */
static int write_text(write_tables *write, const struct method *methods, size_t count, char **ret_text)
{
	cleanup_free char *text = NULL;
	size_t size = 0;
	bool failed;
	FILE *out;

	out = open_memstream(&text, &size);
	if (!out)
		return -ENOMEM;

	write(methods, count, out);
	failed = ferror(out) != 0;
	if (fclose(out) != 0 || failed)
		return -ENOMEM;

	*ret_text = steal_pointer(text);
	return 0;
}

int method_markdown(const struct method *methods, size_t count, char **ret_text)
{
	return write_text(write_methods, methods, count, ret_text);
}

int param_object_markdown(const struct method *methods, size_t count, char **ret_text)
{
	return write_text(write_objects, methods, count, ret_text);
}

int rpc_code_markdown(char **ret_text)
{
	return write_text(write_codes, NULL, 0, ret_text);
}

int reason_markdown(char **ret_text)
{
	return write_text(write_reasons, NULL, 0, ret_text);
}
