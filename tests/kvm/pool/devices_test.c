/* SPDX-License-Identifier: Apache-2.0 */
/*
 * VMs with devices, through the pool: the supervisor gives files and sockets, a worker behind its filter uses them.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "guest.h"
#include "kvm/monotonic.h"
#include "pool_harness.h"

#define SECTORS 64
#define SECTOR  INT64_C(512)

GUEST_IMAGE(hello_long);
GUEST_IMAGE(virtio_copy);
GUEST_IMAGE(virtio_use);
GUEST_IMAGE(virtio_vsock);

#define STREAMS 60 /* each with a buffer of 64 KiB in the worker; as many as may be silent there, or fewer */

static struct harness harness;

static void set_up(void)
{
	harness_open(&harness);
}

static void tear_down(void)
{
	harness_close(&harness);
}

TestSuite(pool_devices, .init = set_up, .fini = tear_down, .timeout = 600);

/* Each byte of a sector is its number, plus one: what the guests expect. */
static int disk_image(void)
{
	uint8_t bytes[SECTORS * SECTOR];

	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(i / SECTOR + 1);
	return harness_file(bytes, sizeof(bytes));
}

/* What the guests that use a disk want: an entropy device before it. */
static struct machine_shape disk_shape(void)
{
	struct machine_shape shape = harness_shape(1, 16);

	shape.disks = shape.rngs = 1;
	return shape;
}

static struct pool_devices disk_devices(int image, int base, int overlay)
{
	return (struct pool_devices){
		.drive_count = 1,
		.drives = { { .image = image, .base = base, .overlay = overlay, .serial = "test" } },
		.has_rng = true,
	};
}

Test(pool_devices, a_guest_uses_entropy_and_a_disk)
{
	struct machine_shape shape = disk_shape();
	int image = disk_image();
	struct pool_devices devices = disk_devices(image, -1, -1);
	static struct started_vm vm;
	uint8_t sector[SECTOR];

	harness_configure(&harness, &shape, 1, 2);
	harness_wait_warm(&harness, &shape, 1);
	harness_boot_image(&harness, &shape, &devices, virtio_use_image, virtio_use_image_size, &vm);
	cr_assert_eq(vm.result.status, POOL_OK, "%s", vm.result.detail.text);
	cr_assert_not(vm.started.cold, "a worker of another shape was taken");
	harness_wait_signal(&harness, &vm, 1, 1);
	cr_assert_eq(pread(image, sector, sizeof(sector), 9 * SECTOR), sizeof(sector));
	cr_assert_eq(sector[0], 0x5a);
}

/*
 * A guest that copies its disk, and says so when it finds what it did not write, is snapshotted in mid-copy, and a clone
 * of it, of which another is made: each goes on with the disk that it had, over one image.
 */
Test(pool_devices, overlays_are_kept_with_a_snapshot_and_clones_go_on_with_them)
{
	struct machine_shape shape = disk_shape();
	int image = disk_image();
	struct pool_devices devices = disk_devices(image, -1, harness_file("", 0));
	static struct started_vm vms[3];
	uint8_t sector[SECTOR];

	harness_boot_image(&harness, &shape, &devices, virtio_copy_image, virtio_copy_image_size, &vms[0]);
	cr_assert_eq(vms[0].result.status, POOL_OK, "%s", vms[0].result.detail.text);
	for (int i = 1; i < 3; i++) {
		int files[2] = { harness_file("", 0), harness_file("", 0) };
		int overlay = harness_file("", 0);
		struct pool_start start = { .restore = true, .shape = shape, .image = -1, .devices = &devices };

		harness_wait_signal(&harness, &vms[i - 1], 2, 2);
		harness_snapshot(&harness, vms[i - 1].vm, files, overlay);
		cr_assert_gt(lseek(overlay, 0, SEEK_END), SECTORS * SECTOR, "there is a header before its bytes");
		devices = disk_devices(image, overlay, harness_file("", 0));
		start.memory = files[1];
		start.state = harness_load(&harness, files);
		(void)harness_start(&harness, &start, &vms[i]);
		harness_wait(&harness, &vms[i].answered);
		cr_assert_eq(vms[i].result.status, POOL_OK, "%s", vms[i].result.detail.text);
		cr_assert_neq(vms[i].started.phases_ns[MESSAGE_PHASE_DEVICE_STATE], MESSAGE_PHASE_NONE);
	}
	for (int i = 0; i < 3; i++) {
		unsigned before = vms[i].signals[2];

		harness_wait_signal(&harness, &vms[i], 2, before + 2);
		cr_assert_eq(vms[i].signals[3], 0, "VM %d found something else than was written", i);
	}
	cr_assert_eq(pread(image, sector, sizeof(sector), (SECTORS - 1) * SECTOR), sizeof(sector));
	cr_assert_eq(sector[0], SECTORS, "the image was written");
}

