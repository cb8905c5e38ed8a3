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
 */
#include "snapshot/catalog.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <jansson.h>

#include "snapshot/holders.h"

struct catalog_entry {
	char *name;
	char *path;
	int memory;
	int state;
	int overlays[CATALOG_OVERLAYS];
	json_t *devices; /* or NULL */
	struct catalog_summary summary;
	struct holders holders;
	bool being_removed;
	bool replaced;
	struct catalog_entry *next; /* in the list of the nameless */
};

struct catalog {
	struct catalog_entry **named; /* sorted */
	size_t named_count;
	size_t named_capacity;
	struct catalog_entry *nameless;
	void (*gone)(void *opaque, const struct catalog_entry *entry);
	void *opaque;
};

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

static int make_entry(const struct catalog_registration *registration, struct catalog_entry **ret_entry)
{
	struct catalog_entry *entry = calloc(1, sizeof(*entry));

	if (!entry)
		return -ENOMEM;
	entry->memory = entry->state = -1;
	for (size_t i = 0; i < CATALOG_OVERLAYS; i++)
		entry->overlays[i] = -1;
	entry->path = strdup(registration->path);
	entry->name = registration->name ? strdup(registration->name) : NULL;
	if (!entry->path || (registration->name && !entry->name)) {
		free_entry(entry);
		return -ENOMEM;
	}

	entry->memory = registration->memory;
	entry->state = registration->state;
	if (registration->overlays)
		memcpy(entry->overlays, registration->overlays, sizeof(entry->overlays));
	entry->devices = json_incref(registration->devices);
	entry->summary = registration->summary;
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

static int check_registration(const struct catalog_registration *registration, struct error_detail *detail)
{
	if (registration->name && !catalog_name_is_valid(registration->name)) {
		error_detail_set(detail,
				 "a snapshot's name has 1 to %d letters, digits, dots, dashes and underscores, and "
				 "begins with a letter or a digit",
				 CATALOG_NAME_MAX);
		return -EINVAL;
	}
	if (registration->path[0] != '/' || strlen(registration->path) >= PATH_MAX || !is_utf8(registration->path)) {
		error_detail_set(detail, "a snapshot's path is absolute, UTF-8, and has fewer than %d bytes", PATH_MAX);
		return -EINVAL;
	}
	if (registration->devices && json_dumpb(registration->devices, NULL, 0, JSON_COMPACT) > CATALOG_DEVICES_MAX) {
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

static void link_named(struct catalog *catalog, struct catalog_entry *entry)
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

int catalog_register(struct catalog *catalog, const struct catalog_registration *registration, bool replace,
		     struct catalog_entry **ret_entry, struct error_detail *detail)
{
	struct catalog_entry *entry;
	int r = check_registration(registration, detail);

	if (r == 0 && registration->name)
		r = check_name_is_free(catalog, registration->name, replace, detail);
	if (r == 0 && registration->name)
		r = reserve_named(catalog);
	if (r == 0)
		r = make_entry(registration, &entry);
	if (r < 0)
		return r;

	if (entry->name)
		link_named(catalog, entry);
	else
		link_nameless(catalog, entry);
	if (ret_entry)
		*ret_entry = entry;
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
