/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Packets from the guest.
 *
 * A header is copied once. A packet that is shorter than it says fails the device; one that fits no stream is refused
 * with a reset; one that breaks a stream's rules ends that stream with a reset. Refusals wait in a list of bounded
 * length: while it is full nothing more is taken from the guest, as section 5.10.6.1.1 has it for a device out of
 * resources.
 */
#include <stdio.h>
#include <sys/socket.h>

#include "devices/virtio/vsock/vsock_private.h"

#define PACKETS_OF_A_ROUND 64 /* so that sockets, and registers, have their turn however fast the guest sends */

_Static_assert(sizeof(struct virtio_vsock_hdr) == 44, "virtio 1.2, section 5.10.6");

static void refuse(struct virtio_vsock *vsock, const struct virtio_vsock_hdr *header)
{
	if (header->op == VIRTIO_VSOCK_OP_RST)
		return;

	vsock->refusals[vsock->refusal_count++] = (struct vsock_refusal){
		.guest_cid = header->src_cid,
		.guest_port = header->src_port,
		.host_port = header->dst_port,
		.type = header->type,
	};
}

/*
 * The guest connects. The host is asked without the lock: nobody but this thread and a reset, which waits, closes
 * connections.
 */
static void open_from_guest(struct virtio_vsock *vsock, const struct virtio_vsock_hdr *header)
{
	struct virtio_device *device = &vsock->virtio;
	struct vsock_connection *connection = vsock->options.connect ? vsock_find_room(vsock) : NULL;
	uint64_t cookie = vsock->next_cookie++;

	if (!connection || vsock_open_at(vsock, connection, VSOCK_CONNECTING, -1) < 0) {
		refuse(vsock, header);
		return;
	}
	connection->guest_port = header->src_port;
	connection->host_port = header->dst_port;
	connection->cookie = cookie;
	vsock_connection_learn_credit(connection, header->buf_alloc, header->fwd_cnt);

	pthread_mutex_unlock(&device->lock);
	vsock->options.connect(vsock->options.opaque, header->dst_port, cookie);
	pthread_mutex_lock(&device->lock);
}

/* The guest takes the stream that a socket of the host's has asked for. */
static void answer_socket(struct vsock_connection *connection)
{
	char line[VSOCK_LINE];
	int length = snprintf(line, sizeof(line), "OK %u\n", connection->host_port);

	/* The first bytes ever written to it: a socket that has no room for them is none. */
	if (send(connection->socket, line, (size_t)length, MSG_DONTWAIT | MSG_NOSIGNAL) == length)
		connection->state = VSOCK_OPEN;
	else
		vsock_connection_kill(connection);
}

/* Data, on a stream that takes some. */
static void take_data(struct vsock_connection *connection, struct virtqueue_cursor *data)
{
	bool takes = connection->state == VSOCK_OPEN || connection->state == VSOCK_CLOSING;

	if (!takes || connection->guest_sends_no_more || vsock_connection_put(connection, data) < 0)
		vsock_connection_kill(connection);
}

static void serve_packet(struct vsock_connection *connection, const struct virtio_vsock_hdr *header,
			 struct virtqueue_cursor *data)
{
	vsock_connection_learn_credit(connection, header->buf_alloc, header->fwd_cnt);
	switch (header->op) {
	case VIRTIO_VSOCK_OP_RST:
		vsock_connection_close(connection);
		break;
	case VIRTIO_VSOCK_OP_RESPONSE:
		if (connection->state == VSOCK_REQUESTED && !(connection->pending & VSOCK_SEND_REQUEST))
			answer_socket(connection);
		else
			vsock_connection_kill(connection);
		break;
	case VIRTIO_VSOCK_OP_SHUTDOWN:
		vsock_connection_guest_shutdown(connection, header->flags);
		break;
	case VIRTIO_VSOCK_OP_RW:
		take_data(connection, data);
		break;
	case VIRTIO_VSOCK_OP_CREDIT_UPDATE:
		break;
	case VIRTIO_VSOCK_OP_CREDIT_REQUEST:
		connection->pending |= VSOCK_SEND_CREDIT_UPDATE;
		break;
	default: /* REQUEST, of a stream that exists; and what is none */
		vsock_connection_kill(connection);
		break;
	}
}

static void dispatch(struct virtio_vsock *vsock, const struct virtio_vsock_hdr *header, struct virtqueue_cursor *data)
{
	struct vsock_connection *connection = vsock_find(vsock, header->src_port, header->dst_port);

	if (header->src_cid != vsock->config.guest_cid) {
		/*
		 * It was restored under another CID: what it had in its ring, or on its way there while it read the new
		 * one, is answered where it came from. Any other address is not its own: there is nobody to answer to.
		 */
		if (vsock->former_cid != 0 && header->src_cid == vsock->former_cid)
			refuse(vsock, header);
		return;
	}

	if (header->dst_cid != VSOCK_CID_HOST || header->type != VIRTIO_VSOCK_TYPE_STREAM) {
		refuse(vsock, header);
		return;
	}

	if (!connection && header->op == VIRTIO_VSOCK_OP_REQUEST)
		open_from_guest(vsock, header);
	else if (!connection)
		refuse(vsock, header);
	else if (connection->state != VSOCK_ENDING)
		serve_packet(connection, header, data);
	else if (header->op == VIRTIO_VSOCK_OP_RST)
		vsock_connection_close(connection); /* both at once; of anything else, its reset is on the way */
}

/* Returns false for a packet that is none. */
static bool serve_chain(struct virtio_vsock *vsock)
{
	struct virtio_vsock_hdr header;
	struct virtqueue_cursor cursor;

	virtqueue_cursor_readable(&cursor, &vsock->virtio.queues[VSOCK_QUEUE_TX], &vsock->chain);
	if (vsock->chain.writable > 0 || virtqueue_cursor_read(&cursor, &header, sizeof(header)) != sizeof(header) ||
	    header.len > cursor.left)
		return false;

	virtqueue_cursor_limit(&cursor, header.len);
	dispatch(vsock, &header, &cursor);
	return true;
}

bool vsock_receive_from_guest(struct virtio_vsock *vsock)
{
	struct virtio_device *device = &vsock->virtio;
	bool done = false;

	for (unsigned int i = 0; i < PACKETS_OF_A_ROUND && vsock->refusal_count < VSOCK_RESETS_MAX; i++) {
		if (!virtio_may_serve(device) || virtio_pop(device, VSOCK_QUEUE_TX, &vsock->chain) == 0)
			break;
		if (!serve_chain(vsock)) {
			virtio_fail(device, "a packet is shorter than it says");
			break;
		}
		virtio_push(device, VSOCK_QUEUE_TX, vsock->chain.head, 0);
		done = true;
	}

	return done;
}
