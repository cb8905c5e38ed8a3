/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Machines with devices, among liars (tests/unit/pool/impostor.c): connections, balloons, overlays, and starts that break off.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "liars.h"

TestSuite(hostile_devices, .timeout = 600);

/* A machine with a device of each kind that needs nothing of the host. */
static struct machine_shape shape_with_devices(void)
{
	struct machine_shape shape = harness_shape(1, 16);

	shape.vsocks = shape.rngs = shape.balloons = 1;
	return shape;
}

static struct pool_vm *start_with_devices(struct started_vm *vm)
{
	static const struct pool_devices devices = {
		.has_vsock = true,
		.vsock = { .listener = -1, .cid = 3 },
		.has_rng = true,
		.has_balloon = true,
	};
	struct pool_start start = {
		.shape = shape_with_devices(),
		.image = harness_file("x", 1),
		.devices = &devices,
	};

	(void)harness_start(&harness, &start, vm);
	(void)close(start.image);
	harness_wait(&harness, &vm->answered);
	cr_assert_eq(vm->result.status, POOL_OK, "%s", vm->result.detail.text);
	return vm->vm;
}

Test(hostile_devices, a_worker_that_connects_and_connects)
{
	static struct started_vm vm;

	open_with("worker=connects_and_connects");
	(void)start_with_devices(&vm);
	harness_wait(&harness, &vm.gone);
	cr_assert_eq(harness.events[POOL_EVENT_WORKER_LIED], 1);
	cr_assert_lt(vm.connects, 10000, "a flood is found out, not served");
	close_and_count();
}

static void lies_about_its_balloon(const char *ways)
{
	const uint32_t target = 16;
	static struct started_vm vm;
	static struct asked asked;

	open_with(ways);
	(void)start_with_devices(&vm);
	pool_vm_balloon(vm.vm, &target, asked_balloon, &asked);
	harness_wait(&harness, &vm.gone);
	cr_assert(asked.answered);
	cr_assert_eq(asked.result.status, POOL_WORKER_DIED);
	cr_assert_eq(harness.events[POOL_EVENT_WORKER_LIED], 1, "%s", ways);
	close_and_count();
}

#define LIES_ABOUT_ITS_BALLOON(way)                     \
	Test(hostile_devices, a_worker_that_##way)      \
	{                                               \
		lies_about_its_balloon("worker=" #way); \
	}
LIES_ABOUT_ITS_BALLOON(wants_more_than_there_is)
LIES_ABOUT_ITS_BALLOON(has_more_pages_than_fit)
LIES_ABOUT_ITS_BALLOON(knows_tomorrow)
LIES_ABOUT_ITS_BALLOON(knows_an_eleventh)

Test(hostile_devices, a_balloon_whose_guest_exaggerates_is_no_lie)
{
	const uint32_t target = 16;
	static struct started_vm vm;
	static struct asked asked;

	open_with("");
	(void)start_with_devices(&vm);
	pool_vm_balloon(vm.vm, &target, asked_balloon, &asked);
	harness_wait(&harness, &asked.answered);
	cr_assert_eq(asked.result.status, POOL_OK, "%s", asked.result.detail.text);
	cr_assert_eq(asked.balloon.target_bytes, 16 * MIB);
	close_and_count();
}

/* ---- starts that cannot be told in full ---- */

/* As little room as can be for what we send. */
static void shrink_channels(void)
{
	const int least = 1;

	for (int fd = 0; fd < 1024; fd++) {
		int type;
		socklen_t size = sizeof(type);

		if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0 && type == SOCK_SEQPACKET)
			cr_assert_eq(setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &least, sizeof(least)), 0);
	}
}

static struct pool_request *start_with_drives(const struct machine_shape *shape, struct started_vm *vm)
{
	struct pool_devices devices = { .drive_count = shape->disks };
	struct pool_start start = { .shape = *shape, .image = harness_file("x", 1), .devices = &devices };
	struct pool_request *request;

	for (uint32_t i = 0; i < shape->disks; i++)
		devices.drives[i] =
			(struct pool_drive){ .image = start.image, .base = start.image, .overlay = start.image };
	request = harness_start(&harness, &start, vm);
	(void)close(start.image);
	return request;
}

Test(hostile_devices, a_worker_that_was_told_a_part_of_a_start_is_given_up)
{
	struct machine_shape shape = harness_shape(1, 16);
	static struct started_vm half, whole;
	unsigned before;

	shape.disks = MACHINE_DISKS_MAX;
	open_with("");
	harness_configure(&harness, &shape, 1, 1);
	harness_wait_warm(&harness, &shape, 1);
	before = open_files();
	cr_assert_eq(kill(warm_pid(), SIGSTOP), 0);
	shrink_channels();
	(void)start_with_drives(&shape, &half);
	cr_assert_eq(harness_status(&harness, &shape).warm, 0, "nobody else is given it");
	harness_wait(&harness, &half.answered);
	cr_assert_eq(half.result.status, POOL_EXHAUSTED, "%s", half.result.detail.text);
	cr_assert_eq(half.result.error, -EAGAIN);

	/* Another takes its place, at once: the shape is not to blame. */
	harness_wait_warm(&harness, &shape, 1);
	cr_assert_eq(harness.events[POOL_EVENT_WORKER_ENDED], 1);
	cr_assert_eq(harness.events[POOL_EVENT_SHAPE_BACKOFF], 0);
	cr_assert_eq(harness_status(&harness, &shape).failures, 0);
	cr_assert_eq(open_files(), before, "what the request kept is closed");
	(void)start_with_drives(&shape, &whole);
	harness_wait(&harness, &whole.answered);
	cr_assert_eq(whole.result.status, POOL_OK, "%s", whole.result.detail.text);
	close_and_count();
}

