/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A network interface on this host's KVM and a TAP device of its own: a guest that answers frames, across snapshots, and
 * its clone on another TAP device under another address. Needs root, as every TAP device does.
 */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <sched.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "devices/virtio/net/net.h"
#include "guests/net_frame.h"
#include "virtio_steps.h"

#define BURST  20 /* frames at once */
#define ROUNDS 8

GUEST_IMAGE(virtio_net);

/* A machine, and the host's end of its wire. */
struct end {
	struct fixture fixture;
	uint8_t mac[6];
	int wire; /* a packet socket on the TAP device's interface */
};

static struct end source = { .mac = { 2, 0, 0, 0, 0, 1 }, .wire = -1 };
static struct end target = { .mac = { 2, 0, 0, 0, 0, 2 }, .wire = -1 };

static void set_up(void)
{
	cr_assert_eq(unshare(CLONE_NEWNET), 0, "this test needs root: %s", strerror(errno));
}

static void end_machine(struct end *end)
{
	fixture_end(&end->fixture);
	end->fixture.machine = NULL;
	close(end->wire);
}

TestSuite(machine_net, .init = set_up, .timeout = 600);

static int open_tap(const char *name)
{
	struct ifreq request = { .ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR };
	int header = NET_HEADER;
	int tap = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
	int control = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	cr_assert_geq(tap, 0);
	(void)strncpy(request.ifr_name, name, sizeof(request.ifr_name) - 1);
	cr_assert_eq(ioctl(tap, TUNSETIFF, &request), 0);
	cr_assert_eq(ioctl(tap, TUNSETVNETHDRSZ, &header), 0);
	request.ifr_flags = IFF_UP | IFF_RUNNING;
	cr_assert_eq(ioctl(control, SIOCSIFFLAGS, &request), 0);
	close(control);
	return tap;
}

/* With protocol 0 until it is bound: a packet socket with a protocol receives from every interface before. */
static int open_wire(const char *name)
{
	const struct sockaddr_ll address = {
		.sll_family = AF_PACKET,
		.sll_protocol = htons(NET_FRAME_TYPE),
		.sll_ifindex = (int)if_nametoindex(name),
	};
	int wire = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);

	cr_assert_geq(wire, 0);
	cr_assert_eq(bind(wire, (const struct sockaddr *)&address, sizeof(address)), 0);
	return wire;
}

static void build(struct end *end, const char *name)
{
	const struct machine_shape shape = { .vcpus = 1, .memory_size = UINT64_C(4) << 20, .nets = 1 };
	struct virtio_net_options options = { .tap = open_tap(name), .offloads = true };
	struct error_detail detail = { 0 };

	memcpy(options.mac, end->mac, sizeof(options.mac));
	end->wire = open_wire(name);
	fixture_build_shape(&end->fixture, &shape);
	cr_assert_eq(virtio_net_configure(end->fixture.machine->nets[0], &options, &detail), 0, "%s", detail.text);
}

static uint8_t fill_of(uint32_t number)
{
	return (uint8_t)(number * 7 + 3);
}

static void ask(const struct end *end, uint32_t number)
{
	struct net_frame frame = {
		.from = { 2, 0, 0, 0, 0, 0x77 },
		.type = { NET_FRAME_TYPE >> 8, NET_FRAME_TYPE & 0xff },
		.number = number,
	};

	memcpy(frame.to, end->mac, sizeof(frame.to));
	memset(frame.bytes, fill_of(number), sizeof(frame.bytes));
	cr_assert_eq(send(end->wire, &frame, sizeof(frame), 0), sizeof(frame));
}

/* The next frame that the guest sent. */
static void receive(const struct end *end, struct net_frame *ret_frame)
{
	struct sockaddr_ll from;
	socklen_t size;
	ssize_t count;

	do { /* what we sent ourselves is seen too */
		size = sizeof(from);
		count = recvfrom(end->wire, ret_frame, sizeof(*ret_frame), MSG_TRUNC, (struct sockaddr *)&from, &size);
	} while (count >= 0 && from.sll_pkttype == PACKET_OUTGOING);
	cr_assert_eq(count, (ssize_t)sizeof(*ret_frame), "%zd bytes", count);
}

/* An answer's bytes and addresses are as they should be. */
static void check_answer(const struct net_frame *frame, const uint8_t *from)
{
	static const uint8_t us[6] = { 2, 0, 0, 0, 0, 0x77 };

	cr_assert_arr_eq(frame->to, us, sizeof(us));
	cr_assert_arr_eq(frame->from, from, sizeof(frame->from), "answer %u is from another address", frame->number);
	for (size_t i = 0; i < sizeof(frame->bytes); i++)
		cr_assert_eq(frame->bytes[i], (uint8_t)~fill_of(frame->number));
}

/* The next answer's number. */
static uint32_t read_answer(const struct end *end)
{
	struct net_frame frame;

	receive(end, &frame);
	check_answer(&frame, end->mac);
	return frame.number;
}

Test(machine_net, a_guest_answers_frames)
{
	build(&source, "ember0");
	virtio_steps_boot(&source.fixture, virtio_net_image, virtio_net_image_size);
	fixture_wait_signal(&source.fixture, 1, 1);
	for (uint32_t i = 0; i < 3 * BURST; i += BURST) {
		for (uint32_t k = 0; k < BURST; k++)
			ask(&source, i + k);
		for (uint32_t k = 0; k < BURST; k++)
			cr_assert_eq(read_answer(&source), i + k);
	}
	cr_assert_eq(fixture_signals(&source.fixture, 100), 0);
	end_machine(&source);
}

/*
 * A clone answers what it had taken before the snapshot, and then what it is asked itself. The one answer that the guest
 * was writing at the snapshot, which is the first, may carry the address that it had read before.
 */
static void check_clone(const struct end *clone, uint32_t first, uint32_t asked)
{
	struct net_frame frame;

	for (bool begun = false;; begun = true) {
		bool read_before;

		receive(clone, &frame);
		read_before =
			!begun && frame.number != asked && memcmp(frame.from, source.mac, sizeof(frame.from)) == 0;
		check_answer(&frame, read_before ? source.mac : clone->mac);
		if (frame.number == asked)
			return;
		cr_assert(frame.number >= first && frame.number < first + BURST, "the clone answers %u", frame.number);
	}
}

/* In the middle of a burst, again and again: the original answers each frame once, and the clone on its own wire. */
Test(machine_net, frames_go_on_through_snapshots)
{
	build(&source, "ember0");
	virtio_steps_boot(&source.fixture, virtio_net_image, virtio_net_image_size);
	fixture_wait_signal(&source.fixture, 1, 1);
	for (uint32_t round = 0; round < ROUNDS; round++) {
		uint32_t first = round * BURST;

		for (uint32_t k = 0; k < BURST; k++)
			ask(&source, first + k);
		usleep(round * 500);
		machine_pause(source.fixture.machine);
		build(&target, "ember1");
		virtio_steps_move(&source.fixture, &target.fixture);

		ask(&target, 1000);
		cr_assert_eq(machine_run(target.fixture.machine), 0);
		check_clone(&target, first, 1000);
		cr_assert_eq(fixture_signals(&target.fixture, 100), 0);
		end_machine(&target);

		cr_assert_eq(machine_run(source.fixture.machine), 0);
		for (uint32_t k = 0; k < BURST; k++)
			cr_assert_eq(read_answer(&source), first + k);
	}
	cr_assert_eq(fixture_signals(&source.fixture, 100), 0);
	end_machine(&source);
}
