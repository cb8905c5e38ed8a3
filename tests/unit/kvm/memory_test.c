/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guest memory: sizes, bounds, and what is laid over the range.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "kvm/memory.h"

#define PAGE GUEST_MEMORY_PAGE
#define SIZE (16 * PAGE)

static struct guest_memory anonymous(void)
{
	struct guest_memory memory;

	cr_assert_eq(guest_memory_reserve(SIZE, &memory), 0);
	cr_assert_eq(guest_memory_lay_anonymous(&memory), 0);
	return memory;
}

/* A file whose page n is filled with n + 1. */
static int numbered_file(unsigned int pages)
{
	int file = memfd_create("numbered", MFD_CLOEXEC);
	uint8_t page[4096];

	cr_assert_geq(file, 0);
	for (unsigned int i = 0; i < pages; i++) {
		memset(page, (int)i + 1, sizeof(page));
		cr_assert_eq(write(file, page, sizeof(page)), (ssize_t)sizeof(page));
	}
	return file;
}

Test(memory, sizes_that_are_refused)
{
	struct guest_memory memory = { .host = (uint8_t *)1, .size = 1 };
	const uint64_t sizes[] = {
		0, 1, PAGE - 1, PAGE + 1, GUEST_MEMORY_SIZE_MAX + PAGE, UINT64_MAX, UINT64_MAX - PAGE + 1
	};

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
		cr_assert_eq(guest_memory_reserve(sizes[i], &memory), -EINVAL, "%llu", (unsigned long long)sizes[i]);
	cr_assert(memory.host == (uint8_t *)1 && memory.size == 1, "untouched on failure");
}

Test(memory, smallest_and_greatest)
{
	struct guest_memory memory;

	cr_assert_eq(guest_memory_reserve(PAGE, &memory), 0);
	cr_assert_eq(memory.size, PAGE);
	guest_memory_release(&memory);
	cr_assert_null(memory.host);
	guest_memory_release(&memory);
	cr_assert_eq(guest_memory_reserve(GUEST_MEMORY_SIZE_MAX, &memory), 0);
	guest_memory_release(&memory);
}

