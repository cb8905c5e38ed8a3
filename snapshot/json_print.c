/* SPDX-License-Identifier: Apache-2.0 */
/*
 * jansson prints either everything on one line or every scalar on its own. A snapshot's state has tables of CPUID
 * leaves and MSRs that read best a row to a line, so each array or object is printed on one line if it fits, and else
 * broken, child by child; but for arrays of scalars, which fill their lines. All elements of an array are of one kind
 * here.
 */
#include "snapshot/json_print.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define LINE_MAX_LENGTH 200 /* of an object or array that is printed on one line */
#define FILL_MAX_LENGTH 180 /* of the lines of a long array of scalars: eight 64-bit numbers */
#define INDENT          "  "

static int print(FILE *stream, const json_t *value, unsigned depth);

static void indent(FILE *stream, unsigned depth)
{
	for (unsigned i = 0; i < depth; i++)
		(void)fputs(INDENT, stream);
}

static int print_member(FILE *stream, const char *key, const json_t *value, unsigned depth)
{
	json_t *name = json_string(key);
	char *text = name ? json_dumps(name, JSON_ENCODE_ANY) : NULL;

	json_decref(name);
	if (!text)
		return -ENOMEM;
	indent(stream, depth);
	(void)fprintf(stream, "%s: ", text);
	free(text);

	return print(stream, value, depth); /* As deep as the value, which is ours. NOLINT(misc-no-recursion) */
}

static int print_members(FILE *stream, const json_t *object, unsigned depth)
{
	const char *separator = "";
	const char *key;
	json_t *value;

	json_object_foreach((json_t *)object, key, value) {
		int r;

		(void)fputs(separator, stream);
		separator = ",\n";
		r = print_member(stream, key, value, depth);
		if (r < 0)
			return r;
	}

	return 0;
}

/* Numbers and strings: as many on a line as fit. */
static int print_scalars(FILE *stream, const json_t *array, unsigned depth)
{
	size_t column = 0;
	size_t index;
	json_t *value;

	json_array_foreach(array, index, value) {
		char *text = json_dumps(value, JSON_ENCODE_ANY);
		size_t length = text ? strlen(text) : 0;

		if (!text)
			return -ENOMEM;
		if (index > 0 && column + length + 2 > FILL_MAX_LENGTH)
			column = 0;
		if (column == 0) {
			(void)fputs(index > 0 ? ",\n" : "", stream);
			indent(stream, depth);
		} else {
			(void)fputs(", ", stream);
		}
		(void)fputs(text, stream);
		column += length + 2;
		free(text);
	}

	return 0;
}

static int print_elements(FILE *stream, const json_t *array, unsigned depth)
{
	const json_t *first = json_array_get(array, 0);
	size_t index;
	json_t *value;

	if (!json_is_object(first) && !json_is_array(first))
		return print_scalars(stream, array, depth);

	json_array_foreach(array, index, value) {
		int r;

		(void)fputs(index > 0 ? ",\n" : "", stream);
		indent(stream, depth);
		r = print(stream, value, depth);
		if (r < 0)
			return r;
	}

	return 0;
}

static int print(FILE *stream, const json_t *value, unsigned depth)
{
	char *line = json_dumps(value, JSON_ENCODE_ANY);
	int r = 0;

	if (!line)
		return -ENOMEM;

	if (strlen(line) <= LINE_MAX_LENGTH || !(json_is_object(value) || json_is_array(value))) {
		(void)fputs(line, stream);
	} else {
		(void)fputs(json_is_object(value) ? "{\n" : "[\n", stream);
		r = json_is_object(value) ? print_members(stream, value, depth + 1)
					  : print_elements(stream, value, depth + 1);
		(void)fputc('\n', stream);
		indent(stream, depth);
		(void)fputc(json_is_object(value) ? '}' : ']', stream);
	}
	free(line);

	return r;
}

static int finished(FILE *stream, int r)
{
	if (r == 0 && ferror(stream))
		return -EIO;

	return r;
}

int json_print(FILE *stream, const json_t *value)
{
	return finished(stream, print(stream, value, 0));
}

int json_print_members(FILE *stream, const json_t *object)
{
	return finished(stream, print_members(stream, object, 0));
}
