/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whole transfers between files and the buffers of a chain: no short count, no interruption is left to the caller.
 */
#ifndef EMBER_DEVICES_VIRTIO_BLK_FILE_H
#define EMBER_DEVICES_VIRTIO_BLK_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "devices/virtio/virtqueue.h"

/*
 * Read or write exactly so many bytes, from or to memory of ours or the next bytes of a cursor, which goes on by what
 * was moved.
 *
 * offset, length  bytes; their sum is at most INT64_MAX
 *
 * Returns 0; -EIO (the file or the cursor ends before, or the file takes no more); else -errno of the system call. Less
 * than length may have been moved then.
 */
int file_read(int file, uint64_t offset, void *ret_data, size_t length);
int file_write(int file, uint64_t offset, const void *data, size_t length);
int file_read_cursor(int file, uint64_t offset, struct virtqueue_cursor *cursor, uint64_t length);
int file_write_cursor(int file, uint64_t offset, struct virtqueue_cursor *cursor, uint64_t length);

/* Give a range's space back to the file system; it reads as zeros. Returns 0, or -errno (-EOPNOTSUPP: it cannot). */
int file_punch(int file, uint64_t offset, uint64_t length);

/*
 * Make a range read as zeros.
 *
 * may_punch  its space may be given back
 *
 * Returns 0 or -errno.
 */
int file_zero(int file, uint64_t offset, uint64_t length, bool may_punch);

/* What was written survives a crash of the host. Returns 0 or -errno. */
int file_sync(int file);

#endif
