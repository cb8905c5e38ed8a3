/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A stream between the guest and a socket.
 *
 * Credit (section 5.10.6.3): each side says how large its buffer is and how many bytes have left it in all; the other
 * has never more on its way than fits. Our buffer is VSOCK_BUFFER bytes for every connection, and a guest that sends
 * more than it was told is reset. What the guest says of its own buffer is believed in one direction only: a lie makes
 * us send less, or more than it keeps, which is its loss.
 *
 * Ends: a stream is over when both sides have ended both directions. The guest says so with SHUTDOWN and is answered
 * with RST, and the other way round. A socket that is closed, not only shut down, ends both. One that takes no more but
 * may still give something ends one, of which the guest is told when the first bytes are refused: poll(2) does not tell.
 * Where the socket takes no more and the guest does not either, there is nothing left to move, and the stream is over.
 */
#include "devices/virtio/vsock/connection.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "kvm/monotonic.h"

int vsock_connection_open(struct vsock_connection *connection, enum vsock_state state, int socket)
{
	uint8_t *buffer = malloc(VSOCK_BUFFER);

	if (!buffer)
		return -ENOMEM;

	vsock_connection_close(connection); /* one that made room */
	*connection = (struct vsock_connection){
		.state = state, .socket = socket, .since_ns = monotonic_ns(), .buffer = buffer
	};
	return 0;
}

static void close_socket(struct vsock_connection *connection)
{
	if (connection->socket >= 0)
		(void)close(connection->socket);
	connection->socket = -1;
}

void vsock_connection_close(struct vsock_connection *connection)
{
	if (connection->state == VSOCK_FREE)
		return;

	close_socket(connection);
	free(connection->buffer);
	*connection = (struct vsock_connection){ .state = VSOCK_FREE, .socket = -1 };
}

void vsock_connection_kill(struct vsock_connection *connection)
{
	close_socket(connection);
	connection->state = VSOCK_ENDING;
	connection->pending = VSOCK_SEND_RST;
}

void vsock_connection_learn_credit(struct vsock_connection *connection, uint32_t buffer, uint32_t forwarded)
{
	connection->guest_buffer = buffer;
	connection->guest_forwarded = forwarded;
	if (vsock_connection_credit(connection) > 0)
		connection->credit_asked = false;
}

uint32_t vsock_connection_credit(const struct vsock_connection *connection)
{
	uint32_t under_way = connection->sent - connection->guest_forwarded;

	return under_way < connection->guest_buffer ? connection->guest_buffer - under_way : 0;
}

/* Bytes that were the guest's have left the buffer; the guest is told before it can run out of credit. */
static void forward(struct vsock_connection *connection, uint32_t count)
{
	connection->buffer_start = (connection->buffer_start + count) % VSOCK_BUFFER;
	connection->buffered -= count;
	connection->forwarded += count;
	if (connection->forwarded - connection->forwarded_told >= VSOCK_BUFFER / 4)
		connection->pending |= VSOCK_SEND_CREDIT_UPDATE;
}

int vsock_connection_put(struct vsock_connection *connection, struct virtqueue_cursor *data)
{
	if (data->left > VSOCK_BUFFER - connection->buffered)
		return -EPROTO;

	while (data->left > 0) {
		uint32_t end = (connection->buffer_start + connection->buffered) % VSOCK_BUFFER;
		size_t got = virtqueue_cursor_read(data, connection->buffer + end, VSOCK_BUFFER - end);

		if (got == 0)
			return -EPROTO;
		connection->buffered += (uint32_t)got;
	}

	return 0;
}

/* The socket takes no more, whatever comes. What the guest sends before it knows is dropped. */
static void lose_host(struct vsock_connection *connection)
{
	connection->host_gone = true;
	forward(connection, connection->buffered);
	if (connection->host_ended || connection->guest_takes_no_more)
		vsock_connection_host_ended(connection);
	else if (!(connection->ends_told & VIRTIO_VSOCK_SHUTDOWN_RCV))
		connection->pending |= VSOCK_SEND_SHUTDOWN;
}