Test(pool_devices, a_disk_that_is_written_in_place_has_no_overlay_to_keep)
{
	struct machine_shape shape = disk_shape();
	struct pool_devices devices = disk_devices(disk_image(), -1, -1);
	struct pool_snapshot snapshot = { .state_file = harness_file("", 0),
					  .memory_file = harness_file("", 0),
					  .resume = true,
					  .overlays = { harness_file("", 0) } };
	static struct started_vm vm;
	static struct asked asked;

	harness_boot_image(&harness, &shape, &devices, virtio_copy_image, virtio_copy_image_size, &vm);
	cr_assert_eq(vm.result.status, POOL_OK, "%s", vm.result.detail.text);
	pool_vm_snapshot(vm.vm, &snapshot, NULL, asked_snapshot, &asked);
	harness_wait(&harness, &asked.answered);
	cr_assert_eq(asked.result.status, POOL_REFUSED);
	cr_assert_eq(asked.result.error, -EOPNOTSUPP);
	cr_assert_eq(strncmp(asked.result.detail.text, "drives[0]: ", 11), 0, "%s", asked.result.detail.text);
	harness_wait_signal(&harness, &vm, 2, vm.signals[2] + 1); /* it goes on */
}

/* ---- what is refused ---- */

static void refused(const struct machine_shape *shape, const struct pool_devices *devices, const char *name)
{
	static struct started_vm vm;

	harness_boot_image(&harness, shape, devices, hello_long_image, hello_long_image_size, &vm);
	cr_assert_eq(vm.result.status, POOL_REFUSED, "%s", vm.result.detail.text);
	cr_assert_lt(vm.result.error, 0);
	cr_assert_eq(strncmp(vm.result.detail.text, name, strlen(name)), 0, "%s", vm.result.detail.text);
	cr_assert_gt(strlen(vm.result.detail.text), strlen(name));
}

Test(pool_devices, what_a_device_refuses_is_told_with_its_name)
{
	struct machine_shape shape = harness_shape(1, 16);
	struct pool_devices devices = { .drive_count = 2 };
	int image = disk_image();

	shape.disks = 2;
	devices.drives[0] = (struct pool_drive){ .image = image, .base = -1, .overlay = -1 };
	devices.drives[1] = (struct pool_drive){ .image = harness_file("odd", 3), .base = -1, .overlay = -1 };
	refused(&shape, &devices, "drives[1]: image: ");
	devices.drives[1] = (struct pool_drive){ .image = image, .base = -1, .overlay = harness_file("odd", 3) };
	refused(&shape, &devices, "drives[1]: overlay: ");

	shape.disks = 0;
	shape.nets = 1;
	devices = (struct pool_devices){ .net_count = 1, .nets = { { .tap = image, .mac = { 1 } } } };
	refused(&shape, &devices, "net[0]: ");

	shape.nets = 0;
	shape.vsocks = 1;
	devices = (struct pool_devices){ .has_vsock = true, .vsock = { .listener = -1, .cid = 2 } };
	refused(&shape, &devices, "vsock: ");

	shape.vsocks = 0;
	shape.balloons = 1;
	devices = (struct pool_devices){ .has_balloon = true, .balloon = { .target_mib = 17 } };
	refused(&shape, &devices, "balloon: ");
	devices.balloon.target_mib = UINT32_MAX;
	refused(&shape, &devices, "balloon: ");
	cr_assert_eq(harness.events[POOL_EVENT_SHAPE_BACKOFF], 0, "no shape is to blame");
}

/* ---- the balloon ---- */

static void ask_balloon(struct pool_vm *vm, const uint32_t *target_mib, struct asked *asked)
{
	memset(asked, 0, sizeof(*asked));
	pool_vm_balloon(vm, target_mib, asked_balloon, asked);
	harness_wait(&harness, &asked->answered);
}

