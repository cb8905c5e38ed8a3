/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Parsing an ELF kernel: System V ABI (gABI chapters 4 and 5), AMD64 supplement.
 *
 * A kernel is loaded by its program headers alone; section headers are not looked at. Two ways in are looked for:
 *
 * - e_entry, which Linux links as the physical address of startup_64 (arch/x86/kernel/vmlinux.lds.S); an entry that is
 *   a virtual address inside a segment is turned into the physical one;
 * - the note "Xen" XEN_ELFNOTE_PHYS32_ENTRY, whose descriptor is the physical address of the PVH entry
 *   (include/xen/interface/elfnote.h, docs/misc/pvh.pandoc of Xen).
 *
 * An entry that no segment holds is a lying header, not an absent entry.
 */
#include <elf.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "kvm/cleanup.h"
#include "kvm/linux/kernel_parts.h"

#define PROGRAM_HEADERS_MAX   64U
#define NOTES_MAX             1024U /* of one segment */
#define NOTE_ALIGN            4U
#define XEN_NOTE_NAME         "Xen"
#define XEN_NOTE_PHYS32_ENTRY 18U

#define BANNER       "Linux version "
#define BANNER_CHUNK ((size_t)256 << 10)

static const struct {
	uint16_t number;
	const char *name;
} machines[] = {
	{ EM_386, "32-bit x86" }, { EM_AARCH64, "arm64" }, { EM_ARM, "32-bit Arm" }, { EM_RISCV, "RISC-V" },
	{ EM_PPC64, "PowerPC" },  { EM_S390, "IBM Z" },    { EM_MIPS, "MIPS" },
};

static int refuse_machine(uint16_t machine, struct error_detail *detail)
{
	for (size_t i = 0; i < sizeof(machines) / sizeof(machines[0]); i++) {
		if (machines[i].number == machine) {
			error_detail_set(detail, "kernel: built for %s, not for x86-64", machines[i].name);
			return -EOPNOTSUPP;
		}
	}

	error_detail_set(detail, "kernel: built for ELF machine %u, not for x86-64", machine);
	return -EOPNOTSUPP;
}

static int check_header(const Elf64_Ehdr *header, struct error_detail *detail)
{
	uint16_t machine = header->e_machine;

	if (header->e_ident[EI_DATA] == ELFDATA2MSB)
		machine = __builtin_bswap16(machine);
	if (machine != EM_X86_64)
		return refuse_machine(machine, detail);
	if (header->e_ident[EI_CLASS] != ELFCLASS64 || header->e_ident[EI_DATA] != ELFDATA2LSB) {
		error_detail_set(detail, "kernel: not a 64-bit little-endian ELF file");
		return -EOPNOTSUPP;
	}
	if (header->e_type != ET_EXEC && header->e_type != ET_DYN) {
		error_detail_set(detail, "kernel: ELF type %u is not an executable (a module, or a core?)",
				 header->e_type);
		return -ENOEXEC;
	}
	if (header->e_phentsize != sizeof(Elf64_Phdr) || header->e_phnum == 0 ||
	    header->e_phnum > PROGRAM_HEADERS_MAX) {
		error_detail_set(detail, "kernel: %u ELF program headers of %u bytes, not 1 to %u of %zu",
				 header->e_phnum, header->e_phentsize, PROGRAM_HEADERS_MAX, sizeof(Elf64_Phdr));
		return -EINVAL;
	}

	return 0;
}

static bool overlaps(const struct kernel_segment *left, const struct kernel_segment *right)
{
	return left->gpa < right->gpa + right->memory_size && right->gpa < left->gpa + left->memory_size;
}

static int check_segment(const struct image_source *source, const Elf64_Phdr *phdr, struct error_detail *detail)
{
	if (phdr->p_offset > source->size || phdr->p_filesz > source->size - phdr->p_offset) {
		error_detail_set(detail,
				 "kernel: truncated: an ELF segment is %" PRIu64 " bytes at offset %" PRIu64
				 " of a file of %" PRIu64,
				 phdr->p_filesz, phdr->p_offset, source->size);
		return -ENODATA;
	}
	if (phdr->p_filesz > phdr->p_memsz) {
		error_detail_set(detail,
				 "kernel: an ELF segment of %" PRIu64 " bytes in memory has %" PRIu64 " in the file",
				 phdr->p_memsz, phdr->p_filesz);
		return -EINVAL;
	}
	if (phdr->p_paddr < KERNEL_GPA_MIN || phdr->p_paddr + phdr->p_memsz < phdr->p_paddr) {
		error_detail_set(detail,
				 "kernel: an ELF segment at 0x%" PRIx64 " of %" PRIu64
				 " bytes begins below 1 MiB or wraps",
				 phdr->p_paddr, phdr->p_memsz);
		return -EINVAL;
	}

	return 0;
}

