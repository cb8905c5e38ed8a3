/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A worker that gathers what its VM is given: in order, each once, no more than its machine has.
 */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "pool/process/worker_private.h"

static struct machine machine;
static struct worker worker;
static struct message message;

static void set_up(void)
{
	machine.shape =
		(struct machine_shape){ .vcpus = 1, .disks = 2, .rngs = 1, .vsocks = 1, .nets = 2, .balloons = 1 };
	worker.machine = &machine;
	worker_forget_overlays(&worker.overlays);
}

TestSuite(worker_devices, .init = set_up);

/* Give what is in message, with as many descriptors as it takes. */
static bool gather(enum message_type type)
{
	bool taken;

	message.header.type = (uint16_t)type;
	message.fd_count = message_table[type].fd_count;
	for (uint32_t i = 0; i < MESSAGE_FDS_MAX; i++)
		message.fds[i] = i < message.fd_count ? fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 0) : -1;
	taken = type == MESSAGE_SNAPSHOT_OVERLAY ? worker_gather_overlay(&worker, &message)
						 : worker_gather(&worker, &message);
	message_close_fds(&message);
	return taken;
}

static bool gather_drive(uint32_t index)
{
	message.payload.drive = (struct message_drive){ .index = index, .serial = "s", .read_only = 1 };
	return gather(MESSAGE_DRIVE);
}

static bool gather_layer(uint32_t index, uint32_t layer)
{
	message.payload.drive_overlay = (struct message_drive_overlay){ .index = index, .layer = layer };
	return gather(MESSAGE_DRIVE_OVERLAY);
}

static bool gather_net(uint32_t index)
{
	message.payload.net = (struct message_net){ .index = index, .mac = { 2, 0, 0, 0, 0, 9 } };
	return gather(MESSAGE_NET);
}

static bool is_open(int fd)
{
	return fcntl(fd, F_GETFD) >= 0;
}

Test(worker_devices, all_that_the_machine_has_is_gathered)
{
	const struct pool_devices *devices = &worker.devices;

	cr_assert(gather_drive(0));
	cr_assert(gather_layer(0, MESSAGE_LAYER_BASE));
	cr_assert(gather_layer(0, MESSAGE_LAYER_OVERLAY));
	cr_assert(gather_drive(1));
	cr_assert(gather_net(0));
	cr_assert(gather_net(1));
	message.payload.vsock = (struct message_vsock){ .cid = 77 };
	cr_assert(gather(MESSAGE_VSOCK));
	message.payload.rng = (struct rate_limit_options){ .bytes.per_second = 5 };
	cr_assert(gather(MESSAGE_RNG));
	cr_assert_not(worker_has_gathered(&worker), "the balloon is missing");
	message.payload.balloon = (struct message_balloon){ .deflate_on_oom = 1, .target_mib = 3 };
	cr_assert(gather(MESSAGE_BALLOON));
	cr_assert(worker_has_gathered(&worker));

	cr_assert(is_open(devices->drives[0].image) && is_open(devices->drives[0].base) &&
		  is_open(devices->drives[0].overlay) && is_open(devices->drives[1].image));
	cr_assert_eq(devices->drives[1].base, -1);
	cr_assert_eq(devices->drives[1].overlay, -1);
	cr_assert(devices->drives[0].read_only);
	cr_assert_str_eq(devices->drives[0].serial, "s");
	cr_assert(is_open(devices->nets[1].tap));
	cr_assert_eq(devices->nets[1].mac[5], 9);
	cr_assert(is_open(devices->vsock.listener));
	cr_assert_eq(devices->vsock.cid, 77);
	cr_assert_eq(devices->rng.bytes.per_second, 5);
	cr_assert(devices->balloon.deflate_on_oom && !devices->balloon.free_page_reporting);
	cr_assert_eq(devices->balloon.target_mib, 3);
}

Test(worker_devices, indices_come_in_order_and_end_with_the_machines)
{
	cr_assert_not(gather_drive(1));
	cr_assert(gather_drive(0));
	cr_assert_not(gather_drive(0));
	cr_assert(gather_drive(1));
	cr_assert_not(gather_drive(2));
	cr_assert_not(gather_drive(UINT32_MAX));
	cr_assert_not(gather_net(1));
	cr_assert(gather_net(0));
	cr_assert(gather_net(1));
	cr_assert_not(gather_net(2));
}

