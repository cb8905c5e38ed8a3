/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kernel store: a sorted table of what is on disk, with the files held open.
 *
 * A kernel is published as a snapshot is: its folder is there whole or not at all, and no file in it changes. The descriptors
 * are opened once, so that a boot opens nothing, and a kernel that is in use stays what it was whatever becomes of its name. The
 * contents are not hashed again at a start: who can write the state folder is the daemon alone.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kvm/linux/unpack.h"
#include "server/cleanup.h"
#include "server/kernels.h"
#include "server/log.h"
#include "server/server.h"
#include "server/snapshots.h"
#include "snapshot/holders.h"
#include "snapshot/publish.h"
#include "snapshot/time_text.h"

static const char *const file_names[KERNEL_FILE_COUNT] = {
	[KERNEL_FILE_IMAGE] = "image",
	[KERNEL_FILE_ELF] = "vmlinux",
	[KERNEL_FILE_RECORD] = "kernel.json",
};
const struct folder_form kernel_folder_form = { "a kernel", file_names, KERNEL_FILE_COUNT, O_RDWR, 0 };

struct kernel {
	struct kernel_record record;
	int image; /* open for reading */
	int elf;   /* likewise; -1: there is none */
	struct holders holders;
	bool being_removed;
};

struct kernels {
	int folder;                          /* STATE_DIR/kernels */
	struct kernel *entries[KERNELS_MAX]; /* sorted by name */
	size_t count;
	size_t reserved; /* places of kernels that are being added; with count at most KERNELS_MAX */
};

/* ---- a kernel ---- */

int kernel_new(const struct kernel_record *record, struct kernel **ret_kernel)
{
	struct kernel *kernel = calloc(1, sizeof(*kernel));

	if (!kernel)
		return -ENOMEM;
	kernel->record = *record;
	kernel->image = -1;
	kernel->elf = -1;
	*ret_kernel = kernel;
	return 0;
}

struct kernel *kernel_free(struct kernel *kernel)
{
	if (!kernel)
		return NULL;
	if (kernel->image >= 0)
		(void)close(kernel->image);
	if (kernel->elf >= 0)
		(void)close(kernel->elf);
	holders_free(&kernel->holders);
	free(kernel);
	return NULL;
}

static int open_file(int folder, const char *path, enum kernel_file file, uint64_t wanted, int *ret_fd,
		     struct error_detail *detail)
{
	cleanup_close int fd = -1;
	uint64_t size = 0;
	int result = folder_open_file(folder, path, file_names[file], KERNEL_UNPACKED_MAX, &fd, &size, detail);

	if (result < 0)
		return result;
	if (size != wanted) {
		error_detail_set(detail, "%s/%s has %ju bytes, not %ju", path, file_names[file], (uintmax_t)size,
				 (uintmax_t)wanted);
		return -EBADMSG;
	}

	*ret_fd = steal_fd(&fd);
	return 0;
}

int kernel_open_files(struct kernel *kernel, int folder, const char *path, struct error_detail *detail)
{
	const struct kernel_record *record = &kernel->record;
	int result = open_file(folder, path, KERNEL_FILE_IMAGE, record->image_size, &kernel->image, detail);

	if (result == 0 && record->elf_size > 0)
		result = open_file(folder, path, KERNEL_FILE_ELF, record->elf_size, &kernel->elf, detail);
	return result;
}

const struct kernel_record *kernel_record(const struct kernel *kernel)
{
	return &kernel->record;
}

int kernel_descriptor(const struct kernel *kernel, enum kernel_entry entry)
{
	bool in_elf = false;

	if (!kernel_record_has_entry(&kernel->record, entry, &in_elf))
		return -1;
	return in_elf ? kernel->elf : kernel->image;
}

enum kernel_entry kernel_default_entry(const struct kernel *kernel)
{
	if (kernel_descriptor(kernel, KERNEL_ENTRY_PVH) >= 0)
		return KERNEL_ENTRY_PVH;

	return kernel_descriptor(kernel, KERNEL_ENTRY_ELF64) >= 0 ? KERNEL_ENTRY_ELF64 : KERNEL_ENTRY_BZIMAGE;
}

bool kernel_is_being_removed(const struct kernel *kernel)
{
	return kernel->being_removed;
}

int kernel_hold(struct kernel *kernel, uint64_t holder)
{
	return kernel->being_removed ? -ESHUTDOWN : holders_add(&kernel->holders, holder);
}

int kernel_release(struct kernel *kernel, uint64_t holder)
{
	return holders_remove(&kernel->holders, holder);
}

