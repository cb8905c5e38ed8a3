/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A vsock device between a hostile guest and a host's peers: packets with any header, buffers for answers or none,
 * peers that write, read and close; snapshots that go on under this CID, of guests that had this one or another.
 * Whatever is sent to the guest is a packet of ours to its CID that is as long as it says; to its former one, a refusal.
 */
#include "devices/virtio/vsock/connection.h"
#include "devices/virtio/vsock/vsock.h"
#include "fuzz.h"

#include <linux/virtio_config.h>
#include <linux/virtio_mmio.h>
#include <linux/virtio_ring.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define MEMORY  0x20000
#define CID     5
#define FORMER  6
#define SIZE    16
#define PEERS   4
#define RX_DATA 0x10000 /* SIZE buffers of a page */
#define TX_DATA 0x4000
#define EVENTS  0x8000 /* one buffer for all */

enum action {
	SEND,     /* a packet: ports and operation from the step, the rest good */
	SEND_ODD, /* ... and one field of the header as the step says */
	OFFER,    /* a buffer for a packet to the guest */
	PEER_SEND,
	PEER_READ,
	PEER_CLOSE,
	PAUSE_AND_RESUME, /* or go on from a snapshot */
	RESTART,
	ACTIONS
};

struct step {
	uint8_t action;
	uint8_t port;
	uint16_t op;
	uint32_t value;
} __attribute__((packed));

static struct guest_memory memory = { .size = MEMORY };
static struct virtio_vsock *vsock;
static struct device *device;
static uint16_t offered[3];
static uint16_t received;
static int peers[PEERS];
static unsigned int next_peer;
static bool moved; /* the driver knew another CID */

/* Every second port has somebody. */
static void answer(void *opaque, uint32_t port, uint64_t cookie)
{
	int ends[2];

	(void)opaque;
	if (port % 2 == 0 || socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends) < 0) {
		virtio_vsock_connected(vsock, cookie, -1);
		return;
	}
	virtio_vsock_connected(vsock, cookie, ends[0]);
	ends[0] = __atomic_exchange_n(&peers[next_peer++ % PEERS], ends[1], __ATOMIC_SEQ_CST);
	if (ends[0] >= 0)
		(void)close(ends[0]);
}

static void open_device(void)
{
	const struct virtio_vsock_options options = { .guest_cid = CID, .listener = -1, .connect = answer };

	for (int i = 0; i < PEERS; i++)
		peers[i] = -1;
	memory.host = aligned_alloc(4096, MEMORY);
	FUZZ_CHECK(memory.host);
	FUZZ_CHECK(virtio_vsock_new(0, &memory, &vsock) == 0);
	FUZZ_CHECK(virtio_vsock_configure(vsock, &options, NULL) == 0);
	device = &virtio_vsock_device(vsock)->device;
}

static void write_register(uint64_t offset, uint32_t value)
{
	device->ops->write(device, offset, (const uint8_t *)&value, sizeof(value));
}

/*
 * The rings of queue n at n * 0x1000: descriptors, then 0x400 further the available ring, 0x800 further the used ring.
 */
static void start(void)
{
	write_register(VIRTIO_MMIO_STATUS, 0);
	memset(memory.host, 0, RX_DATA);
	write_register(VIRTIO_MMIO_STATUS, VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER);
	write_register(VIRTIO_MMIO_DRIVER_FEATURES_SEL, 1);
	write_register(VIRTIO_MMIO_DRIVER_FEATURES, 1);
	write_register(VIRTIO_MMIO_STATUS, 0xb);
	for (uint32_t i = 0; i < 3; i++) {
		write_register(VIRTIO_MMIO_QUEUE_SEL, i);
		write_register(VIRTIO_MMIO_QUEUE_NUM, SIZE);
		write_register(VIRTIO_MMIO_QUEUE_DESC_LOW, i * 0x1000);
		write_register(VIRTIO_MMIO_QUEUE_AVAIL_LOW, i * 0x1000 + 0x400);
		write_register(VIRTIO_MMIO_QUEUE_USED_LOW, i * 0x1000 + 0x800);
		write_register(VIRTIO_MMIO_QUEUE_READY, 1);
		offered[i] = 0;
	}
	received = 0;
	moved = false;
	write_register(VIRTIO_MMIO_STATUS, 0xf);
}

static uint16_t used_index(uint32_t queue)
{
	uint16_t *place = (uint16_t *)(void *)(memory.host + queue * 0x1000 + 0x802);

	return __atomic_load_n(place, __ATOMIC_ACQUIRE);
}

static void offer(uint32_t queue, uint64_t gpa, uint32_t length, uint16_t flags)
{
	uint16_t slot = offered[queue] % SIZE;
	const struct vring_desc descriptor = { .addr = gpa, .len = length, .flags = flags };
	uint16_t index = ++offered[queue];

	FUZZ_CHECK(guest_memory_write(&memory, queue * 0x1000 + slot * 16U, &descriptor, sizeof(descriptor)) == 0);
	FUZZ_CHECK(guest_memory_write(&memory, queue * 0x1000 + 0x404 + slot * 2U, &slot, sizeof(slot)) == 0);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	FUZZ_CHECK(guest_memory_write(&memory, queue * 0x1000 + 0x402, &index, sizeof(index)) == 0);
	write_register(VIRTIO_MMIO_QUEUE_NOTIFY, queue);
}

