/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The file says below which number all may have been used. It is written before any number up to there is: a block of them at the start, and the next block when half
 * of one is used, so that neither a VM nor an event waits for the disk. A daemon that is killed leaves a gap and no number twice.
 */
#include "server/ids.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <jansson.h>

#include "server/cleanup.h"
#include "server/file_thread.h"
#include "server/log.h"
#include "snapshot/publish.h"

#define TEXT_MAX 256
#define ID_MAX   (UINT64_C(1) << 52) /* what a JSON reader takes for a number for sure, with room for blocks */

static const struct {
	const char *name; /* in the file */
	uint64_t block;
} kinds[IDS_KIND_COUNT] = {
	[IDS_VM] = { "vm", 1024 },
	[IDS_EVENT] = { "event", UINT64_C(1) << 20 },
};

struct ids {
	int folder;
	struct file_thread *files; /* NULL: not yet */
	uint64_t next[IDS_KIND_COUNT];
	uint64_t end[IDS_KIND_COUNT]; /* the first that is not reserved */
	bool reserving;
	uint64_t wanted[IDS_KIND_COUNT]; /* the file thread's while it is reserving: what end is to be */
};

static int write_file(const struct ids *ids, struct error_detail *detail)
{
	char text[TEXT_MAX];
	int length = snprintf(text, sizeof(text), "{\"%s\": %llu, \"%s\": %llu}\n", kinds[IDS_VM].name,
			      (unsigned long long)ids->wanted[IDS_VM], kinds[IDS_EVENT].name,
			      (unsigned long long)ids->wanted[IDS_EVENT]);

	return publish_file(ids->folder, IDS_FILE_NAME, text, (size_t)length, detail);
}

static int parse(struct ids *ids, const char *text, size_t length)
{
	cleanup_json json_t *json = json_loadb(text, length, JSON_REJECT_DUPLICATES, NULL);

	for (int kind = 0; kind < IDS_KIND_COUNT; kind++) {
		const json_t *number = json_object_get(json, kinds[kind].name);

		if (!json_is_integer(number) || json_integer_value(number) < 1 ||
		    (uint64_t)json_integer_value(number) > ID_MAX)
			return -EBADMSG;
		ids->next[kind] = (uint64_t)json_integer_value(number);
	}
	return 0;
}

/* How far the numbers have gone; 1 for all where there is no file yet. */
static int read_file(struct ids *ids, struct error_detail *detail)
{
	cleanup_close int file = openat(ids->folder, IDS_FILE_NAME, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	char text[TEXT_MAX];
	ssize_t length;
	int result = 0;

	if (file < 0 && errno == ENOENT)
		return 0;
	length = file < 0 ? -1 : read(file, text, sizeof(text));
	if (length < 0)
		result = -errno;
	else
		result = parse(ids, text, (size_t)length);
	if (result == -EBADMSG)
		error_detail_set(detail,
				 "%s in the state folder is damaged: put \"vm\" and \"event\" into it, above "
				 "every number that was used",
				 IDS_FILE_NAME);
	else if (result < 0)
		error_detail_set(detail, "%s in the state folder cannot be read: %s", IDS_FILE_NAME, strerror(-result));
	return result;
}

int ids_open(const char *state_dir, struct ids **ret_ids, struct error_detail *detail)
{
	struct ids *ids = calloc(1, sizeof(*ids));
	int result;

	if (!ids)
		return -ENOMEM;
	for (int kind = 0; kind < IDS_KIND_COUNT; kind++)
		ids->next[kind] = 1;
	ids->folder = open(state_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (ids->folder < 0) {
		result = -errno;
		error_detail_set(detail, "%s cannot be opened: %s", state_dir, strerror(-result));
	} else {
		result = read_file(ids, detail);
	}
	for (int kind = 0; kind < IDS_KIND_COUNT; kind++)
		ids->wanted[kind] = ids->next[kind] + kinds[kind].block;
	if (result == 0)
		result = write_file(ids, detail);
	if (result < 0) {
		(void)ids_close(ids);
		return result;
	}

	memcpy(ids->end, ids->wanted, sizeof(ids->end));
	*ret_ids = ids;
	return 0;
}

void ids_use_thread(struct ids *ids, struct file_thread *files)
{
	ids->files = files;
}

/* On the file thread. */
static int reserve(void *opaque)
{
	struct error_detail detail = { "" };

	return write_file(opaque, &detail);
}

static void on_reserved(void *opaque, int result)
{
	struct ids *ids = opaque;

	ids->reserving = false;
	if (result == 0)
		memcpy(ids->end, ids->wanted, sizeof(ids->end));
	else
		log_error("numbers of VMs and events cannot be reserved", log_errno(-result));
}

/* Where less than half a block is left of a kind, see to the next one. Without success it is tried again at the next use. */
static void reserve_ahead(struct ids *ids)
{
	bool wanted = false;

	if (ids->reserving || !ids->files)
		return;
	for (int kind = 0; kind < IDS_KIND_COUNT; kind++) {
		bool low = ids->end[kind] - ids->next[kind] < kinds[kind].block / 2;

		ids->wanted[kind] = low ? ids->next[kind] + kinds[kind].block : ids->end[kind];
		wanted = wanted || low;
	}
	if (wanted && file_thread_submit(ids->files, reserve, on_reserved, ids) == 0)
		ids->reserving = true;
}

uint64_t ids_next(struct ids *ids, enum ids_kind kind)
{
	uint64_t number = ids->next[kind] < ids->end[kind] ? ids->next[kind]++ : 0;

	reserve_ahead(ids);
	return number;
}

struct ids *ids_close(struct ids *ids)
{
	if (!ids)
		return NULL;
	if (ids->folder >= 0)
		(void)close(ids->folder);
	free(ids);
	return NULL;
}
