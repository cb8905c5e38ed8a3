/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guest memory: one contiguous range of host addresses behind one memslot at guest-physical address 0.
 */
#ifndef EMBER_KVM_MEMORY_H
#define EMBER_KVM_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GUEST_MEMORY_PAGE     UINT64_C(4096)
#define GUEST_MEMORY_SIZE_MAX (UINT64_C(3) << 30) /* below the hole that holds the IOAPIC, the LAPIC and the TSS */

struct guest_memory {
	uint8_t *host; /* first byte of the reserved range; NULL when nothing is reserved */
	uint64_t size; /* bytes; a multiple of the page size */
};

/*
 * Reserve a range of host addresses for a guest: PROT_NONE, no memory behind it yet.
 *
 * size        bytes; a multiple of GUEST_MEMORY_PAGE, 1 page to GUEST_MEMORY_SIZE_MAX
 * ret_memory  filled on success; the caller ends it with guest_memory_release()
 *
 * Returns 0, -EINVAL (size), or -errno from mmap(2).
 */
int guest_memory_reserve(uint64_t size, struct guest_memory *ret_memory);

/* Lay fresh zeroed anonymous memory over the whole range (a boot). Returns 0 or -errno from mmap(2). */
int guest_memory_lay_anonymous(struct guest_memory *memory);

/*
 * Lay a snapshot's memory over the guest's range, privately: what the guest writes stays in this process.
 *
 * memory       a range from guest_memory_reserve(); its memslot stays valid
 * file         open for reading, at least file_offset + memory->size bytes; not consumed, may be closed afterwards
 * file_offset  bytes; a multiple of the page size
 *
 * Returns 0, or -errno from mmap(2) (-ENODEV: the file cannot be mapped), or -EINVAL where the file is too short.
 */
int guest_memory_lay_snapshot(struct guest_memory *memory, int file, uint64_t file_offset);

/* Is [gpa, gpa + length) inside the guest's memory? False where the sum overflows; true for length 0 at gpa <= size. */
bool guest_memory_contains(const struct guest_memory *memory, uint64_t gpa, uint64_t length);

/*
 * Copy between host and guest memory, bounds-checked.
 *
 * gpa, length  bytes; a range that wraps or leaves the memory is an error and nothing is copied
 *
 * Returns 0 or -EFAULT.
 */
int guest_memory_read(const struct guest_memory *memory, uint64_t gpa, void *ret_data, size_t length);
int guest_memory_write(struct guest_memory *memory, uint64_t gpa, const void *data, size_t length);

/*
 * A host pointer to a checked range of guest memory, for callers that copy out of it themselves. The guest may
 * change what it points at at any time: copy once, then check, then use.
 *
 * Returns 0 or -EFAULT. *ret_host stays valid until the memory is released or something is laid over it.
 */
int guest_memory_range(const struct guest_memory *memory, uint64_t gpa, uint64_t length, uint8_t **ret_host);

/*
 * Give the memory behind whole pages back to the host; the range stays mapped. What is read there afterwards is zeros
 * (anonymous memory), or what the snapshot's file holds.
 *
 * gpa, length  bytes; multiples of GUEST_MEMORY_PAGE
 *
 * Returns 0, -EFAULT (a range that wraps or leaves the memory), -EINVAL (parts of pages), or -errno from madvise(2).
 */
int guest_memory_drop(struct guest_memory *memory, uint64_t gpa, uint64_t length);

/*
 * Is there still something behind every page? False once the file that was laid has been cut short (a touch would
 * raise SIGBUS). Touches the last page, so that it is for the end of a VM and not for its run.
 */
bool guest_memory_is_whole(const struct guest_memory *memory);

/* Unmap the range. Takes a zeroed struct. The memslot must be gone (or its VM closed) first. */
void guest_memory_release(struct guest_memory *memory);

#endif
