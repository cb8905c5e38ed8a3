/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Hostile drivers on this host's KVM, one for each kind of device: every rule of a queue broken, what the device itself
 * has to refuse, and a second processor that overwrites everything while the device reads it. After each the device
 * needs a reset or has answered with an error, works again after a reset, and the machine still runs. In sanitizer
 * builds no byte outside guest memory can have been touched unseen.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "devices/virtio/balloon/balloon.h"
#include "devices/virtio/blk/blk.h"
#include "devices/virtio/net/net.h"
#include "devices/virtio/rng.h"
#include "devices/virtio/vsock/vsock.h"
#include "fixture.h"
#include "virtio_steps.h"

#define IMAGE_BYTES 32768
#define MEMORY      (UINT64_C(16) << 20)
#define PEERS_MAX   64

GUEST_IMAGE(virtio_hostile_balloon);
GUEST_IMAGE(virtio_hostile_blk);
GUEST_IMAGE(virtio_hostile_net);
GUEST_IMAGE(virtio_hostile_rng);
GUEST_IMAGE(virtio_hostile_vsock);

static struct fixture fixture;
static struct error_detail detail;

TestSuite(machine_hostile, .timeout = 600);

/* How a device is given to a machine, and which guest is hostile to it. */
struct attack {
	struct machine_shape shape; /* vcpus and memory are set by the test */
	void (*configure)(struct machine *machine);
	const uint8_t *guest;
	size_t guest_size;
};

static void stand(const struct attack *attack, uint32_t vcpus)
{
	struct machine_shape shape = attack->shape;

	shape.vcpus = vcpus;
	shape.memory_size = MEMORY;
	fixture_build_shape(&fixture, &shape);
	attack->configure(fixture.machine);
	virtio_steps_boot(&fixture, attack->guest, attack->guest_size);
	virtio_steps_wait_for_success(&fixture);
	cr_assert_not(machine_has_exited(fixture.machine));
	fixture_end(&fixture);
}

#define ATTACK(device)                                                                                \
	(&(const struct attack){ device##_shape, configure_##device, virtio_hostile_##device##_image, \
				 virtio_hostile_##device##_image_size })

static const struct machine_shape balloon_shape = { .balloons = 1 };

static void configure_balloon(struct machine *machine)
{
	const struct virtio_balloon_options options = { .free_page_reporting = true, .statistics = true };

	cr_assert_eq(virtio_balloon_configure(machine->balloons[0], &options, &detail), 0, "%s", detail.text);
}

static const struct machine_shape blk_shape = { .rngs = 1, .disks = 1 };

static void configure_blk(struct machine *machine)
{
	int image = memfd_create("image", MFD_CLOEXEC);
	const struct virtio_blk_options options = {
		.disk = { .image = image, .base = -1, .overlay = -1 },
		.serial = "test",
	};

	cr_assert_eq(ftruncate(image, IMAGE_BYTES), 0);
	cr_assert_eq(virtio_blk_configure(machine->disks[0], &options, &detail), 0, "%s", detail.text);
}

static const struct machine_shape rng_shape = { .rngs = 1 };

static void configure_rng(struct machine *machine)
{
	cr_assert_eq(virtio_rng_configure(machine->rngs[0], NULL), 0);
}

static const struct machine_shape net_shape = { .nets = 1 };

/* The other end of what stands for a TAP device: gives back every frame, until the device's end is closed. */
static void *give_back(void *opaque)
{
	static uint8_t frame[NET_HEADER + NET_FRAME_MAX];
	int wire = *(const int *)opaque;
	ssize_t count;

	while ((count = read(wire, frame, sizeof(frame))) > 0)
		(void)!write(wire, frame, (size_t)count);
	return NULL;
}

static void configure_net(struct machine *machine)
{
	static int ends[2];
	struct virtio_net_options options = { .mac = { 2, 0, 0, 0, 0, 1 }, .offloads = true };
	pthread_t thread;

	cr_assert_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
	cr_assert_eq(fcntl(ends[0], F_SETFL, O_NONBLOCK), 0);
	options.tap = ends[0];
	cr_assert_eq(pthread_create(&thread, NULL, give_back, &ends[1]), 0);
	cr_assert_eq(pthread_detach(thread), 0);
	cr_assert_eq(virtio_net_configure(machine->nets[0], &options, &detail), 0, "%s", detail.text);
}

static const struct machine_shape vsock_shape = { .vsocks = 1 };

/* Port 5000 says "hello" and reads nothing; there is no other. The last streams stay open. */
static void connect_guest(void *opaque, uint32_t port, uint64_t cookie)
{
	static int peers[PEERS_MAX];
	static unsigned int turn;
	struct machine *machine = opaque;
	int ends[2];

	if (port != 5000 || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) < 0) {
		virtio_vsock_connected(machine->vsocks[0], cookie, -ECONNREFUSED);
		return;
	}
	if (peers[turn] > 0)
		(void)close(peers[turn]);
	peers[turn] = ends[0];
	turn = (turn + 1) % PEERS_MAX;
	(void)!write(ends[0], "hello", 5);
	virtio_vsock_connected(machine->vsocks[0], cookie, ends[1]);
}

static void configure_vsock(struct machine *machine)
{
	const struct virtio_vsock_options options = {
		.guest_cid = 42,
		.listener = -1,
		.connect = connect_guest,
		.opaque = machine,
	};

	cr_assert_eq(virtio_vsock_configure(machine->vsocks[0], &options, &detail), 0, "%s", detail.text);
}

Test(machine_hostile, rules_of_balloon_are_broken)
{
	stand(ATTACK(balloon), 1);
}

Test(machine_hostile, queues_of_balloon_change_while_they_are_read)
{
	stand(ATTACK(balloon), 2);
}

Test(machine_hostile, rules_of_disk_are_broken)
{
	stand(ATTACK(blk), 1);
}

Test(machine_hostile, queues_of_disk_change_while_they_are_read)
{
	stand(ATTACK(blk), 2);
}

Test(machine_hostile, rules_of_network_are_broken)
{
	stand(ATTACK(net), 1);
}

Test(machine_hostile, queues_of_network_change_while_they_are_read)
{
	stand(ATTACK(net), 2);
}

Test(machine_hostile, rules_of_entropy_are_broken)
{
	stand(ATTACK(rng), 1);
}

Test(machine_hostile, queues_of_entropy_change_while_they_are_read)
{
	stand(ATTACK(rng), 2);
}

Test(machine_hostile, rules_of_vsock_are_broken)
{
	stand(ATTACK(vsock), 1);
}

Test(machine_hostile, queues_of_vsock_change_while_they_are_read)
{
	stand(ATTACK(vsock), 2);
}
