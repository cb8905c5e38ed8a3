/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The catalog's text:
 *
 *	{"format": 2, "snapshots": [{"name": "...", "id": "...", "path": "/...", "state_crc64": "0x...",
 *	                             "inode": 1, "devices": {...}, "next": {...}}]}
 *
 * What a snapshot is, its own files say, and they are checked again when the daemon starts; state_crc64 and inode say which
 * files they must be. Devices are kept here, where the worker that wrote those files cannot reach: they name files of the
 * host's. "next" is what was about to take the name, all but the name itself; one that nothing had has "next" alone. Format 1
 * had name, path and devices.
 */
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "snapshot/catalog.h"
#include "snapshot/json_print.h"
#include "snapshot/json_value.h"

#define CATALOG_FORMAT 2

/* What a line says beside the name. NULL: out of memory. */
static json_t *line_to_json(const struct catalog_line *line)
{
	json_t *json = json_pack("{s:s*, s:s}", "id", line->id, "path", line->path);
	char crc[19];

	(void)snprintf(crc, sizeof(crc), "0x%016" PRIx64, line->state_crc64);
	if (json && line->is_known &&
	    (json_object_set_new(json, "state_crc64", json_string(crc)) < 0 ||
	     json_object_set_new(json, "inode", json_integer((json_int_t)line->inode)) < 0))
		goto failed;
	if (json && line->devices && json_object_set(json, "devices", line->devices) < 0)
		goto failed;
	return json;

failed:
	json_decref(json);
	return NULL;
}

/* Add what has a name, or is about to, to the array; either may be NULL. */
static int add_named(json_t *array, const char *name, const struct catalog_line *line, const struct catalog_line *next)
{
	json_t *json = json_pack("{s:s}", "name", name);
	json_t *members = line ? line_to_json(line) : json_object();
	int r = json && members ? json_object_update(json, members) : -1;

	json_decref(members);
	if (r == 0 && next)
		r = json_object_set_new(json, "next", line_to_json(next));
	if (r < 0) {
		json_decref(json);
		return -ENOMEM;
	}
	return json_array_append_new(array, json) < 0 ? -ENOMEM : 0;
}

