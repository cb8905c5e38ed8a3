/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Machines booted into a Linux kernel: a kernel of a few instructions that really runs, by both of an ELF's entries,
 * and files that are no kernel, or none that fits.
 */
#include "devices/machine_linux.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "devices/generation_id.h"
#include "devices/virtio/rng.h"
#include "fixture.h"
#include "image_builder.h"
#include "kvm/linux/boot.h"

#define MEMORY_MIB  64
#define CODE_OFFSET 0x1000 /* of what build_elf() puts at BUILT_ELF_GPA */
#define CODE_MAX    0x1000

GUEST_IMAGE(devices_kernel);

static struct fixture fixture;
static struct built_image image;
static struct error_detail detail;

static void tear_down(void)
{
	if (fixture.machine)
		fixture_end(&fixture);
	built_free(&image);
}

TestSuite(machine_linux, .fini = tear_down);

static struct built_image build_kernel(void)
{
	struct built_image kernel = build_elf();

	cr_assert_leq(devices_kernel_image_size, CODE_MAX);
	memcpy(kernel.bytes + CODE_OFFSET, devices_kernel_image, devices_kernel_image_size);
	built_elf_segments(&kernel)[0].p_filesz = devices_kernel_image_size;
	return kernel;
}

static int boot_with(int kernel, enum kernel_entry entry, int initrd, const char *cmdline)
{
	const struct machine_linux_options options = {
		.kernel = kernel, .entry = entry, .initrd = initrd, .cmdline = cmdline
	};

	detail.text[0] = '\0';
	return machine_boot_linux(fixture.machine, &options, &detail);
}

static void run_kernel(enum kernel_entry entry, uint8_t signal, uint32_t vcpus)
{
	static const char expected[] = "console=ttyS0 ember.test=1RSD PTR ";
	struct machine_exit_info info;
	uint8_t output[sizeof(expected) - 1];
	uint8_t id[GENERATION_ID_SIZE];
	int file;

	fixture_build(&fixture, vcpus, MEMORY_MIB);
	image = build_kernel();
	file = fixture_image(image.bytes, image.size);
	cr_assert_eq(boot_with(file, entry, -1, "console=ttyS0 ember.test=1"), 0, "%s", detail.text);
	(void)close(file);
	generation_id_get(fixture.machine->generation_id, id);
	cr_assert_arr_eq(fixture.machine->vm.memory.host + LINUX_GENERATION_ID_GPA, id, sizeof(id));
	cr_assert_arr_neq(id, "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", sizeof(id));

	cr_assert_eq(machine_run(fixture.machine), 0);
	fixture_wait_exit(&fixture, &info);
	cr_assert_str_eq(machine_exit_name(info.reason), "power_off", "rip 0x%llx", (unsigned long long)info.stop.rip);
	cr_assert_eq(fixture_signals(&fixture, signal), 1);
	fixture_read_output(&fixture, output, sizeof(output));
	cr_assert_arr_eq(output, expected, sizeof(output));
	cr_assert_eq(boot_with(file, entry, -1, ""), -EBUSY);
}

Test(machine_linux, a_kernel_runs_by_its_64_bit_entry)
{
	run_kernel(KERNEL_ENTRY_ELF64, 64, 1);
}

Test(machine_linux, a_kernel_runs_by_its_pvh_entry)
{
	run_kernel(KERNEL_ENTRY_PVH, 32, 1);
}

Test(machine_linux, other_vcpus_wait)
{
	run_kernel(KERNEL_ENTRY_PVH, 32, 3);
}

/* How often a text is in the ACPI tables. */
static unsigned int count_in_tables(const char *text)
{
	const uint8_t *tables = fixture.machine->vm.memory.host + LINUX_ACPI_GPA;
	unsigned int count = 0;

	for (size_t i = 0; i + strlen(text) <= LINUX_ACPI_SIZE; i++)
		count += memcmp(tables + i, text, strlen(text)) == 0;
	return count;
}

