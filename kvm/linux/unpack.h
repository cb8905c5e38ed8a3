/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Taking the ELF out of a bzImage.
 */
#ifndef EMBER_KVM_LINUX_UNPACK_H
#define EMBER_KVM_LINUX_UNPACK_H

#include <stddef.h>
#include <stdint.h>

#include "kvm/error_detail.h"
#include "kvm/linux/image_source.h"
#include "kvm/linux/kernel_image.h"

/* More than any kernel that is built; what unpacks to more than its caller allows is refused. */
#define KERNEL_UNPACKED_MAX (UINT64_C(512) << 20)

/* Where unpacked bytes go, in order. write returns 0 or -errno, which ends the unpacking. */
struct unpack_sink {
	void *opaque;
	int (*write)(void *opaque, const uint8_t *data, size_t length);
	/* Told after each write how many bytes of the payload have been read, of how many; NULL: nobody wants to know. */
	void (*advanced)(void *opaque, uint64_t done, uint64_t total);
};

/* A sink that appends to a file, at its own offset. fd stays the caller's, and *fd must outlive the sink. */
struct unpack_sink unpack_sink_to_file(const int *fd);

/*
 * Unpack the payload of a bzImage. What comes out is as little to be trusted as what went in: kernel_image_parse() it.
 *
 * source    the file that bzimage was parsed from
 * max_size  bytes; KERNEL_UNPACKED_MAX is a good bound
 * ret_size  bytes that went to the sink
 *
 * Memory in use is bounded whatever the payload says: 128 MiB and a little, for zstd's and xz's windows.
 *
 * Returns 0; -ENODATA (no payload, or it is truncated); -EOPNOTSUPP (packed in a way that we do not unpack: bzip2,
 * lzma, lzo); -EBADMSG (corrupt); -EFBIG (more than max_size); -ENOMEM; or -errno of reading or of the sink. After an
 * error the sink may have got a part.
 */
int kernel_unpack(const struct image_source *source, const struct kernel_bzimage *bzimage, uint64_t max_size,
		  const struct unpack_sink *sink, uint64_t *ret_size, struct error_detail *detail);

#endif