/* With the device at rest: what it has sent. */
static void check_received(void)
{
	while (received != used_index(0)) {
		struct virtio_vsock_hdr header;
		struct vring_used_elem used;

		FUZZ_CHECK(guest_memory_read(&memory, 0x804 + received % SIZE * 8U, &used, sizeof(used)) == 0);
		FUZZ_CHECK(used.id < SIZE && used.len >= sizeof(header) && used.len <= 4096);
		FUZZ_CHECK(guest_memory_read(&memory, RX_DATA + used.id * 4096U, &header, sizeof(header)) == 0);
		FUZZ_CHECK(header.len == used.len - sizeof(header));
		FUZZ_CHECK(header.src_cid == 2);
		FUZZ_CHECK(header.dst_cid == CID ||
			   (moved && header.dst_cid == FORMER && header.op == VIRTIO_VSOCK_OP_RST));
		FUZZ_CHECK(header.op >= VIRTIO_VSOCK_OP_REQUEST && header.op <= VIRTIO_VSOCK_OP_CREDIT_REQUEST);
		received++;
	}
}

static void send_packet(const struct step *step)
{
	static uint8_t data[2000];
	uint32_t length = step->op == VIRTIO_VSOCK_OP_RW ? step->value % sizeof(data) : 0;
	struct virtio_vsock_hdr header = {
		.src_cid = moved && step->value & 4 ? FORMER : CID,
		.dst_cid = 2,
		.src_port = step->port / 16,
		.dst_port = step->port % 16,
		.len = length,
		.type = VIRTIO_VSOCK_TYPE_STREAM,
		.op = step->op,
		.flags = step->value & 3,
		.buf_alloc = step->value,
	};

	if ((uint16_t)(offered[1] - used_index(1)) == SIZE)
		return;
	if (step->action % ACTIONS == SEND_ODD)
		((uint8_t *)&header)[step->value % sizeof(header)] ^= (uint8_t)(step->value >> 8 | 1);
	memcpy(memory.host + TX_DATA, &header, sizeof(header));
	memcpy(memory.host + TX_DATA + sizeof(header), data, length);
	offer(1, TX_DATA, (uint32_t)sizeof(header) + length, 0);
}

static const struct state_field *cid_field(void)
{
	const struct state_field *field = device->ops->state_fields;

	while (strcmp(field->name, "guest_cid") != 0)
		field++;
	return field;
}

/* The guest of a snapshot goes on here: one that went by this CID, or by another; what else is saved there stays. */
static void move(bool other)
{
	static _Alignas(16) uint8_t state[DEVICE_STATE_MAX];
	uint64_t cid;

	memset(state, 0, sizeof(state));
	device->ops->save(device, state);
	memcpy(&cid, state + cid_field()->offset, sizeof(cid));
	FUZZ_CHECK((uint32_t)cid == CID || (moved && (uint32_t)cid == FORMER));
	moved = moved || other;
	if (other)
		cid = (cid & ~(uint64_t)UINT32_MAX) | FORMER;
	memcpy(state + cid_field()->offset, &cid, sizeof(cid));
	FUZZ_CHECK(state_fields_check(device->ops->state_fields, state, "", NULL) == 0);
	(void)device->ops->restore(device, state, NULL); /* a device that has failed may have indices that are none */
}

static void pause_and_resume(const struct step *step)
{
	FUZZ_CHECK(device->ops->drain(device) == 0);
	check_received();
	if (step->op & 1)
		move(step->op & 2);
	device->ops->resume(device);
}

static void offer_buffer(const struct step *step)
{
	if ((uint16_t)(offered[0] - received) < SIZE)
		offer(0, RX_DATA + offered[0] % SIZE * 4096U, 44 + step->value % (4096 - 44 + 1), VRING_DESC_F_WRITE);
	/* That of an event is given back, or another. */
	if (step->op & 1 && (uint16_t)(offered[2] - used_index(2)) < SIZE)
		offer(2, EVENTS, sizeof(struct virtio_vsock_event), VRING_DESC_F_WRITE);
}

static void act(const struct step *step)
{
	static uint8_t data[5000];
	int *peer = &peers[step->port % PEERS];

	switch (step->action % ACTIONS) {
	case SEND:
	case SEND_ODD:
		send_packet(step);
		break;
	case OFFER:
		offer_buffer(step);
		break;
	case PEER_SEND:
		(void)!send(*peer, data, step->value % sizeof(data), MSG_DONTWAIT | MSG_NOSIGNAL);
		break;
	case PEER_READ:
		(void)!recv(*peer, data, sizeof(data), MSG_DONTWAIT);
		break;
	case PEER_CLOSE:
		(void)shutdown(*peer, step->op % 3);
		break;
	case PAUSE_AND_RESUME:
		pause_and_resume(step);
		break;
	default:
		start();
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (!device)
		open_device();

	device->ops->resume(device);
	start();
	for (size_t at = 0; at + sizeof(struct step) <= size; at += sizeof(struct step)) {
		struct step step;

		memcpy(&step, data + at, sizeof(step));
		act(&step);
	}
	FUZZ_CHECK(device->ops->drain(device) == 0);
	check_received();
	device->ops->reset(device);
	for (int i = 0; i < PEERS; i++) {
		if (peers[i] >= 0)
			(void)close(peers[i]);
		peers[i] = -1;
	}
	return 0;
}
