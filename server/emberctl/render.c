/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Results as text, by their form alone: whatever method gave them, a new one included.
 *
 * An object prints in three parts: plain members as "label  value" lines, then each object in it under its label, then
 * each list of objects as a table. An object that holds nothing but one list is that table. Where a member's name
 * carries a unit but its members' names do not (phases_us), they inherit it.
 */
#include "emberctl/render.h"

#include "emberctl/text.h"
#include "emberctl/text_table.h"
#include "emberctl/value_text.h"
#include "proto/cleanup.h"

#include <errno.h>
#include <string.h>

#define LABEL_SIZE 128
#define INDENT     2

struct renderer {
	FILE *out;
	bool emphasis;
};

static void cleanup_free_table(struct text_table **table)
{
	text_table_free(*table);
}

#define cleanup_table __attribute__((cleanup(cleanup_free_table)))

static bool is_object_list(const json_t *value)
{
	return json_is_array(value) && json_is_object(json_array_get(value, 0));
}

static bool is_plain(const json_t *value)
{
	return !is_object_list(value) && !(json_is_object(value) && json_object_size(value) > 0);
}

static int add_value_cell(struct text_table *table, const char *name, const char *parent, const json_t *value)
{
	cleanup_free char *text = NULL;
	const char *unit_name = parent != NULL && !value_name_has_unit(name) ? parent : name;

	if (value_text(unit_name, value, &text) < 0)
		return -ENOMEM;
	return text_table_add_cell(table, text);
}

/* Tables show a shape by its name, which says all of these. */
static bool is_said_by_shape(const json_t *row, const char *name)
{
	return json_object_get(row, "shape") != NULL &&
	       (strcmp(name, "vcpus") == 0 || strcmp(name, "memory_mib") == 0 || strcmp(name, "cpu_template") == 0 ||
		strcmp(name, "pit_reinject") == 0);
}

/* The names in any of the rows, in the order in which they come up, each with whether its values are numbers. */
static int collect_columns(const json_t *rows, json_t **ret_columns)
{
	cleanup_json json_t *columns = json_object();
	const json_t *row;
	json_t *value;
	const char *name;
	size_t index;

	if (columns == NULL)
		return -ENOMEM;
	json_array_foreach((json_t *)rows, index, row) {
		json_object_foreach((json_t *)row, name, value) {
			if (json_is_true(json_object_get(columns, name)) || is_said_by_shape(row, name))
				continue;
			if (json_object_set_new(columns, name, json_boolean(json_is_number(value))) < 0)
				return -ENOMEM;
		}
	}
	*ret_columns = json_incref(columns);
	return 0;
}

static int fill_table(struct text_table *table, const json_t *rows, const json_t *columns)
{
	char label[LABEL_SIZE];
	const json_t *row;
	json_t *is_number;
	const char *name;
	size_t index;

	json_object_foreach((json_t *)columns, name, is_number) {
		value_label(name, label, sizeof(label));
		text_upper_case(label);
		if (text_table_add_column(table, label, json_is_true(is_number) ? TEXT_RIGHT : TEXT_LEFT) < 0)
			return -ENOMEM;
	}
	json_array_foreach((json_t *)rows, index, row) {
		json_object_foreach((json_t *)columns, name, is_number) {
			if (add_value_cell(table, name, NULL, json_object_get(row, name)) < 0)
				return -ENOMEM;
		}
	}
	return 0;
}

static int render_table(struct renderer *renderer, const json_t *rows, int indent)
{
	cleanup_table struct text_table *table = NULL;
	cleanup_json json_t *columns = NULL;

	if (text_table_new(&table) < 0 || collect_columns(rows, &columns) < 0 || fill_table(table, rows, columns) < 0)
		return -ENOMEM;
	text_table_print(table, renderer->out, indent, 0, renderer->emphasis);
	return 0;
}

/* The members that fit a line each, lined up. *ret_printed: how many there were. */
static int render_plain_members(struct renderer *renderer, const char *parent, const json_t *object, int indent,
				size_t *ret_printed)
{
	cleanup_table struct text_table *table = NULL;
	char label[LABEL_SIZE];
	json_t *value;
	const char *name;
	size_t printed = 0;

	if (text_table_new(&table) < 0 || text_table_add_column(table, NULL, TEXT_LEFT) < 0 ||
	    text_table_add_column(table, NULL, TEXT_LEFT) < 0)
		return -ENOMEM;
	json_object_foreach((json_t *)object, name, value) {
		if (!is_plain(value))
			continue;
		value_label(name, label, sizeof(label));
		if (text_table_add_cell(table, label) < 0 || add_value_cell(table, name, parent, value) < 0)
			return -ENOMEM;
		printed++;
	}
	text_table_print(table, renderer->out, indent, 0, false);
	*ret_printed = printed;
	return 0;
}

static void render_label(struct renderer *renderer, const char *name, int indent, bool separated)
{
	char label[LABEL_SIZE];

	value_label(name, label, sizeof(label));
	if (separated && indent == 0)
		fputc('\n', renderer->out);
	fprintf(renderer->out, renderer->emphasis ? "%*s\033[1m%s\033[0m\n" : "%*s%s\n", indent, "", label);
}

/* NOLINTNEXTLINE(misc-no-recursion): as deep as the result, whose depth the JSON reader limits */
static int render_object(struct renderer *renderer, const char *parent, const json_t *object, int indent)
{
	size_t printed = 0;
	json_t *value;
	const char *name;
	int result;

	result = render_plain_members(renderer, parent, object, indent, &printed);
	json_object_foreach((json_t *)object, name, value) {
		if (result < 0)
			return result;
		if (is_plain(value))
			continue;
		render_label(renderer, name, indent, printed++ > 0);
		if (json_is_object(value))
			result = render_object(renderer, name, value, indent + INDENT);
		else
			result = render_table(renderer, value, indent + INDENT);
	}
	return result;
}

int render_result(const json_t *result, FILE *out, bool emphasis)
{
	struct renderer renderer = { .out = out, .emphasis = emphasis };
	const char *name = NULL;
	json_t *only = NULL;
	char label[LABEL_SIZE];

	if (!json_is_object(result)) {
		cleanup_free char *text = NULL;

		if (value_text(NULL, result, &text) < 0)
			return -ENOMEM;
		text_make_printable(text);
		fprintf(out, "%s\n", text);
		return 0;
	}
	if (json_object_size(result) == 1) {
		name = json_object_iter_key(json_object_iter((json_t *)result));
		only = json_object_get(result, name);
	}
	if (is_object_list(only))
		return render_table(&renderer, only, 0);
	if (json_is_array(only) && json_array_size(only) == 0) {
		value_label(name, label, sizeof(label));
		fprintf(out, "no %s\n", label);
		return 0;
	}
	return render_object(&renderer, NULL, result, 0);
}

int render_json(const json_t *value, FILE *out, bool indented)
{
	if (json_dumpf(value, out, JSON_ENCODE_ANY | (indented ? JSON_INDENT(2) : JSON_COMPACT)) < 0)
		return -EIO;
	return fputc('\n', out) == EOF ? -EIO : 0;
}
