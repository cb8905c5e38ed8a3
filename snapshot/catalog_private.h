/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the catalog's files share: catalog.c has names and holders, catalog_files.c files that come and go and what is about to take
 * a name, catalog_text.c the text.
 */
#ifndef EMBER_SNAPSHOT_CATALOG_PRIVATE_H
#define EMBER_SNAPSHOT_CATALOG_PRIVATE_H

#include "snapshot/catalog.h"
#include "snapshot/holders.h"

#define REASON_SIZE 256

struct catalog_entry {
	char id[CATALOG_ID_SIZE];
	char *name;
	char *path;
	enum catalog_status status;
	char reason[REASON_SIZE];
	struct catalog_line line; /* strings are the entry's own */
	struct catalog_folder folder;
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

struct intention {
	struct intention *next;
	struct catalog_line line; /* strings are its own */
};

struct catalog {
	struct intention *intentions;
	struct catalog_entry **named; /* sorted */
	size_t named_count;
	size_t named_capacity;
	struct catalog_entry *nameless;
	void (*gone)(void *opaque, const struct catalog_entry *entry);
	void *opaque;
};

/* An entry without files, in the state CATALOG_LOADING; id NULL: one is drawn. Returns 0 or -errno. */
int catalog_make_entry(const char *id, const char *name, const char *path, json_t *devices,
		       struct catalog_entry **ret_entry);

/* Put an entry under its name; what has the name makes way. There is room where something has it, or catalog_register() made it. */
void catalog_link_named(struct catalog *catalog, struct catalog_entry *entry);

/* Can the catalog hold these? name and devices may be NULL. Returns 0, or -EINVAL with detail. */
int catalog_check_record(const char *name, const char *path, const json_t *devices, struct error_detail *detail);

int catalog_draw_id(char id[static CATALOG_ID_SIZE]);

/* The descriptors of files are the entry's from here on, and it is available; or they are closed. */
void catalog_take_files(struct catalog_entry *entry, const struct catalog_registration *files);
void catalog_close_files(const struct catalog_registration *files);

#endif
