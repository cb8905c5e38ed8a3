/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The text of /proc/self/mountinfo, kept until poll(2) says that mounts have changed (POLLPRI).
 *
 * A path is compared as it is written: a symbolic link on the way puts the job into the lane of the file system that the link
 * is on. That costs its owner, whose lane it is, and nobody else.
 */
#include "server/jobs/mounts.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kvm/cleanup.h"

#define TEXT_MAX UINT64_C(1048576) /* bytes; mounts beyond are not told apart */

/* Words of a line of mountinfo. */
enum {
	WORD_ID = 0,
	WORD_PARENT,
	WORD_DEVICE,
	WORD_ROOT,
	WORD_POINT,
	WORD_COUNT,
};

struct mounts {
	int file;
	char *text; /* NULL: not read yet */
};

/* Undo the octal escapes of proc(5) while comparing. Returns the bytes of path that the mount point covers, or -1. */
static ssize_t covers(const char *point, size_t length, const char *path)
{
	size_t at = 0;

	for (size_t i = 0; i < length; at++) {
		char byte = point[i];

		if (byte == '\\' && i + 3 < length) {
			byte = (char)((point[i + 1] - '0') * 64 + (point[i + 2] - '0') * 8 + (point[i + 3] - '0'));
			i += 4;
		} else {
			i++;
		}
		if (path[at] != byte)
			return -1;
	}
	if (at == 1) /* the root */
		return 1;
	return path[at] == '\0' || path[at] == '/' ? (ssize_t)at : -1;
}

/* The words of a line: mount id, parent, device, root, mount point. Returns false for another form. */
static bool parse_line(const char *line, uint64_t *ret_device, const char **ret_point, size_t *ret_length)
{
	const char *words[WORD_COUNT];
	size_t lengths[WORD_COUNT];
	uint64_t major, minor;
	char *end;

	for (int i = 0; i < WORD_COUNT; i++) {
		lengths[i] = strcspn(line, " \n");
		words[i] = line;
		if (lengths[i] == 0 || line[lengths[i]] != ' ')
			return false;
		line += lengths[i] + 1;
	}
	major = strtoul(words[WORD_DEVICE], &end, 10);
	if (*end != ':')
		return false;
	minor = strtoul(end + 1, &end, 10);
	if (*end != ' ')
		return false;
	*ret_device = (major << 32 | minor) + 1;
	*ret_point = words[WORD_POINT];
	*ret_length = lengths[WORD_POINT];
	return true;
}

uint64_t mounts_find(const char *text, const char *path)
{
	uint64_t found = 0, device;
	ssize_t longest = 0;
	const char *point;
	size_t length;

	for (const char *line = text; *line; line += strcspn(line, "\n"), line += *line == '\n') {
		ssize_t covered = parse_line(line, &device, &point, &length) ? covers(point, length, path) : -1;

		/* Of two mounts on one point the later lies over the other. */
		if (covered > 0 && covered >= longest) {
			longest = covered;
			found = device;
		}
	}
	return found;
}

static void read_text(struct mounts *mounts)
{
	char *text = mounts->text ? mounts->text : malloc(TEXT_MAX);
	size_t size = 0;
	ssize_t got = 1;

	if (!text)
		return;
	while (size < TEXT_MAX - 1 && got > 0) {
		got = pread(mounts->file, text + size, TEXT_MAX - 1 - size, (off_t)size);
		size += got > 0 ? (size_t)got : 0;
	}
	text[size] = '\0';
	mounts->text = text;
}

int mounts_new(struct mounts **ret_mounts)
{
	struct mounts *mounts = calloc(1, sizeof(*mounts));

	if (!mounts)
		return -ENOMEM;
	mounts->file = open("/proc/self/mountinfo", O_RDONLY | O_CLOEXEC);
	if (mounts->file < 0) {
		int error = -errno;

		free(mounts);
		return error;
	}

	*ret_mounts = mounts;
	return 0;
}

struct mounts *mounts_free(struct mounts *mounts)
{
	if (!mounts)
		return NULL;
	(void)close(mounts->file);
	free(mounts->text);
	free(mounts);
	return NULL;
}

uint64_t mounts_file_system(struct mounts *mounts, const char *path)
{
	struct pollfd changed = { .fd = mounts->file, .events = POLLPRI };

	if (!mounts->text || poll(&changed, 1, 0) > 0)
		read_text(mounts);
	return mounts->text ? mounts_find(mounts->text, path) : 0;
}