Test(pool_devices, a_balloons_target_is_set_and_told)
{
	struct machine_shape shape = harness_shape(1, 16);
	struct pool_devices devices = { .has_balloon = true, .balloon = { .target_mib = 3 } };
	const uint32_t five = 5, too_many[] = { 17, UINT32_MAX };
	static struct started_vm vm;
	static struct asked asked;

	shape.balloons = 1;
	harness_boot_image(&harness, &shape, &devices, hello_long_image, hello_long_image_size, &vm);
	cr_assert_eq(vm.result.status, POOL_OK, "%s", vm.result.detail.text);
	ask_balloon(vm.vm, NULL, &asked);
	cr_assert_eq(asked.result.status, POOL_OK, "%s", asked.result.detail.text);
	cr_assert_eq(asked.balloon.target_bytes, 3 * MIB);
	ask_balloon(vm.vm, &five, &asked);
	cr_assert_eq(asked.balloon.target_bytes, 5 * MIB);
	cr_assert_eq(asked.balloon.actual_bytes, 0, "the guest has no driver");
	cr_assert_eq(asked.balloon.statistics_ns, 0);
	for (int i = 0; i < 2; i++) {
		ask_balloon(vm.vm, &too_many[i], &asked);
		cr_assert_eq(asked.result.status, POOL_REFUSED);
		cr_assert_eq(asked.result.error, -EINVAL);
	}
	ask_balloon(vm.vm, NULL, &asked);
	cr_assert_eq(asked.balloon.target_bytes, 5 * MIB, "what was refused changed nothing");
}

Test(pool_devices, a_machine_without_a_balloon_says_so)
{
	struct machine_shape shape = harness_shape(1, 16);
	static struct started_vm vm;
	static struct asked asked;

	(void)harness_boot(&harness, &shape, POOL_TEMPERATURE_ANY, 0, &vm);
	harness_wait(&harness, &vm.answered);
	ask_balloon(vm.vm, NULL, &asked);
	cr_assert_eq(asked.result.status, POOL_REFUSED);
	cr_assert_eq(asked.result.error, -ENODEV);
	cr_assert_eq(strncmp(asked.result.detail.text, "balloon: ", 9), 0, "%s", asked.result.detail.text);
}

/* ---- the vsock ---- */

/* A listening socket that has no name in any folder, and its address. */
static int listen_somewhere(struct sockaddr_un *ret_address, socklen_t *ret_size)
{
	int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	*ret_address = (struct sockaddr_un){ .sun_family = AF_UNIX };
	cr_assert_eq(bind(listener, (struct sockaddr *)ret_address, sizeof(sa_family_t)), 0); /* the kernel names it */
	*ret_size = sizeof(*ret_address);
	cr_assert_eq(getsockname(listener, (struct sockaddr *)ret_address, ret_size), 0);
	cr_assert_eq(listen(listener, 8), 0);
	return listener;
}

static void wait_connect(struct started_vm *vm, unsigned count)
{
	uint64_t until = monotonic_ns() + UINT64_C(30000000000);

	while (vm->connects < count && monotonic_ns() < until)
		harness_turn(&harness, 2);
	cr_assert_geq(vm->connects, count, "%s", harness.last_error);
}

/* Exactly these bytes come next. */
static void expect(int fd, const char *text)
{
	char bytes[64] = "";

	cr_assert_eq(recv(fd, bytes, strlen(text), MSG_WAITALL), (ssize_t)strlen(text));
	cr_assert_str_eq(bytes, text);
}

/* Ask the guest for a stream, by the convention for its listener. */
static int connect_to_guest(const struct sockaddr_un *address, socklen_t size)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	char answer[32] = "";
	size_t length = 0;

	cr_assert_eq(connect(fd, (const struct sockaddr *)address, size), 0);
	cr_assert_eq(write(fd, "CONNECT 7000\n", 13), 13);
	do {
		cr_assert_eq(read(fd, answer + length, 1), 1, "after \"%s\"", answer);
	} while (answer[length++] != '\n' && length < sizeof(answer) - 1);
	cr_assert_eq(strncmp(answer, "OK ", 3), 0, "%s", answer);
	return fd;
}

