/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Kernels, metadata, clocks and the power button, through the pool.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "firmware.h"
#include "guest.h"
#include "image_builder.h"
#include "pool_harness.h"
#include "snapshot/state.h"

#define CODE_OFFSET 0x1000 /* of what build_elf() puts at BUILT_ELF_GPA */
#define HOUR_NS     UINT64_C(3600000000000)

GUEST_IMAGE(devices_button);
GUEST_IMAGE(devices_firmware);
GUEST_IMAGE(devices_kernel);
GUEST_IMAGE(hello_long);

static struct harness harness;

static void set_up(void)
{
	harness_open(&harness);
}

static void tear_down(void)
{
	harness_close(&harness);
}

TestSuite(pool_platform, .init = set_up, .fini = tear_down, .timeout = 600);

/* ---- kernels ---- */

static int kernel_file(void)
{
	struct built_image kernel = build_elf();
	int file;

	memcpy(kernel.bytes + CODE_OFFSET, devices_kernel_image, devices_kernel_image_size);
	built_elf_segments(&kernel)[0].p_filesz = devices_kernel_image_size;
	file = harness_file(kernel.bytes, kernel.size);
	built_free(&kernel);
	return file;
}

static void boot_kernel(const struct pool_kernel *kernel, struct started_vm *vm)
{
	struct pool_start start = { .shape = harness_shape(1, 64), .image = -1, .kernel = kernel };

	(void)harness_start(&harness, &start, vm);
	harness_wait(&harness, &vm->answered);
}

/* It writes its command line and turns itself off. */
static void run_kernel(enum kernel_entry entry, uint8_t signal)
{
	struct pool_kernel kernel = { .image = kernel_file(), .initrd = -1, .entry = entry, .cmdline = "ember.test=1" };
	static struct started_vm vm;
	static struct asked read, press;

	boot_kernel(&kernel, &vm);
	(void)close(kernel.image);
	cr_assert_eq(vm.result.status, POOL_OK, "%s", vm.result.detail.text);
	harness_wait_signal(&harness, &vm, signal, 1);
	harness_wait(&harness, &vm.exited);
	cr_assert_str_eq(machine_exit_name((enum machine_exit)vm.exit.reason), "power_off");
	pool_vm_console_read(vm.vm, 0, MESSAGE_CONSOLE_MAX, asked_read, &read);
	harness_wait(&harness, &read.answered);
	cr_assert_eq(memcmp(read.data, "ember.test=1RSD PTR ", 20), 0);

	pool_vm_press_power_button(vm.vm, asked_done, &press);
	harness_wait(&harness, &press.answered);
	cr_assert_eq(press.result.status, POOL_REFUSED);
	cr_assert_eq(press.result.error, -ESHUTDOWN);
}

Test(pool_platform, a_kernel_boots_by_its_64_bit_entry)
{
	run_kernel(KERNEL_ENTRY_ELF64, 64);
}

Test(pool_platform, a_kernel_boots_by_its_pvh_entry)
{
	run_kernel(KERNEL_ENTRY_PVH, 32);
}

Test(pool_platform, an_initrd_is_given_with_its_kernel)
{
	struct pool_kernel kernel = { .image = kernel_file(), .entry = KERNEL_ENTRY_PVH, .cmdline = "x" };
	static struct started_vm vm, refused;

	kernel.initrd = harness_file("an initrd", 9);
	boot_kernel(&kernel, &vm);
	cr_assert_eq(vm.result.status, POOL_OK, "%s", vm.result.detail.text);
	harness_wait(&harness, &vm.exited);

	kernel.initrd = memfd_create("large", MFD_CLOEXEC);
	cr_assert_eq(ftruncate(kernel.initrd, (off_t)(65 * MIB)), 0);
	boot_kernel(&kernel, &refused);
	cr_assert_eq(refused.result.status, POOL_REFUSED);
	cr_assert_eq(refused.result.error, -EFBIG);
	cr_assert_not_null(strstr(refused.result.detail.text, "initrd"), "%s", refused.result.detail.text);
}

Test(pool_platform, what_is_no_kernel_is_refused)
{
	struct pool_kernel kernel = { .initrd = -1, .entry = KERNEL_ENTRY_PVH };
	static struct started_vm vm;

	kernel.image = harness_file(hello_long_image, hello_long_image_size);
	boot_kernel(&kernel, &vm);
	cr_assert_eq(vm.result.status, POOL_REFUSED);
	cr_assert_eq(vm.result.error, -ENOEXEC, "%s", vm.result.detail.text);

	kernel.image = kernel_file();
	kernel.entry = KERNEL_ENTRY_COUNT;
	boot_kernel(&kernel, &vm);
	cr_assert_eq(vm.result.status, POOL_REFUSED);
	cr_assert_eq(vm.result.error, -EINVAL, "%s", vm.result.detail.text);
}

/* ---- metadata ---- */

static void give_metadata(struct pool_devices *devices, const char *text)
{
	*devices = (struct pool_devices){ .has_metadata = true, .metadata_size = (uint32_t)strlen(text) };
	memcpy(devices->metadata, text, strlen(text));
}

static void ignore_written(void *opaque, const struct pool_result *result, uint32_t written)
{
	(void)written;
	asked_done(opaque, result);
}

