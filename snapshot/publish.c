/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Durable publication: temporary, fsync, rename, fsync of the folder.
 *
 * A temporary is named .NAME.tmp-XXXXXX and stands beside its destination, hence on the same file system. Its maker
 * holds a lock (flock) on it for as long as it lives, so that a sweep can tell a publication in progress from what a
 * process left when it died: the kernel drops the lock with the process.
 *
 * The order of a commit: the data must be on disk before the name points at it (fsync of files and folder before the
 * rename), and the name must be on disk before success is reported (fsync of the parent after it). A new name is taken
 * with RENAME_NOREPLACE, so that nothing that appeared meanwhile is lost. An old folder is replaced with
 * RENAME_EXCHANGE: at every instant the name stands for one whole folder, and the old one, now under the temporary's
 * name, is removed afterwards; a crash before that leaves it to the sweep. Both renames undo themselves when done
 * again, which is how a failed fsync of the parent is taken back.
 *
 * A file system may have neither flag (NFS, some of FUSE). A new name is taken there by rename(2), which replaces no folder that
 * holds anything; a small file is replaced by rename(2), too, and its old content kept under another name until the new one lasts. A
 * folder cannot be replaced there so that its name stands for one whole folder at every instant: that is refused with
 * -EOPNOTSUPP.
 *
 * VMs that run from a snapshot that is replaced or removed keep its inode: nothing here ever writes to a published
 * file.
 */
#include "snapshot/publish.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>

#include "kvm/cleanup.h"
#include "snapshot/folder.h"

#define TEMPORARY_INFIX  ".tmp-"
#define TEMPORARY_RANDOM 6
#define ATTEMPTS         64

static const char alphabet[] = "abcdefghijklmnopqrstuvwxyz012345";
_Static_assert(sizeof(alphabet) - 1 == 32, "a random byte modulo the alphabet must be uniform");

static int failed(int error, const char *step, const char *name, struct error_detail *detail)
{
	error_detail_set(detail, "%s %s: %s", step, name, strerrordesc_np(error));
	return -error;
}

/* Open the parent of a path and copy its last component. */
static int split(int at, const char *path, int *ret_parent, char ret_name[static NAME_MAX + 1],
		 struct error_detail *detail)
{
	cleanup_free char *parent_path = strdup(path);
	size_t length;
	char *slash;
	const char *name;
	int parent;

	if (!parent_path)
		return -ENOMEM;
	for (length = strlen(parent_path); length > 1 && parent_path[length - 1] == '/'; length--)
		parent_path[length - 1] = '\0';

	slash = strrchr(parent_path, '/');
	name = slash ? slash + 1 : parent_path;
	length = strlen(name);
	if (length == 0 || strcmp(name, ".") == 0 || strcmp(name, "..") == 0) {
		error_detail_set(detail, "\"%.128s\" does not end in a name", path);
		return -EINVAL;
	}
	if (length + 1 + strlen(TEMPORARY_INFIX) + TEMPORARY_RANDOM > NAME_MAX)
		return failed(ENAMETOOLONG, "the name", name, detail);
	memcpy(ret_name, name, length + 1);

