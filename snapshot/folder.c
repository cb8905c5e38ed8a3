/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Opening published folders and their files.
 *
 * Paths come from clients, and folders may be writable by others, so that a name can stand for anything. Each one is
 * looked at (fstatat, no following) before it is opened, because opening a device or a FIFO may already do something;
 * it is opened with O_NOFOLLOW and O_NONBLOCK, because it may have been exchanged in between; and what was opened is
 * looked at again. The files are found from the folder's descriptor: both belong to one snapshot even while another
 * takes its name.
 */
#include "snapshot/folder.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kvm/cleanup.h"
#include "kvm/memory.h"

static const char *const snapshot_file_names[SNAPSHOT_FILE_COUNT] = {
	[SNAPSHOT_FILE_STATE] = SNAPSHOT_STATE_FILE,
	[SNAPSHOT_FILE_MEMORY] = SNAPSHOT_MEMORY_FILE,
	[SNAPSHOT_FILE_OVERLAY] = "drive-0.overlay",
	"drive-1.overlay",
	"drive-2.overlay",
	"drive-3.overlay",
	"drive-4.overlay",
	"drive-5.overlay",
	"drive-6.overlay",
	"drive-7.overlay",
};
const struct folder_form snapshot_folder_form = { .what = "a snapshot",
						  .names = snapshot_file_names,
						  .count = SNAPSHOT_FILE_COUNT,
						  .access = O_WRONLY,
						  .optional = SNAPSHOT_OVERLAYS };

/* What a name stands for, for a person; NULL for a regular file. */
static const char *stranger(mode_t mode)
{
	switch (mode & S_IFMT) {
	case S_IFREG:
		return NULL;
	case S_IFDIR:
		return "a folder";
	case S_IFLNK:
		return "a symbolic link";
	case S_IFIFO:
		return "a FIFO";
	case S_IFSOCK:
		return "a socket";
	case S_IFCHR:
	case S_IFBLK:
		return "a device";
	default:
		return "not a regular file";
	}
}

/* Is it the kind that is wanted? 0, or the error with path (and, unless NULL, name in it) in detail. */
static int check_kind(mode_t mode, mode_t wanted, const char *path, const char *name, struct error_detail *detail)
{
	const char *what = stranger(mode);

	if ((mode & S_IFMT) == wanted)
		return 0;

	error_detail_set(detail, "%s%s%s is %s, not a %s", path, name ? "/" : "", name ? name : "",
			 what ? what : "a regular file", wanted == S_IFDIR ? "folder" : "regular file");
	if (S_ISLNK(mode))
		return -ELOOP;
	if (wanted == S_IFDIR)
		return -ENOTDIR;

	return S_ISDIR(mode) ? -EISDIR : -EINVAL;
}

/* Look, open, look again. name is NULL for the folder itself. */
static int open_checked(int at, const char *path, const char *name, mode_t wanted, int *ret_fd, struct stat *ret_status,
			struct error_detail *detail)
{
	const char *entry = name ? name : path;
	int flags = O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | O_NOCTTY | (wanted == S_IFDIR ? O_DIRECTORY : 0);
	cleanup_close int fd = -1;
	struct stat status;
	int r;

	if (fstatat(at, entry, &status, AT_SYMLINK_NOFOLLOW) < 0)
		goto failed;
	r = check_kind(status.st_mode, wanted, path, name, detail);
	if (r < 0)
		return r;

	fd = openat(at, entry, flags);
	if (fd < 0 || fstat(fd, &status) < 0)
		goto failed;
	r = check_kind(status.st_mode, wanted, path, name, detail);
	if (r < 0)
		return r;

	*ret_status = status;
	*ret_fd = steal_fd(&fd);
	return 0;

failed:
	r = -errno;
	error_detail_set(detail, "cannot open %s%s%s: %s", path, name ? "/" : "", name ? name : "",
			 strerrordesc_np(-r));
	return r;
}

static int check_size(uint64_t size, uint64_t max, const char *path, const char *name, struct error_detail *detail)
{
	if (size == 0) {
		error_detail_set(detail, "%s%s%s is empty", path, name ? "/" : "", name ? name : "");
		return -ENODATA;
	}
	if (size > max) {
		error_detail_set(detail, "%s%s%s has %ju bytes; %ju are the most that are allowed", path,
				 name ? "/" : "", name ? name : "", (uintmax_t)size, (uintmax_t)max);
		return -EFBIG;
	}

	return 0;
}