/* Have the guest read its metadata, and find them in its memory. */
static void assert_metadata(struct started_vm *vm, const char *text)
{
	int files[2] = { harness_file("", 0), harness_file("", 0) };
	unsigned before = vm->signals[FIRMWARE_READ];
	static struct asked asked;
	char found[64];

	memset(&asked, 0, sizeof(asked));
	pool_vm_console_write(vm->vm, (const uint8_t *)"x", 1, ignore_written, &asked);
	harness_wait(&harness, &asked.answered);
	harness_wait_signal(&harness, vm, FIRMWARE_READ, before + 1);
	harness_snapshot(&harness, vm->vm, files, -1);
	cr_assert_eq(pread(files[1], found, sizeof(found), FIRMWARE_METADATA_GPA), sizeof(found));
	cr_assert_str_eq(found, text);
}

Test(pool_platform, a_guest_reads_the_metadata_of_its_start)
{
	struct machine_shape shape = harness_shape(1, 16);
	int files[2] = { harness_file("", 0), harness_file("", 0) };
	struct pool_devices devices;
	struct pool_start start = { .restore = true, .shape = shape, .image = -1 };
	static struct started_vm vm, clones[2];

	give_metadata(&devices, "{\"name\":\"first\"}");
	harness_boot_image(&harness, &shape, &devices, devices_firmware_image, devices_firmware_image_size, &vm);
	cr_assert_eq(vm.result.status, POOL_OK, "%s", vm.result.detail.text);
	harness_wait_signal(&harness, &vm, 0, 1);
	harness_snapshot(&harness, vm.vm, files, -1);
	assert_metadata(&vm, "{\"name\":\"first\"}");

	/* A clone has what its restore gives it, or else what its snapshot has. */
	start.memory = files[1];
	start.state = harness_load(&harness, files);
	give_metadata(&devices, "{}");
	for (int i = 0; i < 2; i++) {
		start.devices = i == 0 ? &devices : NULL;
		(void)harness_start(&harness, &start, &clones[i]);
		harness_wait(&harness, &clones[i].answered);
		cr_assert_eq(clones[i].result.status, POOL_OK, "%s", clones[i].result.detail.text);
	}
	assert_metadata(&clones[0], "{}");
	assert_metadata(&clones[1], "{\"name\":\"first\"}");
}

/* ---- the clock ---- */

static struct vm_state *read_state(int file)
{
	struct vm_state *state = malloc(sizeof(*state));

	cr_assert_not_null(state);
	cr_assert_eq(pread(file, state, sizeof(*state), 0), sizeof(*state));
	return state;
}

/* What the clock shows in a VM that is restored and does not run. */
static uint64_t clock_after(const struct pool_start *start)
{
	int files[2] = { harness_file("", 0), harness_file("", 0) };
	static struct started_vm vm;
	struct vm_state *state;
	uint64_t shown;

	(void)harness_start(&harness, start, &vm);
	harness_wait(&harness, &vm.answered);
	cr_assert_eq(vm.result.status, POOL_OK, "%s", vm.result.detail.text);
	harness_snapshot(&harness, vm.vm, files, -1);
	state = read_state(harness_load(&harness, files));
	shown = state->clock.clock;
	free(state);
	pool_vm_stop(vm.vm, true, "done");
	harness_wait(&harness, &vm.gone);
	return shown;
}

Test(pool_platform, a_restored_clock_goes_on_or_jumps_to_the_hosts)
{
	struct machine_shape shape = harness_shape(1, 16);
	int files[2] = { harness_file("", 0), harness_file("", 0) };
	struct pool_start start = { .restore = true, .paused = true, .shape = shape, .image = -1 };
	static struct started_vm vm;
	struct vm_state *state;

	(void)harness_boot(&harness, &shape, POOL_TEMPERATURE_ANY, 0, &vm);
	harness_wait(&harness, &vm.answered);
	harness_snapshot(&harness, vm.vm, files, -1);
	state = read_state(harness_load(&harness, files));
	/* An hour on disk. */
	state->created_unix_ns -= HOUR_NS;
	state->clock.realtime -= HOUR_NS;
	start.memory = files[1];
	start.state = harness_file(state, sizeof(*state));

	start.clock = INJECT_CLOCK_CONTINUE;
	cr_assert_lt(clock_after(&start) - state->clock.clock, HOUR_NS);
	start.clock = INJECT_CLOCK_HOST;
	cr_assert_geq(clock_after(&start) - state->clock.clock, HOUR_NS);
	free(state);
}

/* ---- the power button ---- */

Test(pool_platform, a_guest_hears_its_power_button)
{
	struct machine_shape shape = harness_shape(1, 16);
	static struct started_vm vm;
	static struct asked press;

	harness_boot_image(&harness, &shape, NULL, devices_button_image, devices_button_image_size, &vm);
	cr_assert_eq(vm.result.status, POOL_OK, "%s", vm.result.detail.text);
	harness_wait_signal(&harness, &vm, 0, 1);
	pool_vm_press_power_button(vm.vm, asked_done, &press);
	harness_wait(&harness, &press.answered);
	cr_assert_eq(press.result.status, POOL_OK, "%s", press.result.detail.text);
	harness_wait_signal(&harness, &vm, 22, 1);
	cr_assert_eq(vm.signals[22], 1);
}
