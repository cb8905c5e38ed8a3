/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Scratch folders: under $TMPDIR or /tmp, removed with nftw(3).
 */
#include "scratch.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <criterion/criterion.h>

static void make_folder(struct scratch *ret_scratch)
{
	const char *parent = getenv("TMPDIR");

	memset(ret_scratch, 0, sizeof(*ret_scratch));
	(void)snprintf(ret_scratch->path, sizeof(ret_scratch->path), "%.32s/ember-test-XXXXXX",
		       parent ? parent : "/tmp");
	cr_assert_not_null(mkdtemp(ret_scratch->path), "mkdtemp(%s): %s", ret_scratch->path, strerror(errno));
}

static void open_folder(struct scratch *scratch)
{
	scratch->fd = open(scratch->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	cr_assert_geq(scratch->fd, 0);
}

void scratch_make(struct scratch *ret_scratch)
{
	make_folder(ret_scratch);
	open_folder(ret_scratch);
}

bool scratch_make_small(struct scratch *ret_scratch, size_t size)
{
	char options[64];

	if (geteuid() != 0)
		return false;
	make_folder(ret_scratch);
	(void)snprintf(options, sizeof(options), "size=%zu", size);
	if (mount("tmpfs", ret_scratch->path, "tmpfs", 0, options) < 0) {
		(void)rmdir(ret_scratch->path);
		return false;
	}
	ret_scratch->mounted = true;
	open_folder(ret_scratch);
	return true;
}

static int remove_entry(const char *path, const struct stat *status, int type, struct FTW *position)
{
	(void)status;
	(void)type;
	(void)position;
	return remove(path);
}

void scratch_remove(struct scratch *scratch)
{
	(void)close(scratch->fd);
	if (scratch->mounted)
		(void)umount2(scratch->path, MNT_DETACH);
	(void)nftw(scratch->path, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

int scratch_count(int at, const char *path)
{
	int fd = openat(at, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *listing = fd < 0 ? NULL : fdopendir(fd);
	int count = 0;

	if (!listing)
		return -1;
	while (readdir(listing))
		count++;
	(void)closedir(listing);
	return count - 2;
}

void scratch_write(int at, const char *path, const void *data, size_t size)
{
	int fd = openat(at, path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	cr_assert_geq(fd, 0, "%s: %s", path, strerror(errno));
	cr_assert_eq(write(fd, data, size), (ssize_t)size);
	(void)close(fd);
}

bool scratch_holds(int at, const char *path, const void *data, size_t size)
{
	int fd = openat(at, path, O_RDONLY | O_CLOEXEC);
	char *found = malloc(size + 1);
	bool same = fd >= 0 && found && read(fd, found, size + 1) == (ssize_t)size && memcmp(found, data, size) == 0;

	free(found);
	if (fd >= 0)
		(void)close(fd);
	return same;
}
