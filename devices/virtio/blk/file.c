/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whole transfers between files and the buffers of a chain.
 *
 * Data goes straight between the page cache and guest memory. The kernel checks the addresses that it is given: guest
 * memory that has no page behind it (a snapshot's file was cut) is an error of the call, and not a signal.
 */
#include "devices/virtio/blk/file.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <sys/uio.h>
#include <unistd.h>

#define IOVECS_MAX 64
#define ZEROS_SIZE 65536

/* What a call's result means: bytes moved, 0 to try again, or -errno. */
static ssize_t moved(ssize_t result)
{
	if (result > 0)
		return result;
	if (result == 0)
		return -EIO;
	return errno == EINTR ? 0 : -errno;
}

int file_read(int file, uint64_t offset, void *ret_data, size_t length)
{
	uint8_t *data = ret_data;

	while (length > 0) {
		ssize_t count = moved(pread(file, data, length, (off_t)offset));

		if (count < 0)
			return (int)count;
		data += count;
		offset += (uint64_t)count;
		length -= (size_t)count;
	}

	return 0;
}

int file_write(int file, uint64_t offset, const void *data, size_t length)
{
	const uint8_t *bytes = data;

	while (length > 0) {
		ssize_t count = moved(pwrite(file, bytes, length, (off_t)offset));

		if (count < 0)
			return (int)count;
		bytes += count;
		offset += (uint64_t)count;
		length -= (size_t)count;
	}

	return 0;
}

static int transfer(bool to_file, int file, uint64_t offset, struct virtqueue_cursor *cursor, uint64_t length)
{
	struct iovec iovecs[IOVECS_MAX];
	uint64_t bytes;

	while (length > 0) {
		int entries = virtqueue_cursor_iovec(cursor, length, iovecs, IOVECS_MAX, &bytes);
		ssize_t count;

		if (entries == 0)
			return -EIO;
		count = moved(to_file ? pwritev(file, iovecs, entries, (off_t)offset)
				      : preadv(file, iovecs, entries, (off_t)offset));
		if (count < 0)
			return (int)count;
		(void)virtqueue_cursor_skip(cursor, (uint64_t)count);
		offset += (uint64_t)count;
		length -= (uint64_t)count;
	}

	return 0;
}

int file_read_cursor(int file, uint64_t offset, struct virtqueue_cursor *cursor, uint64_t length)
{
	return cursor->writable ? transfer(false, file, offset, cursor, length) : -EINVAL;
}

int file_write_cursor(int file, uint64_t offset, struct virtqueue_cursor *cursor, uint64_t length)
{
	return cursor->writable ? -EINVAL : transfer(true, file, offset, cursor, length);
}

static int change_space(int file, int mode, uint64_t offset, uint64_t length)
{
	int result;

	do
		result = fallocate(file, mode | FALLOC_FL_KEEP_SIZE, (off_t)offset, (off_t)length);
	while (result < 0 && errno == EINTR);

	return result < 0 ? -errno : 0;
}

int file_punch(int file, uint64_t offset, uint64_t length)
{
	return change_space(file, FALLOC_FL_PUNCH_HOLE, offset, length);
}

int file_zero(int file, uint64_t offset, uint64_t length, bool may_punch)
{
	static const uint8_t zeros[ZEROS_SIZE];
	int r;

	r = change_space(file, may_punch ? FALLOC_FL_PUNCH_HOLE : FALLOC_FL_ZERO_RANGE, offset, length);
	if (r != -EOPNOTSUPP)
		return r;

	/* The file system has no such thing: then the hard way. */
	for (r = 0; r == 0 && length > 0;) {
		size_t piece = length < sizeof(zeros) ? length : sizeof(zeros);

		r = file_write(file, offset, zeros, piece);
		offset += piece;
		length -= piece;
	}
	return r;
}

int file_sync(int file)
{
	return fdatasync(file) < 0 ? -errno : 0;
}
