/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Kernel images for tests: as small as they can be, and right until a test spoils one.
 */
#ifndef EMBER_TESTS_IMAGE_BUILDER_H
#define EMBER_TESTS_IMAGE_BUILDER_H

#include <elf.h>
#include <stddef.h>
#include <stdint.h>

#include "kvm/linux/kernel_image.h"

#define BUILT_MAX         ((size_t)1 << 20)
#define BUILT_VERSION     "9.8.7-test (ember) #1"
#define BUILT_LOAD_GPA    UINT64_C(0x1000000)
#define BUILT_RUN_SIZE    UINT32_C(0x200000)
#define BUILT_CODE_OFFSET (5 * 512)
#define BUILT_PAYLOAD     64 /* offset of the payload in the code */

struct built_image {
	uint8_t *bytes; /* BUILT_MAX of them */
	size_t size;
};

/* A bzImage of protocol 2.15 around a payload. */
struct built_image build_bzimage(const void *payload, size_t payload_size);
struct setup_header *built_header(struct built_image *image);

#define BUILT_ELF_GPA      UINT64_C(0x1000000)
#define BUILT_ELF_VIRTUAL  UINT64_C(0xffffffff81000000)
#define BUILT_ELF_CODE     64 /* bytes in the file of the first segment */
#define BUILT_ELF_MEMORY   0x3000
#define BUILT_SECOND_GPA   UINT64_C(0x1400000)
#define BUILT_PVH_ENTRY    (BUILT_ELF_GPA + 16)
#define BUILT_ELF_ENTRY    (BUILT_ELF_GPA + 8)
#define BUILT_ELF_SEGMENTS 3 /* two to load, then the notes */

/* An ELF vmlinux with two segments to load and a PVH note. Its code bytes count up from 1. */
struct built_image build_elf(void);
Elf64_Ehdr *built_elf_header(struct built_image *image);
Elf64_Phdr *built_elf_segments(struct built_image *image);
Elf64_Nhdr *built_elf_note(struct built_image *image);

void built_free(struct built_image *image);
struct image_source built_source(const struct built_image *image);

#endif