Test(memory, contains)
{
	const struct guest_memory memory = { .host = NULL, .size = SIZE };
	const struct {
		uint64_t gpa;
		uint64_t length;
		bool inside;
	} cases[] = {
		{ 0, 0, true },
		{ 0, 1, true },
		{ 0, SIZE, true },
		{ 0, SIZE + 1, false },
		{ 1, SIZE, false },
		{ 1, SIZE - 1, true },
		{ SIZE - 1, 1, true },
		{ SIZE - 1, 2, false },
		{ SIZE, 0, true },
		{ SIZE, 1, false },
		{ SIZE + 1, 0, false },
		{ UINT64_MAX, 0, false },
		{ UINT64_MAX, 1, false },
		{ UINT64_MAX, 2, false },
		{ 1, UINT64_MAX, false },
		{ 0, UINT64_MAX, false },
		{ SIZE, UINT64_MAX - SIZE + 1, false },
		{ UINT64_MAX - 1, UINT64_MAX, false },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		cr_assert_eq(guest_memory_contains(&memory, cases[i].gpa, cases[i].length), cases[i].inside, "case %zu",
			     i);
}

Test(memory, read_and_write)
{
	struct guest_memory memory = anonymous();
	uint8_t seen[8] = { 0 };

	cr_assert_eq(guest_memory_write(&memory, SIZE - 8, "12345678", 8), 0);
	cr_assert_eq(guest_memory_read(&memory, SIZE - 8, seen, 8), 0);
	cr_assert_arr_eq(seen, "12345678", 8);
	cr_assert_eq(guest_memory_read(&memory, 0, seen, 8), 0);
	cr_assert_arr_eq(seen, "\0\0\0\0\0\0\0\0", 8);
	cr_assert_eq(guest_memory_read(&memory, SIZE, NULL, 0), 0);
	cr_assert_eq(guest_memory_write(&memory, 0, NULL, 0), 0);
	guest_memory_release(&memory);
}

Test(memory, an_access_that_leaves_copies_nothing)
{
	struct guest_memory memory = anonymous();
	uint8_t seen[8];
	uint8_t *host = NULL;

	memset(seen, 0x77, sizeof(seen));
	cr_assert_eq(guest_memory_read(&memory, SIZE - 4, seen, 8), -EFAULT);
	cr_assert_eq(seen[0], 0x77);
	cr_assert_eq(guest_memory_write(&memory, SIZE - 4, "12345678", 8), -EFAULT);
	cr_assert_eq(memory.host[SIZE - 4], 0);
	cr_assert_eq(guest_memory_read(&memory, UINT64_MAX - 3, seen, 8), -EFAULT);
	cr_assert_eq(guest_memory_write(&memory, UINT64_MAX, "1", 1), -EFAULT);
	cr_assert_eq(guest_memory_range(&memory, SIZE - 4, 5, &host), -EFAULT);
	cr_assert_null(host);
	cr_assert_eq(guest_memory_range(&memory, SIZE - 4, 4, &host), 0);
	cr_assert_eq(host, memory.host + SIZE - 4);
	guest_memory_release(&memory);
}

Test(memory, a_snapshot_is_laid_privately)
{
	struct guest_memory memory = anonymous();
	int file = numbered_file(18);
	uint8_t *before = memory.host;
	uint8_t on_disk = 0;

	memory.host[0] = 0xee;
	cr_assert_eq(guest_memory_lay_snapshot(&memory, file, 2 * PAGE), 0);
	cr_assert_eq(memory.host, before);
	cr_assert_eq(memory.host[0], 3);
	cr_assert_eq(memory.host[SIZE - 1], 18);
	memory.host[0] = 0xaa;
	cr_assert_eq(pread(file, &on_disk, 1, 2 * PAGE), 1);
	cr_assert_eq(on_disk, 3, "what the guest writes stays in this process");
	close(file);
	cr_assert_eq(memory.host[PAGE], 4, "the file may be closed");
	cr_assert_eq(guest_memory_lay_anonymous(&memory), 0);
	cr_assert_eq(memory.host[0], 0);
	guest_memory_release(&memory);
}

Test(memory, snapshots_that_are_refused)
{
	struct guest_memory memory = anonymous();
	int file = numbered_file(16);
	int ends[2];

	cr_assert_eq(guest_memory_lay_snapshot(&memory, file, 1), -EINVAL, "offset within a page");
	cr_assert_eq(guest_memory_lay_snapshot(&memory, file, PAGE), -EINVAL, "too short by a page");
	cr_assert_eq(guest_memory_lay_snapshot(&memory, file, 17 * PAGE), -EINVAL, "offset past the end");
	cr_assert_eq(guest_memory_lay_snapshot(&memory, file, UINT64_MAX - PAGE + 1), -EINVAL, "offset that wraps");
	cr_assert_eq(ftruncate(file, SIZE - 1), 0);
	cr_assert_eq(guest_memory_lay_snapshot(&memory, file, 0), -EINVAL, "too short by a byte");
	cr_assert_eq(guest_memory_lay_snapshot(&memory, -1, 0), -EBADF);
	cr_assert_eq(pipe(ends), 0);
	cr_assert_lt(guest_memory_lay_snapshot(&memory, ends[0], 0), 0, "a pipe");
	memory.host[0] = 1; /* still what it was */
	close(ends[0]);
	close(ends[1]);
	close(file);
	guest_memory_release(&memory);
}

Test(memory, a_page_of_anonymous_memory_that_is_dropped_is_empty)
{
	struct guest_memory memory = anonymous();

	memset(memory.host, 0x55, SIZE);
	cr_assert_eq(guest_memory_drop(&memory, PAGE, 2 * PAGE), 0);
	cr_assert_eq(memory.host[PAGE - 1], 0x55);
	cr_assert_eq(memory.host[PAGE], 0);
	cr_assert_eq(memory.host[3 * PAGE - 1], 0);
	cr_assert_eq(memory.host[3 * PAGE], 0x55);
	memory.host[PAGE] = 0x66;
	cr_assert_eq(memory.host[PAGE], 0x66, "it can be used again");
	guest_memory_release(&memory);
}

Test(memory, a_page_over_a_snapshot_that_is_dropped_is_the_snapshots)
{
	struct guest_memory memory = anonymous();
	int file = numbered_file(16);

	cr_assert_eq(guest_memory_lay_snapshot(&memory, file, 0), 0);
	memset(memory.host, 0x55, SIZE);
	cr_assert_eq(guest_memory_drop(&memory, 3 * PAGE, PAGE), 0);
	cr_assert_eq(memory.host[3 * PAGE], 4);
	cr_assert_eq(memory.host[4 * PAGE - 1], 4);
	cr_assert_eq(memory.host[4 * PAGE], 0x55);
	close(file);
	guest_memory_release(&memory);
}

Test(memory, ranges_that_cannot_be_dropped)
{
	struct guest_memory memory = anonymous();

	memset(memory.host, 0x55, SIZE);
	cr_assert_eq(guest_memory_drop(&memory, SIZE - PAGE, 2 * PAGE), -EFAULT);
	cr_assert_eq(guest_memory_drop(&memory, UINT64_MAX - PAGE + 1, PAGE), -EFAULT);
	cr_assert_eq(guest_memory_drop(&memory, PAGE, UINT64_MAX - PAGE + 1), -EFAULT);
	cr_assert_eq(guest_memory_drop(&memory, 1, PAGE), -EINVAL);
	cr_assert_eq(guest_memory_drop(&memory, PAGE, PAGE - 1), -EINVAL);
	cr_assert_eq(guest_memory_drop(&memory, SIZE, 0), 0);
	for (uint64_t i = 0; i < SIZE; i++)
		cr_assert_eq(memory.host[i], 0x55);
	guest_memory_release(&memory);
}

Test(memory, notices_a_file_that_was_cut_short)
{
	struct guest_memory memory = anonymous();
	int file = numbered_file(16);

	cr_assert(guest_memory_is_whole(&memory));
	cr_assert_eq(guest_memory_lay_snapshot(&memory, file, 0), 0);
	cr_assert(guest_memory_is_whole(&memory));
	memory.host[SIZE - 1] = 0x5a; /* a page of our own does not hide it */
	cr_assert_eq(ftruncate(file, SIZE - PAGE), 0);
	cr_assert_not(guest_memory_is_whole(&memory));
	close(file);
	guest_memory_release(&memory);
}
