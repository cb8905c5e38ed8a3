/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a Linux kernel's file says of itself: a bzImage, or an ELF vmlinux. The file is somebody else's: nothing in
 * it is believed before it is checked, and what is here has been.
 */
#ifndef EMBER_KVM_LINUX_KERNEL_IMAGE_H
#define EMBER_KVM_LINUX_KERNEL_IMAGE_H

#include <asm/bootparam.h>
#include <stdbool.h>
#include <stdint.h>

#include "kvm/error_detail.h"
#include "kvm/linux/image_source.h"

#define KERNEL_VERSION_MAX  192 /* bytes of a version string, with the terminating NUL */
#define KERNEL_SEGMENTS_MAX 16

/* Every kernel is at or above 1 MiB: below are the boot structures, the ACPI tables, and the start of other vCPUs. */
#define KERNEL_GPA_MIN UINT64_C(0x100000)

enum kernel_format {
	KERNEL_BZIMAGE = 0,
	KERNEL_ELF,
	KERNEL_FORMAT_COUNT,
};

/* The ways into a kernel. */
enum kernel_entry {
	KERNEL_ENTRY_BZIMAGE = 0, /* a bzImage by the 64-bit boot protocol: it unpacks itself */
	KERNEL_ENTRY_ELF64,       /* an ELF in 64-bit mode with a zero page, as the bzImage's own unpacker goes in */
	KERNEL_ENTRY_PVH,         /* an ELF in 32-bit mode with a start info, by the address in its note */
	KERNEL_ENTRY_COUNT,
};

/* How the ELF in a bzImage is packed. */
enum kernel_packing {
	KERNEL_PACKING_NONE = 0, /* the ELF itself */
	KERNEL_PACKING_GZIP,
	KERNEL_PACKING_XZ,
	KERNEL_PACKING_ZSTD,
	KERNEL_PACKING_LZ4,
	KERNEL_PACKING_BZIP2, /* from here on: known by name only, kernel_unpack() refuses them */
	KERNEL_PACKING_LZMA,
	KERNEL_PACKING_LZO,
	KERNEL_PACKING_UNKNOWN,
	KERNEL_PACKING_COUNT,
};

/* A bzImage's setup header: Documentation/arch/x86/boot.rst, "The Real-Mode Kernel Header". */
struct kernel_bzimage {
	uint16_t protocol; /* 0x020f: 2.15 */
	bool has_entry64;  /* XLF_KERNEL_64 */
	bool relocatable;
	uint32_t cmdline_max; /* bytes, without the terminating NUL */
	uint32_t alignment;   /* bytes, a power of two; of a relocatable kernel */
	uint64_t initrd_last; /* the highest address that an initrd's last byte may have */
	uint64_t load_gpa;    /* where it wants to be: pref_address */
	uint64_t run_size;    /* bytes from load_gpa that it uses before it reads the memory map: init_size */
	uint64_t code_offset; /* bytes into the file: where what is loaded begins */
	uint64_t code_size;   /* bytes; code_offset + code_size is inside the file */
	enum kernel_packing packing;
	uint64_t payload_offset;    /* bytes into the file; inside the code */
	uint64_t payload_size;      /* bytes; 0: the header names no payload */
	struct setup_header header; /* as it goes into a zero page; zero past the end that the file gives it */
};

struct kernel_segment {
	uint64_t gpa;
	uint64_t offset;      /* bytes into the file */
	uint64_t file_size;   /* bytes from the file; offset + file_size is inside it */
	uint64_t memory_size; /* bytes; those past file_size are zero; gpa + memory_size does not wrap */
};

struct kernel_elf {
	uint32_t segment_count; /* 1 .. KERNEL_SEGMENTS_MAX; none overlaps another in memory */
	struct kernel_segment segments[KERNEL_SEGMENTS_MAX];
	uint64_t memory_low; /* gpa of the first byte of all segments */
	uint64_t memory_end; /* gpa of the byte after the last of them */
	bool has_entry64;
	bool has_pvh_entry;
	uint64_t entry64;   /* gpa, inside a segment */
	uint32_t pvh_entry; /* gpa, inside a segment */
};

struct kernel_image {
	enum kernel_format format;
	uint64_t size; /* bytes of the file */
	/* "6.1.0-18-amd64 (debian-kernel@...) #1 SMP ...": printable ASCII; "" when it has none */
	char version[KERNEL_VERSION_MAX];
	union {
		struct kernel_bzimage bzimage;
		struct kernel_elf elf;
	};
};

/*
 * The names that people use: "bzimage", "elf"; "bzimage", "elf64", "pvh"; "none", "gzip", "xz", ...; NULL for a value
 * that is none.
 */
const char *kernel_format_name(enum kernel_format format);
const char *kernel_entry_name(enum kernel_entry entry);
const char *kernel_packing_name(enum kernel_packing packing);

/* The entry of that name. Returns 0 or -ENOENT. */
int kernel_entry_parse(const char *name, enum kernel_entry *ret_entry);

/*
 * Parse a kernel's file.
 *
 * source     the whole file
 * ret_image  filled on success; plain data, nothing to release
 *
 * Returns 0; -ENODATA (empty or truncated); -ENOEXEC (not a kernel); -EOPNOTSUPP (for another architecture, or a boot
 * protocol before 2.06); -EINVAL (a header that contradicts itself or the file); or -errno from reading. detail names
 * what is wrong.
 */
int kernel_image_parse(const struct image_source *source, struct kernel_image *ret_image, struct error_detail *detail);

/* Can this image be entered so? A bzImage that cannot may still hold an ELF that can: see kernel_unpack(). */
bool kernel_image_has_entry(const struct kernel_image *image, enum kernel_entry entry);

/*
 * The version of an ELF, from the banner in its data ("Linux version ..."), which kernel_image_parse() does not look
 * for because it reads the whole file. version is left empty where there is no banner.
 *
 * Returns 0, or -errno from reading.
 */
int kernel_image_find_version(const struct image_source *source, struct kernel_image *image);

#endif
