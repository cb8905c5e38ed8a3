/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The catalog: an array of entries sorted by name, and a list of those that nobody finds by name.
 *
 *	registered --catalog_remove(when_free)--> being removed --last release--> freed
 *	    |   ^-----------catalog_keep------------'
 *	    |--catalog_remove, not held--> freed
 *	    '--replaced--> nameless --last release--> freed
 *	anonymous (nameless from the start) --last release, or catalog_remove--> freed
 *
 * A nameless entry lives by its holders alone, and one that is replaced while nobody holds it is freed at once.
 *
 * Whether its files can be used is another matter: an entry of the text is loading, then available or unavailable, and may go
 * from each of these two to the other. One that was never available has no descriptor and no summary.
 */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include <jansson.h>

#include "snapshot/catalog_private.h"

static bool is_alphanumeric(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

bool catalog_name_is_valid(const char *name)
{
	size_t length = strlen(name);

	if (length == 0 || length > CATALOG_NAME_MAX || !is_alphanumeric(name[0]))
		return false;
	for (size_t i = 1; i < length; i++)
		if (!is_alphanumeric(name[i]) && !strchr("._-", name[i]))
			return false;

	return true;
}

int catalog_new(void (*gone)(void *opaque, const struct catalog_entry *entry), void *opaque,
		struct catalog **ret_catalog)
{
	struct catalog *catalog = calloc(1, sizeof(*catalog));

	if (!catalog)
		return -ENOMEM;
	catalog->gone = gone;
	catalog->opaque = opaque;
	*ret_catalog = catalog;
	return 0;
}

static void free_entry(struct catalog_entry *entry)
{
	for (size_t i = 0; i < CATALOG_OVERLAYS; i++)
		if (entry->overlays[i] >= 0)
			(void)close(entry->overlays[i]);
	json_decref(entry->devices);
	if (entry->folder.fd >= 0)
		(void)close(entry->folder.fd);
	if (entry->memory >= 0)
		(void)close(entry->memory);
	if (entry->state >= 0)
		(void)close(entry->state);
	free(entry->name);
	free(entry->path);
	holders_free(&entry->holders);
	free(entry);
}

struct catalog *catalog_free(struct catalog *catalog)
{
	struct catalog_entry *next;

	if (!catalog)
		return NULL;
	for (size_t i = 0; i < catalog->named_count; i++)
		free_entry(catalog->named[i]);
	for (struct catalog_entry *entry = catalog->nameless; entry; entry = next) {
		next = entry->next;
		free_entry(entry);
	}
	while (catalog->intentions)
		catalog_forget_intention(catalog, catalog->intentions->line.name);
	free(catalog->named);
	free(catalog);
	return NULL;
}

/* Where a name is, or would be inserted. */
static size_t position(const struct catalog *catalog, const char *name, bool *ret_found)
{
	size_t low = 0;
	size_t high = catalog->named_count;

	*ret_found = false;
	while (low < high && !*ret_found) {
		size_t middle = low + (high - low) / 2;
		int order = strcmp(catalog->named[middle]->name, name);

		if (order < 0)
			low = middle + 1;
		else
			high = middle;
		if (order == 0) {
			low = middle;
			*ret_found = true;
		}
	}

	return low;
}

/* Take an entry out of the array or the list that it is in. */
static void unlink_entry(struct catalog *catalog, struct catalog_entry *entry)
{
	struct catalog_entry **link;
	bool found;

	if (entry->name && !entry->replaced) {
		size_t index = position(catalog, entry->name, &found);

		memmove(&catalog->named[index], &catalog->named[index + 1],
			(catalog->named_count - index - 1) * sizeof(struct catalog_entry *));
		catalog->named_count--;
		return;
	}
	for (link = &catalog->nameless; *link != entry; link = &(*link)->next)
		;
	*link = entry->next;
}

static void drop(struct catalog *catalog, struct catalog_entry *entry)
{
	unlink_entry(catalog, entry);
	if (catalog->gone)
		catalog->gone(catalog->opaque, entry);
	free_entry(entry);
}

static void link_nameless(struct catalog *catalog, struct catalog_entry *entry)
{
	entry->next = catalog->nameless;
	catalog->nameless = entry;
}

int catalog_draw_id(char id[static CATALOG_ID_SIZE])
{
	static const char digits[] = "0123456789abcdef";
	uint8_t random[CATALOG_ID_SIZE / 2];

	if (getrandom(random, sizeof(random), 0) != (ssize_t)sizeof(random))
		return -EIO;
	for (size_t i = 0; i < sizeof(random); i++) {
		id[2 * i] = digits[random[i] >> 4];
		id[2 * i + 1] = digits[random[i] & 15];
	}
	id[CATALOG_ID_SIZE - 1] = '\0';
	return 0;
}

/* What the text will say of it, its name and path being those of the entry. */
static void set_line(struct catalog_entry *entry)
{
	entry->line.id = entry->id;
	entry->line.name = entry->name;
	entry->line.path = entry->path;
	entry->line.devices = entry->devices;
}

/* An entry without files. */
int catalog_make_entry(const char *id, const char *name, const char *path, json_t *devices,
		       struct catalog_entry **ret_entry)
{
	struct catalog_entry *entry = calloc(1, sizeof(*entry));
	int r = 0;

	if (!entry)
		return -ENOMEM;
	entry->memory = entry->state = entry->folder.fd = -1;
	for (size_t i = 0; i < CATALOG_OVERLAYS; i++)
		entry->overlays[i] = -1;
	entry->path = strdup(path);
	entry->name = name ? strdup(name) : NULL;
	if (!entry->path || (name && !entry->name))
		r = -ENOMEM;
	else if (id && strlen(id) == CATALOG_ID_SIZE - 1)
		memcpy(entry->id, id, CATALOG_ID_SIZE);
	else
		r = catalog_draw_id(entry->id);
	if (r < 0) {
		free_entry(entry);
		return r;
	}

	entry->devices = json_incref(devices);
	entry->status = CATALOG_LOADING;
	set_line(entry);
	*ret_entry = entry;
	return 0;
}

/* Can the catalog's text hold it? */
static bool is_utf8(const char *text)
{
	json_t *value = json_string(text);

	json_decref(value);
	return value != NULL;
}

int catalog_check_record(const char *name, const char *path, const json_t *devices, struct error_detail *detail)
{
	if (name && !catalog_name_is_valid(name)) {
		error_detail_set(detail,
				 "a snapshot's name has 1 to %d letters, digits, dots, dashes and underscores, and "
				 "begins with a letter or a digit",
				 CATALOG_NAME_MAX);
		return -EINVAL;
	}
	if (path[0] != '/' || strlen(path) >= PATH_MAX || !is_utf8(path)) {
		error_detail_set(detail, "a snapshot's path is absolute, UTF-8, and has fewer than %d bytes", PATH_MAX);
		return -EINVAL;
	}
	if (devices && json_dumpb(devices, NULL, 0, JSON_COMPACT) > CATALOG_DEVICES_MAX) {
		error_detail_set(detail, "what is known of a snapshot's devices has more than %d bytes",
				 CATALOG_DEVICES_MAX);
		return -EINVAL;
	}

	return 0;
}

static int reserve_named(struct catalog *catalog)
{
	size_t capacity = catalog->named_capacity ? 2 * catalog->named_capacity : 16;
	struct catalog_entry **named;

	if (catalog->named_count < catalog->named_capacity)
		return 0;
	named = reallocarray(catalog->named, capacity, sizeof(struct catalog_entry *));
	if (!named)
		return -ENOMEM;

	catalog->named = named;
	catalog->named_capacity = capacity;
	return 0;
}

/* The entry that has the name makes way; it stays for its holders. */
static void replace_entry(struct catalog *catalog, struct catalog_entry *old)
{
	if (old->holders.count == 0) {
		drop(catalog, old);
		return;
	}
	unlink_entry(catalog, old);
	old->replaced = true;
	link_nameless(catalog, old);
}

static int check_name_is_free(const struct catalog *catalog, const char *name, bool replace,
			      struct error_detail *detail)
{
	bool found;
	size_t index = position(catalog, name, &found);

	if (!found)
		return 0;
	if (catalog->named[index]->being_removed) {
		error_detail_set(detail, "the snapshot \"%s\" is being removed", name);
		return -EBUSY;
	}
	if (!replace) {
		error_detail_set(detail, "there is a snapshot \"%s\" already", name);
		return -EEXIST;
	}

	return 0;
}

void catalog_link_named(struct catalog *catalog, struct catalog_entry *entry)
{
	bool found;
	size_t index = position(catalog, entry->name, &found);

	if (found) {
		replace_entry(catalog, catalog->named[index]);
		index = position(catalog, entry->name, &found);
	}
	memmove(&catalog->named[index + 1], &catalog->named[index],
		(catalog->named_count - index) * sizeof(struct catalog_entry *));
	catalog->named[index] = entry;
	catalog->named_count++;
}

/* The entry without a name that holds the folder, or NULL. */
static struct catalog_entry *find_anonymous(const struct catalog *catalog, const struct catalog_folder *folder)
{
	struct catalog_entry *entry = NULL;

	while (folder->fd >= 0 && (entry = catalog_find_folder(catalog, folder->device, folder->inode, entry)) != NULL)
		if (!entry->name)
			return entry;
	return NULL;
}

/* Give an entry without a name the one of the registration, and what goes with it. */
static int name_entry(struct catalog *catalog, struct catalog_entry *entry,
		      const struct catalog_registration *registration)
{
	char *name = strdup(registration->name);
	char *path = strdup(registration->path);

	if (!name || !path) {
		free(name);
		free(path);
		return -ENOMEM;
	}

	unlink_entry(catalog, entry);
	free(entry->path);
	entry->name = name;
	entry->path = path;
	json_decref(entry->devices);
	entry->devices = json_incref(registration->devices);
	set_line(entry);
	catalog_link_named(catalog, entry);
	catalog_close_files(registration);
	return 0;
}

int catalog_register(struct catalog *catalog, const struct catalog_registration *registration, bool replace,
		     struct catalog_entry **ret_entry, struct error_detail *detail)
{
	struct catalog_entry *entry;
	int r = catalog_check_record(registration->name, registration->path, registration->devices, detail);

	if (r == 0 && registration->name)
		r = check_name_is_free(catalog, registration->name, replace, detail);
	if (r == 0 && registration->name)
		r = reserve_named(catalog);
	if (r < 0)
		return r;

	entry = registration->name ? find_anonymous(catalog, &registration->folder) : NULL;
	if (entry && entry->summary.state_crc64 == registration->summary.state_crc64) {
		r = name_entry(catalog, entry, registration);
	} else {
		r = catalog_make_entry(registration->id, registration->name, registration->path, registration->devices,
				       &entry);
		if (r == 0) {
			catalog_take_files(entry, registration);
			if (entry->name)
				catalog_link_named(catalog, entry);
			else
				link_nameless(catalog, entry);
		}
	}
	if (r == 0 && ret_entry)
		*ret_entry = entry;
	return r;
}

int catalog_add_line(struct catalog *catalog, const struct catalog_line *line, struct error_detail *detail)
{
	struct catalog_entry *entry;
	int r = catalog_check_record(line->name, line->path, line->devices, detail);

	if (r == 0)
		r = check_name_is_free(catalog, line->name, false, detail);
	if (r == 0)
		r = reserve_named(catalog);
	if (r == 0)
		r = catalog_make_entry(line->id, line->name, line->path, line->devices, &entry);
	if (r < 0)
		return r;

	entry->line.is_known = line->is_known;
	entry->line.state_crc64 = line->state_crc64;
	entry->line.inode = line->inode;
	catalog_link_named(catalog, entry);
	return 0;
}

struct catalog_entry *catalog_find_any(struct catalog *catalog, const char *name)
{
	bool found;
	size_t index = position(catalog, name, &found);

	return found ? catalog->named[index] : NULL;
}

struct catalog_entry *catalog_find(struct catalog *catalog, const char *name)
{
	struct catalog_entry *entry = catalog_find_any(catalog, name);

	return entry && !entry->being_removed ? entry : NULL;
}

bool catalog_knows(const struct catalog *catalog, const char *name)
{
	bool found;
	size_t index = position(catalog, name, &found);

	return found && !catalog->named[index]->being_removed;
}

size_t catalog_count(const struct catalog *catalog)
{
	return catalog->named_count;
}

struct catalog_entry *catalog_at(const struct catalog *catalog, size_t index)
{
	return index < catalog->named_count ? catalog->named[index] : NULL;
}

const char *catalog_entry_name(const struct catalog_entry *entry)
{
	return entry->name;
}

const char *catalog_entry_id(const struct catalog_entry *entry)
{
	return entry->id;
}

enum catalog_status catalog_entry_status(const struct catalog_entry *entry)
{
	return entry->status;
}

const char *catalog_status_name(enum catalog_status status)
{
	static const char *const names[] = {
		[CATALOG_AVAILABLE] = "available", [CATALOG_LOADING] = "loading", [CATALOG_UNAVAILABLE] = "unavailable"
	};

	return names[status];
}

const char *catalog_entry_reason(const struct catalog_entry *entry)
{
	return entry->status == CATALOG_UNAVAILABLE ? entry->reason : NULL;
}

const struct catalog_folder *catalog_entry_folder(const struct catalog_entry *entry)
{
	return &entry->folder;
}

const struct catalog_line *catalog_entry_line(const struct catalog_entry *entry)
{
	return &entry->line;
}

const char *catalog_entry_path(const struct catalog_entry *entry)
{
	return entry->path;
}

int catalog_entry_memory(const struct catalog_entry *entry)
{
	return entry->memory;
}

int catalog_entry_state(const struct catalog_entry *entry)
{
	return entry->state;
}

const int *catalog_entry_overlays(const struct catalog_entry *entry)
{
	return entry->overlays;
}

const json_t *catalog_entry_devices(const struct catalog_entry *entry)
{
	return entry->devices;
}

const struct catalog_summary *catalog_entry_summary(const struct catalog_entry *entry)
{
	return &entry->summary;
}

bool catalog_entry_is_being_removed(const struct catalog_entry *entry)
{
	return entry->being_removed;
}

bool catalog_entry_was_replaced(const struct catalog_entry *entry)
{
	return entry->replaced;
}

const uint64_t *catalog_entry_holders(const struct catalog_entry *entry, size_t *ret_count)
{
	*ret_count = entry->holders.count;
	return entry->holders.numbers;
}

int catalog_hold(struct catalog_entry *entry, uint64_t holder)
{
	if (entry->being_removed)
		return -ESHUTDOWN;
	return holders_add(&entry->holders, holder);
}

int catalog_release(struct catalog *catalog, struct catalog_entry *entry, uint64_t holder)
{
	int r = holders_remove(&entry->holders, holder);

	if (r < 0)
		return r;
	if (entry->holders.count == 0 && (!entry->name || entry->replaced || entry->being_removed))
		drop(catalog, entry);
	return 0;
}

int catalog_remove(struct catalog *catalog, struct catalog_entry *entry, bool when_free)
{
	if (entry->holders.count == 0) {
		drop(catalog, entry);
		return 0;
	}
	if (entry->being_removed)
		return -EINPROGRESS;
	if (!when_free)
		return -EBUSY;

	entry->being_removed = true;
	return -EINPROGRESS;
}

void catalog_keep(struct catalog_entry *entry)
{
	entry->being_removed = false;
}
