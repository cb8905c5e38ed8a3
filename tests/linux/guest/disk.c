/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A copy across a snapshot: half of it is on the disk, or on its way there, when the machine stops.
 *
 * What is read back at the end comes from the disk, not from the page cache: the file system was unmounted in between.
 */
#include "disk.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "signal_port.h"

#define DISK     "/dev/vda"
#define FOLDER   "/mnt"
#define SOURCE   FOLDER "/source"
#define COPY     FOLDER "/copy"
#define CHUNK    65536
#define PAUSE_NS 25000000

static char chunk[CHUNK];

static int say_error(const char *what)
{
	printf("guest: %s: %s\n", what, strerror(errno));
	return -1;
}

static int mount_disk(void)
{
	if (mkdir(FOLDER, 0700) < 0 && errno != EEXIST)
		return say_error(FOLDER);
	if (mount(DISK, FOLDER, "ext4", 0, NULL) < 0)
		return say_error(DISK);
	return 0;
}

static int copy_chunks(int from, int to, off_t size)
{
	const struct timespec pause = { .tv_nsec = PAUSE_NS };
	bool signalled = false;
	off_t done = 0;
	ssize_t got;

	while ((got = read(from, chunk, sizeof(chunk))) > 0) {
		if (write(to, chunk, (size_t)got) != got)
			return say_error("write");
		done += got;
		/*
		 * Some of it is durable, some is being written back, the rest is to come: slowly, so that whoever takes
		 * the snapshot comes in time.
		 */
		if (!signalled && done >= size / 4 && fdatasync(to) < 0)
			return say_error("fdatasync");
		if (!signalled && done >= size / 2) {
			(void)sync_file_range(to, 0, 0, SYNC_FILE_RANGE_WRITE);
			guest_signal(GUEST_EVENT_SNAPSHOT);
			signalled = true;
		}
		if (signalled)
			(void)nanosleep(&pause, NULL);
	}
	if (got < 0 || fsync(to) < 0)
		return say_error("copy");
	return 0;
}

static int copy(void)
{
	int from = open(SOURCE, O_RDONLY | O_CLOEXEC);
	int to = open(COPY, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	struct stat status;
	int result = -1;

	if (from < 0 || to < 0 || fstat(from, &status) < 0)
		(void)say_error("open");
	else
		result = copy_chunks(from, to, status.st_size);
	if (from >= 0)
		(void)close(from);
	if (to >= 0)
		(void)close(to);
	return result;
}

/* FNV-1a, 64 bits. Returns how many bytes there were, -1 on failure. */
static long long sum_file(const char *path, uint64_t *ret_sum)
{
	int file = open(path, O_RDONLY | O_CLOEXEC);
	long long total = 0;
	ssize_t got;

	*ret_sum = 0xcbf29ce484222325U;
	if (file < 0)
		return say_error(path);
	while ((got = read(file, chunk, sizeof(chunk))) > 0) {
		for (ssize_t i = 0; i < got; i++)
			*ret_sum = (*ret_sum ^ (uint8_t)chunk[i]) * 0x100000001b3U;
		total += got;
	}
	(void)close(file);
	return got < 0 ? say_error(path) : total;
}

void guest_disk(void)
{
	uint64_t source, sum;
	long long bytes;

	if (mount_disk() < 0 || copy() < 0)
		return;
	if (umount(FOLDER) < 0) {
		(void)say_error("umount");
		return;
	}
	if (mount_disk() < 0)
		return;

	bytes = sum_file(COPY, &sum);
	if (bytes >= 0 && sum_file(SOURCE, &source) == bytes)
		printf("guest: copy %lld bytes sum=%016llx source=%016llx\n", bytes, (unsigned long long)sum,
		       (unsigned long long)source);
	if (umount(FOLDER) < 0)
		(void)say_error("umount");
	(void)fflush(stdout);
}
