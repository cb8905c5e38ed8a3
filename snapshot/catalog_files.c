/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An entry's files, which may come and go while its record stays; folders, by which two paths are known to be one; and what is about
 * to take a name, a list beside the entries.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <jansson.h>

#include "snapshot/catalog_private.h"

void catalog_take_files(struct catalog_entry *entry, const struct catalog_registration *files)
{
	entry->memory = files->memory;
	entry->state = files->state;
	if (files->overlays)
		memcpy(entry->overlays, files->overlays, sizeof(entry->overlays));
	entry->folder = files->folder;
	entry->summary = files->summary;
	entry->status = CATALOG_AVAILABLE;
	entry->line.is_known = true;
	entry->line.state_crc64 = files->summary.state_crc64;
	entry->line.inode = files->folder.inode;
}

void catalog_close_files(const struct catalog_registration *files)
{
	for (size_t i = 0; files->overlays && i < CATALOG_OVERLAYS; i++)
		if (files->overlays[i] >= 0)
			(void)close(files->overlays[i]);
	if (files->folder.fd >= 0)
		(void)close(files->folder.fd);
	(void)close(files->memory);
	(void)close(files->state);
}

bool catalog_entry_is_complete(const struct catalog_entry *entry)
{
	return entry->state >= 0;
}

int catalog_revive(struct catalog *catalog, struct catalog_entry *entry, const struct catalog_registration *files,
		   struct catalog_entry **ret_entry, struct error_detail *detail)
{
	struct catalog_entry *newer;
	int r;

	if (entry->being_removed)
		return -EBUSY;
	if (entry->line.is_known && entry->line.state_crc64 != files->summary.state_crc64) {
		error_detail_set(detail,
				 "%.100s holds another snapshot than the one that was registered: its state has CRC-64 "
				 "%016jx, not %016jx",
				 entry->path, (uintmax_t)files->summary.state_crc64,
				 (uintmax_t)entry->line.state_crc64);
		return -ESTALE;
	}

	*ret_entry = entry;
	if (!catalog_entry_is_complete(entry)) {
		catalog_take_files(entry, files);
		return 0;
	}
	if (entry->folder.device == files->folder.device && entry->folder.inode == files->folder.inode) {
		entry->status = CATALOG_AVAILABLE;
		catalog_close_files(files);
		return 0;
	}
	r = catalog_make_entry(entry->id, entry->name, entry->path, entry->devices, &newer);
	if (r < 0)
		return r;
	catalog_take_files(newer, files);
	catalog_link_named(catalog, newer);
	*ret_entry = newer;
	return 0;
}

void catalog_mark_unavailable(struct catalog_entry *entry, const char *reason)
{
	size_t length = strlen(reason);

	if (length >= sizeof(entry->reason))
		length = sizeof(entry->reason) - 1;
	/* A character of several bytes is not cut in two. */
	while (length > 0 && length < strlen(reason) && ((unsigned char)reason[length] & 0xc0) == 0x80)
		length--;
	memcpy(entry->reason, reason, length);
	entry->reason[length] = '\0';
	entry->status = CATALOG_UNAVAILABLE;
}

static bool holds_folder(const struct catalog_entry *entry, uint64_t device, uint64_t inode)
{
	return !entry->replaced && entry->folder.fd >= 0 && entry->folder.device == device &&
	       entry->folder.inode == inode;
}

struct catalog_entry *catalog_find_folder(const struct catalog *catalog, uint64_t device, uint64_t inode,
					  const struct catalog_entry *after)
{
	bool passed = !after;

	for (size_t i = 0; i < catalog->named_count; i++) {
		struct catalog_entry *entry = catalog->named[i];

		if (passed && holds_folder(entry, device, inode))
			return entry;
		passed = passed || entry == after;
	}
	for (struct catalog_entry *entry = catalog->nameless; entry; entry = entry->next) {
		if (passed && holds_folder(entry, device, inode))
			return entry;
		passed = passed || entry == after;
	}

	return NULL;
}

/* ---- what is about to take a name ---- */

static void free_intention(struct intention *intention)
{
	free((char *)intention->line.id);
	free((char *)intention->line.name);
	free((char *)intention->line.path);
	json_decref(intention->line.devices);
	free(intention);
}

int catalog_intend(struct catalog *catalog, const struct catalog_line *line, struct error_detail *detail)
{
	struct intention *intention;
	int r = catalog_check_record(line->name, line->path, line->devices, detail);

	if (r < 0)
		return r;
	intention = calloc(1, sizeof(*intention));
	if (!intention)
		return -ENOMEM;
	intention->line = *line;
	intention->line.devices = json_incref(line->devices);
	intention->line.id = line->id ? strdup(line->id) : calloc(1, CATALOG_ID_SIZE);
	intention->line.name = strdup(line->name);
	intention->line.path = strdup(line->path);
	if (!intention->line.id || !intention->line.name || !intention->line.path ||
	    (!line->id && catalog_draw_id((char *)intention->line.id) < 0)) {
		free_intention(intention);
		return -ENOMEM;
	}

	catalog_forget_intention(catalog, line->name);
	intention->next = catalog->intentions;
	catalog->intentions = intention;
	return 0;
}

const struct catalog_line *catalog_intention(const struct catalog *catalog, const char *name)
{
	for (const struct intention *intention = catalog->intentions; intention; intention = intention->next)
		if (strcmp(intention->line.name, name) == 0)
			return &intention->line;

	return NULL;
}

const struct catalog_line *catalog_intention_at(const struct catalog *catalog, size_t index)
{
	const struct intention *intention = catalog->intentions;

	while (intention && index-- > 0)
		intention = intention->next;
	return intention ? &intention->line : NULL;
}

void catalog_forget_intention(struct catalog *catalog, const char *name)
{
	for (struct intention **link = &catalog->intentions; *link; link = &(*link)->next)
		if (strcmp((*link)->line.name, name) == 0) {
			struct intention *intention = *link;

			*link = intention->next;
			free_intention(intention);
			return;
		}
}
