/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Kernels through the loader as it is, in its sandbox: what it copies, unpacks, tells and refuses.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "image_builder.h"
#include "image_packer.h"
#include "kvm/linux/kernel_image.h"
#include "pool_harness.h"

#define ENTRY(entry) (1U << (entry))

static struct harness harness;
static struct asked asked;
static int image, elf; /* what the loader wrote */

static void set_up(void)
{
	harness_open(&harness);
}

static void tear_down(void)
{
	harness_close(&harness);
}

TestSuite(kernel_load, .init = set_up, .fini = tear_down, .timeout = 600);

/* Load a kernel and wait for the answer. */
static void load(const void *bytes, size_t size)
{
	int source = harness_file(bytes, size);

	image = harness_file("", 0);
	elf = harness_file("", 0);
	memset(&asked, 0, sizeof(asked));
	cr_assert_eq(pool_kernel_load(harness.pool, source, image, elf, asked_progress, asked_kernel, &asked), 0);
	(void)close(source);
	harness_wait(&harness, &asked.answered);
}

static void end_load(void)
{
	(void)close(image);
	(void)close(elf);
}

static void expect_file(int file, const void *bytes, size_t size)
{
	struct stat status;
	uint8_t *found = malloc(size + 1);

	cr_assert_eq(fstat(file, &status), 0);
	cr_assert_eq(status.st_size, (off_t)size);
	cr_assert_eq(pread(file, found, size, 0), (ssize_t)size);
	cr_assert_eq(memcmp(found, bytes, size), 0);
	free(found);
}

static void expect_loaded(const struct built_image *built, uint32_t entries)
{
	load(built->bytes, built->size);
	cr_assert_eq(asked.result.status, POOL_OK, "%s", asked.result.detail.text);
	cr_assert_eq(asked.kernel.entries, entries, "%#x", asked.kernel.entries);
	cr_assert_eq(asked.kernel.image_size, built->size);
	cr_assert_gt(asked.steps, 0);
	expect_file(image, built->bytes, built->size);
}

static void expect_refused(const struct built_image *built, int error, const char *named)
{
	load(built->bytes, built->size);
	cr_assert_eq(asked.result.status, POOL_REFUSED, "%s", named);
	cr_assert_eq(asked.result.error, error, "%s: %d: %s", named, asked.result.error, asked.result.detail.text);
	cr_assert_not_null(strstr(asked.result.detail.text, named), "%s: %s", named, asked.result.detail.text);
	end_load();
}

Test(kernel_load, every_packing_gives_its_elf)
{
	struct built_image vmlinux = build_elf();
	struct packed *packed = calloc(1, sizeof(*packed));

	for (size_t i = 0; i < PACKERS; i++) {
		struct built_image built;

		packers[i].pack(vmlinux.bytes, vmlinux.size, packed);
		built = build_bzimage(packed->bytes, packed->size);
		expect_loaded(&built,
			      ENTRY(KERNEL_ENTRY_BZIMAGE) | ENTRY(KERNEL_ENTRY_ELF64) | ENTRY(KERNEL_ENTRY_PVH));
		cr_assert_eq(asked.kernel.format, KERNEL_BZIMAGE);
		cr_assert_str_eq(kernel_packing_name((enum kernel_packing)asked.kernel.packing), packers[i].name);
		cr_assert_eq(asked.kernel.protocol, 0x20f);
		cr_assert_eq(asked.kernel.cmdline_max, 2047);
		cr_assert_str_eq(asked.kernel.version, BUILT_VERSION);
		cr_assert_eq(asked.kernel.memory_size, BUILT_SECOND_GPA + 16);
		cr_assert_eq(asked.kernel.elf_size, vmlinux.size);
		expect_file(elf, vmlinux.bytes, vmlinux.size);
		end_load();
		built_free(&built);
	}
	free(packed);
	built_free(&vmlinux);
}

Test(kernel_load, a_large_kernel_with_its_progress)
{
	struct built_image vmlinux = build_elf();
	struct packed *packed = calloc(1, sizeof(*packed));
	struct built_image built;
	uint8_t *padded = calloc(1, (size_t)64 << 20);

	/* Zeroes behind the ELF, as relocations stand behind a kernel's: many chunks for every packing. */
	memcpy(padded, vmlinux.bytes, vmlinux.size);
	packers[PACKER_ZSTD].pack(padded, (size_t)64 << 20, packed);
	built = build_bzimage(packed->bytes, packed->size);
	expect_loaded(&built, ENTRY(KERNEL_ENTRY_BZIMAGE) | ENTRY(KERNEL_ENTRY_ELF64) | ENTRY(KERNEL_ENTRY_PVH));
	expect_file(elf, padded, (size_t)64 << 20);
	end_load();
	built_free(&built);
	free(padded);
	free(packed);
	built_free(&vmlinux);
}

