/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Help, written out of the table of methods, so that it cannot fall behind what the daemon takes.
 */
#include "emberctl/help.h"

#include "emberctl/command.h"
#include "emberctl/text.h"
#include "emberctl/text_table.h"
#include "proto/client/ember.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#define CELL_SIZE   512
#define WIDEST_LINE 110 /* characters: longer lines are hard to read */

static const char usage[] = "Usage: emberctl [--socket PATH] [--json] COMMAND [WORD]... [--FLAG VALUE]...\n"
			    "       emberctl call METHOD [JSON-PARAMETERS]\n"
			    "       emberctl help [COMMAND]\n"
			    "       emberctl --snapshot PATH [--vm ID]\n"
			    "       emberctl --restore PATH\n"
			    "\n"
			    "Talks to emberd: one command for every method of its protocol.\n"
			    "\n";

static const char options[] =
	"\n"
	"Options:\n"
	"  --socket PATH   the daemon's socket (EMBER_SOCKET; else " EMBER_DEFAULT_SOCKET ")\n"
	"  --json          print what the daemon answered, as JSON\n"
	"  --version       print the version\n"
	"  --snapshot PATH [--vm ID]  snapshot a VM into the folder PATH; the only VM there is, where none is named\n"
	"  --restore PATH  start a VM from the snapshot in the folder PATH\n"
	"\n"
	"Exit status: 0 done, 1 the call failed, 2 a mistake in the command line, 3 the daemon cannot be reached.\n";

/* "vm.restore" as it is typed: "vm restore". */
static void command_name(const struct method *method, char *name, size_t size)
{
	snprintf(name, size, "%s", method->name);
	text_replace(name, '.', ' ');
}

/* Two columns without titles. Returns NULL where there is no memory, as the functions below then print less. */
static struct text_table *new_list(void)
{
	struct text_table *table = NULL;

	if (text_table_new(&table) < 0)
		return NULL;
	for (int column = 0; column < 2; column++) {
		if (text_table_add_column(table, NULL, TEXT_LEFT) < 0)
			return text_table_free(table);
	}
	return table;
}

static int line_width(FILE *out)
{
	struct winsize window;

	if (ioctl(fileno(out), TIOCGWINSZ, &window) == 0 && window.ws_col > 0 && window.ws_col < WIDEST_LINE)
		return window.ws_col;
	return WIDEST_LINE;
}

static void end_list(struct text_table *table, FILE *out)
{
	if (table != NULL)
		text_table_print(table, out, 2, line_width(out), false);
	text_table_free(table);
}

static void add_line(struct text_table *table, const char *left, const char *right)
{
	if (table == NULL || text_table_add_cell(table, left) < 0)
		return;
	text_table_add_cell(table, right);
}

static bool is_of_family(const struct method *method, const char *family)
{
	size_t length = strlen(family);

	return strncmp(method->name, family, length) == 0 && method->name[length] == '.';
}

/* The commands of a family; of all families where it is NULL. Returns how many there were. */
static size_t list_commands(const char *family, FILE *out)
{
	struct text_table *table = new_list();
	const struct method *methods;
	size_t count, listed = 0;
	char name[CELL_SIZE];

	methods = method_table(&count);
	for (size_t i = 0; i < count; i++) {
		if (family != NULL && !is_of_family(&methods[i], family))
			continue;
		command_name(&methods[i], name, sizeof(name));
		add_line(table, name, methods[i].summary);
		listed++;
	}
	end_list(table, out);
	return listed;
}

void help_overview(FILE *out)
{
	fputs(usage, out);
	fputs("Commands (\"emberctl help COMMAND\" tells more):\n", out);
	list_commands(NULL, out);
	fputs(options, out);
}

/* A parameter's flag: "--memory-mib". */
static void flag_name(const struct param *param, char *flag, size_t size)
{
	snprintf(flag, size, "--%s", param->name);
	text_replace(flag, '_', '-');
}