static void answer_ping(struct started_vm *vm)
{
	int ends[2];

	wait_connect(vm, 1);
	cr_assert_eq(vm->connect_port, 5000);
	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends), 0);
	cr_assert_eq(fcntl(ends[0], F_SETFL, 0), 0);
	cr_assert_eq(pool_vm_vsock_connected(vm->vm, vm->connect_cookie, ends[1]), 0);
	(void)close(ends[1]);
	expect(ends[0], "ping");
	cr_assert_eq(write(ends[0], "pong", 4), 4);
	harness_wait_signal(&harness, vm, 1, 1);
	(void)close(ends[0]);
}

/* A VM whose guest calls the host, and echoes what comes by streams to it. */
static void boot_streams(struct started_vm *vm, struct sockaddr_un *ret_address, socklen_t *ret_size)
{
	struct machine_shape shape = harness_shape(1, 16);
	struct pool_devices devices = { .has_vsock = true,
					.vsock = { .listener = listen_somewhere(ret_address, ret_size), .cid = 42 } };

	shape.vsocks = 1;
	harness_boot_image(&harness, &shape, &devices, virtio_vsock_image, virtio_vsock_image_size, vm);
	(void)close(devices.vsock.listener);
	cr_assert_eq(vm->result.status, POOL_OK, "%s", vm->result.detail.text);
	answer_ping(vm);
}

Test(pool_devices, streams_go_both_ways_and_a_flood_of_them_harms_nobody)
{
	struct sockaddr_un address;
	socklen_t address_size;
	static struct started_vm vm;
	int stream;

	boot_streams(&vm, &address, &address_size);

	wait_connect(&vm, 2);
	cr_assert_eq(vm.connect_port, 5001);
	cr_assert_eq(pool_vm_vsock_connected(vm.vm, vm.connect_cookie + 1000, -1), 0, "nobody's cookie is ignored");
	cr_assert_eq(pool_vm_vsock_connected(vm.vm, vm.connect_cookie, -1), 0);
	harness_wait_signal(&harness, &vm, 2, 1);

	/* Thousands are asked for and dropped; the supervisor sees what tokens allow, and the worker lives. */
	harness_wait_signal(&harness, &vm, 3, 1);
	stream = connect_to_guest(&address, address_size);
	cr_assert_eq(write(stream, "flood", 5), 5);
	harness_wait_signal(&harness, &vm, 4, 1);
	(void)close(stream);
	cr_assert_eq(harness.events[POOL_EVENT_WORKER_LIED], 0, "%s", harness.last_error);
	stream = connect_to_guest(&address, address_size);
	cr_assert_eq(write(stream, "hello", 5), 5);
	expect(stream, "hello");
	(void)close(stream);
}

/* The guest's request is answered even so: with a refusal, not with silence. */
Test(pool_devices, a_socket_that_cannot_be_passed_on_refuses_the_guest)
{
	struct sockaddr_un address;
	socklen_t address_size;
	static struct started_vm vm;

	boot_streams(&vm, &address, &address_size);
	wait_connect(&vm, 2);
	cr_assert_eq(pool_vm_vsock_connected(vm.vm, vm.connect_cookie, INT_MAX), -EBADF);
	harness_wait_signal(&harness, &vm, 2, 1);
}

/* What streams take of memory goes back to the host when they end together: the worker may open nothing for that. */
Test(pool_devices, streams_that_end_at_once_end_nobody_else)
{
	struct sockaddr_un address;
	socklen_t address_size;
	static struct started_vm vm;
	int streams[STREAMS], stream;

	boot_streams(&vm, &address, &address_size);
	wait_connect(&vm, 2);
	cr_assert_eq(pool_vm_vsock_connected(vm.vm, vm.connect_cookie, -1), 0);
	harness_wait_signal(&harness, &vm, 3, 1);

	for (int round = 0; round < 3; round++) {
		for (int i = 0; i < STREAMS; i++) {
			streams[i] = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
			cr_assert_eq(connect(streams[i], (const struct sockaddr *)&address, address_size), 0);
		}
		stream = connect_to_guest(&address, address_size); /* those before it have been taken */
		for (int i = 0; i < STREAMS; i++)
			(void)close(streams[i]);
		(void)close(stream);
	}
	stream = connect_to_guest(&address, address_size);
	cr_assert_eq(write(stream, "hello", 5), 5);
	expect(stream, "hello");
	(void)close(stream);
}
