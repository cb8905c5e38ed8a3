/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The network device: frames in both directions through a socket that stands for a TAP device, and through a real one
 * in a network namespace of the test's own, which needs root.
 */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/ethtool.h>
#include <linux/if_tun.h>
#include <linux/sockios.h>
#include <linux/virtio_ids.h>
#include <linux/virtio_net.h>
#include <net/if.h>
#include <sched.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "devices/virtio/net/net.h"
#include "driver.h"

#define TO_GUEST   0
#define FROM_GUEST 1
#define RING_STEP  UINT64_C(0x8000)
#define RX_BUFFERS UINT64_C(0x40000)
#define RX_STEP    UINT64_C(0x2000)
#define TX_HEADER  UINT64_C(0x80000)
#define TX_FRAME   UINT64_C(0x81000)
#define FRAME_SIZE 100

static const uint8_t mac[6] = { 0x02, 0, 0, 0, 0, 0x2a };

static struct ring rings[2];
static struct driver driver;
static struct virtio_net *net;
static int wire = -1; /* the other end of the socket */
static uint16_t received;

static void open_with(int tap, bool offloads, const struct rate_limit_options *limit)
{
	struct virtio_net_options options = { .tap = tap, .offloads = offloads };
	struct error_detail detail = { 0 };

	memcpy(options.mac, mac, sizeof(mac));
	if (limit)
		options.from_guest = *limit;
	ring_open(&rings[0], 16);
	rings[1] = rings[0];
	rings[1].base = RING_STEP;
	cr_assert_eq(virtio_net_new(0, &rings[0].memory, &net), 0);
	cr_assert_eq(virtio_net_configure(net, &options, &detail), 0, "%s", detail.text);
	driver_open(&driver, &rings[0], virtio_net_device(net));
}

static void open_on_wire(const struct rate_limit_options *limit)
{
	int ends[2];

	cr_assert_eq(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends), 0);
	wire = ends[1];
	open_with(ends[0], false, limit);
}

static void tear_down(void)
{
	struct device *device = &virtio_net_device(net)->device;

	device->ops->free(device);
	ring_close(&rings[0]);
	if (wire >= 0)
		close(wire);
}

TestSuite(virtio_net, .fini = tear_down);

static void set_queue(uint32_t number)
{
	struct ring *ring = &rings[number];

	ring->offered = 0;
	memset(ring->memory.host + ring->base, 0, RING_STEP);
	driver_set_queue_number(&driver, number, ring);
}

static void offer_buffer(uint32_t length)
{
	uint16_t slot = rings[TO_GUEST].offered % 16;

	ring_describe(&rings[TO_GUEST], slot, RX_BUFFERS + slot * RX_STEP, length, WRITE, 0);
	ring_offer(&rings[TO_GUEST], slot);
	driver_write(&driver, VIRTIO_MMIO_QUEUE_NOTIFY, TO_GUEST);
}

static void start(uint64_t features, unsigned int buffers)
{
	driver_negotiate(&driver, FEATURE(VIRTIO_F_VERSION_1) | FEATURE(VIRTIO_NET_F_MAC) | features);
	cr_assert(driver_status(&driver) & VIRTIO_CONFIG_S_FEATURES_OK);
	set_queue(0);
	set_queue(1);
	driver_write(&driver, VIRTIO_MMIO_STATUS, 0xf);
	received = 0;
	for (unsigned int i = 0; i < buffers; i++)
		offer_buffer((uint32_t)RX_STEP);
}

/* Queue a frame of the guest's, in two buffers. */
static void post(const struct virtio_net_hdr_v1 *header, const void *frame, uint32_t length)
{
	struct ring *ring = &rings[FROM_GUEST];

	memcpy(ring->memory.host + TX_HEADER, header, sizeof(*header));
	memcpy(ring->memory.host + TX_FRAME, frame, length);
	ring_describe(ring, 0, TX_HEADER, sizeof(*header), NEXT, 1);
	ring_describe(ring, 1, TX_FRAME, length, 0, 0);
	ring_offer(ring, 0);
	driver_write(&driver, VIRTIO_MMIO_QUEUE_NOTIFY, FROM_GUEST);
}

static void wait_sent(void)
{
	while (ring_used_index(&rings[FROM_GUEST]) != rings[FROM_GUEST].offered)
		(void)sched_yield();
}

static void wait_received(void)
{
	while (ring_used_index(&rings[TO_GUEST]) == received) {
		cr_assert_not(driver_status(&driver) & VIRTIO_CONFIG_S_NEEDS_RESET, "%s", driver.virtio->fault);
		(void)sched_yield();
	}
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	received++;
}

