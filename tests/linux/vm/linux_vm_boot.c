/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The start of a test machine: a kernel, unpacked where that is needed, and an initrd.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "devices/machine_linux.h"
#include "kvm/linux/unpack.h"
#include "linux_vm.h"

static int open_file(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		fail(path, -errno, NULL);
	return fd;
}

static int unpack(const struct image_source *source, const struct kernel_bzimage *bzimage)
{
	int elf = memfd_create("vmlinux", MFD_CLOEXEC);
	const struct unpack_sink sink = unpack_sink_to_file(&elf);
	struct error_detail detail = { 0 };
	uint64_t size;
	int result = kernel_unpack(source, bzimage, KERNEL_UNPACKED_MAX, &sink, &size, &detail);

	if (result < 0)
		fail("unpacking", result, &detail);
	return elf;
}

/* The kernel as it will be entered: unpacked first, where a bzImage is to be entered as an ELF. */
static int open_kernel(const struct options *options)
{
	int fd = open_file(options->kernel);
	struct error_detail detail = { 0 };
	struct image_source source;
	struct kernel_image image;
	int result, elf;

	result = image_source_from_file(fd, "kernel", &source, &detail);
	if (result == 0)
		result = kernel_image_parse(&source, &image, &detail);
	if (result < 0)
		fail(options->kernel, result, &detail);
	printf("linux_vm: %s %s\n", kernel_format_name(image.format), image.version);
	if (kernel_image_has_entry(&image, options->entry) || image.format != KERNEL_BZIMAGE)
		return fd;

	elf = unpack(&source, &image.bzimage);
	(void)close(fd);
	return elf;
}

void linux_vm_boot(struct machine *machine, const struct options *options)
{
	const struct machine_linux_options boot = {
		.kernel = open_kernel(options),
		.entry = options->entry,
		.initrd = options->initrd ? open_file(options->initrd) : -1,
		.cmdline = options->cmdline,
	};
	struct error_detail detail = { 0 };
	int result = machine_boot_linux(machine, &boot, &detail);

	if (result < 0)
		fail("boot", result, &detail);
	if (boot.initrd >= 0)
		(void)close(boot.initrd);
	(void)close(boot.kernel);
}