Test(hostile_devices, a_cold_start_that_breaks_off_is_answered_once)
{
	struct machine_shape shape = harness_shape(1, 16);
	static struct started_vm vm;
	struct pool_request *request;

	shape.disks = MACHINE_DISKS_MAX;
	open_with("worker=leaves_when_warm"); /* which stands still first */
	harness_configure(&harness, &shape, 0, 1);
	request = start_with_drives(&shape, &vm);
	while (!vm.answered) {
		shrink_channels();
		(void)event_base_loop(harness.base, EVLOOP_ONCE);
	}
	cr_assert_not_null(request);
	cr_assert_eq(vm.result.status, POOL_EXHAUSTED, "%s", vm.result.detail.text);
	wait_for_event(POOL_EVENT_WORKER_ENDED, 1);
	close_and_count();
}

static void refused_at_once(const struct machine_shape *shape, const struct pool_devices *devices, const char *name)
{
	struct pool_start start = { .shape = *shape, .image = harness_file("x", 1), .devices = devices };
	static struct started_vm vm;

	(void)harness_start(&harness, &start, &vm);
	(void)close(start.image);
	harness_wait(&harness, &vm.answered);
	cr_assert_eq(vm.result.status, POOL_REFUSED);
	cr_assert_eq(vm.result.error, -EINVAL);
	cr_assert_eq(strncmp(vm.result.detail.text, name, strlen(name)), 0, "%s: %s", name, vm.result.detail.text);
}

Test(hostile_devices, devices_that_are_not_the_shapes_are_refused)
{
	struct machine_shape shape = harness_shape(1, 16);
	struct pool_devices devices = { .has_rng = true };

	open_with("");
	refused_at_once(&shape, &devices, "rng");
	shape.rngs = 1;
	refused_at_once(&shape, NULL, "rng");
	devices.has_vsock = true;
	refused_at_once(&shape, &devices, "vsock");
	shape.vsocks = shape.balloons = 1;
	refused_at_once(&shape, &devices, "balloon");
	devices.has_balloon = true;
	devices.net_count = 1;
	refused_at_once(&shape, &devices, "net");
	devices.drive_count = UINT32_MAX;
	refused_at_once(&shape, &devices, "drives");
	devices.drive_count = shape.disks = 1;
	devices.net_count = 0;
	memset(devices.drives[0].serial, 'x', sizeof(devices.drives[0].serial));
	refused_at_once(&shape, &devices, "drives[0]: serial");
	devices.drives[0].serial[0] = '\0';
	devices.drives[0].image = -1;
	refused_at_once(&shape, &devices, "a file is missing");
	devices.metadata_size = POOL_METADATA_SIZE + 1;
	refused_at_once(&shape, &devices, "metadata");
	close_and_count();
}

Test(hostile_devices, a_snapshot_with_overlays_has_more_to_do_but_an_end)
{
	static struct started_vm vm;
	static struct asked asked;
	struct machine_shape shape = harness_shape(1, 16);
	struct pool_snapshot snapshot = {
		.state_file = memfd_create("state.json", MFD_CLOEXEC),
		.memory_file = memfd_create("memory.snap", MFD_CLOEXEC),
	};

	shape.disks = 2;
	snapshot.overlays[0] = -1;
	snapshot.overlays[1] = memfd_create("overlay", MFD_CLOEXEC);
	open_with("worker=has_more_to_do");
	(void)start_with_drives(&shape, &vm);
	harness_wait(&harness, &vm.answered);
	pool_vm_snapshot(vm.vm, &snapshot, NULL, asked_snapshot, &asked);
	harness_wait(&harness, &asked.answered);
	cr_assert_eq(asked.result.status, POOL_OK, "%s", asked.result.detail.text);
	close_and_count();

	open_with("worker=has_no_end");
	(void)start_with_drives(&shape, &vm);
	harness_wait(&harness, &vm.answered);
	memset(&asked, 0, sizeof(asked));
	pool_vm_snapshot(vm.vm, &snapshot, NULL, asked_snapshot, &asked);
	harness_wait(&harness, &asked.answered);
	cr_assert_eq(asked.result.status, POOL_WORKER_DIED);
	cr_assert_eq(harness.events[POOL_EVENT_WORKER_LIED], 1);
	close_and_count();
}
