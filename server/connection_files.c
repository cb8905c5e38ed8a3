/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Descriptors that a client passes along with its requests (SCM_RIGHTS): a TAP device that the client has opened and the
 * daemon has not the name of.
 *
 * They belong to a line: a read of the socket ends with the message that brought descriptors (unix(7)), so its last byte
 * is one of the line that they were sent with, and that byte's place in the stream is kept with them. When the line
 * is served they are lent to its requests, and closed when that is done; a request that wants one duplicates it.
 *
 * A client may pass anything, also a file whose closing waits for a file system of its own: they are closed on the file
 * thread. From a peer that may not start VMs none are taken; then the kernel drops them.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "server/connection_private.h"
#include "server/file_thread.h"

#define READ_SIZE 65536

struct passed_files {
	uint32_t count;
	int files[CONNECTION_FILES_MAX];
};

/* On the file thread. */
static int close_files(void *opaque)
{
	const struct passed_files *passed = opaque;
	uint32_t i;

	for (i = 0; i < passed->count; i++)
		(void)close(passed->files[i]);
	return 0;
}

static void on_closed(void *opaque, int result)
{
	(void)result;
	free(opaque);
}

void connection_close_files(struct server *server, const int *files, uint32_t count)
{
	struct passed_files *passed = count ? calloc(1, sizeof(*passed)) : NULL;
	uint32_t i;

	if (passed) {
		passed->count = count;
		memcpy(passed->files, files, count * sizeof(files[0]));
		if (file_thread_submit(server->files, close_files, on_closed, passed) == 0)
			return;
		free(passed);
	}
	/* The thread has too much to do or is being stopped: rather wait than keep them. */
	for (i = 0; i < count; i++)
		(void)close(files[i]);
}

/* Keep what a message brought, as far as there is room. */
static void keep_files(struct connection *connection, const int *files, uint32_t count, uint64_t position)
{
	uint32_t room = CONNECTION_FILES_MAX - connection->file_count, i;
	uint32_t kept = count < room ? count : room;

	for (i = 0; i < kept; i++) {
		connection->files[connection->file_count + i] = files[i];
		connection->file_positions[connection->file_count + i] = position;
	}
	connection->file_count += kept;
	connection_close_files(connection->server, files + kept, count - kept);
}

static void take_files(struct connection *connection, struct msghdr *message, uint64_t position)
{
	struct cmsghdr *header;
	int files[CONNECTION_FILES_MAX];
	size_t size;

	/* Those for which there was no room the kernel has dropped (MSG_CTRUNC); who asks for one of them is told. */
	for (header = CMSG_FIRSTHDR(message); header; header = CMSG_NXTHDR(message, header)) {
		if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS)
			continue;
		size = header->cmsg_len - CMSG_LEN(0);
		if (size > sizeof(files))
			size = sizeof(files);
		memcpy(files, CMSG_DATA(header), size);
		keep_files(connection, files, (uint32_t)(size / sizeof(files[0])), position);
	}
}

ssize_t connection_receive(struct connection *connection)
{
	union {
		char bytes[CMSG_SPACE(CONNECTION_FILES_MAX * sizeof(int))];
		struct cmsghdr alignment;
	} control;
	bool may_pass = peer_role(&connection->peer, &connection->server->config) >= ROLE_RUN;
	struct msghdr message = { .msg_iovlen = 1 };
	struct evbuffer_iovec room;
	struct iovec part;
	ssize_t got;

	if (evbuffer_reserve_space(connection->input, READ_SIZE, &room, 1) < 1) {
		errno = ENOMEM;
		return -1;
	}
	part = (struct iovec){ .iov_base = room.iov_base, .iov_len = READ_SIZE };
	message.msg_iov = &part;
	if (may_pass) {
		message.msg_control = control.bytes;
		message.msg_controllen = sizeof(control.bytes);
	}
	got = recvmsg(connection->socket, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	if (got <= 0)
		return got;

	room.iov_len = (size_t)got;
	(void)evbuffer_commit_space(connection->input, &room, 1);
	connection->received += (uint64_t)got;
	take_files(connection, &message, connection->received - 1);
	return got;
}

void connection_lend_files(struct connection *connection)
{
	while (connection->lent_count < connection->file_count &&
	       connection->file_positions[connection->lent_count] < connection->served)
		connection->lent_count++;
}

void connection_end_loan(struct connection *connection)
{
	uint32_t lent = connection->lent_count, left = connection->file_count - lent;

	if (lent == 0)
		return;
	connection_close_files(connection->server, connection->files, lent);
	memmove(connection->files, connection->files + lent, left * sizeof(connection->files[0]));
	memmove(connection->file_positions, connection->file_positions + lent,
		left * sizeof(connection->file_positions[0]));
	connection->file_count = left;
	connection->lent_count = 0;
}

void connection_drop_files(struct connection *connection)
{
	connection_close_files(connection->server, connection->files, connection->file_count);
	connection->file_count = 0;
	connection->lent_count = 0;
}

int connection_passed_file(const struct connection *connection, uint32_t index)
{
	return index < connection->lent_count ? connection->files[index] : -1;
}
