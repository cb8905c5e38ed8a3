/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Parsing a bzImage: Documentation/arch/x86/boot.rst.
 *
 * The file is a boot sector and real-mode code (setup_sects sectors after the first), then the code that is loaded,
 * which holds the packed ELF. The setup header begins at 0x1f1 and ends where its own jump instruction at 0x200 lands,
 * so that a field past that end is absent whatever the protocol number claims. The header is copied once into a
 * structure of our own; every check is made on that copy.
 */
#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <string.h>

#include "kvm/linux/kernel_parts.h"

#define HEADER_OFFSET     0x1f1U
#define HEADER_JUMP       0x200U /* the jump's displacement is the byte after */
#define SECTOR            512U
#define BOOT_FLAG         0xaa55
#define PROTOCOL_MIN      0x0206 /* cmdline_size */
#define PROTOCOL_PAYLOAD  0x0208
#define PROTOCOL_RUN_SIZE 0x020a /* pref_address and init_size */
#define PROTOCOL_ENTRY64  0x020c /* xloadflags */
#define SETUP_SECTS_OLD   4      /* what 0 means */
#define PARAGRAPH         16U
#define MAGIC_LENGTH      6U
#define HEADER_NEEDED     (offsetof(struct setup_header, cmdline_size) + sizeof(uint32_t)) /* by PROTOCOL_MIN */

/* Does the header, as long as the file says it is, hold this field? */
#define HAS_FIELD(size, field) \
	(offsetof(struct setup_header, field) + sizeof(((struct setup_header *)0)->field) <= (size))

static int read_header(const struct image_source *source, struct setup_header *ret_header, size_t *ret_size,
		       struct error_detail *detail)
{
	struct setup_header header = { 0 };
	uint8_t jump[2];
	size_t size;

	if (image_source_read(source, HEADER_JUMP, jump, sizeof(jump)) < 0)
		goto truncated;
	size = HEADER_JUMP + sizeof(jump) + jump[1] - HEADER_OFFSET;
	if (size > sizeof(header))
		size = sizeof(header);
	if (image_source_read(source, HEADER_OFFSET, &header, size) < 0)
		goto truncated;
	if (size < HEADER_NEEDED) {
		error_detail_set(detail, "kernel: its setup header ends at 0x%zx, too early for any boot protocol",
				 HEADER_OFFSET + size);
		return -EINVAL;
	}

	*ret_header = header;
	*ret_size = size;
	return 0;

truncated:
	error_detail_set(detail, "kernel: truncated: it ends inside its setup header");
	return -ENODATA;
}

static int check_magic(const struct setup_header *header, struct error_detail *detail)
{
	if (header->boot_flag != BOOT_FLAG) {
		error_detail_set(detail, "kernel: boot_flag is 0x%04x, not 0x%04x", header->boot_flag, BOOT_FLAG);
		return -EINVAL;
	}
	if (header->version < PROTOCOL_MIN) {
		error_detail_set(detail, "kernel: boot protocol %d.%02d is older than 2.06", header->version >> 8,
				 header->version & 0xff);
		return -EOPNOTSUPP;
	}
	if (!(header->loadflags & LOADED_HIGH)) {
		error_detail_set(detail, "kernel: a zImage, which loads low; only a bzImage can be booted");
		return -EOPNOTSUPP;
	}

	return 0;
}

static int locate_code(const struct image_source *source, const struct setup_header *header,
		       struct kernel_bzimage *bzimage, struct error_detail *detail)
{
	uint64_t sectors = header->setup_sects ? header->setup_sects : SETUP_SECTS_OLD;

	bzimage->code_offset = (sectors + 1) * SECTOR;
	bzimage->code_size = (uint64_t)header->syssize * PARAGRAPH;
	if (bzimage->code_size == 0) {
		error_detail_set(detail, "kernel: syssize is 0: it has no code");
		return -EINVAL;
	}
	if (bzimage->code_offset > source->size || bzimage->code_size > source->size - bzimage->code_offset) {
		error_detail_set(detail,
				 "kernel: truncated: %" PRIu64 " bytes, but its header describes %" PRIu64
				 " of setup and "
				 "%" PRIu64 " of code",
				 source->size, bzimage->code_offset, bzimage->code_size);
		return -ENODATA;
	}

	return 0;
}

static int locate_payload(const struct image_source *source, const struct setup_header *header, size_t header_size,
			  struct kernel_bzimage *bzimage, struct error_detail *detail)
{
	uint8_t magic[MAGIC_LENGTH];
	int result;