int kernel_begin_removal(struct kernel *kernel)
{
	if (kernel->being_removed)
		return -EALREADY;
	if (kernel->holders.count > 0)
		return -EBUSY;

	kernel->being_removed = true;
	return 0;
}

void kernel_keep(struct kernel *kernel)
{
	kernel->being_removed = false;
}

/* ---- the table ---- */

/* Where a name is, or would be inserted. */
static size_t position(const struct kernels *kernels, const char *name, bool *ret_found)
{
	size_t index = 0;
	int order = 1;

	while (index < kernels->count && (order = strcmp(kernels->entries[index]->record.name, name)) < 0)
		index++;

	*ret_found = index < kernels->count && order == 0;
	return index;
}

struct kernel *kernels_find_any(const struct kernels *kernels, const char *name)
{
	bool found;
	size_t index = position(kernels, name, &found);

	return found ? kernels->entries[index] : NULL;
}

struct kernel *kernels_find(const struct kernels *kernels, const char *name)
{
	struct kernel *kernel = kernels_find_any(kernels, name);

	return kernel && !kernel->being_removed ? kernel : NULL;
}

size_t kernels_count(const struct kernels *kernels)
{
	return kernels->count;
}

struct kernel *kernels_at(const struct kernels *kernels, size_t index)
{
	return kernels->entries[index];
}

int kernels_folder(const struct kernels *kernels)
{
	return kernels->folder;
}

int kernels_reserve(struct kernels *kernels)
{
	if (kernels->count + kernels->reserved >= KERNELS_MAX)
		return -ENOSPC;

	kernels->reserved++;
	return 0;
}

void kernels_unreserve(struct kernels *kernels)
{
	kernels->reserved--;
}

void kernels_insert(struct kernels *kernels, struct kernel *kernel)
{
	bool found;
	size_t index = position(kernels, kernel->record.name, &found);

	memmove(&kernels->entries[index + 1], &kernels->entries[index],
		(kernels->count - index) * sizeof(struct kernel *));
	kernels->entries[index] = kernel;
	kernels->count++;
	kernels->reserved--;
}

void kernels_drop(struct kernels *kernels, struct kernel *kernel)
{
	bool found;
	size_t index = position(kernels, kernel->record.name, &found);

	kernels->count--;
	memmove(&kernels->entries[index], &kernels->entries[index + 1],
		(kernels->count - index) * sizeof(struct kernel *));
	(void)kernel_free(kernel);
}

/* ---- what is on disk ---- */

static int read_record(int folder, const char *name, struct kernel_record *ret_record, struct error_detail *detail)
{
	cleanup_close int file = -1;
	char text[KERNEL_RECORD_TEXT_MAX];
	struct error_detail inner = { "" };
	uint64_t size = 0;
	ssize_t got;
	int result;

	result = folder_open_file(folder, name, file_names[KERNEL_FILE_RECORD], sizeof(text), &file, &size, detail);
	if (result < 0)
		return result;
	got = pread(file, text, sizeof(text), 0);
	if (got < 0)
		return -errno;
	result = kernel_record_from_text(text, (size_t)got, ret_record, &inner);
	if (result < 0) {
		error_detail_set(detail, "%s/%s: %.160s", name, file_names[KERNEL_FILE_RECORD], inner.text);
		return result;
	}
	if (strcmp(ret_record->name, name) != 0) {
		error_detail_set(detail, "%s/%s is of %s", name, file_names[KERNEL_FILE_RECORD], ret_record->name);
		return -EINVAL;
	}

	return 0;
}