	if (slash == parent_path)
		parent_path[1] = '\0';
	else if (slash)
		*slash = '\0';
	parent = openat(at, slash ? parent_path : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (parent < 0)
		return failed(errno, "cannot open the folder of", path, detail);

	*ret_parent = parent;
	return 0;
}

static int temporary_name(const char *name, char ret_temporary[static NAME_MAX + 1])
{
	uint8_t random[TEMPORARY_RANDOM];
	char suffix[TEMPORARY_RANDOM + 1];
	int length;

	if (getrandom(random, sizeof(random), 0) != (ssize_t)sizeof(random))
		return -EIO;
	for (size_t i = 0; i < TEMPORARY_RANDOM; i++)
		suffix[i] = alphabet[random[i] % (sizeof(alphabet) - 1)];
	suffix[TEMPORARY_RANDOM] = '\0';

	length = snprintf(ret_temporary, NAME_MAX + 1, ".%s" TEMPORARY_INFIX "%s", name, suffix);
	return length > NAME_MAX ? -ENAMETOOLONG : 0;
}

static bool is_temporary_name(const char *name)
{
	size_t length = strlen(name);
	size_t tail = strlen(TEMPORARY_INFIX) + TEMPORARY_RANDOM;

	return name[0] == '.' && length > 1 + tail &&
	       memcmp(name + length - tail, TEMPORARY_INFIX, strlen(TEMPORARY_INFIX)) == 0 &&
	       strspn(name + length - TEMPORARY_RANDOM, alphabet) == TEMPORARY_RANDOM;
}

/*
 * Make a temporary, a folder or a file, and lock it. A sweep may take it away between the two steps: then it has
 * no links any more, and another is made.
 */
static int make_temporary(int parent, const char *name, bool folder, char ret_temporary[static NAME_MAX + 1],
			  int *ret_fd)
{
	for (unsigned attempt = 0; attempt < ATTEMPTS; attempt++) {
		cleanup_close int fd = -1;
		struct stat status;
		int r = temporary_name(name, ret_temporary);

		if (r < 0)
			return r;
		if (folder && mkdirat(parent, ret_temporary, 0700) < 0)
			r = -errno;
		if (r == -EEXIST)
			continue;
		if (r < 0)
			return r;

		fd = openat(parent, ret_temporary,
			    O_CLOEXEC | O_NOFOLLOW | (folder ? O_RDONLY | O_DIRECTORY : O_WRONLY | O_CREAT | O_EXCL),
			    0600);
		if (fd < 0 && (errno == ENOENT || errno == EEXIST))
			continue;
		if (fd < 0) {
			r = -errno;
			(void)unlinkat(parent, ret_temporary, folder ? AT_REMOVEDIR : 0);
			return r;
		}
		/* A file system without locks has no sweep to fear either: it finds nothing that it can lock. */
		(void)flock(fd, LOCK_EX | LOCK_NB);
		if (fstat(fd, &status) == 0 && status.st_nlink == 0)
			continue;

		*ret_fd = steal_fd(&fd);
		return 0;
	}

	return -EEXIST;
}

/* Remove a temporary folder with the files that it may hold. */
static int remove_folder(int parent, const char *name, int folder, const struct folder_form *form)
{
	for (size_t i = 0; i < form->count; i++)
		if (unlinkat(folder, form->names[i], 0) < 0 && errno != ENOENT)
			return -errno;

	return unlinkat(parent, name, AT_REMOVEDIR) < 0 ? -errno : 0;
}

/*
 * Open what stands at the name, where it is a folder of this form, that may be replaced or removed. Who has it open can
 * remove it without a further descriptor.
 */
static int open_replaceable(int parent, const char *name, const struct folder_form *form, int *ret_folder,
			    struct error_detail *detail)
{
	cleanup_close int folder = -1;
	struct stat status;
	int r;

	if (fstatat(parent, name, &status, AT_SYMLINK_NOFOLLOW) < 0)
		return failed(errno, "cannot look at", name, detail);
	if (S_ISLNK(status.st_mode))
		return failed(ELOOP, "will not touch the symbolic link", name, detail);
	folder = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (folder < 0)
		return failed(errno, "cannot open", name, detail);