Test(kernel_load, an_elf_is_its_own)
{
	static const char banner[] = "Linux version 9.8.7-elf (ember)\n";
	struct built_image built = build_elf();

	memcpy(built.bytes + built.size, banner, sizeof(banner));
	built.size += sizeof(banner);
	expect_loaded(&built, ENTRY(KERNEL_ENTRY_ELF64) | ENTRY(KERNEL_ENTRY_PVH));
	cr_assert_eq(asked.kernel.format, KERNEL_ELF);
	cr_assert_eq(asked.kernel.elf_size, 0);
	cr_assert_eq(asked.kernel.protocol, 0);
	cr_assert_str_eq(asked.kernel.version, "9.8.7-elf (ember)");
	expect_file(elf, "", 0);
	end_load();
	built_free(&built);
}

Test(kernel_load, what_cannot_be_unpacked_unpacks_itself)
{
	static const char payloads[][17] = { "BZh91AY&SY", "\x5d\x00\x00\x80", "\x89LZO\x00\x0d", "whatever this is" };

	for (size_t i = 0; i < sizeof(payloads) / sizeof(payloads[0]); i++) {
		struct built_image built = build_bzimage(payloads[i], 16);

		expect_loaded(&built, ENTRY(KERNEL_ENTRY_BZIMAGE));
		cr_assert_gt(asked.kernel.packing, KERNEL_PACKING_LZ4);
		cr_assert_eq(asked.kernel.elf_size, 0);
		expect_file(elf, "", 0);
		end_load();
		/* Where it cannot be entered in 64-bit mode either, there is no way in. */
		built_header(&built)->xloadflags = 0;
		expect_refused(&built, -EOPNOTSUPP, "no 64-bit entry");
		built_free(&built);
	}
}

Test(kernel_load, files_that_are_no_kernels_of_ours)
{
	struct built_image built = build_elf();

	built_elf_header(&built)->e_machine = EM_AARCH64;
	expect_refused(&built, -EOPNOTSUPP, "kernel:");
	built_free(&built);

	built = build_elf();
	for (size_t whole = built.size, i = 1; i < 4; i++) {
		built.size = whole * i / 4;
		load(built.bytes, built.size);
		cr_assert_eq(asked.result.status, POOL_REFUSED);
		end_load();
	}
	built.size = 0;
	expect_refused(&built, -ENODATA, "empty");
	memset(built.bytes, 'x', 4096);
	built.size = 4096;
	expect_refused(&built, -ENOEXEC, "neither a bzImage nor an ELF");
	built_free(&built);
}

Test(kernel_load, headers_that_lie)
{
	struct built_image vmlinux = build_elf(), built;
	struct packed *packed = calloc(1, sizeof(*packed));

	packers[PACKER_GZIP].pack(vmlinux.bytes, vmlinux.size, packed);
	built = build_bzimage(packed->bytes, packed->size);
	built_header(&built)->payload_length = UINT32_MAX;
	expect_refused(&built, -EINVAL, "payload");
	built_header(&built)->payload_length = (uint32_t)packed->size - 20;
	expect_refused(&built, -ENODATA, "truncated");
	built_header(&built)->payload_length = (uint32_t)packed->size;
	built_header(&built)->init_size = UINT32_MAX;
	expect_refused(&built, -EFBIG, "memory");
	built_free(&built);

	/* The payload is whole, and not what it should be. */
	packers[PACKER_GZIP].pack((const uint8_t *)"not an ELF at all", 17, packed);
	built = build_bzimage(packed->bytes, packed->size);
	expect_refused(&built, -ENOEXEC, "in its payload");
	built_free(&built);
	free(packed);
	built_free(&vmlinux);
}

Test(kernel_load, files_that_cannot_be_written_are_told)
{
	struct built_image built = build_elf();
	int source = harness_file(built.bytes, built.size);
	int sealed = memfd_create("sealed", MFD_CLOEXEC | MFD_ALLOW_SEALING), other = harness_file("", 0);

	cr_assert_eq(fcntl(sealed, F_ADD_SEALS, F_SEAL_GROW), 0);
	cr_assert_eq(pool_kernel_load(harness.pool, source, sealed, other, NULL, asked_kernel, &asked), 0);
	harness_wait(&harness, &asked.answered);
	cr_assert_eq(asked.result.status, POOL_REFUSED);
	cr_assert_eq(asked.result.error, -EPERM);
	cr_assert_not_null(strstr(asked.result.detail.text, "cannot be written"), "%s", asked.result.detail.text);
	(void)close(source);
	(void)close(sealed);
	(void)close(other);
	built_free(&built);
}

Test(kernel_load, one_that_is_too_large_is_not_read)
{
	int source = harness_file("\x7f"
				  "ELF",
				  4);

	cr_assert_eq(ftruncate(source, (off_t)600 << 20), 0);
	image = harness_file("", 0);
	elf = harness_file("", 0);
	cr_assert_eq(pool_kernel_load(harness.pool, source, image, elf, NULL, asked_kernel, &asked), 0);
	harness_wait(&harness, &asked.answered);
	cr_assert_eq(asked.result.status, POOL_REFUSED);
	cr_assert_eq(asked.result.error, -EFBIG);
	expect_file(image, "", 0);
	(void)close(source);
	end_load();
}
