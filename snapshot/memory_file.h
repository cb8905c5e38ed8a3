/* SPDX-License-Identifier: Apache-2.0 */
/*
 * memory.snap: a guest's memory, raw and sparse, with a CRC-64 for each chunk of it.
 */
#ifndef EMBER_SNAPSHOT_MEMORY_FILE_H
#define EMBER_SNAPSHOT_MEMORY_FILE_H

#include <stdint.h>

#include "kvm/error_detail.h"
#include "kvm/memory.h"

#define MEMORY_CHUNK_SIZE (UINT64_C(1) << 20) /* bytes; the last chunk of a memory may be shorter */
#define MEMORY_CHUNKS_MAX (GUEST_MEMORY_SIZE_MAX / MEMORY_CHUNK_SIZE)

/* A CRC-64 for each chunk, in order of address. */
struct memory_checksums {
	uint32_t count;
	uint32_t padding;
	uint64_t values[MEMORY_CHUNKS_MAX];
};

/* How many chunks a memory of that many bytes has. */
static inline uint64_t memory_chunk_count(uint64_t size)
{
	return size / MEMORY_CHUNK_SIZE + (size % MEMORY_CHUNK_SIZE != 0);
}

/* How far a long job is; called after every chunk. */
struct memory_progress {
	void *opaque;
	int (*advanced)(void *opaque, uint64_t done, uint64_t total); /* bytes; 0, or -errno to end the job with it */
};

/*
 * Write a guest's memory to a file: pages of zeros become holes, the rest goes out in runs as long as they come.
 *
 * file           open for writing; emptied first; nothing but ftruncate(2) and pwrite(2) is done to it
 * memory         what does not change while it is written (the VM is paused)
 * progress       may be NULL
 * ret_checksums  filled on success
 * ret_written    may be NULL; bytes that were not holes
 *
 * Returns 0, -EINVAL (a size that is not whole pages up to GUEST_MEMORY_SIZE_MAX), what progress returned, or -errno
 * with the step in detail (-ENOSPC, -EDQUOT, -EIO).
 */
int memory_file_write(int file, const uint8_t *memory, uint64_t size, const struct memory_progress *progress,
		      struct memory_checksums *ret_checksums, uint64_t *ret_written, struct error_detail *detail);

/*
 * Read a whole memory file and compare it with its checksums. Holes are not read. The file is read, never mapped: one
 * that is cut short meanwhile is an error here, not a signal.
 *
 * file      open for reading; its position is changed
 * size      bytes that it must have
 * progress  may be NULL
 *
 * Returns 0; -EBADMSG (its size differs, or a chunk does: detail has both sizes, or the chunk and its offset); what
 * progress returned; or -errno with the step in detail.
 */
int memory_file_verify(int file, uint64_t size, const struct memory_checksums *checksums,
		       const struct memory_progress *progress, struct error_detail *detail);

#endif