	bzimage->packing = KERNEL_PACKING_UNKNOWN;
	if (header->version < PROTOCOL_PAYLOAD || !HAS_FIELD(header_size, payload_length) ||
	    header->payload_length == 0)
		return 0;
	if (header->payload_offset > bzimage->code_size ||
	    header->payload_length > bzimage->code_size - header->payload_offset) {
		error_detail_set(detail,
				 "kernel: the payload (offset 0x%x, %u bytes) is not inside the %" PRIu64
				 " bytes of code",
				 header->payload_offset, header->payload_length, bzimage->code_size);
		return -EINVAL;
	}

	bzimage->payload_offset = bzimage->code_offset + header->payload_offset;
	bzimage->payload_size = header->payload_length;
	if (bzimage->payload_size < sizeof(magic))
		return 0;
	result = image_source_read(source, bzimage->payload_offset, magic, sizeof(magic));
	if (result == 0)
		bzimage->packing = kernel_packing_of(magic, sizeof(magic));
	return result;
}

static bool is_power_of_two(uint64_t value)
{
	return value != 0 && (value & (value - 1)) == 0;
}

/*
 * Where it loads and how much it uses. Before protocol 2.10 neither is said, and there is no 64-bit entry to need them.
 */
static int describe_run(const struct setup_header *header, size_t header_size, struct kernel_bzimage *bzimage,
			struct error_detail *detail)
{
	bzimage->protocol = header->version;
	bzimage->has_entry64 = header->version >= PROTOCOL_ENTRY64 && HAS_FIELD(header_size, init_size) &&
			       (header->xloadflags & XLF_KERNEL_64);
	bzimage->relocatable = header->relocatable_kernel != 0;
	bzimage->alignment = header->kernel_alignment;
	bzimage->initrd_last = header->initrd_addr_max;
	bzimage->cmdline_max = header->cmdline_size;
	if (header->version < PROTOCOL_RUN_SIZE || !HAS_FIELD(header_size, init_size))
		return 0;

	bzimage->load_gpa = header->pref_address;
	bzimage->run_size = header->init_size;
	if (bzimage->relocatable && !is_power_of_two(bzimage->alignment)) {
		error_detail_set(detail, "kernel: kernel_alignment 0x%x is not a power of two", bzimage->alignment);
		return -EINVAL;
	}
	if (bzimage->load_gpa < KERNEL_GPA_MIN || bzimage->load_gpa > UINT32_MAX) {
		error_detail_set(detail, "kernel: pref_address 0x%" PRIx64 " is not between 1 MiB and 4 GiB",
				 bzimage->load_gpa);
		return -EINVAL;
	}
	if (bzimage->run_size < bzimage->code_size) {
		error_detail_set(detail, "kernel: init_size %" PRIu64 " is less than its %" PRIu64 " bytes of code",
				 bzimage->run_size, bzimage->code_size);
		return -EINVAL;
	}

	return 0;
}

/* The string that kernel_version points to, in the real-mode code; absent if it points outside. */
static int read_version(const struct image_source *source, const struct setup_header *header, uint64_t code_offset,
			char version[KERNEL_VERSION_MAX])
{
	uint8_t text[KERNEL_VERSION_MAX];
	uint64_t offset = SECTOR + (uint64_t)header->kernel_version;
	size_t length = sizeof(text);
	int result;

	if (header->kernel_version == 0 || offset >= code_offset)
		return 0;
	if (length > code_offset - offset)
		length = (size_t)(code_offset - offset);
	result = image_source_read(source, offset, text, length);
	if (result == 0)
		kernel_copy_text(version, KERNEL_VERSION_MAX, text, length);
	return result;
}

int kernel_bzimage_parse(const struct image_source *source, struct kernel_image *ret_image, struct error_detail *detail)
{
	struct kernel_bzimage bzimage = { 0 };
	size_t header_size;
	int result;

	result = read_header(source, &bzimage.header, &header_size, detail);
	if (result == 0)
		result = check_magic(&bzimage.header, detail);
	if (result == 0)
		result = locate_code(source, &bzimage.header, &bzimage, detail);
	if (result == 0)
		result = locate_payload(source, &bzimage.header, header_size, &bzimage, detail);
	if (result == 0)
		result = describe_run(&bzimage.header, header_size, &bzimage, detail);
	if (result == 0)
		result = read_version(source, &bzimage.header, bzimage.code_offset, ret_image->version);
	if (result < 0)
		return result;

	ret_image->bzimage = bzimage;
	return 0;
}