Test(worker_devices, layers_are_of_the_last_drive_and_each_comes_once)
{
	cr_assert_not(gather_layer(0, MESSAGE_LAYER_BASE), "there is no drive");
	cr_assert(gather_drive(0));
	cr_assert_not(gather_layer(1, MESSAGE_LAYER_BASE));
	cr_assert_not(gather_layer(0, MESSAGE_LAYER_COUNT));
	cr_assert(gather_layer(0, MESSAGE_LAYER_OVERLAY));
	cr_assert_not(gather_layer(0, MESSAGE_LAYER_OVERLAY));
	cr_assert(gather_drive(1));
	cr_assert_not(gather_layer(0, MESSAGE_LAYER_BASE), "that drive's turn is over");
}

Test(worker_devices, what_there_is_one_of_comes_once)
{
	static const enum message_type types[] = { MESSAGE_VSOCK, MESSAGE_RNG, MESSAGE_BALLOON, MESSAGE_METADATA };

	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		memset(&message.payload, 0, sizeof(message.payload));
		cr_assert(gather(types[i]), "%s", message_table[types[i]].name);
		cr_assert_not(gather(types[i]), "%s", message_table[types[i]].name);
	}
	cr_assert_not(gather(MESSAGE_VSOCK_NO_LISTENER));
}

Test(worker_devices, what_the_machine_has_not_got_is_not_taken)
{
	static const enum message_type types[] = { MESSAGE_VSOCK, MESSAGE_VSOCK_NO_LISTENER, MESSAGE_RNG,
						   MESSAGE_BALLOON };

	machine.shape = (struct machine_shape){ .vcpus = 1 };
	cr_assert(worker_has_gathered(&worker));
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
		cr_assert_not(gather(types[i]), "%s", message_table[types[i]].name);
	cr_assert_not(gather_drive(0));
	cr_assert_not(gather_net(0));
	cr_assert_not(gather(MESSAGE_PAUSE), "no device");
}

Test(worker_devices, a_vsock_may_have_no_listener)
{
	message.payload.vsock = (struct message_vsock){ .cid = 3 };
	cr_assert(gather(MESSAGE_VSOCK_NO_LISTENER));
	cr_assert_eq(worker.devices.vsock.listener, -1);
}

Test(worker_devices, texts_end_and_sizes_are_kept)
{
	memset(&message.payload, 'x', sizeof(message.payload));
	message.payload.drive.index = 0;
	cr_assert_not(gather(MESSAGE_DRIVE));
	cr_assert_not(gather(MESSAGE_KERNEL));
	message.payload.metadata.size = POOL_METADATA_SIZE + 1;
	cr_assert_not(gather(MESSAGE_METADATA));
	message.payload.metadata.size = POOL_METADATA_SIZE;
	cr_assert(gather(MESSAGE_METADATA));
	cr_assert_eq(worker.devices.metadata[POOL_METADATA_SIZE - 1], 'x');
}

Test(worker_devices, an_initrd_follows_its_kernel)
{
	cr_assert_not(gather(MESSAGE_INITRD));
	cr_assert(gather(MESSAGE_KERNEL));
	cr_assert_not(gather(MESSAGE_KERNEL));
	cr_assert(gather(MESSAGE_INITRD));
	cr_assert_not(gather(MESSAGE_INITRD));
	cr_assert(is_open(worker.kernel.image) && is_open(worker.kernel.initrd));
}

Test(worker_devices, overlays_of_a_snapshot_that_never_came_are_closed)
{
	int file;

	message.header.request = 1;
	message.payload.snapshot_overlay.index = 1;
	cr_assert(gather(MESSAGE_SNAPSHOT_OVERLAY));
	cr_assert_not(gather(MESSAGE_SNAPSHOT_OVERLAY), "that drive has one");
	file = worker.overlays.files[1];
	cr_assert(is_open(file));

	message.header.request = 2;
	message.payload.snapshot_overlay.index = 0;
	cr_assert(gather(MESSAGE_SNAPSHOT_OVERLAY));
	cr_assert_eq(worker.overlays.files[1], -1);
	cr_assert(!is_open(file) || worker.overlays.files[0] == file);
	message.payload.snapshot_overlay.index = 2;
	cr_assert_not(gather(MESSAGE_SNAPSHOT_OVERLAY), "no such drive");
}
