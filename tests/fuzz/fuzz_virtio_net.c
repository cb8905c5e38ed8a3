/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A network device between a hostile guest and a wire: frames with any header in any buffers, buffers of any size for
 * frames from the wire. What comes out at the wire has a header that the driver was allowed to send.
 */
#include "devices/virtio/net/net.h"
#include "fuzz.h"

#include <linux/virtio_config.h>
#include <linux/virtio_mmio.h>
#include <linux/virtio_net.h>
#include <linux/virtio_ring.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define MEMORY  0x20000
#define SIZE    8
#define RX_DATA 0x10000 /* SIZE buffers of two pages */
#define TX_DATA 0x4000
#define FRAME   3000 /* bytes of the longest frame here */

enum action {
	SEND, /* a frame: flags, kind of segments and their size as the step says, in one buffer or two */
	OFFER,
	WIRE_SEND,
	PAUSE_AND_RESUME,
	RESTART, /* with other features */
	ACTIONS
};

struct step {
	uint8_t action;
	uint8_t flags;
	uint8_t gso_type;
	uint8_t cut;
	uint16_t gso_size;
	uint16_t checksum;
	uint16_t length;
} __attribute__((packed));

static struct guest_memory memory = { .size = MEMORY };
static struct virtio_net *net;
static struct device *device;
static int wire;
static uint64_t features;
static uint16_t offered[2];
static uint32_t lengths[SIZE]; /* of the buffers offered */
static uint16_t received;

static void open_device(void)
{
	struct virtio_net_options options = { .mac = { 2 }, .offloads = true };
	int ends[2];

	memory.host = aligned_alloc(4096, MEMORY);
	FUZZ_CHECK(memory.host);
	FUZZ_CHECK(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, ends) == 0);
	options.tap = ends[0];
	wire = ends[1];
	FUZZ_CHECK(virtio_net_new(0, &memory, &net) == 0);
	FUZZ_CHECK(virtio_net_configure(net, &options, NULL) == 0);
	device = &virtio_net_device(net)->device;
}

static void write_register(uint64_t offset, uint32_t value)
{
	device->ops->write(device, offset, (const uint8_t *)&value, sizeof(value));
}

static void start(uint8_t chosen)
{
	features = (chosen & 1 ? UINT64_C(1) << VIRTIO_NET_F_CSUM : 0) |
		   (chosen & 2 ? UINT64_C(1) << VIRTIO_NET_F_HOST_TSO4 : 0) |
		   (chosen & 4 ? UINT64_C(1) << VIRTIO_NET_F_HOST_TSO6 : 0);
	write_register(VIRTIO_MMIO_STATUS, 0);
	memset(memory.host, 0, TX_DATA);
	write_register(VIRTIO_MMIO_STATUS, VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER);
	write_register(VIRTIO_MMIO_DRIVER_FEATURES_SEL, 1);
	write_register(VIRTIO_MMIO_DRIVER_FEATURES, 1);
	write_register(VIRTIO_MMIO_DRIVER_FEATURES_SEL, 0);
	write_register(VIRTIO_MMIO_DRIVER_FEATURES, (uint32_t)features);
	write_register(VIRTIO_MMIO_STATUS, 0xb);
	for (uint32_t i = 0; i < 2; i++) {
		write_register(VIRTIO_MMIO_QUEUE_SEL, i);
		write_register(VIRTIO_MMIO_QUEUE_NUM, SIZE);
		write_register(VIRTIO_MMIO_QUEUE_DESC_LOW, i * 0x1000);
		write_register(VIRTIO_MMIO_QUEUE_AVAIL_LOW, i * 0x1000 + 0x400);
		write_register(VIRTIO_MMIO_QUEUE_USED_LOW, i * 0x1000 + 0x800);
		write_register(VIRTIO_MMIO_QUEUE_READY, 1);
		offered[i] = 0;
	}
	received = 0;
	write_register(VIRTIO_MMIO_STATUS, 0xf);
}

static uint16_t used_index(uint32_t queue)
{
	uint16_t *place = (uint16_t *)(void *)(memory.host + queue * 0x1000 + 0x802);

	return __atomic_load_n(place, __ATOMIC_ACQUIRE);
}

static void describe(uint32_t queue, uint16_t index, uint64_t gpa, uint32_t length, uint16_t flags, uint16_t next)
{
	const struct vring_desc descriptor = { .addr = gpa, .len = length, .flags = flags, .next = next };

	FUZZ_CHECK(guest_memory_write(&memory, queue * 0x1000 + index * 16U, &descriptor, sizeof(descriptor)) == 0);
}

