/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The loader: from a kernel's file to what the store keeps of it.
 *
 * Nobody holds the file still, so it is read once: what is read is hashed and written to the copy, and all that follows looks at
 * the copy, which nobody else has. The ELF comes out of a bzImage here, once, so that no boot unpacks it again; a bzImage
 * that is packed in a way that we do not unpack can still be entered as such.
 */
#include <errno.h>
#include <inttypes.h>
#include <nettle/sha2.h>
#include <stdlib.h>
#include <string.h>

#include "kvm/cleanup.h"
#include "kvm/linux/boot.h"
#include "kvm/linux/unpack.h"
#include "pool/process/child.h"
#include "pool/process/loader.h"

#define COPY_CHUNK ((size_t)256 << 10)

enum { FILE_SOURCE, FILE_IMAGE, FILE_ELF }; /* the message's descriptors */

/* How far it is: the file's bytes while it is copied, then its payload's while that is unpacked, out of twice the file's. */
struct kernel_progress {
	struct child_progress child;
	uint64_t size; /* of the file */
	int elf;
	bool is_full; /* what failed is writing a copy */
};

static void copied(struct kernel_progress *progress, uint64_t done)
{
	(void)child_advanced(&progress->child, done, 2 * progress->size);
}

static int copy(const struct image_source *source, const int *image, struct kernel_progress *progress,
		uint8_t ret_sha256[static MESSAGE_SHA256_SIZE], struct error_detail *detail)
{
	const struct unpack_sink sink = unpack_sink_to_file(image);
	cleanup_free uint8_t *chunk = malloc(COPY_CHUNK);
	struct sha256_ctx hash;
	uint64_t offset = 0;

	_Static_assert(SHA256_DIGEST_SIZE == MESSAGE_SHA256_SIZE, "one size");
	if (!chunk)
		return -ENOMEM;
	sha256_init(&hash);
	while (offset < source->size) {
		uint64_t left = source->size - offset;
		size_t length = left < COPY_CHUNK ? (size_t)left : COPY_CHUNK;
		int result = image_source_read(source, offset, chunk, length);

		if (result < 0) {
			error_detail_set(detail, "kernel: it cannot be read at byte %" PRIu64 ": %s", offset,
					 result == -ENODATA ? "the file has become shorter" : strerrordesc_np(-result));
			return result;
		}
		sha256_update(&hash, length, chunk);
		result = sink.write(sink.opaque, chunk, length);
		if (result < 0) {
			progress->is_full = true;
			error_detail_set(detail, "kernel: its copy cannot be written: %s", strerrordesc_np(-result));
			return result;
		}
		offset += length;
		copied(progress, offset);
	}

	sha256_digest(&hash, SHA256_DIGEST_SIZE, ret_sha256);
	return 0;
}

static int write_unpacked(void *opaque, const uint8_t *data, size_t length)
{
	struct kernel_progress *progress = opaque;
	const struct unpack_sink sink = unpack_sink_to_file(&progress->elf);
	int result = sink.write(sink.opaque, data, length);

	progress->is_full = result < 0;
	return result;
}

static void unpacked(void *opaque, uint64_t done, uint64_t total)
{
	struct kernel_progress *progress = opaque;

	(void)total;
	copied(progress, progress->size + done);
}

/* Can the payload be unpacked? One that cannot is no damage: the bzImage unpacks itself. */
static bool can_unpack(const struct kernel_bzimage *bzimage)
{
	return bzimage->payload_size > 0 && bzimage->packing <= KERNEL_PACKING_LZ4;
}

/* Unpack the ELF and parse it. */
static int unpack(const struct image_source *source, const struct kernel_bzimage *bzimage,
		  struct kernel_progress *progress, struct kernel_image *ret_elf, struct error_detail *detail)
{
	const struct unpack_sink sink = { .opaque = progress, .write = write_unpacked, .advanced = unpacked };
	struct error_detail inner = { "" };
	struct image_source elf;
	uint64_t size = 0;
	int result;

	result = kernel_unpack(source, bzimage, KERNEL_UNPACKED_MAX, &sink, &size, detail);
	if (result < 0)
		return result;
	result = image_source_from_file(progress->elf, "kernel", &elf, &inner);
	if (result == 0)
		result = kernel_image_parse(&elf, ret_elf, &inner);
	if (result == 0 && ret_elf->format != KERNEL_ELF) {
		error_detail_set(&inner, "kernel: not an ELF file");
		result = -ENOEXEC;
	}
	if (result < 0)
		error_detail_set(detail, "in its payload: %.240s", inner.text);
	return result;
}

