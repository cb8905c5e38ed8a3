/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The README against the tables that it shows and the tests that it names. What it should say is printed where it does not.
 */
#include <criterion/criterion.h>
#include <ctype.h>
#include <fts.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "proto/method.h"
#include "proto/reason.h"
#include "proto/status.h"
#include "server/config_table.h"
#include "signals/signals.h"

static char *read_file(const char *path)
{
	FILE *file = fopen(path, "r");
	char *text = NULL;
	size_t size = 0;

	cr_assert_not_null(file, "%s cannot be opened", path);
	cr_assert_geq(getdelim(&text, &size, '\0', file), 0, "%s cannot be read", path);
	(void)fclose(file);
	return text;
}

static char *readme(void)
{
	return read_file(SOURCE_DIR "/README.md");
}

static void expect_in_readme(const char *table)
{
	char *text = readme();

	cr_expect(strstr(text, table) != NULL, "README.md should have:\n%s", table);
	free(text);
}

Test(readme, shows_the_table_of_methods)
{
	char *table = NULL;
	size_t count;
	const struct method *methods = method_table(&count);

	cr_assert_eq(method_markdown(methods, count, &table), 0);
	expect_in_readme(table);
	free(table);
}

Test(readme, shows_the_members_of_every_object_that_a_method_takes)
{
	char *tables = NULL;
	size_t count;
	const struct method *methods = method_table(&count);

	cr_assert_eq(param_object_markdown(methods, count, &tables), 0);
	expect_in_readme(tables);
	free(tables);
}

Test(readme, shows_the_table_of_error_codes)
{
	char *table = NULL;

	cr_assert_eq(rpc_code_markdown(&table), 0);
	expect_in_readme(table);
	free(table);
}

Test(readme, shows_the_table_of_reasons)
{
	char *table = NULL;

	cr_assert_eq(reason_markdown(&table), 0);
	expect_in_readme(table);
	free(table);
}

Test(readme, shows_the_table_of_signals)
{
	char *table = NULL;

	cr_assert_eq(signals_markdown(&table), 0);
	expect_in_readme(table);
	free(table);
}

static void print_values(FILE *out, const struct config_option *option)
{
	switch (option->type) {
	case CONFIG_NUMBER:
		(void)fprintf(out, "%u to %u", option->minimum, option->maximum);
		break;
	case CONFIG_CHOICE:
		for (size_t i = 0; option->choices[i]; i++)
			(void)fprintf(out, "%s%s", i > 0 ? ", " : "", option->choices[i]);
		break;
	default:
		(void)fprintf(out, "%s", config_type_name(option->type));
		break;
	}
}

static char *options_table(const struct config_option *options, bool reloads)
{
	char *text = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&text, &size);

	cr_assert_not_null(out);
	(void)fprintf(out, "| key | values | default |%s what it is |\n| --- | --- | --- |%s --- |\n",
		      reloads ? " reload |" : "", reloads ? " --- |" : "");
	for (const struct config_option *option = options; option->path; option++) {
		(void)fprintf(out, "| `%s` | ", option->path);
		print_values(out, option);
		(void)fprintf(out, option->default_text ? " | `%s` |" : " | %s |",
			      option->default_text ? option->default_text : "must be given");
		if (reloads)
			(void)fprintf(out, " %s |", option->reloadable ? "yes" : "");
		(void)fprintf(out, " %s |\n", option->help);
	}
	(void)fclose(out);
	return text;
}

Test(readme, shows_every_option_of_the_configuration)
{
	char *options = options_table(config_options, true);
	char *shape_options = options_table(config_shape_options, false);

	expect_in_readme(options);
	expect_in_readme(shape_options);
	free(options);
	free(shape_options);
}

/* Does a text have the words, and right after them one of the ends? */
static bool has_words(const char *text, const char *words, const char *ends)
{
	size_t length = strlen(words);

	for (const char *at = strstr(text, words); at; at = strstr(at + 1, words))
		if (at[length] && strchr(ends, at[length]))
			return true;
	return false;
}

/* Does a file below the folder, whose name ends so, have the words, and right after them one of the ends? */
static bool is_in_files(const char *folder, const char *extension, const char *words, const char *ends)
{
	char *roots[] = { (char *)folder, NULL };
	FTS *tree = fts_open(roots, FTS_PHYSICAL | FTS_NOCHDIR, NULL);
	bool found = false;
	FTSENT *entry;

	cr_assert_not_null(tree);
	while (!found && (entry = fts_read(tree))) {
		const char *end = strrchr(entry->fts_name, '.');
		char *text;

		if (entry->fts_info != FTS_F || !end || strcmp(end, extension) != 0 || entry->fts_statp->st_size == 0)
			continue;
		text = read_file(entry->fts_path);
		found = has_words(text, words, ends);
		free(text);
	}
	(void)fts_close(tree);
	return found;
}

/* Does any test source define the test that the README calls suite::name? */
static bool is_defined(const char *suite, const char *name)
{
	char definition[256];

	(void)snprintf(definition, sizeof(definition), "(%s, %s", suite, name);
	return is_in_files(SOURCE_DIR "/tests", ".c", definition, "),");
}

/* Is there a function for the case that the README calls linux/name? */
static bool is_case(const char *name)
{
	char definition[256];

	(void)snprintf(definition, sizeof(definition), "\ncase_%s", name);
	return is_in_files(SOURCE_DIR "/tests/linux/outer/cases", ".sh", definition, "(");
}

Test(readme, names_only_tests_that_exist)
{
	char *text = readme();
	unsigned count = 0;

	for (char *at = strstr(text, "::"); at; at = strstr(at + 2, "::")) {
		char suite[64] = "", name[160] = "";
		char *start = at;

		while (start > text && (isalnum((unsigned char)start[-1]) || start[-1] == '_'))
			start--;
		if (start == text || start[-1] != '`')
			continue;
		cr_assert_eq(sscanf(start, "%63[A-Za-z0-9_]::%159[A-Za-z0-9_]", suite, name), 2);
		cr_expect(is_defined(suite, name), "no test is called %s::%s", suite, name);
		count++;
	}
	cr_expect_geq(count, 20, "the promises name %u tests", count);
	free(text);
}

/* Whatever stands between "`linux/" and the next "`" is the name of a case. */
Test(readme, names_only_linux_cases_that_exist)
{
	static const char begin[] = "`linux/";
	char *text = readme();
	unsigned count = 0;

	for (char *at = strstr(text, begin); at; at = strstr(at, begin)) {
		char name[160] = "";

		at += strlen(begin);
		(void)sscanf(at, "%159[^`]", name);
		cr_expect(is_case(name), "no case is called linux/%s", name);
		count++;
	}
	cr_expect_geq(count, 20, "the promises name %u cases", count);
	free(text);
}
