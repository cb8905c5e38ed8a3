/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Packets to the guest.
 *
 * Each takes one chain of the guest's: a header, and for data what a socket has, read straight into the guest's buffer,
 * at most what the guest has room for. Refusals go first, then connections in turn, each one packet at a time: so no
 * stream starves another. A chain that turns out not to be needed is put back.
 */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "devices/virtio/vsock/vsock_private.h"

#define IOVECS_MAX 16
#define DATA_MAX   65536 /* bytes of one packet */

/* Take a chain of the guest's for a packet; false where there is none, or what there is cannot hold one. */
static bool take_chain(struct virtio_vsock *vsock)
{
	struct virtio_device *device = &vsock->virtio;

	if (!virtio_may_serve(device) || virtio_pop(device, VSOCK_QUEUE_RX, &vsock->chain) == 0)
		return false;
	if (vsock->chain.readable == 0 && vsock->chain.writable_bytes >= sizeof(struct virtio_vsock_hdr))
		return true;

	virtio_fail(device, "a buffer for packets is too small, or may not be written");
	return false;
}

static void put_back_chain(struct virtio_vsock *vsock)
{
	virtqueue_unpop(&vsock->virtio.queues[VSOCK_QUEUE_RX]);
}

/* Write a header to the chain and give it to the guest. length: bytes of data, which are written already. */
static void send_packet(struct virtio_vsock *vsock, struct virtio_vsock_hdr *header, uint32_t length)
{
	struct virtqueue_cursor cursor;

	header->src_cid = VSOCK_CID_HOST;
	header->len = length;
	virtqueue_cursor_writable(&cursor, &vsock->virtio.queues[VSOCK_QUEUE_RX], &vsock->chain);
	(void)virtqueue_cursor_write(&cursor, header, sizeof(*header));
	virtio_push(&vsock->virtio, VSOCK_QUEUE_RX, vsock->chain.head, (uint32_t)sizeof(*header) + length);
}

static bool send_refusals(struct virtio_vsock *vsock)
{
	bool done = false;

	while (vsock->refusal_count > 0 && take_chain(vsock)) {
		const struct vsock_refusal *refusal = &vsock->refusals[--vsock->refusal_count];
		struct virtio_vsock_hdr header = {
			.dst_cid = refusal->guest_cid,
			.src_port = refusal->host_port,
			.dst_port = refusal->guest_port,
			.type = refusal->type,
			.op = VIRTIO_VSOCK_OP_RST,
		};

		send_packet(vsock, &header, 0);
		done = true;
	}

	return done;
}

/* A header of a stream's, with what the guest has to know of our buffer. */
static struct virtio_vsock_hdr header_of(const struct virtio_vsock *vsock, struct vsock_connection *connection,
					 uint16_t op)
{
	connection->forwarded_told = connection->forwarded;
	return (struct virtio_vsock_hdr){
		.dst_cid = vsock->config.guest_cid,
		.src_port = connection->host_port,
		.dst_port = connection->guest_port,
		.type = VIRTIO_VSOCK_TYPE_STREAM,
		.op = op,
		.buf_alloc = VSOCK_BUFFER,
		.fwd_cnt = connection->forwarded,
	};
}

/* The most important of the packets that a connection has to send: its bit and its operation. */
static uint32_t choose_pending(const struct vsock_connection *connection, uint16_t *ret_op)
{
	static const struct {
		uint32_t bit;
		uint16_t op;
	} packets[] = {
		{ VSOCK_SEND_RST, VIRTIO_VSOCK_OP_RST },
		{ VSOCK_SEND_REQUEST, VIRTIO_VSOCK_OP_REQUEST },
		{ VSOCK_SEND_RESPONSE, VIRTIO_VSOCK_OP_RESPONSE },
		{ VSOCK_SEND_CREDIT_UPDATE, VIRTIO_VSOCK_OP_CREDIT_UPDATE },
		{ VSOCK_SEND_CREDIT_REQUEST, VIRTIO_VSOCK_OP_CREDIT_REQUEST },
		{ VSOCK_SEND_SHUTDOWN, VIRTIO_VSOCK_OP_SHUTDOWN },
	};

	for (size_t i = 0; i < sizeof(packets) / sizeof(packets[0]); i++) {
		if (connection->pending & packets[i].bit) {
			*ret_op = packets[i].op;
			return packets[i].bit;
		}
	}

	return 0;
}

static bool send_pending(struct virtio_vsock *vsock, struct vsock_connection *connection)
{
	struct virtio_vsock_hdr header;
	uint16_t op = 0;
	uint32_t bit = choose_pending(connection, &op);

	if (bit == 0 || !take_chain(vsock))
		return false;

	header = header_of(vsock, connection, op);
	if (op == VIRTIO_VSOCK_OP_SHUTDOWN) {
		connection->ends_told = vsock_connection_ends(connection);
		header.flags = connection->ends_told;
	}
	connection->pending &= ~bit;
	send_packet(vsock, &header, 0);
	if (op == VIRTIO_VSOCK_OP_RST)
		vsock_connection_close(connection);
	return true;
}