static uint32_t entries_of(const struct kernel_image *image)
{
	uint32_t entries = 0;

	for (unsigned int i = 0; i < KERNEL_ENTRY_COUNT; i++)
		entries |= kernel_image_has_entry(image, (enum kernel_entry)i) ? UINT32_C(1) << i : 0;

	return entries;
}

static uint64_t memory_of(const struct kernel_image *image)
{
	return image->format == KERNEL_ELF ? image->elf.memory_end : image->bzimage.load_gpa + image->bzimage.run_size;
}

static void describe(const struct kernel_image *image, struct message_kernel_loaded *loaded)
{
	const struct kernel_bzimage *bzimage = &image->bzimage;

	_Static_assert(KERNEL_VERSION_MAX <= MESSAGE_TEXT_MAX, "a version fits");
	loaded->format = image->format;
	loaded->image_size = image->size;
	loaded->entries = entries_of(image);
	loaded->memory_size = memory_of(image);
	loaded->cmdline_max = image->format == KERNEL_ELF ? LINUX_ELF_CMDLINE_MAX : LINUX_CMDLINE_MAX;
	memcpy(loaded->version, image->version, sizeof(image->version));
	if (image->format == KERNEL_ELF)
		return;

	loaded->packing = bzimage->packing;
	loaded->protocol = bzimage->protocol;
	if (bzimage->cmdline_max < LINUX_CMDLINE_MAX)
		loaded->cmdline_max = bzimage->cmdline_max;
}

/* What the ELF in a bzImage adds. */
static void describe_elf(const struct kernel_image *elf, struct message_kernel_loaded *loaded)
{
	loaded->elf_size = elf->size;
	loaded->entries |= entries_of(elf);
	if (memory_of(elf) > loaded->memory_size)
		loaded->memory_size = memory_of(elf);
}

/* Is there a way into it, in a guest that can be? */
static int check_use(const struct kernel_image *image, const struct message_kernel_loaded *loaded,
		     struct error_detail *detail)
{
	if (loaded->entries == 0 && image->format == KERNEL_BZIMAGE && loaded->elf_size == 0) {
		error_detail_set(detail, "kernel: it has no 64-bit entry, and its payload (%s) cannot be unpacked",
				 kernel_packing_name(image->bzimage.packing));
		return -EOPNOTSUPP;
	}
	if (loaded->entries == 0) {
		error_detail_set(detail, "kernel: it has no 64-bit entry and no PVH entry");
		return -EOPNOTSUPP;
	}
	if (loaded->memory_size > GUEST_MEMORY_SIZE_MAX) {
		error_detail_set(detail,
				 "kernel: it needs memory up to %#" PRIx64 " before it starts, more than any VM has",
				 loaded->memory_size);
		return -EFBIG;
	}

	return 0;
}

static int examine(const struct image_source *source, struct kernel_progress *progress,
		   struct message_kernel_loaded *loaded, struct error_detail *detail)
{
	struct kernel_image image = { 0 }, elf = { 0 };
	int result;

	result = kernel_image_parse(source, &image, detail);
	if (result == 0 && image.format == KERNEL_ELF)
		result = kernel_image_find_version(source, &image);
	if (result < 0)
		return result;
	describe(&image, loaded);

	if (image.format == KERNEL_BZIMAGE && can_unpack(&image.bzimage)) {
		result = unpack(source, &image.bzimage, progress, &elf, detail);
		if (result < 0)
			return result;
		describe_elf(&elf, loaded);
	}

	return check_use(&image, loaded, detail);
}

int loader_load_kernel(const struct child_setup *setup, const struct message *message,
		       struct message_kernel_loaded *ret_loaded, enum reason_deed *ret_deed,
		       struct error_detail *detail)
{
	struct kernel_progress progress = {
		.child = { .channel = setup->channel, .request = message->header.request },
		.elf = message->fds[FILE_ELF],
	};
	struct image_source source;
	int result;

	*ret_deed = DEED_LOAD_KERNEL;
	result = image_source_from_file(message->fds[FILE_SOURCE], "kernel", &source, detail);
	if (result < 0)
		return result;
	if (source.size > KERNEL_UNPACKED_MAX) {
		error_detail_set(detail,
				 "kernel: the file has %" PRIu64 " bytes; %" PRIu64 " are the most that are allowed",
				 source.size, KERNEL_UNPACKED_MAX);
		return -EFBIG;
	}

	progress.size = source.size;
	result = copy(&source, &message->fds[FILE_IMAGE], &progress, ret_loaded->sha256, detail);
	if (result == 0)
		result = image_source_from_file(message->fds[FILE_IMAGE], "kernel", &source, detail);
	if (result == 0)
		result = examine(&source, &progress, ret_loaded, detail);
	if (result == 0)
		copied(&progress, 2 * progress.size);
	if (progress.is_full)
		*ret_deed = DEED_PUBLISH;
	return result;
}