static void offer(uint32_t queue, uint16_t head)
{
	uint16_t slot = offered[queue] % SIZE;
	uint16_t index = ++offered[queue];

	FUZZ_CHECK(guest_memory_write(&memory, queue * 0x1000 + 0x404 + slot * 2U, &head, sizeof(head)) == 0);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	FUZZ_CHECK(guest_memory_write(&memory, queue * 0x1000 + 0x402, &index, sizeof(index)) == 0);
	write_register(VIRTIO_MMIO_QUEUE_NOTIFY, queue);
}

/* One at a time, so that its memory may be used again. */
static void send_frame(const struct step *step)
{
	const struct virtio_net_hdr_v1 header = {
		.flags = step->flags,
		.gso_type = step->gso_type,
		.hdr_len = step->checksum,
		.gso_size = step->gso_size,
		.csum_start = step->checksum,
		.csum_offset = step->cut,
		.num_buffers = step->length,
	};
	uint32_t total = 1 + step->length % (NET_HEADER + FRAME);
	uint32_t first = 1 + step->cut % total;

	FUZZ_CHECK(device->ops->drain(device) == 0);
	if (used_index(1) == offered[1]) {
		memcpy(memory.host + TX_DATA, &header, sizeof(header));
		describe(1, 0, TX_DATA, first, first < total ? VRING_DESC_F_NEXT : 0, 1);
		describe(1, 1, TX_DATA + first, total - first, 0, 0);
		offer(1, 0);
	}
	device->ops->resume(device);
}

static void check_received(void)
{
	while (received != used_index(0)) {
		struct vring_used_elem used;

		FUZZ_CHECK(guest_memory_read(&memory, 0x804 + received % SIZE * 8U, &used, sizeof(used)) == 0);
		FUZZ_CHECK(used.id < SIZE && used.len >= NET_HEADER && used.len <= lengths[used.id]);
		FUZZ_CHECK(memory.host[RX_DATA + used.id * 8192U + 10] == 1);
		received++;
	}
}

/* Frames are taken from the wire before each start, so that all of them were sent with the features of now. */
static void check_wire(void)
{
	static uint8_t packet[NET_HEADER + FRAME + 1];
	struct virtio_net_hdr_v1 header;
	ssize_t length;

	while ((length = recv(wire, packet, sizeof(packet), MSG_DONTWAIT)) >= 0) {
		FUZZ_CHECK(length >= NET_HEADER + 14 && length <= NET_HEADER + FRAME);
		memcpy(&header, packet, sizeof(header));
		FUZZ_CHECK((header.flags & ~1) == 0 && header.num_buffers == 0);
		FUZZ_CHECK(header.gso_type == VIRTIO_NET_HDR_GSO_NONE || header.flags == 1);
		FUZZ_CHECK(header.flags == 0 || header.csum_start + header.csum_offset + 2 <= length - NET_HEADER);
		FUZZ_CHECK(header.flags == 0 || (features & UINT64_C(1) << VIRTIO_NET_F_CSUM));
		FUZZ_CHECK(header.gso_type != VIRTIO_NET_HDR_GSO_TCPV4 ||
			   (features & UINT64_C(1) << VIRTIO_NET_F_HOST_TSO4));
		FUZZ_CHECK(header.gso_type != VIRTIO_NET_HDR_GSO_TCPV6 ||
			   (features & UINT64_C(1) << VIRTIO_NET_F_HOST_TSO6));
	}
}

static void rest_and_check(void)
{
	FUZZ_CHECK(device->ops->drain(device) == 0);
	check_received();
	check_wire();
	device->ops->resume(device);
}

static void act(const struct step *step)
{
	static const uint8_t packet[NET_HEADER + FRAME];
	uint16_t slot = offered[0] % SIZE;

	switch (step->action % ACTIONS) {
	case SEND:
		send_frame(step);
		break;
	case OFFER:
		if ((uint16_t)(offered[0] - received) >= SIZE)
			break;
		lengths[slot] = 1400 + step->length % (8192 - 1400);
		describe(0, slot, RX_DATA + slot * 8192U, lengths[slot], VRING_DESC_F_WRITE, 0);
		offer(0, slot);
		break;
	case WIRE_SEND:
		(void)!send(wire, packet, step->length % sizeof(packet), MSG_DONTWAIT);
		break;
	case PAUSE_AND_RESUME:
		rest_and_check();
		break;
	default:
		rest_and_check();
		write_register(VIRTIO_MMIO_STATUS, 0);
		check_wire();
		start(step->flags);
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (!device)
		open_device();

	device->ops->resume(device);
	start(size > 0 ? data[0] : 0);
	for (size_t at = 0; at + sizeof(struct step) <= size; at += sizeof(struct step)) {
		struct step step;

		memcpy(&step, data + at, sizeof(step));
		act(&step);
	}
	rest_and_check();
	FUZZ_CHECK(device->ops->drain(device) == 0);
	check_wire();
	device->ops->reset(device);
	return 0;
}
