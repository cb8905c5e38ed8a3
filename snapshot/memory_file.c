/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writing and checking memory.snap.
 *
 * The file is the guest's memory byte for byte, so that a restore is one mmap(2). It is made as long as the memory
 * first; what is never written stays a hole, which reads as zeros and costs no disk. Pages are tested for zeros one by
 * one, and each run of others goes out with as few pwrite(2) calls as the kernel takes.
 *
 * The CRC of zeros is zero (see crc64.h): a chunk of nothing but zeros needs no computing, neither when it is written
 * nor when it is checked, and a sparse memory of gigabytes is verified at the speed of what it holds.
 */
#include "snapshot/memory_file.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kvm/cleanup.h"
#include "kvm/file_status.h"
#include "snapshot/crc64.h"

static int failed(int error, const char *step, uint64_t offset, struct error_detail *detail)
{
	error_detail_set(detail, "%s memory.snap at byte %ju: %s", step, (uintmax_t)offset, strerrordesc_np(error));
	return -error;
}

static int report(const struct memory_progress *progress, uint64_t done, uint64_t total)
{
	return progress ? progress->advanced(progress->opaque, done, total) : 0;
}

/* The first byte against zero, and every other against the one before it: one memcmp() at the speed of memory. */
static bool is_zero_page(const uint8_t *page)
{
	return page[0] == 0 && memcmp(page, page + 1, GUEST_MEMORY_PAGE - 1) == 0;
}

static int write_run(int file, const uint8_t *data, uint64_t length, uint64_t offset, struct error_detail *detail)
{
	while (length > 0) {
		ssize_t written = pwrite(file, data, length, (off_t)offset);

		if (written < 0 && errno == EINTR)
			continue;
		if (written <= 0)
			return failed(written < 0 ? errno : EIO, "cannot write", offset, detail);
		data += written;
		offset += (uint64_t)written;
		length -= (uint64_t)written;
	}

	return 0;
}

/* Write what is not zero of one chunk. */
static int write_chunk(int file, const uint8_t *chunk, uint64_t length, uint64_t offset, uint64_t *written,
		       struct error_detail *detail)
{
	uint64_t start;
	uint64_t end = 0;

	for (;;) {
		int r;

		for (start = end; start < length && is_zero_page(chunk + start); start += GUEST_MEMORY_PAGE)
			;
		for (end = start; end < length && !is_zero_page(chunk + end); end += GUEST_MEMORY_PAGE)
			;
		if (start == end)
			return 0;

		r = write_run(file, chunk + start, end - start, offset + start, detail);
		if (r < 0)
			return r;
		*written += end - start;
	}
}

static uint64_t chunk_length(uint64_t size, uint64_t offset)
{
	return size - offset < MEMORY_CHUNK_SIZE ? size - offset : MEMORY_CHUNK_SIZE;
}

int memory_file_write(int file, const uint8_t *memory, uint64_t size, const struct memory_progress *progress,
		      struct memory_checksums *ret_checksums, uint64_t *ret_written, struct error_detail *detail)
{
	uint64_t written = 0;

	if (size == 0 || size > GUEST_MEMORY_SIZE_MAX || size % GUEST_MEMORY_PAGE != 0) {
		error_detail_set(detail, "a memory of %ju bytes cannot be written", (uintmax_t)size);
		return -EINVAL;
	}
	if (ftruncate(file, 0) < 0 || ftruncate(file, (off_t)size) < 0)
		return failed(errno, "cannot set the size of", size, detail);

	for (uint64_t offset = 0; offset < size; offset += MEMORY_CHUNK_SIZE) {
		uint64_t length = chunk_length(size, offset);
		uint64_t before = written;
		int r = write_chunk(file, memory + offset, length, offset, &written, detail);

		if (r < 0)
			return r;
		ret_checksums->values[offset / MEMORY_CHUNK_SIZE] =
			written == before ? 0 : crc64_update(CRC64_START, memory + offset, length);

		r = report(progress, offset + length, size);
		if (r < 0)
			return r;
	}

	ret_checksums->count = (uint32_t)memory_chunk_count(size);
	ret_checksums->padding = 0;
	if (ret_written)
		*ret_written = written;
	return 0;
}

static int read_run(int file, uint8_t *ret_data, uint64_t length, uint64_t offset, struct error_detail *detail)
{
	while (length > 0) {
		ssize_t got = pread(file, ret_data, length, (off_t)offset);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return failed(errno, "cannot read", offset, detail);
		if (got == 0) {
			error_detail_set(detail, "memory.snap ends at byte %ju: it was cut short while it was read",
					 (uintmax_t)offset);
			return -EBADMSG;
		}
		ret_data += got;
		offset += (uint64_t)got;
		length -= (uint64_t)got;
	}

	return 0;
}

/* Where data begins at or after offset; size if there is none. A file system that cannot tell says that all is data. */
static uint64_t next_data(int file, uint64_t offset, uint64_t size)
{
	off_t data = lseek(file, (off_t)offset, SEEK_DATA);

	if (data < 0)
		return errno == ENXIO ? size : offset;

	return (uint64_t)data;
}

static int check_size(int file, uint64_t size, const struct memory_checksums *checksums, struct error_detail *detail)
{
	struct stat status;

	if (file_status(file, &status) < 0)
		return failed(errno, "cannot look at", 0, detail);
	if ((uint64_t)status.st_size != size) {
		error_detail_set(detail, "memory.snap has %ju bytes; the snapshot's memory has %ju",
				 (uintmax_t)status.st_size, (uintmax_t)size);
		return -EBADMSG;
	}
	if (checksums->count > MEMORY_CHUNKS_MAX || checksums->count != memory_chunk_count(size)) {
		error_detail_set(detail, "the snapshot has %u memory checksums; a memory of %ju bytes needs %ju",
				 checksums->count, (uintmax_t)size, (uintmax_t)memory_chunk_count(size));
		return -EBADMSG;
	}

	return 0;
}

int memory_file_verify(int file, uint64_t size, const struct memory_checksums *checksums,
		       const struct memory_progress *progress, struct error_detail *detail)
{
	cleanup_free uint8_t *buffer = NULL;
	uint64_t data = 0;
	int r;

	r = check_size(file, size, checksums, detail);
	if (r < 0)
		return r;
	buffer = malloc(MEMORY_CHUNK_SIZE);
	if (!buffer)
		return failed(ENOMEM, "cannot check", 0, detail);

	for (uint64_t offset = 0; offset < size; offset += MEMORY_CHUNK_SIZE) {
		uint64_t length = chunk_length(size, offset);
		uint64_t index = offset / MEMORY_CHUNK_SIZE;
		uint64_t crc = 0;

		if (data < offset + length)
			data = next_data(file, offset, size);
		if (data < offset + length) {
			r = read_run(file, buffer, length, offset, detail);
			if (r < 0)
				return r;
			crc = crc64_update(CRC64_START, buffer, length);
		}
		if (crc != checksums->values[index]) {
			error_detail_set(
				detail,
				"memory.snap is damaged: chunk %ju, at byte %ju, has CRC %016jx instead of %016jx",
				(uintmax_t)index, (uintmax_t)offset, (uintmax_t)crc,
				(uintmax_t)checksums->values[index]);
			return -EBADMSG;
		}

		r = report(progress, offset + length, size);
		if (r < 0)
			return r;
	}

	/* One that was cut short where it ends in holes looks whole above, but not to who maps it. */
	return check_size(file, size, checksums, detail);
}
