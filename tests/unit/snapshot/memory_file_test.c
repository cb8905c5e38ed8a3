/* SPDX-License-Identifier: Apache-2.0 */
/*
 * memory.snap: sparse, whole, and verified.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <criterion/criterion.h>

#include "scratch.h"
#include "snapshot/crc64.h"
#include "snapshot/memory_file.h"

#define SIZE (3 * MEMORY_CHUNK_SIZE + 5 * GUEST_MEMORY_PAGE) /* the last chunk is short */

static struct scratch scratch;
static struct error_detail detail;
static struct memory_checksums checksums;
static uint8_t *memory;
static int file;

static void setup(void)
{
	scratch_make(&scratch);
	memory = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	cr_assert_neq(memory, MAP_FAILED);
	file = openat(scratch.fd, "memory.snap", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	cr_assert_geq(file, 0);

	/* Data at both ends of a chunk and of the memory, a run of pages, one last byte; chunk 1 is all zeros. */
	memory[0] = 1;
	memset(memory + 10 * GUEST_MEMORY_PAGE, 0xa5, 20 * GUEST_MEMORY_PAGE);
	memory[MEMORY_CHUNK_SIZE - 1] = 2;
	memory[2 * MEMORY_CHUNK_SIZE + 3 * GUEST_MEMORY_PAGE + 17] = 3;
	memory[SIZE - 1] = 4;
}

static void teardown(void)
{
	(void)munmap(memory, SIZE);
	(void)close(file);
	scratch_remove(&scratch);
}

TestSuite(memory_file, .init = setup, .fini = teardown);

static void write_memory(void)
{
	cr_assert_eq(memory_file_write(file, memory, SIZE, NULL, &checksums, NULL, &detail), 0, "%s", detail.text);
}

static int verify(void)
{
	return memory_file_verify(file, SIZE, &checksums, NULL, &detail);
}

Test(memory_file, holds_the_memory_and_no_zero_pages)
{
	uint8_t *read_back;
	uint64_t written = 0;
	struct stat status;

	cr_assert_eq(memory_file_write(file, memory, SIZE, NULL, &checksums, &written, &detail), 0, "%s", detail.text);
	cr_assert_eq(written, 24 * GUEST_MEMORY_PAGE, "%ju", (uintmax_t)written);
	cr_assert_eq(fstat(file, &status), 0);
	cr_assert_eq((uint64_t)status.st_size, SIZE);
	cr_assert_leq((uint64_t)status.st_blocks * 512, 32 * GUEST_MEMORY_PAGE);

	read_back = mmap(NULL, SIZE, PROT_READ, MAP_PRIVATE, file, 0);
	cr_assert_neq(read_back, MAP_FAILED);
	cr_assert_arr_eq(read_back, memory, SIZE);
	(void)munmap(read_back, SIZE);

	cr_assert_eq(checksums.count, 4);
	for (uint64_t i = 0; i < 4; i++) {
		uint64_t length = i < 3 ? MEMORY_CHUNK_SIZE : SIZE - 3 * MEMORY_CHUNK_SIZE;

		cr_assert_eq(checksums.values[i], crc64_update(CRC64_START, memory + i * MEMORY_CHUNK_SIZE, length),
			     "chunk %ju", (uintmax_t)i);
	}
	cr_assert_eq(checksums.values[1], 0);
	cr_assert_eq(verify(), 0, "%s", detail.text);
}

Test(memory_file, writing_again_leaves_nothing_of_before)
{
	memset(memory, 0xff, SIZE);
	write_memory();
	memset(memory, 0, SIZE);
	memory[5] = 1;
	write_memory();
	cr_assert_eq(verify(), 0, "%s", detail.text);
	cr_assert_eq(lseek(file, GUEST_MEMORY_PAGE, SEEK_DATA), -1);
}

Test(memory_file, a_flipped_bit_is_found_with_its_chunk)
{
	static const uint64_t places[] = { 0,
					   MEMORY_CHUNK_SIZE - 1,
					   MEMORY_CHUNK_SIZE + 77,
					   2 * MEMORY_CHUNK_SIZE,
					   3 * MEMORY_CHUNK_SIZE + 9,
					   SIZE - 1 };

	write_memory();
	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		char chunk[64];
		uint8_t byte;

		cr_assert_eq(pread(file, &byte, 1, (off_t)places[i]), 1);
		byte ^= 0x10;
		cr_assert_eq(pwrite(file, &byte, 1, (off_t)places[i]), 1);
		cr_assert_eq(verify(), -EBADMSG);
		(void)snprintf(chunk, sizeof(chunk), "chunk %ju, at byte %ju,",
			       (uintmax_t)(places[i] / MEMORY_CHUNK_SIZE),
			       (uintmax_t)(places[i] / MEMORY_CHUNK_SIZE * MEMORY_CHUNK_SIZE));
		cr_assert(strstr(detail.text, chunk), "%s", detail.text);
		byte ^= 0x10;
		cr_assert_eq(pwrite(file, &byte, 1, (off_t)places[i]), 1);
		cr_assert_eq(verify(), 0, "%s", detail.text);
	}
}

Test(memory_file, lost_data_is_found)
{
	write_memory();
	cr_assert_eq(fallocate(file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, (off_t)MEMORY_CHUNK_SIZE), 0);
	cr_assert_eq(verify(), -EBADMSG);
	cr_assert(strstr(detail.text, "chunk 0"), "%s", detail.text);
}

