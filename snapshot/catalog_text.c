/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The catalog's text: {"format": 1, "snapshots": [{"name": "...", "path": "/...", "devices": {...}}]}.
 *
 * What a snapshot is, its own files say, and they are checked again when the daemon starts. Devices are kept here, where
 * the worker that wrote those files cannot reach: they name files of the host's. An entry may be without, as all were once.
 */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "snapshot/catalog.h"
#include "snapshot/json_print.h"
#include "snapshot/json_value.h"

#define CATALOG_FORMAT 1

static json_t *entries_to_json(const struct catalog *catalog)
{
	json_t *array = json_array();

	for (size_t i = 0; array && i < catalog_count(catalog); i++) {
		const struct catalog_entry *entry = catalog_at(catalog, i);

		if (catalog_entry_is_being_removed(entry))
			continue;
		if (json_array_append_new(array, json_pack("{s:s, s:s, s:O*}", "name", catalog_entry_name(entry),
							   "path", catalog_entry_path(entry), "devices",
							   catalog_entry_devices(entry))) < 0) {
			json_decref(array);
			return NULL;
		}
	}

	return array;
}

int catalog_to_text(const struct catalog *catalog, char **ret_text, size_t *ret_size)
{
	json_t *document = json_pack("{s:i, s:o}", "format", CATALOG_FORMAT, "snapshots", entries_to_json(catalog));
	char *text = NULL;
	size_t size = 0;
	FILE *stream;
	int r = -ENOMEM;

	stream = document ? open_memstream(&text, &size) : NULL;
	if (stream) {
		r = json_print(stream, document);
		(void)fputc('\n', stream);
		if (fclose(stream) != 0)
			r = -ENOMEM;
	}
	json_decref(document);
	if (r < 0) {
		free(text);
		return r;
	}

	*ret_text = text;
	*ret_size = size;
	return 0;
}

/* One member of an entry, of a kind that is known. */
static const char *member_text(const json_t *entry, const char *name, struct json_path *path,
			       struct error_detail *detail)
{
	const char *text = json_string_value(json_object_get(entry, name));

	if (!text) {
		(void)json_path_enter_member(path, name);
		(void)json_fail(path, detail, "must be a string");
	}
	return text;
}

static int check_entry(const json_t *entry, struct json_path *path, struct error_detail *detail)
{
	const char *name;
	const char *folder;
	const json_t *devices = json_object_get(entry, "devices");
	int r = json_expect_object(entry, path, detail);

	if (r < 0)
		return r;
	name = member_text(entry, "name", path, detail);
	folder = name ? member_text(entry, "path", path, detail) : NULL;
	if (!folder)
		return -EINVAL;
	if (devices && (!json_is_object(devices) || json_dumpb(devices, NULL, 0, JSON_COMPACT) > CATALOG_DEVICES_MAX))
		return json_fail(path, detail, "has devices that are no object, or more than there can be");
	if (json_object_size(entry) != (devices ? 3 : 2))
		return json_fail(path, detail, "must have a name and a path, may have devices, and has nothing else");
	if (!catalog_name_is_valid(name))
		return json_fail(path, detail, "has a name that is none");
	if (folder[0] != '/' || strlen(folder) >= PATH_MAX)
		return json_fail(path, detail, "has a path that is not absolute");

	return 0;
}

static int check_document(const json_t *document, struct error_detail *detail)
{
	const json_t *entries = json_object_get(document, "snapshots");
	struct json_path path = { .length = 0 };
	int64_t format = 0;
	int r = json_expect_object(document, &path, detail);

	(void)json_path_enter_member(&path, "format");
	if (r == 0)
		r = json_read_integer(json_object_get(document, "format"), CATALOG_FORMAT, CATALOG_FORMAT, &path,
				      &format, detail);
	json_path_leave(&path, 0);
	if (r == 0 && json_object_size(document) != 2)
		r = json_fail(&path, detail, "must have a format and snapshots, and nothing else");
	(void)json_path_enter_member(&path, "snapshots");
	if (r == 0)
		r = json_expect_array(entries, &path, detail);

	for (size_t i = 0; r == 0 && i < json_array_size(entries); i++) {
		size_t outside = json_path_enter_element(&path, i);

		r = check_entry(json_array_get(entries, i), &path, detail);
		json_path_leave(&path, outside);
	}

	return r;
}

static int visit_entries(const json_t *document,
			 int (*visit)(void *opaque, const char *name, const char *path, json_t *devices), void *opaque)
{
	const json_t *entry;
	size_t i;

	json_array_foreach(json_object_get(document, "snapshots"), i, entry) {
		int r = visit(opaque, json_string_value(json_object_get(entry, "name")),
			      json_string_value(json_object_get(entry, "path")), json_object_get(entry, "devices"));

		if (r != 0)
			return r;
	}

	return 0;
}

int catalog_from_text(const char *text, size_t size,
		      int (*visit)(void *opaque, const char *name, const char *path, json_t *devices), void *opaque,
		      struct error_detail *detail)
{
	char message[JSON_ERROR_TEXT_LENGTH];
	json_error_t error;
	json_t *document;
	int r;

	if (size > CATALOG_TEXT_MAX) {
		error_detail_set(detail, CATALOG_FILE " has %zu bytes: too many", size);
		return -EFBIG;
	}
	document = json_loadb(text, size, JSON_REJECT_DUPLICATES, &error);
	if (!document) {
		r = json_load_failure(&error, message, sizeof(message));
		error_detail_set(detail, CATALOG_FILE ", line %d, column %d: %s", error.line, error.column, message);
		return r;
	}

	r = check_document(document, detail);
	if (r == 0)
		r = visit_entries(document, visit, opaque);
	json_decref(document);
	return r;
}
