/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The host's side: who connects, what they want, and which sockets are watched.
 *
 * The line with which a peer says where it wants to go is looked at before it is taken, so that not a byte of what
 * follows is taken with it: that belongs to the stream.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "devices/virtio/vsock/vsock_private.h"

#define WATCH_LISTENER 1

/* A port of the host's that is in no stream's name. */
static uint32_t choose_port(struct virtio_vsock *vsock, uint32_t guest_port)
{
	do {
		vsock->next_port = vsock->next_port < UINT32_MAX - 1 ? vsock->next_port + 1 : VSOCK_PORT_FIRST;
	} while (vsock_find(vsock, guest_port, vsock->next_port));

	return vsock->next_port;
}

static bool accept_one(struct virtio_vsock *vsock)
{
	struct vsock_connection *connection = vsock_find_room_for_peer(vsock);
	int socket;

	if (!connection)
		return false;
	socket = accept4(vsock->options.listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (socket < 0)
		return false;
	if (vsock_open_at(vsock, connection, VSOCK_HANDSHAKE, socket) < 0) {
		(void)close(socket);
		return false;
	}

	connection->readable = true;
	return true;
}

/* "CONNECT PORT": a decimal number that a port can be, and nothing else. */
static bool parse_line(const char *line, uint32_t *ret_port)
{
	static const char word[] = "CONNECT ";
	uint64_t port = 0;

	if (strncmp(line, word, sizeof(word) - 1) != 0)
		return false;
	line += sizeof(word) - 1;
	if (*line == '\0')
		return false;
	for (; *line != '\0'; line++) {
		if (*line < '0' || *line > '9')
			return false;
		port = port * 10 + (uint64_t)(*line - '0');
		if (port >= UINT32_MAX)
			return false;
	}

	*ret_port = (uint32_t)port;
	return true;
}

/*
 * Move the line, or its next part, from the socket. Returns 1 when it is whole, 0 when not, -errno where none will
 * come.
 */
static int read_line(struct vsock_connection *connection)
{
	size_t room = sizeof(connection->line) - 1 - connection->line_length;
	char *place = connection->line + connection->line_length;
	ssize_t count = recv(connection->socket, place, room, MSG_PEEK | MSG_DONTWAIT);
	const char *end;

	if (count < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	if (count == 0)
		return -EPROTO; /* closed, or a line that is too long */

	end = memchr(place, '\n', (size_t)count);
	if (end)
		count = end - place + 1;
	if (recv(connection->socket, place, (size_t)count, MSG_DONTWAIT) != count)
		return -EPROTO;
	connection->line_length = (uint8_t)(connection->line_length + count);
	if (!end)
		return 0;

	connection->line[connection->line_length - 1] = '\0';
	return 1;
}

static bool shake_hands(struct virtio_vsock *vsock, struct vsock_connection *connection)
{
	uint32_t port = 0;
	int r;

	if (connection->state != VSOCK_HANDSHAKE || !connection->readable)
		return false;

	connection->readable = false;
	r = read_line(connection);
	if (r == 0)
		return false;
	if (r < 0 || !parse_line(connection->line, &port)) {
		vsock_connection_close(connection);
		return true;
	}

	connection->host_port = choose_port(vsock, port);
	connection->guest_port = port;
	connection->state = VSOCK_REQUESTED;
	connection->pending = VSOCK_SEND_REQUEST;
	return true;
}

bool vsock_serve_sockets(struct virtio_vsock *vsock)
{
	bool done = false;

	if (vsock->watches[WATCH_LISTENER].revents != 0) {
		while (accept_one(vsock))
			done = true;
		vsock->watches[WATCH_LISTENER].revents = 0;
	}
	for (uint32_t i = 0; i < VSOCK_CONNECTIONS_MAX; i++) {
		struct vsock_connection *connection = &vsock->connections[i];

		if (connection->state == VSOCK_FREE)
			continue;
		done |= shake_hands(vsock, connection);
		done |= vsock_connection_flush(connection);
	}

	return done;
}

uint64_t vsock_set_watches(struct virtio_vsock *vsock)
{
	bool has_room = vsock_find_room_for_peer(vsock) != NULL;
	unsigned int count = WATCH_LISTENER + 1;

	/* Where there is no room, who waits goes on waiting. */
	vsock->watches[WATCH_LISTENER] = (struct pollfd){
		.fd = has_room ? vsock->options.listener : -1,
		.events = POLLIN,
	};
	for (uint32_t i = 0; i < VSOCK_CONNECTIONS_MAX; i++) {
		struct vsock_connection *connection = &vsock->connections[i];
		int events = vsock_connection_watch(connection);

		if (events < 0)
			continue;
		vsock->watches[count] = (struct pollfd){ .fd = connection->socket, .events = (short)events };
		vsock->watched[count++] = i;
	}

	vsock->virtio.thread.watches = vsock->watches;
	vsock->virtio.thread.watch_count = count;
	return has_room || vsock->options.listener < 0 ? IO_THREAD_NEVER : vsock_next_room_ns(vsock);
}

void vsock_note_watches(struct virtio_vsock *vsock)
{
	for (unsigned int i = WATCH_LISTENER + 1; i < vsock->virtio.thread.watch_count; i++) {
		struct vsock_connection *connection = &vsock->connections[vsock->watched[i]];
		short events = vsock->watches[i].revents;

		/*
		 * The connection may have ended during the sleep, and another may have its place, even its descriptor.
		 */
		if (events == 0 || connection->state == VSOCK_FREE || connection->socket != vsock->watches[i].fd)
			continue;
		if (events & (POLLIN | POLLHUP | POLLERR))
			connection->readable = true;
		if (events & (POLLOUT | POLLHUP | POLLERR))
			connection->blocked = false;
		if (events & (POLLHUP | POLLERR))
			vsock_connection_hung_up(connection);
	}
	vsock->virtio.thread.watch_count = 0;
}
