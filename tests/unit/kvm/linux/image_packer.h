/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Payloads of kernel images for tests: packed as a kernel's build packs them.
 */
#ifndef EMBER_TESTS_IMAGE_PACKER_H
#define EMBER_TESTS_IMAGE_PACKER_H

#include <stddef.h>
#include <stdint.h>

#define PACKED_MAX ((size_t)900 << 10) /* bytes that fit a built image */

struct packed {
	uint8_t bytes[PACKED_MAX];
	size_t size;
};

enum {
	PACKER_GZIP = 0,
	PACKER_XZ,
	PACKER_ZSTD,
	PACKER_LZ4,
	PACKERS,
};

struct packer {
	const char *name; /* as kernel_packing_name() has it */
	void (*pack)(const uint8_t *content, size_t size, struct packed *ret_packed);
};
extern const struct packer packers[PACKERS];

/* Append a size, as a kernel's build does behind a stream. */
void packed_add_size(struct packed *packed, uint32_t size);

#endif
