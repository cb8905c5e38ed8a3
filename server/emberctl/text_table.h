/* SPDX-License-Identifier: Apache-2.0 */
#ifndef EMBERCTL_TEXT_TABLE_H
#define EMBERCTL_TEXT_TABLE_H

#include <stdbool.h>
#include <stdio.h>

enum text_align {
	TEXT_LEFT,
	TEXT_RIGHT,
};

struct text_table;

/*
 * A new table without columns.
 *
 * Returns 0 and the table, owned by the caller; or -ENOMEM.
 */
int text_table_new(struct text_table **ret_table);

/* Frees the table and all its text; takes NULL. Returns NULL. */
struct text_table *text_table_free(struct text_table *table);

/*
 * Add a column at the right; every column before the first cell.
 *
 * title  copied; NULL in all columns of a table that shall have no header line
 *
 * Returns 0, or -ENOMEM.
 */
int text_table_add_column(struct text_table *table, const char *title, enum text_align align);

/*
 * Add the next cell: rows fill from the left, and a full row starts the next one.
 *
 * text  UTF-8, copied; control characters in it are shown as '?'
 *
 * Returns 0, or -ENOMEM.
 */
int text_table_add_cell(struct text_table *table, const char *text);

/*
 * Print the table with two spaces between columns, and no space at the end of a line.
 *
 * indent    spaces before each line
 * width     characters in a line: the last column, if it is left-aligned, is broken at spaces to fit; 0: no bound
 * emphasis  the header line in bold, by terminal escape
 */
void text_table_print(const struct text_table *table, FILE *out, int indent, int width, bool emphasis);

#endif