/* Read from a socket into the chain behind the header. Returns bytes, 0 at the socket's end, or -EAGAIN. */
static ssize_t read_socket(struct virtio_vsock *vsock, const struct vsock_connection *connection)
{
	uint32_t credit = vsock_connection_credit(connection);
	struct virtqueue_cursor cursor;
	struct iovec iovecs[IOVECS_MAX];
	struct msghdr message = { .msg_iov = iovecs };
	uint64_t room;
	ssize_t count;

	virtqueue_cursor_writable(&cursor, &vsock->virtio.queues[VSOCK_QUEUE_RX], &vsock->chain);
	(void)virtqueue_cursor_skip(&cursor, sizeof(struct virtio_vsock_hdr));
	message.msg_iovlen = (size_t)virtqueue_cursor_iovec(&cursor, credit < DATA_MAX ? credit : DATA_MAX, iovecs,
							    IOVECS_MAX, &room);
	do
		count = recvmsg(connection->socket, &message, MSG_DONTWAIT);
	while (count < 0 && errno == EINTR);

	if (count >= 0)
		return count;
	return errno == EAGAIN ? -EAGAIN : 0;
}

static bool send_data(struct virtio_vsock *vsock, struct vsock_connection *connection)
{
	struct virtio_vsock_hdr header;
	ssize_t count;

	if (!vsock_connection_may_read(connection) || !take_chain(vsock))
		return false;
	if (vsock->chain.writable_bytes == sizeof(header)) {
		virtio_fail(&vsock->virtio, "a buffer for packets has no room for data");
		return false;
	}

	count = read_socket(vsock, connection);
	if (count <= 0) {
		put_back_chain(vsock);
		if (count == 0)
			vsock_connection_host_ended(connection);
		connection->readable = false;
		return true;
	}

	connection->sent += (uint32_t)count;
	if (vsock_connection_credit(connection) == 0 && !connection->credit_asked) {
		connection->credit_asked = true;
		connection->pending |= VSOCK_SEND_CREDIT_REQUEST;
	}
	header = header_of(vsock, connection, VIRTIO_VSOCK_OP_RW);
	send_packet(vsock, &header, (uint32_t)count);
	return true;
}

/*
 * Where the ring of buffers for events ends when the driver has given back that of one event more. Those that were sent
 * before the snapshot and not taken note of come first: each of them ends the streams that it finds.
 */
static int expect_note(struct virtio_vsock *vsock)
{
	struct virtqueue *events = &vsock->virtio.queues[VSOCK_QUEUE_EVENT];
	uint16_t unheard;
	uint16_t end;
	int r = virtqueue_available_end(events, &end);

	if (r < 0)
		return r;

	/* It may have taken note meanwhile; and what a snapshot says need not be true. */
	unheard = (uint16_t)(vsock->events_heard - end);
	if (!vsock->reset_unheard || unheard > events->size)
		unheard = 0;
	vsock->events_heard = (uint16_t)(end + unheard + 1);
	vsock->reset_unheard = true;
	return 0;
}

/* Section 5.10.6.7: the streams are gone, and the CID may be another. */
static bool send_event(struct virtio_vsock *vsock)
{
	const struct virtio_vsock_event event = { .id = VIRTIO_VSOCK_EVENT_TRANSPORT_RESET };
	struct virtio_device *device = &vsock->virtio;
	struct virtqueue_cursor cursor;

	if (!vsock->reset_pending || !virtio_may_serve(device) ||
	    virtio_pop(device, VSOCK_QUEUE_EVENT, &vsock->chain) == 0)
		return false;
	if (expect_note(vsock) < 0) {
		virtio_fail(device, device->queues[VSOCK_QUEUE_EVENT].fault);
		return false;
	}

	virtqueue_cursor_writable(&cursor, &device->queues[VSOCK_QUEUE_EVENT], &vsock->chain);
	if (virtqueue_cursor_write(&cursor, &event, sizeof(event)) != sizeof(event)) {
		virtio_fail(device, "a buffer for events is too small");
		return false;
	}
	vsock->reset_pending = false;
	virtio_push(device, VSOCK_QUEUE_EVENT, vsock->chain.head, sizeof(event));
	return true;
}

/* Does the guest know that the streams of its former life are gone? It gives a buffer back when it has seen to that. */
static bool knows_of_reset(struct virtio_vsock *vsock)
{
	struct virtqueue *events = &vsock->virtio.queues[VSOCK_QUEUE_EVENT];
	int r;

	if (vsock->reset_pending || !virtio_may_serve(&vsock->virtio))
		return false;
	if (!vsock->reset_unheard)
		return true;

	r = virtqueue_has_reached(events, vsock->events_heard);
	if (r < 0)
		virtio_fail(&vsock->virtio, events->fault);
	vsock->reset_unheard = r != 1;
	return r == 1;
}

bool vsock_send_to_guest(struct virtio_vsock *vsock)
{
	bool done = send_event(vsock);

	done |= send_refusals(vsock);
	if (!knows_of_reset(vsock))
		return done;
	for (uint32_t i = 0; i < VSOCK_CONNECTIONS_MAX; i++) {
		uint32_t turn = (vsock->next_connection + i) % VSOCK_CONNECTIONS_MAX;
		struct vsock_connection *connection = &vsock->connections[turn];

		if (connection->state == VSOCK_FREE)
			continue;
		if (send_pending(vsock, connection) || send_data(vsock, connection))
			done = true;
	}
	vsock->next_connection = (vsock->next_connection + 1) % VSOCK_CONNECTIONS_MAX;

	return done;
}
