/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a kernel's file says of itself is told right, and a file that lies is refused with what is wrong with it.
 */
#include "kvm/linux/kernel_image.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "image_builder.h"

/* Parse what should be refused: with this errno, and this word in the detail. */
static void expect_refusal(const struct built_image *image, int error, const char *word)
{
	struct image_source source = built_source(image);
	struct kernel_image parsed = { .size = 4711 };
	struct error_detail detail = { 0 };
	int result = kernel_image_parse(&source, &parsed, &detail);

	cr_assert_eq(result, error, "%s instead of %s (%s)", strerrorname_np(-result), strerrorname_np(-error),
		     detail.text);
	cr_assert_not_null(strstr(detail.text, word), "'%s' does not say '%s'", detail.text, word);
	cr_assert_eq(parsed.size, 4711, "a refused image was filled in");
}

static struct kernel_image parse(const struct built_image *image)
{
	struct image_source source = built_source(image);
	struct kernel_image parsed;
	struct error_detail detail = { 0 };

	cr_assert_eq(kernel_image_parse(&source, &parsed, &detail), 0, "%s", detail.text);
	return parsed;
}

static struct built_image bzimage(void)
{
	return build_bzimage("\x02\x21\x4c\x18 and so on", 15);
}

Test(kernel_image, names_go_both_ways)
{
	enum kernel_entry entry;

	for (unsigned int i = 0; i < KERNEL_ENTRY_COUNT; i++) {
		cr_assert_eq(kernel_entry_parse(kernel_entry_name((enum kernel_entry)i), &entry), 0);
		cr_assert_eq(entry, i);
	}
	cr_assert_eq(kernel_entry_parse("real", &entry), -ENOENT);
	cr_assert_null(kernel_entry_name(KERNEL_ENTRY_COUNT));
	cr_assert_null(kernel_format_name(KERNEL_FORMAT_COUNT));
	cr_assert_null(kernel_packing_name(KERNEL_PACKING_COUNT));
	for (unsigned int i = 0; i < KERNEL_PACKING_COUNT; i++)
		cr_assert_not_null(kernel_packing_name((enum kernel_packing)i));
}

Test(kernel_image, bzimage_is_described)
{
	struct built_image built = bzimage();
	struct kernel_image image = parse(&built);

	cr_assert_eq(image.format, KERNEL_BZIMAGE);
	cr_assert_eq(image.size, built.size);
	cr_assert_str_eq(image.version, BUILT_VERSION);
	cr_assert_eq(image.bzimage.protocol, 0x020f);
	cr_assert(image.bzimage.has_entry64 && image.bzimage.relocatable);
	cr_assert_eq(image.bzimage.cmdline_max, 2047);
	cr_assert_eq(image.bzimage.initrd_last, 0x7fffffff);
	cr_assert_eq(image.bzimage.load_gpa, BUILT_LOAD_GPA);
	cr_assert_eq(image.bzimage.run_size, BUILT_RUN_SIZE);
	cr_assert_eq(image.bzimage.code_offset, BUILT_CODE_OFFSET);
	cr_assert_eq(image.bzimage.code_size, 80);
	cr_assert_eq(image.bzimage.payload_offset, BUILT_CODE_OFFSET + BUILT_PAYLOAD);
	cr_assert_eq(image.bzimage.payload_size, 15);
	cr_assert_eq(image.bzimage.packing, KERNEL_PACKING_LZ4);
	cr_assert(kernel_image_has_entry(&image, KERNEL_ENTRY_BZIMAGE));
	cr_assert_not(kernel_image_has_entry(&image, KERNEL_ENTRY_ELF64));
	cr_assert_not(kernel_image_has_entry(&image, KERNEL_ENTRY_PVH));
	built_free(&built);
}