static const uint8_t *received_frame(uint32_t *ret_length)
{
	struct vring_used_elem used = ring_used(&rings[TO_GUEST], received - 1);

	*ret_length = used.len - NET_HEADER;
	return rings[TO_GUEST].memory.host + RX_BUFFERS + used.id * RX_STEP + NET_HEADER;
}

Test(virtio_net, it_says_what_it_is)
{
	open_on_wire(NULL);
	cr_assert_eq(driver_read(&driver, VIRTIO_MMIO_DEVICE_ID), VIRTIO_ID_NET);
	cr_assert_eq(driver_read(&driver, VIRTIO_MMIO_CONFIG), 0x00000002);
	cr_assert_eq(driver_read(&driver, VIRTIO_MMIO_CONFIG + 4) & 0xffff, 0x2a00);
	cr_assert_not(driver_offered(&driver) & FEATURE(VIRTIO_NET_F_CSUM));
}

Test(virtio_net, addresses_that_no_interface_has)
{
	struct virtio_net_options options = { .tap = -1 };
	struct error_detail detail = { 0 };

	open_on_wire(NULL);
	cr_assert_eq(virtio_net_configure(net, &options, &detail), -EINVAL);
	cr_assert_not_null(strstr(detail.text, "mac"));
	options.mac[0] = 1;
	cr_assert_eq(virtio_net_configure(net, &options, &detail), -EINVAL);
	options.mac[0] = 2;
	cr_assert_eq(virtio_net_configure(net, &options, &detail), -EBUSY);
}

Test(virtio_net, frames_go_out)
{
	const struct virtio_net_hdr_v1 header = { .num_buffers = 77 };
	uint8_t frame[FRAME_SIZE];
	uint8_t got[FRAME_SIZE + NET_HEADER];

	open_on_wire(NULL);
	start(0, 0);
	for (int i = 0; i < 100; i++) {
		memset(frame, i, sizeof(frame));
		post(&header, frame, sizeof(frame));
		wait_sent();
		cr_assert_eq(recv(wire, got, sizeof(got), 0), sizeof(got));
		cr_assert_arr_eq(got + NET_HEADER, frame, sizeof(frame));
		cr_assert_eq(((struct virtio_net_hdr_v1 *)(void *)got)->num_buffers, 0);
	}
}

Test(virtio_net, frames_come_in)
{
	uint8_t packet[NET_HEADER + FRAME_SIZE] = { 0 };
	uint32_t length;

	open_on_wire(NULL);
	start(0, 4);
	for (int i = 0; i < 100; i++) {
		const uint8_t *frame;

		memset(packet + NET_HEADER, i, FRAME_SIZE);
		cr_assert_eq(send(wire, packet, sizeof(packet), 0), sizeof(packet));
		wait_received();
		frame = received_frame(&length);
		cr_assert_eq(length, FRAME_SIZE);
		cr_assert_arr_eq(frame, packet + NET_HEADER, FRAME_SIZE);
		cr_assert_eq(frame[-2], 1, "num_buffers");
		offer_buffer((uint32_t)RX_STEP);
	}
}

/* Frames wait outside while the guest has no buffer, and while the machine is paused; none is lost. */
Test(virtio_net, frames_wait_for_buffers_and_through_pauses)
{
	uint8_t packet[NET_HEADER + FRAME_SIZE] = { 0 };
	uint32_t length;

	open_on_wire(NULL);
	start(0, 0);
	for (uint8_t i = 0; i < 5; i++) {
		packet[NET_HEADER] = i;
		cr_assert_eq(send(wire, packet, sizeof(packet), 0), sizeof(packet));
	}
	driver_pause(&driver);
	for (int i = 0; i < 5; i++)
		offer_buffer((uint32_t)RX_STEP);
	cr_assert_eq(ring_used_index(&rings[TO_GUEST]), 0);
	driver_resume(&driver);
	for (uint8_t i = 0; i < 5; i++) {
		wait_received();
		cr_assert_eq(received_frame(&length)[0], i);
	}
}