static json_t *entries_to_json(const struct catalog *catalog)
{
	json_t *array = json_array();
	const struct catalog_line *next;
	int r = array ? 0 : -ENOMEM;

	for (size_t i = 0; r == 0 && i < catalog_count(catalog); i++) {
		const struct catalog_entry *entry = catalog_at(catalog, i);
		const char *name = catalog_entry_name(entry);

		if (!catalog_entry_is_being_removed(entry))
			r = add_named(array, name, catalog_entry_line(entry), catalog_intention(catalog, name));
	}
	for (size_t i = 0; r == 0 && (next = catalog_intention_at(catalog, i)) != NULL; i++)
		if (!catalog_knows(catalog, next->name))
			r = add_named(array, next->name, NULL, next);
	if (r < 0) {
		json_decref(array);
		return NULL;
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

/* Read what a line says beside the name, into ret_line. */
static int read_line(const json_t *object, struct json_path *path, struct catalog_line *ret_line,
		     struct error_detail *detail)
{
	json_t *devices = json_object_get(object, "devices");
	const json_t *crc = json_object_get(object, "state_crc64");
	const json_t *inode = json_object_get(object, "inode");
	const json_t *id = json_object_get(object, "id");
	int64_t number = 0;
	int r = 0;

	ret_line->path = member_text(object, "path", path, detail);
	if (!ret_line->path)
		return -EINVAL;
	if (ret_line->path[0] != '/' || strlen(ret_line->path) >= PATH_MAX)
		return json_fail(path, detail, "has a path that is not absolute");
	if (devices && (!json_is_object(devices) || json_dumpb(devices, NULL, 0, JSON_COMPACT) > CATALOG_DEVICES_MAX))
		return json_fail(path, detail, "has devices that are no object, or more than there can be");
	if (id && (!json_is_string(id) || strlen(json_string_value(id)) != CATALOG_ID_SIZE - 1 ||
		   strspn(json_string_value(id), "0123456789abcdef") != CATALOG_ID_SIZE - 1))
		return json_fail(path, detail, "has an id that is not %d hexadecimal digits", CATALOG_ID_SIZE - 1);
	if (!crc != !inode)
		return json_fail(path, detail, "must have both state_crc64 and inode, or neither");

	if (crc)
		r = json_read_hex(crc, UINT64_MAX, path, &ret_line->state_crc64, detail);
	if (r == 0 && inode)
		r = json_read_integer(inode, INT64_MIN, INT64_MAX, path, &number, detail);
	ret_line->id = json_string_value(id);
	ret_line->devices = devices;
	ret_line->is_known = crc != NULL;
	ret_line->inode = (uint64_t)number;
	return r;
}

static size_t count_members(const json_t *object)
{
	static const char *const known[] = { "name", "id", "path", "devices", "state_crc64", "inode", "next" };
	size_t count = 0;

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		count += json_object_get(object, known[i]) != NULL;
	return count;
}

static int read_entry(const json_t *entry, struct json_path *path, struct catalog_line *ret_line, bool *ret_has_line,
		      struct catalog_line *ret_next, bool *ret_has_next, struct error_detail *detail)
{
	const json_t *next = json_object_get(entry, "next");
	const char *name;
	size_t outside;
	int r = json_expect_object(entry, path, detail);

	if (r < 0)
		return r;
	name = member_text(entry, "name", path, detail);
	if (!name)
		return -EINVAL;
	if (!catalog_name_is_valid(name))
		return json_fail(path, detail, "has a name that is none");
	if (json_object_size(entry) != count_members(entry))
		return json_fail(path, detail, "has a member that is not known");

	*ret_line = *ret_next = (struct catalog_line){ .name = name };
	*ret_has_next = next != NULL;
	*ret_has_line = !next || json_object_size(entry) > 2;
	if (*ret_has_line)
		r = read_line(entry, path, ret_line, detail);
	if (r < 0 || !next)
		return r;

	outside = json_path_enter_member(path, "next");
	r = json_expect_object(next, path, detail);
	if (r == 0)
		r = read_line(next, path, ret_next, detail);
	if (r == 0 && !ret_next->is_known)
		r = json_fail(path, detail, "must have state_crc64 and inode");
	json_path_leave(path, outside);
	return r;
}

static int check_document(const json_t *document, struct error_detail *detail)
{
	const json_t *entries = json_object_get(document, "snapshots");
	struct json_path path = { .length = 0 };
	int64_t format = 0;
	int r = json_expect_object(document, &path, detail);

	(void)json_path_enter_member(&path, "format");
	if (r == 0)
		r = json_read_integer(json_object_get(document, "format"), 1, CATALOG_FORMAT, &path, &format, detail);
	json_path_leave(&path, 0);
	if (r == 0 && json_object_size(document) != 2)
		r = json_fail(&path, detail, "must have a format and snapshots, and nothing else");
	(void)json_path_enter_member(&path, "snapshots");
	if (r == 0)
		r = json_expect_array(entries, &path, detail);

	for (size_t i = 0; r == 0 && i < json_array_size(entries); i++) {
		size_t outside = json_path_enter_element(&path, i);
		struct catalog_line line, next;
		bool has_line = false, has_next = false;

		r = read_entry(json_array_get(entries, i), &path, &line, &has_line, &next, &has_next, detail);
		json_path_leave(&path, outside);
	}

	return r;
}

static int visit_entries(const json_t *document,
			 int (*visit)(void *opaque, const struct catalog_line *line, const struct catalog_line *next),
			 void *opaque, struct error_detail *detail)
{
	struct json_path path = { .length = 0 };
	const json_t *entry;
	size_t i;

	json_array_foreach(json_object_get(document, "snapshots"), i, entry) {
		struct catalog_line line, next;
		bool has_line = false, has_next = false;
		int r = read_entry(entry, &path, &line, &has_line, &next, &has_next, detail);

		if (r == 0)
			r = visit(opaque, has_line ? &line : NULL, has_next ? &next : NULL);
		if (r != 0)
			return r;
	}

	return 0;
}

int catalog_from_text(const char *text, size_t size,
		      int (*visit)(void *opaque, const struct catalog_line *line, const struct catalog_line *next),
		      void *opaque, struct error_detail *detail)
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
		r = visit_entries(document, visit, opaque, detail);
	json_decref(document);
	return r;
}
