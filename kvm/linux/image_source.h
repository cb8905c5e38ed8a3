/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where the bytes of a kernel or an initrd come from: a file, or memory.
 */
#ifndef EMBER_KVM_LINUX_IMAGE_SOURCE_H
#define EMBER_KVM_LINUX_IMAGE_SOURCE_H

#include <stddef.h>
#include <stdint.h>

#include "kvm/error_detail.h"

struct image_source {
	int fd;               /* -1 when the bytes are in memory */
	const uint8_t *bytes; /* with fd -1 */
	uint64_t size;        /* bytes; of a file, what it was when it was taken */
};

/*
 * Read from a file.
 *
 * fd          open for reading, a regular file or a memfd; stays the caller's, and must outlive the source
 * what        what the file is, for detail: "kernel", "initrd"
 * ret_source  filled on success
 *
 * Returns 0; -ENODATA (empty); -EINVAL (not a regular file); or -errno from fstat(2).
 */
int image_source_from_file(int fd, const char *what, struct image_source *ret_source, struct error_detail *detail);

/* Read from memory, which must outlive the source. */
struct image_source image_source_from_bytes(const void *bytes, size_t size);

/*
 * Copy length bytes at offset out. Nobody holds the file still: what was read is checked after it was read, and is not
 * read again.
 *
 * Returns 0; -ENODATA (the range leaves the source, or the file has become shorter); or -errno from pread(2).
 */
int image_source_read(const struct image_source *source, uint64_t offset, void *ret_data, size_t length);

#endif
