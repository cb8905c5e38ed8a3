/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The README's tables, written from the tables of the program, so that a test can hold one against the other.
 */
#include "proto/method.h"

#include "proto/cleanup.h"

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
	(void)fprintf(out, " | %s%s |\n", method->summary,
		      (method->flags & METHOD_PROGRESS) ? ". Streams progress" : "");
}

static void write_methods(FILE *out)
{
	const struct method *methods;
	size_t count;

	methods = method_table(&count);
	(void)fputs("| method | role | parameters | what it does |\n| --- | --- | --- | --- |\n", out);
	for (size_t i = 0; i < count; i++)
		write_method(out, &methods[i]);
}

static void write_codes(FILE *out)
{
	const struct rpc_code_info *codes;
	size_t count;

	codes = rpc_code_table(&count);
	(void)fputs("| code | `data.status` | `data.reason` | meaning |\n| --- | --- | --- | --- |\n", out);
	for (size_t i = 0; i < count; i++)
		(void)fprintf(out, "| %d | `%s` | %s%s%s | %s |\n", (int)codes[i].code, codes[i].status,
			      codes[i].reason ? "`" : "", codes[i].reason ? codes[i].reason : "",
			      codes[i].reason ? "`" : "", codes[i].meaning);
}

/* Collect what a function writes. */
static int write_text(void (*write)(FILE *out), char **ret_text)
{
	cleanup_free char *text = NULL;
	size_t size = 0;
	bool failed;
	FILE *out;

	out = open_memstream(&text, &size);
	if (!out)
		return -ENOMEM;

	write(out);
	failed = ferror(out) != 0;
	if (fclose(out) != 0 || failed)
		return -ENOMEM;

	*ret_text = steal_pointer(text);
	return 0;
}

int method_markdown(char **ret_text)
{
	return write_text(write_methods, ret_text);
}

int rpc_code_markdown(char **ret_text)
{
	return write_text(write_codes, ret_text);
}
