/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where the bytes of a kernel or an initrd come from.
 *
 * Files are read with pread(2), never mapped: a file that is cut short while we look at it gives an error, not SIGBUS,
 * and a large kernel goes straight into guest memory without a copy of it in ours.
 */
#include "kvm/linux/image_source.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kvm/file_status.h"

int image_source_from_file(int fd, const char *what, struct image_source *ret_source, struct error_detail *detail)
{
	struct stat status;

	if (file_status(fd, &status) < 0) {
		int saved_errno = errno;

		error_detail_set(detail, "%s: %s", what, strerrordesc_np(saved_errno));
		return -saved_errno;
	}
	if (!S_ISREG(status.st_mode)) {
		error_detail_set(detail, "%s: not a regular file", what);
		return -EINVAL;
	}
	if (status.st_size <= 0) {
		error_detail_set(detail, "%s: the file is empty", what);
		return -ENODATA;
	}

	*ret_source = (struct image_source){ .fd = fd, .size = (uint64_t)status.st_size };
	return 0;
}

struct image_source image_source_from_bytes(const void *bytes, size_t size)
{
	return (struct image_source){ .fd = -1, .bytes = bytes, .size = size };
}

static int read_file(int fd, uint64_t offset, uint8_t *ret_data, size_t length)
{
	while (length > 0) {
		ssize_t got = pread(fd, ret_data, length, (off_t)offset);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -errno;
		if (got == 0)
			return -ENODATA;
		ret_data += got;
		offset += (uint64_t)got;
		length -= (size_t)got;
	}

	return 0;
}

int image_source_read(const struct image_source *source, uint64_t offset, void *ret_data, size_t length)
{
	if (offset > source->size || length > source->size - offset)
		return -ENODATA;
	if (length == 0)
		return 0;
	if (source->fd >= 0)
		return read_file(source->fd, offset, ret_data, length);

	memcpy(ret_data, source->bytes + offset, length);
	return 0;
}