/* The wire takes no more: frames stay in the ring until it does, in order. */
Test(virtio_net, frames_wait_for_a_busy_wire)
{
	const struct virtio_net_hdr_v1 header = { .flags = 0 };
	struct ring *ring = &rings[FROM_GUEST];
	uint8_t got[FRAME_SIZE + NET_HEADER];
	uint32_t sent = 0;
	uint32_t taken = 0;

	open_on_wire(NULL);
	start(0, 0);
	memcpy(ring->memory.host + TX_HEADER, &header, sizeof(header));
	for (uint16_t i = 0; i < 8; i++)
		ring_describe(ring, 8 + i, TX_FRAME + i * UINT64_C(0x1000), FRAME_SIZE, 0, 0);
	while (taken < 2000) {
		while ((uint16_t)(ring->offered - ring_used_index(ring)) < 8 && sent < 2000) {
			uint16_t slot = (uint16_t)(sent % 8);

			memcpy(ring->memory.host + TX_FRAME + slot * UINT64_C(0x1000), &sent, sizeof(sent));
			ring_describe(ring, slot, TX_HEADER, sizeof(header), NEXT, 8 + slot);
			ring_offer(ring, slot);
			driver_write(&driver, VIRTIO_MMIO_QUEUE_NOTIFY, FROM_GUEST);
			sent++;
		}
		/* Now and then only, so that it fills. */
		for (int i = 0; sent % 64 == 0 || sent == 2000 ? i < 100 : i < 1; i++) {
			if (recv(wire, got, sizeof(got), 0) < 0)
				break;
			cr_assert_arr_eq(got + NET_HEADER, &taken, sizeof(taken));
			taken++;
		}
	}
}

Test(virtio_net, a_limit_holds_frames_back)
{
	const struct rate_limit_options limit = { .bytes = { .per_second = 1, .burst = 1 } };
	const struct virtio_net_hdr_v1 header = { .flags = 0 };
	uint8_t frame[FRAME_SIZE] = { 0 };

	open_on_wire(&limit);
	start(0, 0);
	post(&header, frame, sizeof(frame));
	wait_sent();
	post(&header, frame, sizeof(frame));
	driver_pause(&driver);
	cr_assert_eq(ring_used_index(&rings[FROM_GUEST]), 1);
}

/* What was not negotiated, or makes no sense, is dropped before the host's network stack sees it. */
Test(virtio_net, headers_that_the_driver_may_not_send)
{
	static const struct virtio_net_hdr_v1 headers[] = {
		{ .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM, .csum_start = 14, .csum_offset = 16 },
		{ .flags = 2 },
		{ .flags = 0x80 },
		{ .gso_type = VIRTIO_NET_HDR_GSO_TCPV4, .gso_size = 1000, .flags = 1 },
		{ .gso_type = VIRTIO_NET_HDR_GSO_TCPV6, .gso_size = 1000, .flags = 1 },
		{ .gso_type = VIRTIO_NET_HDR_GSO_UDP, .gso_size = 1000, .flags = 1 },
		{ .gso_type = 5, .gso_size = 1000 },
		{ .gso_type = 0xff },
	};
	const struct virtio_net_hdr_v1 good = { .flags = 0 };
	uint8_t frame[FRAME_SIZE] = { 0 };
	uint8_t got[FRAME_SIZE + NET_HEADER];

	open_on_wire(NULL);
	start(0, 0);
	for (size_t i = 0; i < sizeof(headers) / sizeof(headers[0]); i++) {
		post(&headers[i], frame, sizeof(frame));
		wait_sent();
		cr_assert_eq(recv(wire, got, sizeof(got), 0), -1, "%zu", i);
	}
	post(&good, frame, 13); /* shorter than any frame */
	wait_sent();
	cr_assert_eq(recv(wire, got, sizeof(got), 0), -1);
	post(&good, frame, sizeof(frame));
	wait_sent();
	cr_assert_eq(recv(wire, got, sizeof(got), 0), sizeof(got));
	cr_assert_eq(driver_status(&driver), 0xf);
}

Test(virtio_net, buffers_that_hold_no_frame_fail_the_device)
{
	uint8_t packet[NET_HEADER + FRAME_SIZE] = { 0 };

	open_on_wire(NULL);
	start(0, 0);
	cr_assert_eq(send(wire, packet, sizeof(packet), 0), sizeof(packet));
	offer_buffer(NET_HEADER + 1513);
	driver_wait_failed(&driver);
	start(0, 0);
	ring_describe(&rings[TO_GUEST], 0, RX_BUFFERS, (uint32_t)RX_STEP, 0, 0);
	ring_offer(&rings[TO_GUEST], 0);
	driver_write(&driver, VIRTIO_MMIO_QUEUE_NOTIFY, TO_GUEST);
	driver_wait_failed(&driver);
	start(0, 0);
	ring_describe(&rings[FROM_GUEST], 0, RX_BUFFERS, (uint32_t)RX_STEP, WRITE, 0);
	ring_offer(&rings[FROM_GUEST], 0);
	driver_write(&driver, VIRTIO_MMIO_QUEUE_NOTIFY, FROM_GUEST);
	driver_wait_failed(&driver);
}

