/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Telling what a kernel's file is.
 *
 * An ELF and a bzImage are known by their magic numbers and parsed by elf.c and bzimage.c. Everything else is refused,
 * and what a user is likely to hand us by mistake (a kernel of another architecture, a compressed file, an initrd) is
 * refused by name.
 */
#include "kvm/linux/kernel_image.h"

#include <elf.h>
#include <errno.h>
#include <string.h>

#include "kvm/linux/kernel_parts.h"

#define BZIMAGE_MAGIC_OFFSET 0x202
#define BZIMAGE_MAGIC        "HdrS"
#define ARM64_MAGIC_OFFSET   0x38 /* Documentation/arm64/booting.rst */
#define ARM64_MAGIC          "ARM\x64"
#define RISCV_MAGIC_OFFSET   0x38 /* Documentation/riscv/boot-image-header.rst */
#define RISCV_MAGIC          "RSC\x05"
#define CPIO_MAGIC           "0707"

static const char *const format_names[KERNEL_FORMAT_COUNT] = {
	[KERNEL_BZIMAGE] = "bzimage",
	[KERNEL_ELF] = "elf",
};

static const char *const entry_names[KERNEL_ENTRY_COUNT] = {
	[KERNEL_ENTRY_BZIMAGE] = "bzimage",
	[KERNEL_ENTRY_ELF64] = "elf64",
	[KERNEL_ENTRY_PVH] = "pvh",
};

static const struct {
	const char *name;
	uint8_t magic[6];
	uint8_t magic_size;
} packings[KERNEL_PACKING_COUNT] = {
	[KERNEL_PACKING_NONE] = { "none", { 0x7f, 'E', 'L', 'F' }, 4 },
	[KERNEL_PACKING_GZIP] = { "gzip", { 0x1f, 0x8b }, 2 },
	[KERNEL_PACKING_XZ] = { "xz", { 0xfd, '7', 'z', 'X', 'Z', 0x00 }, 6 },
	[KERNEL_PACKING_ZSTD] = { "zstd", { 0x28, 0xb5, 0x2f, 0xfd }, 4 },
	[KERNEL_PACKING_LZ4] = { "lz4", { 0x02, 0x21, 0x4c, 0x18 }, 4 },
	[KERNEL_PACKING_BZIP2] = { "bzip2", { 'B', 'Z', 'h' }, 3 },
	[KERNEL_PACKING_LZMA] = { "lzma", { 0x5d, 0x00, 0x00 }, 3 },
	[KERNEL_PACKING_LZO] = { "lzo", { 0x89, 'L', 'Z', 'O' }, 4 },
	[KERNEL_PACKING_UNKNOWN] = { "unknown", { 0 }, 0 },
};

const char *kernel_format_name(enum kernel_format format)
{
	return (unsigned int)format < KERNEL_FORMAT_COUNT ? format_names[format] : NULL;
}

const char *kernel_entry_name(enum kernel_entry entry)
{
	return (unsigned int)entry < KERNEL_ENTRY_COUNT ? entry_names[entry] : NULL;
}

const char *kernel_packing_name(enum kernel_packing packing)
{
	return (unsigned int)packing < KERNEL_PACKING_COUNT ? packings[packing].name : NULL;
}

int kernel_entry_parse(const char *name, enum kernel_entry *ret_entry)
{
	for (unsigned int i = 0; i < KERNEL_ENTRY_COUNT; i++) {
		if (strcmp(name, entry_names[i]) == 0) {
			*ret_entry = (enum kernel_entry)i;
			return 0;
		}
	}

	return -ENOENT;
}

enum kernel_packing kernel_packing_of(const uint8_t *bytes, size_t length)
{
	for (unsigned int i = 0; i < KERNEL_PACKING_UNKNOWN; i++) {
		if (packings[i].magic_size <= length && memcmp(bytes, packings[i].magic, packings[i].magic_size) == 0)
			return (enum kernel_packing)i;
	}

	return KERNEL_PACKING_UNKNOWN;
}

void kernel_copy_text(char *ret_text, size_t text_size, const uint8_t *bytes, size_t length)
{
	size_t count = 0;

	while (count + 1 < text_size && count < length && bytes[count] != '\0' && bytes[count] != '\n') {
		char character = (char)bytes[count];

		if (character < 0x20 || character > 0x7e)
			character = '?';
		ret_text[count++] = character;
	}
	ret_text[count] = '\0';
}

static bool has_magic(const uint8_t *head, size_t length, size_t offset, const char *magic)
{
	size_t magic_size = strlen(magic);

	return offset + magic_size <= length && memcmp(head + offset, magic, magic_size) == 0;
}

/* A file that is no kernel of ours: say what it is, if we know. */
static int refuse(const uint8_t *head, size_t length, struct error_detail *detail)
{
	enum kernel_packing packing = kernel_packing_of(head, length);

	if (has_magic(head, length, ARM64_MAGIC_OFFSET, ARM64_MAGIC)) {
		error_detail_set(detail, "kernel: built for arm64, not for x86-64");
		return -EOPNOTSUPP;
	}
	if (has_magic(head, length, RISCV_MAGIC_OFFSET, RISCV_MAGIC)) {
		error_detail_set(detail, "kernel: built for RISC-V, not for x86-64");
		return -EOPNOTSUPP;
	}

	if (has_magic(head, length, 0, CPIO_MAGIC))
		error_detail_set(detail, "kernel: a cpio archive (an initrd?), not a kernel");
	else if (packing != KERNEL_PACKING_UNKNOWN)
		error_detail_set(detail, "kernel: a file compressed with %s; give the bzImage, or unpack it",
				 kernel_packing_name(packing));
	else
		error_detail_set(detail, "kernel: neither a bzImage nor an ELF file");
	return -ENOEXEC;
}

int kernel_image_parse(const struct image_source *source, struct kernel_image *ret_image, struct error_detail *detail)
{
	struct kernel_image image = { .size = source->size };
	uint8_t head[BZIMAGE_MAGIC_OFFSET + sizeof(BZIMAGE_MAGIC) - 1];
	size_t length = source->size < sizeof(head) ? (size_t)source->size : sizeof(head);
	int result;

	if (source->size == 0) {
		error_detail_set(detail, "kernel: the file is empty");
		return -ENODATA;
	}
	result = image_source_read(source, 0, head, length);
	if (result < 0) {
		error_detail_set(detail, "kernel: %s", strerrordesc_np(-result));
		return result;
	}

	if (has_magic(head, length, 0, ELFMAG)) {
		image.format = KERNEL_ELF;
		result = kernel_elf_parse(source, &image, detail);
	} else if (has_magic(head, length, BZIMAGE_MAGIC_OFFSET, BZIMAGE_MAGIC)) {
		image.format = KERNEL_BZIMAGE;
		result = kernel_bzimage_parse(source, &image, detail);
	} else {
		result = refuse(head, length, detail);
	}
	if (result < 0)
		return result;

	*ret_image = image;
	return 0;
}

bool kernel_image_has_entry(const struct kernel_image *image, enum kernel_entry entry)
{
	switch (entry) {
	case KERNEL_ENTRY_BZIMAGE:
		return image->format == KERNEL_BZIMAGE && image->bzimage.has_entry64;
	case KERNEL_ENTRY_ELF64:
		return image->format == KERNEL_ELF && image->elf.has_entry64;
	case KERNEL_ENTRY_PVH:
		return image->format == KERNEL_ELF && image->elf.has_pvh_entry;
	case KERNEL_ENTRY_COUNT:
		break;
	}

	return false;
}