static void append(char *text, size_t size, const char *more)
{
	size_t length = strlen(text);

	snprintf(text + length, size - length, "%s", more);
}

static const char *kind_name(enum string_kind kind)
{
	switch (kind) {
	case STRING_PATH:
		return "PATH";
	case STRING_VM_ID:
		return "VM";
	case STRING_NAME:
	case STRING_INTERFACE:
		return "NAME";
	case STRING_MAC:
		return "MAC";
	case STRING_TEXT:
	case STRING_PRINTABLE:
	case STRING_CMDLINE:
		break;
	}
	return "TEXT";
}

/* What follows the flag: "warm|cold|any", "PATH", "MIB". */
static void value_name(const struct param *param, char *text, size_t size)
{
	*text = '\0';
	switch (param->type) {
	case PARAM_BOOL:
		return;
	case PARAM_ENUM:
	case PARAM_ENUM_ARRAY:
		for (size_t i = 0; param->values[i] != NULL; i++) {
			append(text, size, i == 0 ? "" : param->type == PARAM_ENUM ? "|" : ",");
			append(text, size, param->values[i]);
		}
		return;
	case PARAM_INT:
		append(text, size, param->unit == NULL ? "N" : param->unit);
		break;
	case PARAM_ID:
		append(text, size, "ID");
		break;
	case PARAM_STRING:
		append(text, size, kind_name(param->kind));
		break;
	case PARAM_OBJECT:
	case PARAM_OBJECT_ARRAY:
		append(text, size, "MEMBER=VALUE,...");
		break;
	case PARAM_JSON:
		append(text, size, "JSON|@FILE");
		break;
	}
	text_upper_case(text);
}

/* "; 1 to 3072 MiB" */
static void describe_range(const struct param *param, char *text, size_t size)
{
	const char *unit = param->unit == NULL ? "" : param->unit, *space = param->unit == NULL ? "" : " ";

	if (param->maximum == INT64_MAX)
		snprintf(text, size, "; %lld%s%s or more", (long long)param->minimum, space, unit);
	else
		snprintf(text, size, "; %lld to %lld%s%s", (long long)param->minimum, (long long)param->maximum, space,
			 unit);
}

/* "; 128 if not given": a default without what makes it JSON. */
static void describe_default(const struct param *param, char *text, size_t size)
{
	/* emberctl's own default: see command.c */
	const char *json = strcmp(param->name, "detach") == 0 ? "true" : param->default_json;
	size_t length = 0;

	for (; *json != '\0' && length + 1 < size; json++) {
		if (strchr("[]\"", *json) == NULL)
			text[length++] = *json;
	}
	text[length] = '\0';
}

/* "Guest memory; 1 to 3072 MiB; 128 if not given". */
static void describe_param(const struct param *param, char *text, size_t size)
{
	char part[128];

	snprintf(text, size, "%s", param->description == NULL ? "" : param->description);
	if (param->type == PARAM_INT) {
		describe_range(param, part, sizeof(part));
		append(text, size, part);
	}
	if (param->default_json != NULL) {
		describe_default(param, part, sizeof(part));
		append(text, size, "; ");
		append(text, size, part);
		append(text, size, " if not given");
	}
	if (param->role != ROLE_NONE) {
		snprintf(part, sizeof(part), "; needs the role %s", role_name(param->role));
		append(text, size, part);
	}
	if (param->type == PARAM_OBJECT_ARRAY)
		append(text, size, "; may be repeated");
	if (param->required)
		append(text, size, "; required");
}

/* "--memory-mib MIB", "--resume, --no-resume". */
static void describe_flag(const struct param *param, char *text, size_t size)
{
	char part[128];

	flag_name(param, text, size);
	if (param->type != PARAM_BOOL) {
		value_name(param, part, sizeof(part));
		append(text, size, " ");
		append(text, size, part);
	} else if (param->default_json != NULL && strcmp(param->default_json, "true") == 0) {
		snprintf(part, sizeof(part), ", --no-%s", param->name);
		append(text, size, part);
	}
}