/* A TAP device, up, with an address, in a network namespace that ends with the test. */
static int open_tap(void)
{
	struct ifreq request = { .ifr_name = "ember0", .ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR };
	struct sockaddr_in *address = (struct sockaddr_in *)(void *)&request.ifr_addr;
	int header = NET_HEADER;
	int control;
	int tap;

	cr_assert_eq(unshare(CLONE_NEWNET), 0, "this test needs root");
	tap = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
	cr_assert_geq(tap, 0);
	cr_assert_eq(ioctl(tap, TUNSETIFF, &request), 0);
	cr_assert_eq(ioctl(tap, TUNSETVNETHDRSZ, &header), 0);
	control = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	memset(&request.ifr_ifru, 0, sizeof(request.ifr_ifru));
	address->sin_family = AF_INET;
	address->sin_addr.s_addr = htonl(0x0a000001);
	cr_assert_eq(ioctl(control, SIOCSIFADDR, &request), 0);
	request.ifr_flags = IFF_UP | IFF_RUNNING;
	cr_assert_eq(ioctl(control, SIOCSIFFLAGS, &request), 0);
	close(control);
	return tap;
}

/* Does the host's stack leave checksums of what it sends on the interface to the TAP device? */
static bool leaves_checksums(void)
{
	struct ethtool_value value = { .cmd = ETHTOOL_GTXCSUM };
	struct ifreq request = { .ifr_name = "ember0" };
	int control = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	request.ifr_data = (void *)&value;
	cr_assert_eq(ioctl(control, SIOCETHTOOL, &request), 0);
	close(control);
	return value.data != 0;
}

/* A frame, so that the device has come to serve. */
static void send_one(void)
{
	static const uint8_t frame[60] = { 2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 0x2a, 0x88, 0xb5 };
	const struct virtio_net_hdr_v1 header = { .flags = 0 };

	post(&header, frame, sizeof(frame));
	wait_sent();
}

/* What one driver can do is not what the next can; and none can do anything before it has said so. */
Test(virtio_net, a_tap_device_leaves_to_a_driver_what_it_can_do)
{
	open_with(open_tap(), true, NULL);
	cr_assert_not(leaves_checksums());
	for (unsigned int i = 0; i < 3; i++) {
		driver_negotiate(&driver, FEATURE(VIRTIO_F_VERSION_1) | FEATURE(VIRTIO_NET_F_GUEST_CSUM));
		driver_write(&driver, VIRTIO_MMIO_QUEUE_NOTIFY, TO_GUEST);
		usleep(1000); /* the device's thread may look, and must not draw conclusions */
		cr_assert_not(leaves_checksums());
		set_queue(0);
		set_queue(1);
		driver_write(&driver, VIRTIO_MMIO_STATUS, 0xf);
		send_one();
		cr_assert(leaves_checksums());

		start(0, 0);
		send_one();
		cr_assert_not(leaves_checksums());
	}
}

/* Who has 10.0.0.1? The host's own stack answers through the TAP device. */
Test(virtio_net, a_real_tap_device_answers)
{
	static const uint8_t question[60] = {
		0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0,  0x2a, 0x08, 0x06, /* ARP, to all */
		0,    1,    0x08, 0,    6,    4,    0, 1, 2, 0, 0,  0,    0,    0x2a, /* a request */
		10,   0,    0,    2,    0,    0,    0, 0, 0, 0, 10, 0,    0,    1,
	};
	const struct virtio_net_hdr_v1 header = { .flags = 0 };
	const uint64_t offloads =
		FEATURE(VIRTIO_NET_F_CSUM) | FEATURE(VIRTIO_NET_F_GUEST_CSUM) | FEATURE(VIRTIO_NET_F_HOST_TSO4);
	const uint8_t *frame;
	uint32_t length;

	open_with(open_tap(), true, NULL);
	cr_assert_eq(driver_offered(&driver) & offloads, offloads);
	start(offloads, 8);
	post(&header, question, sizeof(question));
	/* Frames of the host's own may come first: it announces itself. */
	do {
		wait_received();
		frame = received_frame(&length);
		offer_buffer((uint32_t)RX_STEP);
	} while (length < 42 || frame[12] != 0x08 || frame[13] != 0x06 || frame[21] != 2);
	cr_assert_arr_eq(frame, mac, 6);
	cr_assert_eq(frame[31], 1, "10.0.0.1 answers");
}