static int add_segment(const struct image_source *source, const Elf64_Phdr *phdr, struct kernel_elf *elf,
		       struct error_detail *detail)
{
	const struct kernel_segment segment = {
		.gpa = phdr->p_paddr,
		.offset = phdr->p_offset,
		.file_size = phdr->p_filesz,
		.memory_size = phdr->p_memsz,
	};
	int result;

	if (phdr->p_memsz == 0)
		return 0;
	result = check_segment(source, phdr, detail);
	if (result < 0)
		return result;
	if (elf->segment_count == KERNEL_SEGMENTS_MAX) {
		error_detail_set(detail, "kernel: more than %d ELF segments to load", KERNEL_SEGMENTS_MAX);
		return -EINVAL;
	}
	for (uint32_t i = 0; i < elf->segment_count; i++) {
		if (overlaps(&segment, &elf->segments[i])) {
			error_detail_set(detail, "kernel: the ELF segment at 0x%" PRIx64 " overlaps that at 0x%" PRIx64,
					 segment.gpa, elf->segments[i].gpa);
			return -EINVAL;
		}
	}

	if (elf->segment_count == 0 || segment.gpa < elf->memory_low)
		elf->memory_low = segment.gpa;
	if (segment.gpa + segment.memory_size > elf->memory_end)
		elf->memory_end = segment.gpa + segment.memory_size;
	elf->segments[elf->segment_count++] = segment;
	return 0;
}

static bool in_segments(const struct kernel_elf *elf, uint64_t gpa)
{
	for (uint32_t i = 0; i < elf->segment_count; i++) {
		if (gpa >= elf->segments[i].gpa && gpa - elf->segments[i].gpa < elf->segments[i].memory_size)
			return true;
	}

	return false;
}

static int find_entry64(const Elf64_Phdr *phdrs, uint32_t count, uint64_t entry, struct kernel_elf *elf,
			struct error_detail *detail)
{
	if (entry == 0)
		return 0;
	for (uint32_t i = 0; i < count && !in_segments(elf, entry); i++) {
		if (phdrs[i].p_type == PT_LOAD && entry >= phdrs[i].p_vaddr &&
		    entry - phdrs[i].p_vaddr < phdrs[i].p_memsz)
			entry = phdrs[i].p_paddr + (entry - phdrs[i].p_vaddr);
	}
	if (!in_segments(elf, entry)) {
		error_detail_set(detail, "kernel: the ELF entry 0x%" PRIx64 " is in no segment", entry);
		return -EINVAL;
	}

	elf->entry64 = entry;
	elf->has_entry64 = true;
	return 0;
}

static int take_pvh_note(const struct image_source *source, uint64_t offset, uint32_t size, struct kernel_elf *elf,
			 struct error_detail *detail)
{
	uint64_t entry = 0;
	int result;

	if (size != sizeof(uint32_t) && size != sizeof(uint64_t)) {
		error_detail_set(detail, "kernel: a PVH note of %u bytes, not 4 or 8", size);
		return -EINVAL;
	}
	result = image_source_read(source, offset, &entry, size); /* little-endian, as we are */
	if (result < 0)
		return result;
	if (entry > UINT32_MAX || !in_segments(elf, entry)) {
		error_detail_set(detail, "kernel: the PVH entry 0x%" PRIx64 " is in no segment", entry);
		return -EINVAL;
	}

	elf->pvh_entry = (uint32_t)entry;
	elf->has_pvh_entry = true;
	return 0;
}

static uint64_t note_padded(uint32_t size)
{
	return ((uint64_t)size + NOTE_ALIGN - 1) / NOTE_ALIGN * NOTE_ALIGN;
}

/*
 * Notes are a name and a descriptor, each padded to 4 bytes; those of segments aligned to 8 hold nothing for us. Notes
 * that run out of their segment end the walk: other loaders live with such files, too.
 */
static int walk_notes(const struct image_source *source, const Elf64_Phdr *phdr, struct kernel_elf *elf,
		      struct error_detail *detail)
{
	uint64_t position = 0;

	for (uint32_t i = 0; i < NOTES_MAX && phdr->p_filesz - position >= sizeof(Elf64_Nhdr); i++) {
		uint64_t left = phdr->p_filesz - position - sizeof(Elf64_Nhdr);
		uint64_t name = phdr->p_offset + position + sizeof(Elf64_Nhdr);
		char text[sizeof(XEN_NOTE_NAME)];
		Elf64_Nhdr note;
		int result;

		result = image_source_read(source, phdr->p_offset + position, &note, sizeof(note));
		if (result < 0)
			return result;
		if (note_padded(note.n_namesz) + note_padded(note.n_descsz) > left)
			return 0;

		if (note.n_type == XEN_NOTE_PHYS32_ENTRY && note.n_namesz == sizeof(text)) {
			result = image_source_read(source, name, text, sizeof(text));
			if (result == 0 && memcmp(text, XEN_NOTE_NAME, sizeof(text)) == 0)
				result = take_pvh_note(source, name + note_padded(note.n_namesz), note.n_descsz, elf,
						       detail);
			if (result < 0)
				return result;
		}
		position += sizeof(note) + note_padded(note.n_namesz) + note_padded(note.n_descsz);
	}

