/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the store knows of a kernel, and the text that it keeps it by (kernel.json).
 */
#ifndef EMBER_SERVER_KERNEL_RECORD_H
#define EMBER_SERVER_KERNEL_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kvm/error_detail.h"
#include "kvm/linux/kernel_image.h"
#include "pool/message.h"
#include "snapshot/catalog.h"

#define KERNEL_CMDLINE_MAX     2047  /* bytes of a default command line, without the terminating NUL */
#define KERNEL_RECORD_TEXT_MAX 16384 /* bytes of kernel.json */
#define KERNEL_SHA256_TEXT     (2 * MESSAGE_SHA256_SIZE + 1)

struct kernel_record {
	char name[CATALOG_NAME_MAX + 1];
	char cmdline[KERNEL_CMDLINE_MAX + 1]; /* the default one: printable ASCII; "": none */
	char version[KERNEL_VERSION_MAX];     /* printable ASCII; "": it has none */
	char sha256[KERNEL_SHA256_TEXT];      /* of the file as it was given: hexadecimal digits */
	enum kernel_format format;
	enum kernel_packing packing; /* of a bzImage's payload; else KERNEL_PACKING_NONE */
	uint32_t entries;            /* bits 1 << enum kernel_entry */
	uint32_t protocol;           /* of a bzImage's boot protocol: 0x020f is 2.15; else 0 */
	uint32_t cmdline_max;        /* bytes that it takes, without the terminating NUL */
	uint64_t image_size;         /* bytes */
	uint64_t elf_size;           /* bytes of the ELF that came out of a bzImage; 0: none did, or it needs none */
	uint64_t memory_size;        /* bytes of guest memory that it needs before it reads the memory map */
	uint64_t added_unix_ns;
};

/* Can the bytes of a command line be given to a kernel, and kept? */
bool kernel_cmdline_is_valid(const char *cmdline);

/*
 * Take over what the loader said of a kernel, which the pool has checked.
 *
 * record  its name, command line and time stay as they are
 */
void kernel_record_set(struct kernel_record *record, const struct message_kernel_loaded *loaded);

/*
 * Does it have this entry, and in which of its files? *ret_in_elf: in the ELF that came out of a bzImage; else in the
 * file as it was given.
 */
bool kernel_record_has_entry(const struct kernel_record *record, enum kernel_entry entry, bool *ret_in_elf);

/* Bytes of the longest command line that it takes by this entry, without the terminating NUL. */
uint32_t kernel_record_cmdline_max(const struct kernel_record *record, enum kernel_entry entry);

/* The record as text. ret_text is from malloc(3), the caller's. Returns 0 or -ENOMEM. */
int kernel_record_to_text(const struct kernel_record *record, char **ret_text, size_t *ret_size);

/*
 * Read such a text. A member that is unknown, missing, mistyped or out of range is an error that names it.
 *
 * Returns 0, -EINVAL with what is wrong in detail, or -ENOMEM.
 */
int kernel_record_from_text(const char *text, size_t size, struct kernel_record *ret_record,
			    struct error_detail *detail);

#endif
