/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest with a vsock driver. Its three queues lie one after the other in its memory, each with buffers of its own.
 */
#include "vsock_guest.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define RX    0
#define TX    1
#define EVENT 2

#define RING_STEP   UINT64_C(0x8000)  /* from queue to queue */
#define RX_BUFFERS  UINT64_C(0x40000) /* headers, each followed by data */
#define RX_STEP     UINT64_C(0x2000)
#define TX_BUFFER   UINT64_C(0x80000)
#define EVENT_PLACE UINT64_C(0xf0000)

static void answer_connect(void *opaque, uint32_t port, uint64_t cookie)
{
	struct vsock_guest *guest = opaque;

	guest->asked_port = port;
	guest->asked_cookie = cookie;
	guest->asked++;
	if (guest->answer != 0)
		virtio_vsock_connected(guest->vsock, cookie, guest->answer);
}

static int listen_at(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	(void)unlink(path);
	(void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	cr_assert_eq(bind(listener, (const struct sockaddr *)&address, sizeof(address)), 0);
	cr_assert_eq(listen(listener, 128), 0);
	return listener;
}

static void new_device(struct vsock_guest *guest, uint32_t cid)
{
	static unsigned int number;
	struct virtio_vsock_options options = { .guest_cid = cid, .connect = answer_connect, .opaque = guest };
	struct error_detail detail = { 0 };

	(void)snprintf(guest->path, sizeof(guest->path), "/tmp/ember-vsock-%d-%u", (int)getpid(), number++);
	options.listener = listen_at(guest->path);
	cr_assert_eq(virtio_vsock_new(0, &guest->rings[0].memory, &guest->vsock), 0);
	cr_assert_eq(virtio_vsock_configure(guest->vsock, &options, &detail), 0, "%s", detail.text);
}

static void free_device(struct vsock_guest *guest)
{
	struct device *device = &virtio_vsock_device(guest->vsock)->device;

	device->ops->free(device);
	(void)unlink(guest->path);
}

void vsock_guest_open(struct vsock_guest *guest)
{
	memset(guest, 0, sizeof(*guest));
	ring_open(&guest->rings[0], GUEST_BUFFERS);
	for (int i = 1; i < 3; i++) {
		guest->rings[i] = guest->rings[0];
		guest->rings[i].base = (uint64_t)i * RING_STEP;
	}
	new_device(guest, GUEST_CID);
	driver_open(&guest->driver, &guest->rings[0], virtio_vsock_device(guest->vsock));
	vsock_guest_start(guest, GUEST_BUFFERS);
}

void vsock_guest_close(struct vsock_guest *guest)
{
	free_device(guest);
	ring_close(&guest->rings[0]);
}

void vsock_guest_replace(struct vsock_guest *guest, uint32_t cid)
{
	free_device(guest);
	new_device(guest, cid);
	guest->driver.virtio = virtio_vsock_device(guest->vsock);
}

static void set_queue(struct vsock_guest *guest, uint32_t number)
{
	struct driver *driver = &guest->driver;
	struct ring *ring = &guest->rings[number];

	ring->offered = 0;
	memset(ring->memory.host + ring->base, 0, RING_STEP);
	driver_set_queue_number(driver, number, ring);
	cr_assert_eq(driver_read(driver, VIRTIO_MMIO_QUEUE_READY), 1);
}

void vsock_guest_offer(struct vsock_guest *guest)
{
	struct ring *ring = &guest->rings[RX];
	uint16_t slot = (uint16_t)(ring->offered % (GUEST_BUFFERS / 2));
	uint64_t place = RX_BUFFERS + slot * RX_STEP;

	/* As Linux has it: a header and a page. */
	ring_describe(ring, (uint16_t)(2 * slot), place, sizeof(struct virtio_vsock_hdr), WRITE | NEXT,
		      (uint16_t)(2 * slot + 1));
	ring_describe(ring, (uint16_t)(2 * slot + 1), place + 0x1000, GUEST_DATA, WRITE, 0);
	ring_offer(ring, (uint16_t)(2 * slot));
	driver_write(&guest->driver, VIRTIO_MMIO_QUEUE_NOTIFY, RX);
}

void vsock_guest_start(struct vsock_guest *guest, unsigned int buffers)
{
	struct driver *driver = &guest->driver;

	driver_negotiate(driver, FEATURE(VIRTIO_F_VERSION_1));
	for (uint32_t i = 0; i < 3; i++)
		set_queue(guest, i);
	driver_write(driver, VIRTIO_MMIO_STATUS, 0xf);
	cr_assert_eq(driver_status(driver), 0xf);
	guest->received = 0;
	for (unsigned int i = 0; i < buffers && i < GUEST_BUFFERS / 2; i++)
		vsock_guest_offer(guest);
	ring_describe(&guest->rings[EVENT], 0, EVENT_PLACE, sizeof(struct virtio_vsock_event), WRITE, 0);
	memset(guest->rings[EVENT].memory.host + EVENT_PLACE, 0xff, sizeof(struct virtio_vsock_event));
	ring_offer(&guest->rings[EVENT], 0);
	driver_write(driver, VIRTIO_MMIO_QUEUE_NOTIFY, EVENT);
}

void vsock_guest_send(struct vsock_guest *guest, const struct virtio_vsock_hdr *header, const void *data, size_t length)
{
	struct ring *ring = &guest->rings[TX];
	uint16_t before = ring_used_index(ring);

	memcpy(ring->memory.host + TX_BUFFER, header, sizeof(*header));
	if (length > 0)
		memcpy(ring->memory.host + TX_BUFFER + 0x1000, data, length);
	ring_describe(ring, 0, TX_BUFFER, sizeof(*header), length > 0 ? NEXT : 0, 1);
	ring_describe(ring, 1, TX_BUFFER + 0x1000, (uint32_t)length, 0, 0);
	ring_offer(ring, 0);
	driver_write(&guest->driver, VIRTIO_MMIO_QUEUE_NOTIFY, TX);
	while (ring_used_index(ring) == before && !(driver_status(&guest->driver) & VIRTIO_CONFIG_S_NEEDS_RESET))
		(void)sched_yield();
}

void vsock_guest_say(struct vsock_guest *guest, uint32_t port, uint32_t host_port, uint16_t op, uint32_t flags,
		     const void *data, size_t length)
{
	const struct virtio_vsock_hdr header = {
		.src_cid = GUEST_CID,
		.dst_cid = 2,
		.src_port = port,
		.dst_port = host_port,
		.len = (uint32_t)length,
		.type = VIRTIO_VSOCK_TYPE_STREAM,
		.op = op,
		.flags = flags,
		.buf_alloc = GUEST_ALLOCATED,
	};

	vsock_guest_send(guest, &header, data, length);
}

bool vsock_guest_has_packet(struct vsock_guest *guest)
{
	return ring_used_index(&guest->rings[RX]) != guest->received;
}

struct virtio_vsock_hdr vsock_guest_receive(struct vsock_guest *guest, void *ret_data)
{
	struct ring *ring = &guest->rings[RX];
	struct virtio_vsock_hdr header;
	struct vring_used_elem used;
	uint64_t place;

	while (!vsock_guest_has_packet(guest)) {
		cr_assert_not(driver_status(&guest->driver) & VIRTIO_CONFIG_S_NEEDS_RESET, "%s",
			      guest->driver.virtio->fault);
		(void)sched_yield();
	}
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	used = ring_used(ring, guest->received++);
	place = RX_BUFFERS + used.id / 2 * RX_STEP;
	memcpy(&header, ring->memory.host + place, sizeof(header));
	cr_assert_eq(used.len, sizeof(header) + header.len);
	cr_assert_leq(header.len, GUEST_DATA);
	cr_assert_eq(header.src_cid, 2);
	if (ret_data)
		memcpy(ret_data, ring->memory.host + place + 0x1000, header.len);
	vsock_guest_offer(guest);
	return header;
}

int vsock_guest_connect(struct vsock_guest *guest)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int peer = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	memcpy(address.sun_path, guest->path, sizeof(guest->path));
	cr_assert_eq(connect(peer, (const struct sockaddr *)&address, sizeof(address)), 0);
	return peer;
}

int vsock_guest_stream(struct vsock_guest *guest, uint32_t port, uint32_t *ret_host_port)
{
	int peer = vsock_guest_connect(guest);
	struct virtio_vsock_hdr header;
	char line[64];
	char expected[64];
	ssize_t length;

	length = snprintf(line, sizeof(line), "CONNECT %u\n", port);
	cr_assert_eq(send(peer, line, (size_t)length, 0), length);
	header = vsock_guest_receive(guest, NULL);
	cr_assert_eq(header.op, VIRTIO_VSOCK_OP_REQUEST);
	cr_assert_eq(header.dst_port, port);
	vsock_guest_say(guest, port, header.src_port, VIRTIO_VSOCK_OP_RESPONSE, 0, NULL, 0);

	length = snprintf(expected, sizeof(expected), "OK %u\n", header.src_port);
	cr_assert_eq(recv(peer, line, (size_t)length, MSG_WAITALL), length);
	cr_assert_arr_eq(line, expected, (size_t)length);
	*ret_host_port = header.src_port;
	return peer;
}
