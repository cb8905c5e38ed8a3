/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Virtio devices on this host's KVM: interrupts by irqfd, notifications by ioeventfd, and a disk that is copied while
 * its machine is paused, saved, and goes on in another.
 */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "devices/virtio/blk/blk.h"
#include "devices/virtio/mmio.h"
#include "devices/virtio/rng.h"
#include "fixture.h"
#include "virtio_steps.h"

#define SECTORS    64
#define MEMORY_MIB 4

GUEST_IMAGE(virtio_use);
GUEST_IMAGE(virtio_copy);

static struct fixture source, target;
static int image = -1;

static void set_up(void)
{
	image = memfd_create("image", MFD_CLOEXEC);
	for (int i = 0; i < SECTORS; i++) {
		uint8_t sector[512];

		memset(sector, i + 1, sizeof(sector));
		cr_assert_eq(write(image, sector, sizeof(sector)), sizeof(sector));
	}
}

static void tear_down(void)
{
	if (source.machine)
		fixture_end(&source);
	if (target.machine)
		fixture_end(&target);
	close(image);
}

TestSuite(machine_virtio, .init = set_up, .fini = tear_down);

/* A machine with an entropy device and a disk. */
static void build(struct fixture *fixture, int overlay)
{
	const struct virtio_blk_options disk = {
		.disk = { .image = dup(image), .base = -1, .overlay = overlay },
		.serial = "test",
	};
	const struct machine_shape shape = {
		.vcpus = 1,
		.memory_size = (uint64_t)MEMORY_MIB << 20,
		.disks = 1,
		.rngs = 1,
	};
	struct error_detail detail = { 0 };

	fixture_build_shape(fixture, &shape);
	cr_assert_eq(virtio_rng_configure(fixture->machine->rngs[0], NULL), 0);
	cr_assert_eq(virtio_blk_configure(fixture->machine->disks[0], &disk, &detail), 0, "%s", detail.text);
}

Test(machine_virtio, a_guest_uses_entropy_and_a_disk)
{
	uint8_t sector[512];

	build(&source, -1);
	virtio_steps_boot(&source, virtio_use_image, virtio_use_image_size);
	virtio_steps_wait_for_success(&source);
	cr_assert_eq(pread(image, sector, sizeof(sector), 9 * 512), sizeof(sector));
	cr_assert_eq(sector[0], 0x5a);
	cr_assert_eq(sector[511], 0x5a);
}

Test(machine_virtio, devices_have_windows_and_lines_in_order)
{
	build(&source, -1);
	cr_assert_eq(source.machine->window_count, 2);
	for (uint32_t i = 0; i < 2; i++) {
		cr_assert_eq(source.machine->windows[i].base, VIRTIO_MMIO_WINDOWS_BASE + i * VIRTIO_MMIO_WINDOW);
		cr_assert_eq(source.machine->windows[i].gsi, VIRTIO_MMIO_GSI_BASE + i);
	}
	cr_assert_eq(source.machine->windows[1].device, virtio_blk_device(source.machine->disks[0]));
}

Test(machine_virtio, shapes_with_too_many_devices_are_refused)
{
	struct machine_shape shape = { .vcpus = 1, .memory_size = 1 << 20, .disks = MACHINE_DISKS_MAX + 1 };
	struct error_detail detail = { 0 };

	cr_assert_lt(machine_shape_check(&shape, &detail), 0);
	cr_assert_not_null(strstr(detail.text, "disks"));
	shape.disks = MACHINE_DISKS_MAX;
	cr_assert_eq(machine_shape_check(&shape, &detail), 0);
	shape.rngs = MACHINE_RNGS_MAX + 1;
	cr_assert_lt(machine_shape_check(&shape, &detail), 0);
	cr_assert_not_null(strstr(detail.text, "rngs"));
	shape.rngs = 0;
	shape.balloons = MACHINE_BALLOONS_MAX + 1;
	cr_assert_lt(machine_shape_check(&shape, &detail), 0);
	cr_assert_not_null(strstr(detail.text, "balloons"));
}

/* How a pause asked the machine's devices to stop: 'h' for each hold, 'd' for each drain. */
static char asked[16];

static void note(char what)
{
	size_t length = strlen(asked);

	cr_assert_lt(length + 1, sizeof(asked));
	asked[length] = what;
}

static void noted_hold(struct device *device)
{
	note('h');
	virtio_hold(device);
}

static int noted_drain(struct device *device)
{
	note('d');
	return virtio_drain(device);
}

/* While one device is waited for, no other takes new requests. */
Test(machine_virtio, a_pause_holds_all_devices_before_it_waits_for_one)
{
	static struct device_ops ops[2];

	build(&source, -1);
	for (uint32_t i = 0; i < 2; i++) {
		struct device *device = &source.machine->windows[i].device->device;

		ops[i] = *device->ops;
		ops[i].hold = noted_hold;
		ops[i].drain = noted_drain;
		device->ops = &ops[i];
	}
	virtio_steps_boot(&source, virtio_copy_image, virtio_copy_image_size);
	fixture_wait_signal(&source, 0, 1);
	machine_pause(source.machine);
	cr_assert_str_eq(asked, "hhdd");
}

/* An overlay's file as it is now, for another machine. */
static int copy_file(int file)
{
	int copy = memfd_create("copy", MFD_CLOEXEC);
	off_t size = lseek(file, 0, SEEK_END);
	uint8_t *bytes = malloc((size_t)size);

	cr_assert_eq(pread(file, bytes, (size_t)size, 0), size);
	cr_assert_eq(write(copy, bytes, (size_t)size), size);
	free(bytes);
	return copy;
}

/* A snapshot of a paused machine in another that is like it. */
static void move(struct fixture *from, struct fixture *to, int overlay)
{
	build(to, copy_file(overlay));
	virtio_steps_move(from, to);
}

/*
 * In the middle of a copy, again and again: nothing is lost and nothing done twice, in the clone and in the original.
 */
Test(machine_virtio, a_disk_is_copied_through_snapshots, .timeout = 600)
{
	uint8_t before[SECTORS * 512];
	uint8_t after[SECTORS * 512];
	int overlay = memfd_create("overlay", MFD_CLOEXEC);

	cr_assert_eq(pread(image, before, sizeof(before), 0), sizeof(before));
	build(&source, dup(overlay));
	virtio_steps_boot(&source, virtio_copy_image, virtio_copy_image_size);
	fixture_wait_signal(&source, 0, 1);
	for (uint64_t i = 0; i < 12; i++) {
		fixture_wait_signal(&source, 2, i + 1);
		usleep((useconds_t)(i * 700));
		machine_pause(source.machine);
		move(&source, &target, overlay);

		cr_assert_eq(machine_run(target.machine), 0);
		fixture_wait_signal(&target, 2, 3);
		cr_assert_eq(fixture_signals(&target, 3), 0, "the clone found something else than was written");
		fixture_end(&target);
		target.machine = NULL;

		cr_assert_eq(machine_run(source.machine), 0);
	}
	fixture_wait_signal(&source, 2, 15);
	cr_assert_eq(fixture_signals(&source, 3), 0);
	cr_assert_eq(pread(image, after, sizeof(after), 0), sizeof(after));
	cr_assert_arr_eq(after, before, sizeof(before));
}
