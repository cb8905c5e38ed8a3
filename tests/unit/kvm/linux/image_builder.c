/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Kernel images for tests.
 */
#include "image_builder.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#define HEADER_OFFSET  0x1f1
#define VERSION_OFFSET 0x600 /* in the file */
#define PARAGRAPH      16
#define CODE_OFFSET    0x1000
#define NOTE_OFFSET    0x2000

static struct built_image new_image(void)
{
	struct built_image image = { .bytes = calloc(1, BUILT_MAX) };

	cr_assert_not_null(image.bytes);
	return image;
}

struct setup_header *built_header(struct built_image *image)
{
	return (struct setup_header *)(image->bytes + HEADER_OFFSET);
}

struct built_image build_bzimage(const void *payload, size_t payload_size)
{
	struct built_image image = new_image();
	size_t code_size = (BUILT_PAYLOAD + payload_size + PARAGRAPH - 1) / PARAGRAPH * PARAGRAPH;

	cr_assert_leq(BUILT_CODE_OFFSET + code_size, BUILT_MAX);
	*built_header(&image) = (struct setup_header){
		.setup_sects = 4,
		.syssize = (uint32_t)(code_size / PARAGRAPH),
		.boot_flag = 0xaa55,
		.jump = 0x6aeb,
		.header = 0x53726448,
		.version = 0x020f,
		.kernel_version = VERSION_OFFSET - 0x200,
		.loadflags = LOADED_HIGH,
		.initrd_addr_max = 0x7fffffff,
		.kernel_alignment = 0x200000,
		.relocatable_kernel = 1,
		.xloadflags = XLF_KERNEL_64,
		.cmdline_size = 2047,
		.payload_offset = BUILT_PAYLOAD,
		.payload_length = (uint32_t)payload_size,
		.pref_address = BUILT_LOAD_GPA,
		.init_size = BUILT_RUN_SIZE,
	};
	memcpy(image.bytes + VERSION_OFFSET, BUILT_VERSION, sizeof(BUILT_VERSION));
	memset(image.bytes + BUILT_CODE_OFFSET, 0x90, BUILT_PAYLOAD);
	memcpy(image.bytes + BUILT_CODE_OFFSET + BUILT_PAYLOAD, payload, payload_size);
	image.size = BUILT_CODE_OFFSET + code_size;
	return image;
}

Elf64_Ehdr *built_elf_header(struct built_image *image)
{
	return (Elf64_Ehdr *)image->bytes;
}

Elf64_Phdr *built_elf_segments(struct built_image *image)
{
	return (Elf64_Phdr *)(image->bytes + sizeof(Elf64_Ehdr));
}

Elf64_Nhdr *built_elf_note(struct built_image *image)
{
	return (Elf64_Nhdr *)(image->bytes + NOTE_OFFSET);
}

static void add_pvh_note(struct built_image *image)
{
	Elf64_Nhdr *note = built_elf_note(image);
	uint32_t entry = BUILT_PVH_ENTRY;

	/* First a note that is somebody else's, whose name needs padding. */
	*note = (Elf64_Nhdr){ .n_namesz = 6, .n_descsz = 3, .n_type = 18 };
	memcpy(note + 1, "Other", 6);
	note = (Elf64_Nhdr *)((uint8_t *)(note + 1) + 8 + 4);
	*note = (Elf64_Nhdr){ .n_namesz = 4, .n_descsz = sizeof(entry), .n_type = 18 };
	memcpy(note + 1, "Xen", 4);
	memcpy((uint8_t *)(note + 1) + 4, &entry, sizeof(entry));
}

struct built_image build_elf(void)
{
	struct built_image image = new_image();
	Elf64_Phdr *segments = built_elf_segments(&image);

	*built_elf_header(&image) = (Elf64_Ehdr){
		.e_ident = { ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB, EV_CURRENT },
		.e_type = ET_EXEC,
		.e_machine = EM_X86_64,
		.e_version = EV_CURRENT,
		.e_entry = BUILT_ELF_ENTRY,
		.e_phoff = sizeof(Elf64_Ehdr),
		.e_ehsize = sizeof(Elf64_Ehdr),
		.e_phentsize = sizeof(Elf64_Phdr),
		.e_phnum = BUILT_ELF_SEGMENTS,
	};
	segments[0] = (Elf64_Phdr){
		.p_type = PT_LOAD,
		.p_offset = CODE_OFFSET,
		.p_vaddr = BUILT_ELF_VIRTUAL,
		.p_paddr = BUILT_ELF_GPA,
		.p_filesz = BUILT_ELF_CODE,
		.p_memsz = BUILT_ELF_MEMORY,
	};
	segments[1] = (Elf64_Phdr){
		.p_type = PT_LOAD,
		.p_offset = CODE_OFFSET,
		.p_paddr = BUILT_SECOND_GPA,
		.p_filesz = 16,
		.p_memsz = 16,
	};
	segments[2] = (Elf64_Phdr){ .p_type = PT_NOTE, .p_offset = NOTE_OFFSET, .p_filesz = 44 };
	for (uint8_t i = 0; i < BUILT_ELF_CODE; i++)
		image.bytes[CODE_OFFSET + i] = (uint8_t)(i + 1);
	add_pvh_note(&image);
	image.size = NOTE_OFFSET + 44;
	return image;
}

void built_free(struct built_image *image)
{
	free(image->bytes);
	*image = (struct built_image){ 0 };
}

struct image_source built_source(const struct built_image *image)
{
	return image_source_from_bytes(image->bytes, image->size);
}