	r = folder_check(folder, name, form, detail);
	if (r == 0)
		*ret_folder = steal_fd(&folder);
	return r;
}

/* Look at what has the name now, and note it. */
static int check_destination(struct publication *publication, struct error_detail *detail)
{
	cleanup_close int folder = -1;
	const char *name = publication->name;
	struct stat status;

	if (fstatat(publication->parent, name, &status, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : failed(errno, "cannot look at", name, detail);
	if (!publication->overwrite)
		return failed(EEXIST, "will not replace", name, detail);

	publication->replaces = true;
	publication->replaced_device = status.st_dev;
	publication->replaced_inode = status.st_ino;
	return open_replaceable(publication->parent, name, publication->form, &folder, detail);
}

static bool is_folder(int parent, const char *name, uint64_t device, uint64_t inode)
{
	struct stat status;

	return fstatat(parent, name, &status, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(status.st_mode) &&
	       status.st_dev == device && status.st_ino == inode;
}

static int make_file(struct publication *publication, size_t file, int access)
{
	publication->files[file] = openat(publication->folder, publication->form->names[file],
					  access | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);

	return publication->files[file] < 0 ? -errno : 0;
}

static int make_files(struct publication *publication)
{
	const struct folder_form *form = publication->form;
	int r = 0;

	for (size_t i = 0; r == 0 && i < form->count - form->optional; i++)
		r = make_file(publication, i, form->access);

	return r;
}

int publication_add(struct publication *publication, size_t file, struct error_detail *detail)
{
	int r = make_file(publication, file, O_RDWR);

	return r < 0 ? failed(-r, "cannot make", publication->form->names[file], detail) : 0;
}

int publication_begin(int at, const char *path, const struct folder_form *form, bool overwrite,
		      struct publication *ret_publication, struct error_detail *detail)
{
	struct publication publication = { .parent = -1, .folder = -1, .form = form, .overwrite = overwrite };
	int r;

	if (form->count > PUBLICATION_FILES_MAX)
		return -EINVAL;
	for (size_t i = 0; i < PUBLICATION_FILES_MAX; i++)
		publication.files[i] = -1;

	r = split(at, path, &publication.parent, publication.name, detail);
	if (r < 0)
		return r;
	r = check_destination(&publication, detail);
	if (r < 0)
		goto abort;

	r = make_temporary(publication.parent, publication.name, true, publication.temporary, &publication.folder);
	if (r < 0) {
		failed(-r, "cannot make a temporary folder for", path, detail);
		goto abort;
	}
	r = make_files(&publication);
	if (r < 0) {
		failed(-r, "cannot make the files of", path, detail);
		goto abort;
	}

	*ret_publication = publication;
	return 0;

abort:
	publication_abort(&publication);
	return r;
}

static void close_all(struct publication *publication)
{
	for (size_t i = 0; i < PUBLICATION_FILES_MAX; i++) {
		cleanup_close_fd(&publication->files[i]);
		publication->files[i] = -1;
	}
	cleanup_close_fd(&publication->folder);
	cleanup_close_fd(&publication->parent);
	publication->folder = publication->parent = -1;
}

void publication_abort(struct publication *publication)
{
	if (publication->folder >= 0)
		(void)remove_folder(publication->parent, publication->temporary, publication->folder,
				    publication->form);
	close_all(publication);
}

static bool exists(int parent, const char *name)
{
	struct stat status;

	return fstatat(parent, name, &status, AT_SYMLINK_NOFOLLOW) == 0;
}

/* renameat2(2) of a file system that does not have its flags: NFS, some of FUSE. */
static bool lacks_flags(int error)
{
	return error == EINVAL || error == ENOSYS || error == EOPNOTSUPP;
}

/*
 * Move to a name that is free. Without RENAME_NOREPLACE a folder that somebody puts there just now is safe all the same: rename(2)
 * replaces none but an empty one.
 */
static int rename_to_free(int parent, const char *from, const char *to)
{
	if (renameat2(parent, from, parent, to, RENAME_NOREPLACE) == 0)
		return 0;
	if (!lacks_flags(errno))
		return -errno;
	if (exists(parent, to))
		return -EEXIST;
	if (renameat(parent, from, parent, to) == 0)
		return 0;
	return errno == ENOTEMPTY || errno == ENOTDIR || errno == EISDIR ? -EEXIST : -errno;
}

static int rename_once(int parent, const char *from, const char *to, bool exchange)
{
	if (!exchange)
		return rename_to_free(parent, from, to);
	if (renameat2(parent, from, parent, to, RENAME_EXCHANGE) == 0)
		return 0;
	return lacks_flags(errno) ? -EOPNOTSUPP : -errno;
}

/*
 * Give a temporary its name, exchanging it with what has that name or else moving it, and make it last; or take it
 * back.
 */
static int rename_durably(int parent, const char *temporary, const char *name, bool exchange,
			  struct error_detail *detail)
{
	int r = rename_once(parent, temporary, name, exchange);

	if (r == -EOPNOTSUPP) {
		error_detail_set(
			detail, "the file system cannot replace %s in one step: remove it first, or use another", name);
		return r;
	}
	if (r < 0)
		return failed(-r, "cannot rename to", name, detail);
	if (fsync(parent) == 0)
		return 0;

	r = failed(errno, "cannot write to disk the folder of", name, detail);
	(void)rename_once(parent, name, temporary, exchange);
	return r;
}

/* Exchange the temporary with the folder that had the name at the beginning, and with no other. */
static int exchange_durably(const struct publication *publication, struct error_detail *detail)
{
	uint64_t device = publication->replaced_device, inode = publication->replaced_inode;
	int parent = publication->parent;
	const char *name = publication->name;
	int r;

	if (!is_folder(parent, name, device, inode)) {
		error_detail_set(detail, "%s is another folder by now, or none", name);
		return -ESTALE;
	}
	r = rename_durably(parent, publication->temporary, name, true, detail);
	if (r < 0 || is_folder(parent, publication->temporary, device, inode))
		return r;

	/* It was exchanged in between. */
	(void)renameat2(parent, name, parent, publication->temporary, RENAME_EXCHANGE);
	error_detail_set(detail, "%s is another folder by now", name);
	return -ESTALE;
}

/* Replace a file where two cannot be exchanged: the old one keeps another name until the new one's is on disk. */
static int replace_file(int parent, const char *temporary, const char *name, struct error_detail *detail)
{
	char kept[NAME_MAX + 1];
	bool is_kept;
	int r = temporary_name(name, kept);

	if (r < 0)
		return failed(-r, "cannot find a temporary name for", name, detail);
	is_kept = linkat(parent, name, parent, kept, 0) == 0;
	if (renameat(parent, temporary, parent, name) < 0)
		r = failed(errno, "cannot rename to", name, detail);
	else if (fsync(parent) < 0) {
		r = failed(errno, "cannot write to disk the folder of", name, detail);
		if (is_kept && renameat(parent, kept, parent, name) == 0)
			is_kept = false;
	}
	if (is_kept)
		(void)unlinkat(parent, kept, 0);

	return r;
}

static int write_to_disk(const struct publication *publication)
{
	for (size_t i = 0; i < publication->form->count; i++)
		if (publication->files[i] >= 0 && fsync(publication->files[i]) < 0)
			return -errno;

	return fsync(publication->folder) < 0 ? -errno : 0;
}

int publication_commit(struct publication *publication, struct error_detail *detail)
{
	int parent = publication->parent;
	const char *name = publication->name;
	cleanup_close int old = -1;
	bool exchange;
	int r = write_to_disk(publication);

	if (r < 0)
		failed(-r, "cannot write to disk", name, detail);

	exchange = publication->replaces;
	if (r == 0 && exchange)
		r = open_replaceable(parent, name, publication->form, &old, detail);
	if (r == 0)
		r = exchange ? exchange_durably(publication, detail)
			     : rename_durably(parent, publication->temporary, name, false, detail);
	if (r < 0) {
		publication_abort(publication);
		return r;
	}

	/* A remainder harms nobody: the next sweep finds it. */
	if (exchange)
		(void)remove_folder(parent, publication->temporary, old, publication->form);
	close_all(publication);
	return 0;
}

static int write_all(int fd, const uint8_t *data, size_t size)
{
	while (size > 0) {
		ssize_t written = write(fd, data, size);

		if (written < 0 && errno == EINTR)
			continue;
		if (written < 0)
			return -errno;
		data += written;
		size -= (size_t)written;
	}

	return 0;
}

int publication_write(const struct publication *publication, size_t file, const void *data, size_t size,
		      struct error_detail *detail)
{
	int r = write_all(publication->files[file], data, size);

	return r < 0 ? failed(-r, "cannot write", publication->form->names[file], detail) : 0;
}

int publish_file(int parent, const char *name, const void *data, size_t size, struct error_detail *detail)
{
	char temporary[NAME_MAX + 1];
	cleanup_close int fd = -1;
	bool exchange;
	int r;

	r = make_temporary(parent, name, false, temporary, &fd);
	if (r < 0)
		return failed(-r, "cannot make a temporary file for", name, detail);

	r = write_all(fd, data, size);
	if (r == 0 && fsync(fd) < 0)
		r = -errno;
	exchange = exists(parent, name);
	if (r < 0)
		failed(-r, "cannot write", name, detail);
	else
		r = rename_durably(parent, temporary, name, exchange, detail);
	if (r == -EOPNOTSUPP)
		r = replace_file(parent, temporary, name, detail);
	if (r < 0 || exchange)
		(void)unlinkat(parent, temporary, 0);
	return r;
}

/* Rename the folder away, look whether it is the one that is open, and remove it. */
static int remove_opened(int parent, const char *name, int folder, const struct folder_form *form,
			 struct error_detail *detail)
{
	char temporary[NAME_MAX + 1];
	struct stat status;
	int r = temporary_name(name, temporary);

	if (r < 0)
		return failed(-r, "cannot find a temporary name for", name, detail);
	if (fstat(folder, &status) < 0)
		return failed(errno, "cannot look at", name, detail);
	(void)flock(folder, LOCK_EX | LOCK_NB);
	r = rename_durably(parent, name, temporary, false, detail);
	if (r < 0)
		return r;
	if (!is_folder(parent, temporary, status.st_dev, status.st_ino)) {
		(void)rename_to_free(parent, temporary, name);
		error_detail_set(detail, "%s is another folder by now", name);
		return -ESTALE;
	}

	r = remove_folder(parent, temporary, folder, form);
	return r < 0 ? failed(-r, "cannot remove the files of", name, detail) : 0;
}

int publish_remove(int at, const char *path, const struct folder_form *form, struct error_detail *detail)
{
	char name[NAME_MAX + 1];
	cleanup_close int parent = -1;
	cleanup_close int folder = -1;
	int r;

	r = split(at, path, &parent, name, detail);
	if (r < 0)
		return r;
	r = open_replaceable(parent, name, form, &folder, detail);
	if (r < 0)
		return r;

	return remove_opened(parent, name, folder, form, detail);
}

int publish_remove_held(const char *path, int folder, const struct folder_form *form, struct error_detail *detail)
{
	char name[NAME_MAX + 1];
	cleanup_close int parent = -1;
	cleanup_close int checked = -1;
	struct stat status;
	int r;

	r = split(AT_FDCWD, path, &parent, name, detail);
	if (r < 0)
		return r;
	if (fstat(folder, &status) < 0)
		return failed(errno, "cannot look at", name, detail);
	r = open_replaceable(parent, name, form, &checked, detail);
	if (r < 0)
		return r;
	if (!is_folder(parent, name, status.st_dev, status.st_ino)) {
		error_detail_set(detail, "%.150s is another folder by now", path);
		return -ESTALE;
	}

	return remove_opened(parent, name, folder, form, detail);
}

/* Remove one temporary, unless its maker lives. Returns whether it is gone. */
static bool sweep_one(int parent, const char *name, const struct folder_form *form)
{
	cleanup_close int fd = openat(parent, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	struct stat status;

	if (fd < 0 || fstat(fd, &status) < 0 || flock(fd, LOCK_EX | LOCK_NB) < 0)
		return false;
	if (S_ISDIR(status.st_mode))
		return remove_folder(parent, name, fd, form) == 0;

	return S_ISREG(status.st_mode) && unlinkat(parent, name, 0) == 0;
}

int publish_sweep(int parent, const struct folder_form *form, unsigned *ret_removed)
{
	int copy = openat(parent, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	const struct dirent *entry;
	unsigned removed = 0;
	DIR *listing;
	int r;

	listing = copy < 0 ? NULL : fdopendir(copy);
	if (!listing) {
		r = -errno;
		if (copy >= 0)
			(void)close(copy);
		return r;
	}

	while ((entry = readdir(listing)) != NULL)
		if (is_temporary_name(entry->d_name) && sweep_one(parent, entry->d_name, form))
			removed++;
	(void)closedir(listing);

	if (ret_removed)
		*ret_removed = removed;
	return 0;
}
