/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guest memory: one contiguous range of host addresses behind one memslot.
 *
 * The range is reserved (PROT_NONE) and registered with KVM when a shell is built. A boot or a restore lays memory over
 * it with MAP_FIXED, which leaves the memslot as it is: KVM learns of the change through its MMU notifier, so the
 * request path takes no KVM_SET_USER_MEMORY_REGION and waits for no SRCU grace period.
 *
 * Every access by guest-physical address goes through guest_memory_contains(), which is written so that no sum can
 * wrap. Nothing here takes a lock: the range does not move between reserve and release.
 */
#include "kvm/memory.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "kvm/file_status.h"

int guest_memory_reserve(uint64_t size, struct guest_memory *ret_memory)
{
	void *reserved;

	if (size == 0 || size > GUEST_MEMORY_SIZE_MAX || size % GUEST_MEMORY_PAGE != 0)
		return -EINVAL;

	reserved = mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (reserved == MAP_FAILED)
		return -errno;

	*ret_memory = (struct guest_memory){ .host = reserved, .size = size };
	return 0;
}

int guest_memory_lay_anonymous(struct guest_memory *memory)
{
	void *laid;

	laid = mmap(memory->host, memory->size, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0);
	if (laid == MAP_FAILED)
		return -errno;

	return 0;
}

int guest_memory_lay_snapshot(struct guest_memory *memory, int file, uint64_t file_offset)
{
	struct stat status;
	void *laid;

	if (file_offset % GUEST_MEMORY_PAGE != 0)
		return -EINVAL;
	if (file_status(file, &status) < 0)
		return -errno;
	/*
	 * A page past the end of a file raises SIGBUS at its first touch: refuse now what would kill the guest later.
	 */
	if (status.st_size < 0 || file_offset > (uint64_t)status.st_size ||
	    memory->size > (uint64_t)status.st_size - file_offset)
		return -EINVAL;

	laid = mmap(memory->host, memory->size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED | MAP_NORESERVE, file,
		    (off_t)file_offset);
	if (laid == MAP_FAILED)
		return -errno;

	return 0;
}

bool guest_memory_contains(const struct guest_memory *memory, uint64_t gpa, uint64_t length)
{
	return gpa <= memory->size && length <= memory->size - gpa;
}

int guest_memory_read(const struct guest_memory *memory, uint64_t gpa, void *ret_data, size_t length)
{
	if (!guest_memory_contains(memory, gpa, length))
		return -EFAULT;

	if (length > 0)
		memcpy(ret_data, memory->host + gpa, length);
	return 0;
}

int guest_memory_write(struct guest_memory *memory, uint64_t gpa, const void *data, size_t length)
{
	if (!guest_memory_contains(memory, gpa, length))
		return -EFAULT;

	if (length > 0)
		memcpy(memory->host + gpa, data, length);
	return 0;
}

int guest_memory_range(const struct guest_memory *memory, uint64_t gpa, uint64_t length, uint8_t **ret_host)
{
	if (!guest_memory_contains(memory, gpa, length))
		return -EFAULT;

	*ret_host = memory->host + gpa;
	return 0;
}

int guest_memory_drop(struct guest_memory *memory, uint64_t gpa, uint64_t length)
{
	if (!guest_memory_contains(memory, gpa, length))
		return -EFAULT;
	if (gpa % GUEST_MEMORY_PAGE != 0 || length % GUEST_MEMORY_PAGE != 0)
		return -EINVAL;

	return madvise(memory->host + gpa, length, MADV_DONTNEED) < 0 ? -errno : 0;
}

bool guest_memory_is_whole(const struct guest_memory *memory)
{
	uint8_t *last = memory->host + memory->size - GUEST_MEMORY_PAGE;

	/*
	 * Whatever is cut off, the last page goes with it. Older kernels (before 5.14) answer EINVAL: they cannot tell.
	 */
	return madvise(last, GUEST_MEMORY_PAGE, MADV_POPULATE_READ) == 0 || errno != EFAULT;
}

void guest_memory_release(struct guest_memory *memory)
{
	if (memory->host)
		(void)munmap(memory->host, memory->size);
	*memory = (struct guest_memory){ 0 };
}
