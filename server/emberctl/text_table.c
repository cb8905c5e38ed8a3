/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Aligned columns of text.
 *
 * Titles and cells are copied into one growing array, row by row, the titles first; widths are counted in characters
 * (UTF-8 continuation bytes do not count) when the table is printed.
 */
#include "emberctl/text_table.h"

#include "emberctl/text.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define MAX_COLUMNS      32
#define NARROWEST_COLUMN 20 /* characters: what is narrower is not wrapped */

struct text_table {
	enum text_align align[MAX_COLUMNS];
	size_t columns;
	bool titled;
	char **cells; /* titles (columns of them) first, then the rows */
	size_t count, capacity;
};

int text_table_new(struct text_table **ret_table)
{
	struct text_table *table = calloc(1, sizeof(*table));

	if (table == NULL)
		return -ENOMEM;
	*ret_table = table;
	return 0;
}

struct text_table *text_table_free(struct text_table *table)
{
	if (table == NULL)
		return NULL;
	for (size_t i = 0; i < table->count; i++)
		free(table->cells[i]);
	free(table->cells);
	free(table);
	return NULL;
}

int text_table_add_cell(struct text_table *table, const char *text)
{
	char *copy;

	if (table->count == table->capacity) {
		size_t capacity = table->capacity == 0 ? 64 : table->capacity * 2;
		char **cells = reallocarray(table->cells, capacity, sizeof(*cells));

		if (cells == NULL)
			return -ENOMEM;
		table->cells = cells;
		table->capacity = capacity;
	}
	copy = strdup(text);
	if (copy == NULL)
		return -ENOMEM;
	text_make_printable(copy);
	table->cells[table->count++] = copy;
	return 0;
}

int text_table_add_column(struct text_table *table, const char *title, enum text_align align)
{
	int result;

	if (table->columns == MAX_COLUMNS)
		return -ENOMEM;
	result = text_table_add_cell(table, title == NULL ? "" : title);
	if (result < 0)
		return result;
	table->align[table->columns++] = align;
	table->titled = table->titled || title != NULL;
	return 0;
}

static size_t width_of(const char *text)
{
	size_t width = 0;

	for (; *text != '\0'; text++)
		width += ((unsigned char)*text & 0xc0) != 0x80;
	return width;
}

/* Bytes of the text that fit a width: all of it, or as far as a space; a word that is too long for it is not broken. */
static size_t fitting_length(const char *text, size_t width)
{
	size_t length = 0, characters = 0;

	for (size_t i = 0; text[i] != '\0'; i++) {
		if (text[i] == ' ' && (length == 0 || characters <= width))
			length = i;
		characters += ((unsigned char)text[i] & 0xc0) != 0x80;
	}
	return characters <= width || length == 0 ? strlen(text) : length;
}

/* The last column: the lines after the first start below it. */
static void print_wrapped(const char *text, size_t column_start, size_t width, FILE *out)
{
	size_t length = fitting_length(text, width);

	fprintf(out, "%.*s", (int)length, text);
	for (text += length; *text != '\0'; text += length) {
		text++;
		length = fitting_length(text, width);
		fprintf(out, "\n%*s%.*s", (int)column_start, "", (int)length, text);
	}
}

struct layout {
	size_t widths[MAX_COLUMNS];
	size_t last_start; /* where the last column starts, in characters */
	size_t last_width; /* what it is wrapped to; SIZE_MAX: it is not */
};

static void measure(const struct text_table *table, int indent, int width, struct layout *layout)
{
	size_t last = table->columns - 1;

	for (size_t i = 0; i < table->count; i++) {
		size_t cell = width_of(table->cells[i]);

		if (cell > layout->widths[i % table->columns])
			layout->widths[i % table->columns] = cell;
	}
	layout->last_start = (size_t)indent;
	for (size_t column = 0; column < last; column++)
		layout->last_start += layout->widths[column] + 2;
	layout->last_width = SIZE_MAX;
	if (table->align[last] == TEXT_LEFT && width > 0 && (size_t)width >= layout->last_start + NARROWEST_COLUMN)
		layout->last_width = (size_t)width - layout->last_start;
}

static void print_row(const struct text_table *table, size_t first, const struct layout *layout, FILE *out, int indent)
{
	size_t pending = (size_t)indent; /* spaces owed before the next text, so that none ends a line */

	for (size_t column = 0; column < table->columns && first + column < table->count; column++) {
		const char *text = table->cells[first + column];
		size_t padding = layout->widths[column] - width_of(text);

		if (table->align[column] == TEXT_RIGHT)
			pending += padding;
		if (*text != '\0') {
			fprintf(out, "%*s", (int)pending, "");
			print_wrapped(text, layout->last_start,
				      column + 1 == table->columns ? layout->last_width : SIZE_MAX, out);
			pending = 0;
		}
		if (table->align[column] == TEXT_LEFT)
			pending += padding;
		pending += 2;
	}
}

void text_table_print(const struct text_table *table, FILE *out, int indent, int width, bool emphasis)
{
	struct layout layout = { 0 };

	if (table->columns == 0)
		return;
	measure(table, indent, width, &layout);
	if (table->titled) {
		fputs(emphasis ? "\033[1m" : "", out);
		print_row(table, 0, &layout, out, indent);
		fputs(emphasis ? "\033[0m\n" : "\n", out);
	}
	for (size_t row = table->columns; row < table->count; row += table->columns) {
		print_row(table, row, &layout, out, indent);
		fputc('\n', out);
	}
}