/* When the last byte has left the buffer, what the guest has ended is ended for the socket. */
static bool finish_ends(struct vsock_connection *connection)
{
	if (connection->state != VSOCK_OPEN || connection->buffered > 0 || !connection->guest_sends_no_more)
		return false;
	if (connection->guest_takes_no_more || connection->host_ended) {
		vsock_connection_kill(connection);
		return true;
	}
	if (connection->write_ended)
		return false;

	(void)shutdown(connection->socket, SHUT_WR);
	connection->write_ended = true;
	return true;
}

bool vsock_connection_flush(struct vsock_connection *connection)
{
	bool changed = false;

	if (connection->state == VSOCK_CLOSING && connection->buffered > 0) {
		forward(connection, connection->buffered);
		return true;
	}

	while (connection->state == VSOCK_OPEN && connection->buffered > 0 && !connection->blocked) {
		uint32_t to_end = VSOCK_BUFFER - connection->buffer_start;
		uint32_t length = connection->buffered < to_end ? connection->buffered : to_end;
		ssize_t count = send(connection->socket, connection->buffer + connection->buffer_start, length,
				     MSG_DONTWAIT | MSG_NOSIGNAL);

		if (count < 0 && errno == EINTR)
			continue;
		changed = true;
		if (count >= 0)
			forward(connection, (uint32_t)count);
		else if (errno == EAGAIN)
			connection->blocked = true;
		else
			lose_host(connection);
	}

	return finish_ends(connection) || changed;
}

void vsock_connection_guest_shutdown(struct vsock_connection *connection, uint32_t flags)
{
	if (flags & VIRTIO_VSOCK_SHUTDOWN_SEND)
		connection->guest_sends_no_more = true;
	if (flags & VIRTIO_VSOCK_SHUTDOWN_RCV)
		connection->guest_takes_no_more = true;
	if (connection->state == VSOCK_OPEN && connection->guest_takes_no_more) {
		(void)shutdown(connection->socket, SHUT_RD);
		if (connection->host_gone)
			vsock_connection_host_ended(connection);
	}

	/* Before it is open, or after the socket's end, there is nothing to finish. */
	if (connection->state != VSOCK_OPEN && connection->guest_sends_no_more && connection->guest_takes_no_more)
		vsock_connection_kill(connection);
}

void vsock_connection_host_ended(struct vsock_connection *connection)
{
	connection->host_ended = true;
	connection->readable = false;
	connection->pending |= VSOCK_SEND_SHUTDOWN;
	if (connection->guest_sends_no_more && (connection->buffered == 0 || connection->host_gone)) {
		vsock_connection_kill(connection);
	} else if (connection->host_gone) {
		close_socket(connection);
		connection->state = VSOCK_CLOSING;
	}
}

void vsock_connection_hung_up(struct vsock_connection *connection)
{
	connection->host_gone = true;
	if (connection->state == VSOCK_REQUESTED)
		vsock_connection_kill(connection); /* it did not wait for the answer */
	else if (connection->state == VSOCK_OPEN && (connection->host_ended || connection->guest_takes_no_more))
		vsock_connection_host_ended(connection);
}

uint32_t vsock_connection_ends(const struct vsock_connection *connection)
{
	return (connection->host_ended ? VIRTIO_VSOCK_SHUTDOWN_SEND : 0U) |
	       (connection->host_gone ? VIRTIO_VSOCK_SHUTDOWN_RCV : 0U);
}

bool vsock_connection_may_read(const struct vsock_connection *connection)
{
	return connection->state == VSOCK_OPEN && connection->readable && !connection->host_ended &&
	       !connection->guest_takes_no_more && vsock_connection_credit(connection) > 0;
}

int vsock_connection_watch(const struct vsock_connection *connection)
{
	int events = 0;

	if (connection->state == VSOCK_HANDSHAKE)
		return POLLIN;
	if (connection->state == VSOCK_REQUESTED)
		return 0;
	if (connection->state != VSOCK_OPEN)
		return -1;

	/* What is known to be readable is not asked again; without credit, nobody could read it. */
	if (!connection->readable && !connection->host_ended && !connection->guest_takes_no_more &&
	    vsock_connection_credit(connection) > 0)
		events |= POLLIN;
	if (connection->buffered > 0 && connection->blocked)
		events |= POLLOUT;
	/* One that is known to have hung up would wake who watches it at once, again and again. */
	return events != 0 || !connection->host_gone ? events : -1;
}