static int take_in(struct kernels *kernels, const char *name, struct error_detail *detail)
{
	cleanup_close int folder =
		openat(kernels->folder, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	struct kernel_record record;
	struct kernel *kernel = NULL;
	int result;

	if (folder < 0)
		return -errno;
	result = read_record(folder, name, &record, detail);
	if (result < 0)
		return result;
	result = kernel_new(&record, &kernel);
	if (result < 0)
		return result;
	result = kernel_open_files(kernel, folder, name, detail);
	if (result == 0 && kernels_reserve(kernels) < 0) {
		error_detail_set(detail, "there are more than %d kernels", KERNELS_MAX);
		result = -ENOSPC;
	}
	if (result < 0) {
		(void)kernel_free(kernel);
		return result;
	}

	kernels_insert(kernels, kernel);
	return 0;
}

static int take_in_all(struct kernels *kernels)
{
	int copy = openat(kernels->folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *listing = copy < 0 ? NULL : fdopendir(copy);
	const struct dirent *entry;

	if (!listing) {
		int result = -errno;

		if (copy >= 0)
			(void)close(copy);
		return result;
	}
	while ((entry = readdir(listing)) != NULL) {
		struct error_detail detail = { "" };
		int result = entry->d_name[0] == '.' ? 0 : take_in(kernels, entry->d_name, &detail);

		if (result < 0)
			log_error("kernel not loaded", log_text("kernel", entry->d_name), log_errno(result),
				  log_text("detail", detail.text[0] != '\0' ? detail.text : NULL));
	}

	(void)closedir(listing);
	return 0;
}

int kernels_open(struct server *server, struct kernels **ret_kernels, struct error_detail *detail)
{
	struct kernels *kernels = calloc(1, sizeof(*kernels));
	unsigned int removed = 0;
	int result;

	if (!kernels)
		return -ENOMEM;
	kernels->folder = -1;
	result = snapshots_open_folder(server->snapshots, KERNELS_FOLDER, &kernels->folder, detail);
	if (result == 0 && publish_sweep(kernels->folder, &kernel_folder_form, &removed) == 0 && removed > 0)
		log_info("swept what an earlier daemon left", log_number("kernels", removed));
	if (result == 0) {
		result = take_in_all(kernels);
		if (result < 0)
			error_detail_set(detail, "cannot list the folder " KERNELS_FOLDER ": %s",
					 strerrordesc_np(-result));
	}
	if (result < 0) {
		(void)kernels_close(kernels);
		return result;
	}

	*ret_kernels = kernels;
	return 0;
}

struct kernels *kernels_close(struct kernels *kernels)
{
	if (!kernels)
		return NULL;
	for (size_t i = 0; i < kernels->count; i++)
		(void)kernel_free(kernels->entries[i]);
	if (kernels->folder >= 0)
		(void)close(kernels->folder);
	free(kernels);
	return NULL;
}

/* ---- records ---- */

json_t *kernel_users(const struct server *server, const struct kernel *kernel)
{
	return holders_to_json(server, kernel->holders.numbers, kernel->holders.count);
}

static json_t *entries_to_json(const struct kernel *kernel)
{
	json_t *array = json_array();

	for (unsigned int i = 0; i < KERNEL_ENTRY_COUNT; i++)
		if (kernel_descriptor(kernel, (enum kernel_entry)i) >= 0)
			(void)json_array_append_new(array, json_string(kernel_entry_name((enum kernel_entry)i)));

	return array;
}

/* What kernel.inspect says beyond kernel.list. Returns 0 or -ENOMEM. */
static int add_rest(const struct kernel_record *record, json_t *object)
{
	bool is_bzimage = record->format == KERNEL_BZIMAGE;
	char protocol[16];
	json_t *rest;

	(void)snprintf(protocol, sizeof(protocol), "%u.%02u", record->protocol >> 8, record->protocol & 0xff);
	rest = json_pack("{s:s?, s:s?, s:I, s:I, s:I}", "boot_protocol", is_bzimage ? protocol : NULL, "packing",
			 is_bzimage ? kernel_packing_name(record->packing) : NULL, "vmlinux_bytes",
			 (json_int_t)record->elf_size, "memory_bytes", (json_int_t)record->memory_size, "cmdline_max",
			 (json_int_t)record->cmdline_max);
	return rest && json_object_update_new(object, rest) == 0 ? 0 : -ENOMEM;
}

json_t *kernel_to_json(const struct server *server, const struct kernel *kernel, bool whole)
{
	const struct kernel_record *record = &kernel->record;
	cleanup_json json_t *json = NULL;
	char added[TIME_TEXT_SIZE];

	time_to_text(record->added_unix_ns, added);
	json = json_pack("{s:s, s:s?, s:s, s:o, s:s, s:I, s:s?, s:s, s:s, s:o}", "name", record->name, "version",
			 record->version[0] != '\0' ? record->version : NULL, "format",
			 kernel_format_name(record->format), "entries", entries_to_json(kernel), "default_entry",
			 kernel_entry_name(kernel_default_entry(kernel)), "image_bytes", (json_int_t)record->image_size,
			 "cmdline", record->cmdline[0] != '\0' ? record->cmdline : NULL, "sha256", record->sha256,
			 "added", added, "users", kernel_users(server, kernel));
	if (json && whole && add_rest(record, json) < 0)
		return NULL;
	return steal_pointer(json);
}