/* The members of an object, below its flag: "  path=PATH", "  limit.ops_burst=N". object: "limit."; "" at first. */
static void list_members(const struct param *members, const char *object, struct text_table *table)
{
	char left[CELL_SIZE], right[CELL_SIZE], value[128], inner[128];

	for (const struct param *member = members; member->name != NULL; member++) {
		if (member->type == PARAM_OBJECT) {
			snprintf(inner, sizeof(inner), "%s%s.", object, member->name);
			list_members(member->members, inner, table);
			continue;
		}
		value_name(member, value, sizeof(value));
		snprintf(left, sizeof(left), "  %s%s=%s", object, member->name,
			 member->type == PARAM_BOOL ? "true|false" : value);
		describe_param(member, right, sizeof(right));
		add_line(table, left, right);
	}
}

static void list_params(const struct method *method, FILE *out)
{
	struct text_table *table = new_list();
	char left[CELL_SIZE], right[CELL_SIZE];

	for (size_t i = 0; i < method_param_count(method); i++) {
		const struct param *param = method_param(method, i);

		describe_flag(param, left, sizeof(left));
		describe_param(param, right, sizeof(right));
		add_line(table, left, right);
		if (param->members != NULL)
			list_members(param->members, "", table);
	}
	if (method_find_param(method, "detach") != NULL)
		add_line(table, "--attach",
			 "Stay connected, so that the VM ends when emberctl does; the opposite of --detach");
	if (strcmp(method->name, "vm.console") == 0)
		add_line(table, "--follow", "With read: go on reading until the VM ends");
	end_list(table, out);
}

/* The words that may stand without a flag, as the reader of commands takes them. */
static void print_usage(const struct method *method, FILE *out)
{
	char name[CELL_SIZE];

	command_name(method, name, sizeof(name));
	fprintf(out, "Usage: emberctl %s", name);
	for (int required = 1; required >= 0; required--) {
		for (size_t i = 0; i < method_param_count(method); i++) {
			const struct param *param = method_param(method, i);

			if (param->required != required || !command_param_is_positional(method, param))
				continue;
			snprintf(name, sizeof(name), "%s", param->name);
			text_upper_case(name);
			fprintf(out, required ? " %s" : " [%s]", name);
		}
	}
	fputs(" [--FLAG VALUE]...\n", out);
}

static void list_results(const struct method *method, FILE *out)
{
	struct text_table *table = new_list();

	for (const struct result_field *field = method->result; field != NULL && field->name != NULL; field++)
		add_line(table, field->name, field->description == NULL ? "" : field->description);
	end_list(table, out);
}

static void list_errors(const struct method *method, FILE *out)
{
	struct text_table *table = new_list();

	for (const enum rpc_code *code = method->errors; code != NULL && *code != RPC_OK; code++) {
		const struct rpc_code_info *info = rpc_code_info(*code);

		add_line(table, info->reason == NULL ? info->status : info->reason, info->meaning);
	}
	end_list(table, out);
}

void help_method(const struct method *method, FILE *out)
{
	print_usage(method, out);
	fprintf(out, "\n%s. Needs the role %s.\n\nFlags:\n", method->summary, role_name(method->role));
	list_params(method, out);
	if (method->result != NULL) {
		fputs("\nThe answer has:\n", out);
		list_results(method, out);
	}
	if (method->errors != NULL && method->errors[0] != RPC_OK) {
		fputs("\nMay fail with:\n", out);
		list_errors(method, out);
	}
	if (strcmp(method->name, "vm.console") == 0)
		fputs("\nDATA given without its flag is a line: a line end is added. \"--data -\" reads standard input.\n",
		      out);
}

int help_topic(int count, char *const *words, FILE *out, char *detail)
{
	const struct method *method;
	int used;

	if (command_find_method(count, words, &method, &used, detail) == 0) {
		help_method(method, out);
		return 0;
	}
	return count == 1 && list_commands(words[0], out) > 0 ? 0 : -EINVAL;
}