	return 0;
}

static int find_pvh_entry(const struct image_source *source, const Elf64_Phdr *phdrs, uint32_t count,
			  struct kernel_elf *elf, struct error_detail *detail)
{
	for (uint32_t i = 0; i < count && !elf->has_pvh_entry; i++) {
		int result;

		if (phdrs[i].p_type != PT_NOTE)
			continue;
		if (phdrs[i].p_offset > source->size || phdrs[i].p_filesz > source->size - phdrs[i].p_offset) {
			error_detail_set(detail, "kernel: truncated: its ELF notes are past the end of the file");
			return -ENODATA;
		}
		result = walk_notes(source, &phdrs[i], elf, detail);
		if (result < 0)
			return result;
	}

	return 0;
}

int kernel_elf_parse(const struct image_source *source, struct kernel_image *ret_image, struct error_detail *detail)
{
	struct kernel_elf elf = { 0 };
	Elf64_Phdr phdrs[PROGRAM_HEADERS_MAX];
	Elf64_Ehdr header;
	int result;

	result = image_source_read(source, 0, &header, sizeof(header));
	if (result == -ENODATA)
		error_detail_set(detail, "kernel: truncated: it ends inside its ELF header");
	if (result < 0)
		return result;
	result = check_header(&header, detail);
	if (result < 0)
		return result;
	result = image_source_read(source, header.e_phoff, phdrs, header.e_phnum * sizeof(phdrs[0]));
	if (result == -ENODATA)
		error_detail_set(detail, "kernel: truncated: its ELF program headers are past the end of the file");
	if (result < 0)
		return result;

	for (uint32_t i = 0; i < header.e_phnum && result == 0; i++) {
		if (phdrs[i].p_type == PT_LOAD)
			result = add_segment(source, &phdrs[i], &elf, detail);
	}
	if (result == 0 && elf.segment_count == 0) {
		error_detail_set(detail, "kernel: the ELF file has nothing to load");
		result = -ENOEXEC;
	}
	if (result == 0)
		result = find_entry64(phdrs, header.e_phnum, header.e_entry, &elf, detail);
	if (result == 0)
		result = find_pvh_entry(source, phdrs, header.e_phnum, &elf, detail);
	if (result < 0)
		return result;
	if (!elf.has_entry64 && !elf.has_pvh_entry) {
		error_detail_set(detail, "kernel: the ELF file has neither an entry address nor a PVH note");
		return -ENOEXEC;
	}

	ret_image->elf = elf;
	return 0;
}

/* The first banner in a chunk that is no format: the kernel holds "Linux version %s", too. */
static const uint8_t *find_banner(const uint8_t *chunk, size_t length)
{
	const size_t prefix = sizeof(BANNER) - 1;
	const uint8_t *end = chunk + length;
	const uint8_t *found = memmem(chunk, length, BANNER, prefix);

	while (found && end - found > (ptrdiff_t)prefix && found[prefix] == '%') {
		found += prefix;
		found = memmem(found, (size_t)(end - found), BANNER, prefix);
	}

	return found;
}

/*
 * Chunks overlap by the longest version; a banner that begins in the overlap is left to the next chunk, which has all
 * of it.
 */
int kernel_image_find_version(const struct image_source *source, struct kernel_image *image)
{
	const size_t overlap = sizeof(BANNER) - 1 + KERNEL_VERSION_MAX;
	cleanup_free uint8_t *chunk = NULL;
	uint64_t offset = 0;

	chunk = malloc(BANNER_CHUNK);
	if (!chunk)
		return -ENOMEM;

	while (offset < source->size) {
		bool is_last = source->size - offset <= BANNER_CHUNK;
		size_t length = is_last ? (size_t)(source->size - offset) : BANNER_CHUNK;
		const uint8_t *found;
		int result;

		result = image_source_read(source, offset, chunk, length);
		if (result < 0)
			return result;
		found = find_banner(chunk, length);
		if (found && (is_last || found <= chunk + length - overlap)) {
			found += sizeof(BANNER) - 1;
			kernel_copy_text(image->version, sizeof(image->version), found,
					 (size_t)(chunk + length - found));
			return 0;
		}
		if (is_last)
			break;
		offset += length - overlap;
	}

	return 0;
}
