/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A kernel's file, from its first byte to its last in guest memory: parsed, unpacked, loaded for every entry.
 *
 * Properties: whatever the parser accepts lies inside the file and, once loaded, inside memory; what is refused says
 * why; the unpacker writes no more than it was allowed.
 */
#include "fuzz.h"
#include "kvm/linux/boot.h"
#include "kvm/linux/unpack.h"

#include <string.h>

#define MEMORY_SIZE  (UINT64_C(40) << 20)
#define UNPACKED_MAX (UINT64_C(1) << 20)

struct counter {
	uint64_t written;
};

static int count(void *opaque, const uint8_t *data, size_t length)
{
	struct counter *counter = opaque;

	FUZZ_CHECK(data && length > 0);
	counter->written += length;
	FUZZ_CHECK(counter->written <= UNPACKED_MAX);
	return 0;
}

static void check_bzimage(const struct kernel_bzimage *bzimage, size_t size)
{
	FUZZ_CHECK(bzimage->code_size > 0 && bzimage->code_offset + bzimage->code_size <= size);
	FUZZ_CHECK(bzimage->payload_size == 0 || (bzimage->payload_offset >= bzimage->code_offset &&
						  bzimage->payload_offset + bzimage->payload_size <= size));
	FUZZ_CHECK(kernel_packing_name(bzimage->packing));
}

static void check_elf(const struct kernel_elf *elf, size_t size)
{
	FUZZ_CHECK(elf->segment_count >= 1 && elf->segment_count <= KERNEL_SEGMENTS_MAX);
	FUZZ_CHECK(elf->has_entry64 || elf->has_pvh_entry);
	for (uint32_t i = 0; i < elf->segment_count; i++) {
		const struct kernel_segment *segment = &elf->segments[i];

		FUZZ_CHECK(segment->offset + segment->file_size <= size && segment->file_size <= size);
		FUZZ_CHECK(segment->file_size <= segment->memory_size);
		FUZZ_CHECK(segment->gpa >= elf->memory_low && segment->gpa >= KERNEL_GPA_MIN);
		FUZZ_CHECK(segment->gpa + segment->memory_size > segment->gpa);
		FUZZ_CHECK(segment->gpa + segment->memory_size <= elf->memory_end);
	}
}

static void unpack(const struct image_source *source, const struct kernel_bzimage *bzimage)
{
	struct counter counter = { 0 };
	const struct unpack_sink sink = { .opaque = &counter, .write = count };
	struct error_detail detail = { 0 };
	uint64_t size = 0;
	int result = kernel_unpack(source, bzimage, UNPACKED_MAX, &sink, &size, &detail);

	FUZZ_CHECK(result == 0 ? size == counter.written : detail.text[0] != '\0');
}

static void load(const struct image_source *source, const struct kernel_image *image, enum kernel_entry entry)
{
	struct guest_memory memory;
	const struct linux_boot boot = {
		.kernel = source,
		.image = image,
		.entry = entry,
		.initrd = source,
		.cmdline = "console=ttyS0",
	};
	struct error_detail detail = { 0 };
	struct linux_start start;

	FUZZ_CHECK(guest_memory_reserve(MEMORY_SIZE, &memory) == 0);
	FUZZ_CHECK(guest_memory_lay_anonymous(&memory) == 0);
	if (linux_boot_load(&memory, &boot, &start, &detail) == 0) {
		FUZZ_CHECK(kernel_image_has_entry(image, entry));
		FUZZ_CHECK(start.instruction_gpa >= KERNEL_GPA_MIN && start.instruction_gpa < MEMORY_SIZE);
		FUZZ_CHECK(start.initrd_gpa % GUEST_MEMORY_PAGE == 0);
		FUZZ_CHECK(start.initrd_gpa + source->size <= MEMORY_SIZE);
	} else {
		FUZZ_CHECK(detail.text[0] != '\0');
	}
	guest_memory_release(&memory);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct image_source source = image_source_from_bytes(data, size);
	struct error_detail detail = { 0 };
	struct kernel_image image;

	if (kernel_image_parse(&source, &image, &detail) < 0) {
		FUZZ_CHECK(detail.text[0] != '\0');
		return 0;
	}

	FUZZ_CHECK(strnlen(image.version, sizeof(image.version)) < sizeof(image.version));
	FUZZ_CHECK(kernel_image_find_version(&source, &image) == 0);
	if (image.format == KERNEL_BZIMAGE) {
		check_bzimage(&image.bzimage, size);
		unpack(&source, &image.bzimage);
	} else {
		check_elf(&image.elf, size);
	}
	for (unsigned int entry = 0; entry < KERNEL_ENTRY_COUNT; entry++)
		load(&source, &image, (enum kernel_entry)entry);
	return 0;
}
