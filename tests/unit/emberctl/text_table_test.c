/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Aligned columns, and the wrapping of the last one.
 */
#include "emberctl/text_table.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

static struct text_table *table;

static void begin(void)
{
	cr_assert_eq(text_table_new(&table), 0);
}

static void end(void)
{
	table = text_table_free(table);
}

TestSuite(text_table, .init = begin, .fini = end);

static void add_columns(const char *first, const char *second, enum text_align align)
{
	cr_assert_eq(text_table_add_column(table, first, TEXT_LEFT), 0);
	cr_assert_eq(text_table_add_column(table, second, align), 0);
}

static void add_row(const char *first, const char *second)
{
	cr_assert_eq(text_table_add_cell(table, first), 0);
	cr_assert_eq(text_table_add_cell(table, second), 0);
}

static void expect(int indent, int width, bool emphasis, const char *text)
{
	char *printed = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&printed, &size);

	text_table_print(table, out, indent, width, emphasis);
	fclose(out);
	cr_assert_str_eq(printed, text);
	free(printed);
}

Test(text_table, counts_characters_and_not_bytes)
{
	add_columns("NAME", "SIZE", TEXT_RIGHT);
	add_row("\xc3\xa4\xc3\xb6\xc3\xbc", "1");
	add_row("plain", "22");
	expect(0, 0, false,
	       "NAME   SIZE\n"
	       "\xc3\xa4\xc3\xb6\xc3\xbc       1\n"
	       "plain    22\n");
}

Test(text_table, ends_no_line_in_spaces)
{
	add_columns(NULL, NULL, TEXT_LEFT);
	add_row("a", "");
	add_row("longer", "b");
	add_row("", "c");
	expect(2, 0, false,
	       "  a\n"
	       "  longer  b\n"
	       "          c\n");
}

Test(text_table, wraps_the_last_column_at_spaces)
{
	add_columns(NULL, NULL, TEXT_LEFT);
	add_row("key", "one two three four five six seven");
	add_row("k", "a-word-that-is-longer-than-the-column-is and more");
	expect(0, 25, false,
	       "key  one two three four\n"
	       "     five six seven\n"
	       "k    a-word-that-is-longer-than-the-column-is\n"
	       "     and more\n");
}

Test(text_table, does_not_wrap_into_a_sliver)
{
	add_columns(NULL, NULL, TEXT_LEFT);
	add_row("key", "one two three four five six seven");
	expect(0, 20, false, "key  one two three four five six seven\n");
}

Test(text_table, prints_titles_in_bold_where_asked)
{
	add_columns("A", "B", TEXT_LEFT);
	add_row("1", "2");
	expect(0, 0, true, "\033[1mA  B\033[0m\n1  2\n");
}

Test(text_table, prints_titles_alone)
{
	add_columns("A", "B", TEXT_LEFT);
	expect(1, 0, false, " A  B\n");
}
