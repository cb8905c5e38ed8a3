/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Between the files that parse kernels: not for callers outside kvm/linux.
 */
#ifndef EMBER_KVM_LINUX_KERNEL_PARTS_H
#define EMBER_KVM_LINUX_KERNEL_PARTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kvm/linux/kernel_image.h"

/* As kernel_image_parse(), for a file that begins as one of these. Fill all of ret_image but format and size. */
int kernel_bzimage_parse(const struct image_source *source, struct kernel_image *ret_image,
			 struct error_detail *detail);
int kernel_elf_parse(const struct image_source *source, struct kernel_image *ret_image, struct error_detail *detail);

/* How bytes that begin so are packed. Takes any length. */
enum kernel_packing kernel_packing_of(const uint8_t *bytes, size_t length);

/*
 * Copy text out of a file up to a NUL or a line's end: printable ASCII stays, anything else becomes '?'; the result is
 * always terminated.
 */
void kernel_copy_text(char *ret_text, size_t text_size, const uint8_t *bytes, size_t length);

#endif