Test(memory_file, a_wrong_size_is_told_with_both)
{
	write_memory();
	cr_assert_eq(ftruncate(file, SIZE - GUEST_MEMORY_PAGE), 0);
	cr_assert_eq(verify(), -EBADMSG);
	cr_assert(strstr(detail.text, "3162112") && strstr(detail.text, "3166208"), "%s", detail.text);
	cr_assert_eq(ftruncate(file, SIZE + GUEST_MEMORY_PAGE), 0);
	cr_assert_eq(verify(), -EBADMSG);
	cr_assert_eq(ftruncate(file, 0), 0);
	cr_assert_eq(verify(), -EBADMSG);
}

Test(memory_file, a_wrong_number_of_checksums_is_told)
{
	write_memory();
	checksums.count = 3;
	cr_assert_eq(verify(), -EBADMSG);
	checksums.count = MEMORY_CHUNKS_MAX + 1;
	cr_assert_eq(verify(), -EBADMSG);
}

struct steps {
	unsigned count;
	unsigned stop_at;
	uint64_t last;
	uint64_t truncate_to;
};

static int advanced(void *opaque, uint64_t done, uint64_t total)
{
	struct steps *steps = opaque;

	cr_assert_gt(done, steps->last);
	cr_assert_eq(total, SIZE);
	steps->last = done;
	steps->count++;
	if (steps->truncate_to && steps->count == 1)
		cr_assert_eq(ftruncate(file, (off_t)steps->truncate_to), 0);
	return steps->count == steps->stop_at ? -ECANCELED : 0;
}

Test(memory_file, progress_reaches_the_end_and_can_stop)
{
	struct steps steps = { 0 };
	struct memory_progress progress = { .opaque = &steps, .advanced = advanced };

	cr_assert_eq(memory_file_write(file, memory, SIZE, &progress, &checksums, NULL, &detail), 0);
	cr_assert_eq(steps.count, 4);
	cr_assert_eq(steps.last, SIZE);
	steps = (struct steps){ 0 };
	cr_assert_eq(memory_file_verify(file, SIZE, &checksums, &progress, &detail), 0);
	cr_assert_eq(steps.count, 4);

	steps = (struct steps){ .stop_at = 2 };
	cr_assert_eq(memory_file_verify(file, SIZE, &checksums, &progress, &detail), -ECANCELED);
	cr_assert_eq(steps.count, 2);
	steps = (struct steps){ .stop_at = 3 };
	cr_assert_eq(memory_file_write(file, memory, SIZE, &progress, &checksums, NULL, &detail), -ECANCELED);
	cr_assert_eq(steps.count, 3);
}

Test(memory_file, cut_short_while_it_is_read_is_an_error)
{
	struct steps steps = { .truncate_to = 2 * MEMORY_CHUNK_SIZE + GUEST_MEMORY_PAGE };
	struct memory_progress progress = { .opaque = &steps, .advanced = advanced };

	write_memory();
	cr_assert_eq(memory_file_verify(file, SIZE, &checksums, &progress, &detail), -EBADMSG, "%s", detail.text);

	memset(memory, 0, SIZE);
	memory[1] = 1;
	write_memory();
	steps = (struct steps){ .truncate_to = 2 * MEMORY_CHUNK_SIZE };
	cr_assert_eq(memory_file_verify(file, SIZE, &checksums, &progress, &detail), -EBADMSG, "%s", detail.text);
}

Test(memory_file, sizes_that_no_guest_has_are_refused)
{
	static const uint64_t sizes[] = { 0, 1, GUEST_MEMORY_PAGE - 1, GUEST_MEMORY_SIZE_MAX + GUEST_MEMORY_PAGE };

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
		cr_assert_eq(memory_file_write(file, memory, sizes[i], NULL, &checksums, NULL, &detail), -EINVAL);
}

Test(memory_file, a_full_disk_is_an_error)
{
	struct scratch small;
	int small_file;

	if (!scratch_make_small(&small, 16 * GUEST_MEMORY_PAGE))
		cr_skip_test("mounting a tmpfs needs root");
	small_file = openat(small.fd, "memory.snap", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	cr_assert_geq(small_file, 0);
	cr_assert_eq(memory_file_write(small_file, memory, SIZE, NULL, &checksums, NULL, &detail), -ENOSPC);
	cr_assert(strstr(detail.text, "memory.snap"), "%s", detail.text);
	(void)close(small_file);
	scratch_remove(&small);
}

Test(memory_file, what_cannot_be_written_or_read_is_an_error)
{
	int read_only = openat(scratch.fd, "memory.snap", O_RDONLY | O_CLOEXEC);
	int write_only = openat(scratch.fd, "memory.snap", O_WRONLY | O_CLOEXEC);

	cr_assert_lt(memory_file_write(read_only, memory, SIZE, NULL, &checksums, NULL, &detail), 0);
	cr_assert_eq(memory_file_write(write_only, memory, SIZE, NULL, &checksums, NULL, &detail), 0,
		     "a descriptor for writing is all that it takes: %s", detail.text);
	cr_assert_eq(memory_file_verify(write_only, SIZE, &checksums, NULL, &detail), -EBADF);
	(void)close(read_only);
	(void)close(write_only);
}