Test(machine_linux, tables_tell_of_what_is_present)
{
	const struct machine_shape shape = {
		.vcpus = 2, .memory_size = (uint64_t)MEMORY_MIB << 20, .disks = 2, .rngs = 1, .nets = 1
	};
	int file;

	fixture_build_shape(&fixture, &shape);
	cr_assert_eq(virtio_rng_configure(fixture.machine->rngs[0], NULL), 0);
	image = build_kernel();
	file = fixture_image(image.bytes, image.size);
	cr_assert_eq(boot_with(file, KERNEL_ENTRY_PVH, -1, ""), 0, "%s", detail.text);
	cr_assert_eq(count_in_tables("LNRO0005"), 1);
	cr_assert_eq(count_in_tables("QEMU0001"), 1);
	cr_assert_eq(count_in_tables("QEMU0002"), 1);
	cr_assert_eq(count_in_tables("VM_Gen_Counter"), 2);
	cr_assert_eq(count_in_tables("PWRB"), 2);
	(void)close(file);
}

/* Boot twice: the seed is in the zero page's setup_data, and is another one each time. */
Test(machine_linux, the_kernel_gets_a_seed)
{
	const struct boot_params *params;
	const struct setup_data *seed;
	uint8_t first[32];
	int file;

	fixture_build(&fixture, 1, MEMORY_MIB);
	image = build_kernel();
	file = fixture_image(image.bytes, image.size);
	for (int i = 0; i < 2; i++) {
		cr_assert_eq(boot_with(file, KERNEL_ENTRY_ELF64, -1, ""), 0, "%s", detail.text);
		params = (const struct boot_params *)(fixture.machine->vm.memory.host + 0x8000);
		seed = (const struct setup_data *)(fixture.machine->vm.memory.host + params->hdr.setup_data);
		cr_assert_eq(seed->type, SETUP_RNG_SEED);
		cr_assert_eq(seed->len, sizeof(first));
		if (i == 1)
			cr_assert_arr_neq(seed->data, first, sizeof(first));
		memcpy(first, seed->data, sizeof(first));
	}
	(void)close(file);
}

/* ---- what cannot be booted ---- */

static void expect_refusal(const void *bytes, size_t size, enum kernel_entry entry, int initrd, const char *cmdline,
			   int error, const char *word)
{
	int file = memfd_create("kernel", MFD_CLOEXEC);
	int r;

	if (size > 0)
		cr_assert_eq(write(file, bytes, size), (ssize_t)size);
	r = boot_with(file, entry, initrd, cmdline);
	cr_assert_eq(r, error, "%s: %d: %s", word, r, detail.text);
	cr_assert_not_null(strstr(detail.text, word), "'%s' does not say '%s'", detail.text, word);
	(void)close(file);
}

#define EXPECT_BAD_KERNEL(entry, error, word) expect_refusal(image.bytes, image.size, entry, -1, "", error, word)

Test(machine_linux, kernels_that_are_none)
{
	static const uint8_t zero[8192];

	fixture_build(&fixture, 1, MEMORY_MIB);
	expect_refusal(NULL, 0, KERNEL_ENTRY_PVH, -1, "", -ENODATA, "kernel: the file is empty");
	expect_refusal(zero, sizeof(zero), KERNEL_ENTRY_PVH, -1, "", -ENOEXEC, "kernel");
	expect_refusal("\x7f"
		       "ELF",
		       4, KERNEL_ENTRY_PVH, -1, "", -ENODATA, "kernel");

	image = build_kernel();
	for (size_t size = 1; size < CODE_OFFSET; size += 61)
		expect_refusal(image.bytes, size, KERNEL_ENTRY_ELF64, -1, "", size < 4 ? -ENOEXEC : -ENODATA, "kernel");
}

Test(machine_linux, kernels_of_another_architecture_or_entry)
{
	fixture_build(&fixture, 1, MEMORY_MIB);
	image = build_kernel();
	built_elf_header(&image)->e_machine = EM_AARCH64;
	EXPECT_BAD_KERNEL(KERNEL_ENTRY_ELF64, -EOPNOTSUPP, "kernel");
	built_elf_header(&image)->e_machine = EM_X86_64;
	EXPECT_BAD_KERNEL(KERNEL_ENTRY_BZIMAGE, -EOPNOTSUPP, "no bzimage entry");
	EXPECT_BAD_KERNEL(KERNEL_ENTRY_COUNT, -EINVAL, "entry");
	built_elf_segments(&image)[2].p_type = PT_NULL;
	EXPECT_BAD_KERNEL(KERNEL_ENTRY_PVH, -EOPNOTSUPP, "no pvh entry");
	built_free(&image);

	image = build_bzimage("payload", 7);
	EXPECT_BAD_KERNEL(KERNEL_ENTRY_ELF64, -EOPNOTSUPP, "no elf64 entry");
	EXPECT_BAD_KERNEL(KERNEL_ENTRY_PVH, -EOPNOTSUPP, "no pvh entry");
}