Test(kernel_image, every_packing_is_known_by_its_magic)
{
	static const struct {
		enum kernel_packing packing;
		const char magic[7];
	} cases[] = {
		{ KERNEL_PACKING_NONE, "\x7f"
				       "ELF\2\1" },
		{ KERNEL_PACKING_GZIP, "\x1f\x8b\x08\0\0\0" },
		{ KERNEL_PACKING_XZ, "\xfd"
				     "7zXZ\0" },
		{ KERNEL_PACKING_ZSTD, "\x28\xb5\x2f\xfd\0\0" },
		{ KERNEL_PACKING_LZ4, "\x02\x21\x4c\x18\0\0" },
		{ KERNEL_PACKING_BZIP2, "BZh91A" },
		{ KERNEL_PACKING_LZMA, "\x5d\0\0\x80\0\0" },
		{ KERNEL_PACKING_LZO, "\x89LZO\0\r" },
		{ KERNEL_PACKING_UNKNOWN, "\x7f"
					  "ELG\2\1" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct built_image built = build_bzimage(cases[i].magic, 6);
		struct kernel_image image = parse(&built);

		cr_assert_eq(image.bzimage.packing, cases[i].packing, "%s", kernel_packing_name(cases[i].packing));
		built_free(&built);
	}
}

Test(kernel_image, fields_past_the_end_of_the_header_are_absent)
{
	struct built_image built = bzimage();
	struct kernel_image image;

	/* The jump lands just after cmdline_size: xloadflags says 64-bit, init_size is not there. */
	built.bytes[0x201] = 0x23c - 0x202;
	image = parse(&built);
	cr_assert_not(image.bzimage.has_entry64);
	cr_assert_eq(image.bzimage.payload_size, 0);
	cr_assert_eq(image.bzimage.header.pref_address, 0);
	cr_assert_not(kernel_image_has_entry(&image, KERNEL_ENTRY_BZIMAGE));

	built.bytes[0x201] = 0x23b - 0x202;
	expect_refusal(&built, -EINVAL, "setup header");
	built_free(&built);
}

Test(kernel_image, old_protocols_are_parsed_but_not_entered)
{
	struct built_image built = bzimage();
	struct kernel_image image;

	built_header(&built)->version = 0x0206;
	image = parse(&built);
	cr_assert_not(kernel_image_has_entry(&image, KERNEL_ENTRY_BZIMAGE));

	built_header(&built)->version = 0x0205;
	expect_refusal(&built, -EOPNOTSUPP, "2.05");
	built_free(&built);
}

Test(kernel_image, setup_sects_of_zero_means_four)
{
	struct built_image built = bzimage();

	built_header(&built)->setup_sects = 0;
	cr_assert_eq(parse(&built).bzimage.code_offset, BUILT_CODE_OFFSET);
	built_free(&built);
}

Test(kernel_image, bzimage_cut_short_anywhere_is_refused)
{
	struct built_image built = bzimage();
	size_t whole = built.size;

	for (built.size = 0; built.size < whole; built.size++) {
		struct image_source source = built_source(&built);
		struct kernel_image image;
		struct error_detail detail = { 0 };
		int result = kernel_image_parse(&source, &image, &detail);

		/* Before its magic number it could be anything. */
		cr_assert(result == -ENODATA || (built.size < 0x206 && result == -ENOEXEC), "at %zu: %d", built.size,
			  result);
		cr_assert_neq(detail.text[0], '\0', "at %zu", built.size);
	}
	built_free(&built);
}

Test(kernel_image, lying_bzimage_headers_are_refused)
{
	struct built_image built = bzimage();
	struct setup_header *header = built_header(&built), good = *header;

#define EXPECT_LIE(field, value, error, word)        \
	do {                                         \
		*header = good;                      \
		header->field = (value);             \
		expect_refusal(&built, error, word); \
	} while (0)

	EXPECT_LIE(boot_flag, 0x55aa, -EINVAL, "boot_flag");
	EXPECT_LIE(loadflags, 0, -EOPNOTSUPP, "zImage");
	EXPECT_LIE(syssize, 0, -EINVAL, "syssize");
	EXPECT_LIE(syssize, UINT32_MAX, -ENODATA, "truncated");
	EXPECT_LIE(setup_sects, 255, -ENODATA, "truncated");
	EXPECT_LIE(payload_offset, 81, -EINVAL, "payload");
	EXPECT_LIE(payload_offset, UINT32_MAX, -EINVAL, "payload");
	EXPECT_LIE(payload_length, 17, -EINVAL, "payload");
	EXPECT_LIE(payload_length, UINT32_MAX, -EINVAL, "payload");
	EXPECT_LIE(kernel_alignment, 0, -EINVAL, "kernel_alignment");
	EXPECT_LIE(kernel_alignment, 0x300000, -EINVAL, "kernel_alignment");
	EXPECT_LIE(pref_address, 0xfffff, -EINVAL, "pref_address");
	EXPECT_LIE(pref_address, UINT64_MAX, -EINVAL, "pref_address");
	EXPECT_LIE(init_size, 79, -EINVAL, "init_size");
	EXPECT_LIE(init_size, 0, -EINVAL, "init_size");
	built_free(&built);
}

Test(kernel_image, version_is_made_printable_and_bounded)
{
	struct built_image built = bzimage();

	memcpy(built.bytes + 0x600, "1\x1b[2J\xff\n2", 9);
	cr_assert_str_eq(parse(&built).version, "1?[2J?");

	memset(built.bytes + 0x600, 'v', BUILT_CODE_OFFSET - 0x600);
	cr_assert_eq(strlen(parse(&built).version), KERNEL_VERSION_MAX - 1);

	/* It may end where the code begins, and may not lie in the code. */
	built_header(&built)->kernel_version = BUILT_CODE_OFFSET - 0x200 - 3;
	cr_assert_str_eq(parse(&built).version, "vvv");
	built_header(&built)->kernel_version = BUILT_CODE_OFFSET - 0x200;
	cr_assert_str_eq(parse(&built).version, "");
	built_header(&built)->kernel_version = 0xffff;
	cr_assert_str_eq(parse(&built).version, "");
	built_free(&built);
}

Test(kernel_image, elf_is_described)
{
	struct built_image built = build_elf();
	struct kernel_image image = parse(&built);

	cr_assert_eq(image.format, KERNEL_ELF);
	cr_assert_str_eq(image.version, "");
	cr_assert_eq(image.elf.segment_count, 2);
	cr_assert_eq(image.elf.segments[0].gpa, BUILT_ELF_GPA);
	cr_assert_eq(image.elf.segments[0].file_size, BUILT_ELF_CODE);
	cr_assert_eq(image.elf.segments[0].memory_size, BUILT_ELF_MEMORY);
	cr_assert_eq(image.elf.memory_low, BUILT_ELF_GPA);
	cr_assert_eq(image.elf.memory_end, BUILT_SECOND_GPA + 16);
	cr_assert(image.elf.has_entry64 && image.elf.has_pvh_entry);
	cr_assert_eq(image.elf.entry64, BUILT_ELF_ENTRY);
	cr_assert_eq(image.elf.pvh_entry, BUILT_PVH_ENTRY);
	cr_assert(kernel_image_has_entry(&image, KERNEL_ENTRY_ELF64));
	cr_assert(kernel_image_has_entry(&image, KERNEL_ENTRY_PVH));
	cr_assert_not(kernel_image_has_entry(&image, KERNEL_ENTRY_BZIMAGE));
	built_free(&built);
}

Test(kernel_image, virtual_elf_entry_becomes_physical)
{
	struct built_image built = build_elf();

	built_elf_header(&built)->e_entry = BUILT_ELF_VIRTUAL + 12;
	cr_assert_eq(parse(&built).elf.entry64, BUILT_ELF_GPA + 12);
	built_free(&built);
}

Test(kernel_image, elf_needs_one_of_both_entries)
{
	struct built_image built = build_elf();
	struct kernel_image image;

	built_elf_header(&built)->e_entry = 0;
	image = parse(&built);
	cr_assert_not(kernel_image_has_entry(&image, KERNEL_ENTRY_ELF64));
	cr_assert(kernel_image_has_entry(&image, KERNEL_ENTRY_PVH));

	built_elf_segments(&built)[2].p_type = PT_NULL;
	expect_refusal(&built, -ENOEXEC, "neither an entry");
	built_elf_header(&built)->e_entry = BUILT_ELF_ENTRY;
	cr_assert_not(kernel_image_has_entry(&(struct kernel_image){ 0 }, KERNEL_ENTRY_PVH));
	cr_assert_not(parse(&built).elf.has_pvh_entry);
	built_free(&built);
}

Test(kernel_image, elf_cut_short_anywhere_is_refused_or_has_all_it_claims)
{
	struct built_image built = build_elf();
	size_t whole = built.size;

	for (built.size = 1; built.size < whole; built.size++) {
		struct image_source source = built_source(&built);
		struct kernel_image image;

		int result = kernel_image_parse(&source, &image, NULL);

		cr_assert(result == -ENODATA || (built.size < 4 && result == -ENOEXEC), "at %zu: %d", built.size,
			  result);
	}
	built_free(&built);
}

Test(kernel_image, lying_elf_headers_are_refused)
{
	struct built_image built = build_elf();
	Elf64_Ehdr *header = built_elf_header(&built), good = *header;
	Elf64_Phdr *segment = built_elf_segments(&built), good_segment = *segment;

	EXPECT_LIE(e_phnum, 0, -EINVAL, "program headers");
	EXPECT_LIE(e_phnum, UINT16_MAX, -EINVAL, "program headers");
	EXPECT_LIE(e_phentsize, 32, -EINVAL, "program headers");
	EXPECT_LIE(e_phoff, UINT64_MAX, -ENODATA, "program headers");
	EXPECT_LIE(e_phoff, built.size - 8, -ENODATA, "program headers");
	EXPECT_LIE(e_entry, 0x2000000, -EINVAL, "entry");
	EXPECT_LIE(e_type, ET_REL, -ENOEXEC, "type");
	EXPECT_LIE(e_ident[EI_CLASS], ELFCLASS32, -EOPNOTSUPP, "64-bit");
	*header = good;

#define EXPECT_SEGMENT_LIE(field, value, error, word) \
	do {                                          \
		*segment = good_segment;              \
		segment->field = (value);             \
		expect_refusal(&built, error, word);  \
	} while (0)

	EXPECT_SEGMENT_LIE(p_offset, UINT64_MAX, -ENODATA, "segment");
	EXPECT_SEGMENT_LIE(p_offset, built.size - 8, -ENODATA, "segment");
	EXPECT_SEGMENT_LIE(p_filesz, UINT64_MAX, -ENODATA, "segment");
	EXPECT_SEGMENT_LIE(p_memsz, BUILT_ELF_CODE - 1, -EINVAL, "segment");
	EXPECT_SEGMENT_LIE(p_memsz, UINT64_MAX, -EINVAL, "wraps");
	EXPECT_SEGMENT_LIE(p_paddr, 0xff000, -EINVAL, "1 MiB");
	EXPECT_SEGMENT_LIE(p_paddr, UINT64_MAX - 8, -EINVAL, "wraps");
	EXPECT_SEGMENT_LIE(p_paddr, BUILT_SECOND_GPA, -EINVAL, "overlaps");
	EXPECT_SEGMENT_LIE(p_memsz, BUILT_SECOND_GPA - BUILT_ELF_GPA + 1, -EINVAL, "overlaps");
	built_free(&built);
}

Test(kernel_image, too_many_segments_are_refused)
{
	struct built_image built = build_elf();
	Elf64_Phdr *segments = built_elf_segments(&built);

	built_elf_header(&built)->e_phnum = KERNEL_SEGMENTS_MAX + 1;
	for (uint32_t i = 0; i <= KERNEL_SEGMENTS_MAX; i++) {
		segments[i] = segments[0];
		segments[i].p_paddr = BUILT_ELF_GPA + i * 0x10000;
	}
	expect_refusal(&built, -EINVAL, "more than");
	built_elf_header(&built)->e_phnum = KERNEL_SEGMENTS_MAX;
	cr_assert_eq(parse(&built).elf.segment_count, KERNEL_SEGMENTS_MAX);
	built_free(&built);
}

Test(kernel_image, hostile_notes_are_survived)
{
	struct built_image built = build_elf();
	Elf64_Nhdr *note = built_elf_note(&built), good = *note;
	Elf64_Nhdr *pvh = (Elf64_Nhdr *)((uint8_t *)(note + 1) + 12), good_pvh = *pvh;
	uint32_t *entry = (uint32_t *)(pvh + 1) + 1;

	/* Sizes that run out of the segment end the walk: then there is no PVH entry. */
	note->n_namesz = UINT32_MAX;
	cr_assert_not(parse(&built).elf.has_pvh_entry);
	*note = good;
	note->n_descsz = UINT32_MAX;
	cr_assert_not(parse(&built).elf.has_pvh_entry);
	*note = good;
	pvh->n_descsz = 5;
	cr_assert_not(parse(&built).elf.has_pvh_entry);

	pvh->n_descsz = 2;
	expect_refusal(&built, -EINVAL, "PVH note");
	*pvh = good_pvh;
	*entry = 0x100;
	expect_refusal(&built, -EINVAL, "PVH entry");
	built_elf_segments(&built)[2].p_filesz = UINT64_MAX;
	expect_refusal(&built, -ENODATA, "notes");
	built_free(&built);
}

Test(kernel_image, other_files_are_refused_by_name)
{
	struct built_image built = build_elf();
	Elf64_Ehdr *header = built_elf_header(&built);

	header->e_machine = EM_AARCH64;
	expect_refusal(&built, -EOPNOTSUPP, "arm64");
	header->e_machine = EM_386;
	expect_refusal(&built, -EOPNOTSUPP, "32-bit x86");
	header->e_machine = __builtin_bswap16(EM_PPC64);
	header->e_ident[EI_DATA] = ELFDATA2MSB;
	expect_refusal(&built, -EOPNOTSUPP, "PowerPC");
	header->e_machine = 0x7777;
	expect_refusal(&built, -EOPNOTSUPP, "machine");

	memset(built.bytes, 0, built.size);
	expect_refusal(&built, -ENOEXEC, "neither a bzImage nor an ELF");
	memcpy(built.bytes + 0x38, "ARM\x64", 4);
	expect_refusal(&built, -EOPNOTSUPP, "arm64");
	memcpy(built.bytes + 0x38, "RSC\x05", 4);
	expect_refusal(&built, -EOPNOTSUPP, "RISC-V");
	memset(built.bytes, 0, built.size);
	memcpy(built.bytes, "070701", 6);
	expect_refusal(&built, -ENOEXEC, "cpio");
	memcpy(built.bytes, "\x1f\x8b\x08", 3);
	expect_refusal(&built, -ENOEXEC, "gzip");
	built.size = 0;
	expect_refusal(&built, -ENODATA, "empty");
	built_free(&built);
}

Test(kernel_image, version_of_an_elf_is_found_across_chunks)
{
	static const char banner[] = "Linux version 6.1.0-test (a@b) #1 SMP\n";
	struct built_image built = build_elf();
	struct kernel_image image = parse(&built);
	const size_t chunk = (size_t)256 << 10;

	built.size = BUILT_MAX;
	for (size_t at = chunk - 300; at < chunk + 20; at++) {
		struct image_source source = built_source(&built);

		memset(built.bytes + 0x4000, 0, BUILT_MAX - 0x4000);
		memcpy(built.bytes + 0x4000, "Linux version %s", 16);
		memcpy(built.bytes + at, banner, sizeof(banner));
		image.version[0] = '\0';
		cr_assert_eq(kernel_image_find_version(&source, &image), 0);
		cr_assert_str_eq(image.version, "6.1.0-test (a@b) #1 SMP", "at %zu", at);
	}

	memset(built.bytes + chunk - 300, 0, 1000);
	memcpy(built.bytes + BUILT_MAX - 20, banner, 20);
	image.version[0] = '\0';
	struct image_source source = built_source(&built);
	cr_assert_eq(kernel_image_find_version(&source, &image), 0);
	cr_assert_str_eq(image.version, "6.1.0-");
	built_free(&built);
}

Test(image_source, files_are_read_and_bounded)
{
	int fd = memfd_create("kernel", 0), pipes[2];
	struct error_detail detail = { 0 };
	struct image_source source;
	char text[8] = { 0 };

	cr_assert_geq(fd, 0);
	cr_assert_eq(image_source_from_file(fd, "initrd", &source, &detail), -ENODATA);
	cr_assert_str_eq(detail.text, "initrd: the file is empty");
	cr_assert_eq(write(fd, "abcdefgh", 8), 8);
	cr_assert_eq(image_source_from_file(fd, "kernel", &source, &detail), 0);
	cr_assert_eq(source.size, 8);
	cr_assert_eq(image_source_read(&source, 2, text, 6), 0);
	cr_assert_arr_eq(text, "cdefgh", 6);
	cr_assert_eq(image_source_read(&source, 2, text, 7), -ENODATA);
	cr_assert_eq(image_source_read(&source, UINT64_MAX, text, 2), -ENODATA);
	cr_assert_eq(image_source_read(&source, 8, text, 0), 0);

	/* It shrinks after it was measured. */
	cr_assert_eq(ftruncate(fd, 4), 0);
	cr_assert_eq(image_source_read(&source, 2, text, 6), -ENODATA);
	close(fd);

	cr_assert_eq(pipe(pipes), 0);
	cr_assert_eq(image_source_from_file(pipes[0], "kernel", &source, &detail), -EINVAL);
	cr_assert_str_eq(detail.text, "kernel: not a regular file");
	close(pipes[0]);
	close(pipes[1]);
	cr_assert_eq(image_source_from_file(-1, "kernel", &source, &detail), -EBADF);
}