int folder_open_file(int at, const char *path, const char *name, uint64_t size_max, int *ret_fd, uint64_t *ret_size,
		     struct error_detail *detail)
{
	cleanup_close int fd = -1;
	struct stat status = { 0 };
	int r;

	r = open_checked(at, path, name, S_IFREG, &fd, &status, detail);
	if (r == 0)
		r = check_size((uint64_t)status.st_size, size_max, path, name, detail);
	if (r < 0)
		return r;

	*ret_fd = steal_fd(&fd);
	*ret_size = (uint64_t)status.st_size;
	return 0;
}

static int open_overlays(struct snapshot_files *files, const char *path, struct error_detail *detail)
{
	for (size_t i = 0; i < SNAPSHOT_OVERLAYS; i++) {
		const char *name = snapshot_file_names[SNAPSHOT_FILE_OVERLAY + i];
		uint64_t size;
		int r;

		if (faccessat(files->folder, name, F_OK, AT_SYMLINK_NOFOLLOW) < 0 && errno == ENOENT)
			continue;
		r = folder_open_file(files->folder, path, name, INT64_MAX, &files->overlays[i], &size, detail);
		if (r < 0)
			return r;
	}

	return 0;
}

int snapshot_files_open(int at, const char *path, struct snapshot_files *ret_files, struct error_detail *detail)
{
	struct snapshot_files files = SNAPSHOT_FILES_NONE;
	struct stat folder_status = { 0 };
	int r;

	r = open_checked(at, path, NULL, S_IFDIR, &files.folder, &folder_status, detail);
	if (r == 0)
		r = folder_open_file(files.folder, path, SNAPSHOT_STATE_FILE, SNAPSHOT_STATE_SIZE_MAX, &files.state,
				     &files.state_size, detail);
	if (r == 0)
		r = folder_open_file(files.folder, path, SNAPSHOT_MEMORY_FILE, GUEST_MEMORY_SIZE_MAX, &files.memory,
				     &files.memory_size, detail);
	if (r == 0 && files.memory_size % GUEST_MEMORY_PAGE != 0) {
		error_detail_set(detail, "%s/%s has %ju bytes, which is not a whole number of pages of %ju", path,
				 SNAPSHOT_MEMORY_FILE, (uintmax_t)files.memory_size, (uintmax_t)GUEST_MEMORY_PAGE);
		r = -EINVAL;
	}
	if (r == 0)
		r = open_overlays(&files, path, detail);
	if (r < 0) {
		snapshot_files_close(&files);
		return r;
	}

	*ret_files = files;
	return 0;
}

void snapshot_files_close(struct snapshot_files *files)
{
	cleanup_close_fd(&files->folder);
	cleanup_close_fd(&files->state);
	cleanup_close_fd(&files->memory);
	files->folder = files->state = files->memory = -1;
	for (size_t i = 0; i < SNAPSHOT_OVERLAYS; i++) {
		cleanup_close_fd(&files->overlays[i]);
		files->overlays[i] = -1;
	}
}

static bool belongs(const struct folder_form *form, const char *name)
{
	for (size_t i = 0; i < form->count; i++)
		if (strcmp(name, form->names[i]) == 0)
			return true;

	return false;
}

int folder_check(int folder, const char *path, const struct folder_form *form, struct error_detail *detail)
{
	int copy = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	const struct dirent *entry;
	DIR *listing;
	int r = 0;

	listing = copy < 0 ? NULL : fdopendir(copy);
	if (!listing) {
		r = -errno;
		if (copy >= 0)
			(void)close(copy);
		error_detail_set(detail, "cannot list %s: %s", path, strerrordesc_np(-r));
		return r;
	}

	while (r == 0) {
		errno = 0;
		entry = readdir(listing);
		if (!entry) {
			r = -errno;
			break;
		}
		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0 || belongs(form, entry->d_name))
			continue;
		error_detail_set(detail, "%s holds %.64s, which is no part of %s", path, entry->d_name, form->what);
		r = -ENOTEMPTY;
	}

	(void)closedir(listing);
	return r;
}