Test(machine_linux, kernels_that_lie)
{
	fixture_build(&fixture, 1, MEMORY_MIB);
	image = build_kernel();
	built_elf_segments(&image)[0].p_filesz = UINT64_C(1) << 40;
	EXPECT_BAD_KERNEL(KERNEL_ENTRY_ELF64, -ENODATA, "kernel");
	built_elf_segments(&image)[0].p_filesz = devices_kernel_image_size;
	built_elf_segments(&image)[0].p_memsz = UINT64_MAX;
	EXPECT_BAD_KERNEL(KERNEL_ENTRY_ELF64, -EINVAL, "kernel");
	built_elf_segments(&image)[0].p_memsz = BUILT_ELF_MEMORY;
	built_elf_segments(&image)[1].p_memsz = (uint64_t)MEMORY_MIB << 20;
	EXPECT_BAD_KERNEL(KERNEL_ENTRY_ELF64, -EFBIG, "kernel: it needs memory");
	built_elf_segments(&image)[1].p_memsz = 16;
	built_elf_segments(&image)[0].p_paddr = 0;
	EXPECT_BAD_KERNEL(KERNEL_ENTRY_ELF64, -EINVAL, "kernel");
	built_free(&image);

	image = build_bzimage("payload", 7);
	built_header(&image)->init_size = UINT32_MAX;
	EXPECT_BAD_KERNEL(KERNEL_ENTRY_BZIMAGE, -EFBIG, "kernel: it needs memory");
	built_header(&image)->init_size = BUILT_RUN_SIZE;
	built_header(&image)->payload_length = UINT32_MAX;
	EXPECT_BAD_KERNEL(KERNEL_ENTRY_BZIMAGE, -EINVAL, "kernel");
}

Test(machine_linux, initrds_and_command_lines_that_do_not_fit)
{
	int initrd = memfd_create("initrd", MFD_CLOEXEC);
	int folder = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	char cmdline[LINUX_ELF_CMDLINE_MAX + 2];
	int file;

	fixture_build(&fixture, 1, MEMORY_MIB);
	image = build_kernel();
	expect_refusal(image.bytes, image.size, KERNEL_ENTRY_PVH, initrd, "", -ENODATA, "initrd: the file is empty");
	expect_refusal(image.bytes, image.size, KERNEL_ENTRY_PVH, folder, "", -EINVAL, "initrd: not a regular file");
	cr_assert_eq(ftruncate(initrd, (off_t)MEMORY_MIB << 20), 0);
	expect_refusal(image.bytes, image.size, KERNEL_ENTRY_PVH, initrd, "", -EFBIG, "initrd: its 64 MiB do not fit");
	cr_assert_eq(boot_with(folder, KERNEL_ENTRY_PVH, -1, ""), -EINVAL);
	cr_assert_not_null(strstr(detail.text, "kernel: not a regular file"), "%s", detail.text);

	memset(cmdline, 'x', sizeof(cmdline));
	cmdline[LINUX_ELF_CMDLINE_MAX + 1] = '\0';
	expect_refusal(image.bytes, image.size, KERNEL_ENTRY_PVH, -1, cmdline, -EFBIG, "cmdline");
	cmdline[LINUX_ELF_CMDLINE_MAX] = '\0';
	cr_assert_eq(ftruncate(initrd, (off_t)8 << 20), 0);
	file = fixture_image(image.bytes, image.size);
	cr_assert_eq(boot_with(file, KERNEL_ENTRY_PVH, initrd, cmdline), 0, "%s", detail.text);
	(void)close(file);
	(void)close(folder);
	(void)close(initrd);
}

Test(machine_linux, a_machine_that_is_too_small)
{
	fixture_build(&fixture, 1, 1);
	image = build_kernel();
	EXPECT_BAD_KERNEL(KERNEL_ENTRY_ELF64, -EFBIG, "kernel: it needs memory");
}
