/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Descriptors that a client passes along with its requests (SCM_RIGHTS): a TAP device that the client has opened and the
 * daemon has not the name of.
 *
 * They belong to a line: a read of the socket ends with the message that brought descriptors (unix(7)), so its last byte
 * is one of the line that they were sent with, and that byte's place in the stream is kept with them. When the line
 * is served they are lent to its requests, and closed when that is done; a request that wants one duplicates it.
 *
 * A client may pass anything, also a file whose closing waits for a file system or a network of its own, and close(2) waits even
 * where it is not the last one (FUSE's flush). So the daemon looks at the stream before it takes anything off it (MSG_PEEK):
 * bytes that bring descriptors are taken by a helper, which passes on what is a TAP device, a stand-in for everything else, and
 * closes what it kept. From a peer that may not start VMs it passes on nothing.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "server/cleanup.h"
#include "server/connection_private.h"
#include "server/jobs/functions.h"
#include "server/jobs/jobs.h"

#define READ_SIZE  65536
#define TUN_MAJOR  10 /* Documentation/admin-guide/devices.txt */
#define TUN_MINOR  200
#define RIGHTS_MAX 253 /* descriptors of one message: SCM_MAX_FD of the kernel */

/* ---- in a helper ---- */

static bool is_tap(int file)
{
	struct stat status;

	return fstat(file, &status) == 0 && S_ISCHR(status.st_mode) && status.st_rdev == makedev(TUN_MAJOR, TUN_MINOR);
}

/* What is no TAP device stays here until the process ends or the job's descriptors are closed. */
struct passed {
	int files[RIGHTS_MAX];
	uint32_t count;
};

static void take_rights(struct msghdr *message, struct passed *passed)
{
	for (struct cmsghdr *header = CMSG_FIRSTHDR(message); header; header = CMSG_NXTHDR(message, header)) {
		size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);

		if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS)
			continue;
		if (count > RIGHTS_MAX - passed->count)
			count = RIGHTS_MAX - passed->count;
		memcpy(passed->files + passed->count, CMSG_DATA(header), count * sizeof(int));
		passed->count += (uint32_t)count;
	}
}

/* Take so many bytes off the stream, which end with the message that brought descriptors. */
static int receive_rights(int socket, size_t bytes, struct passed *passed)
{
	static char text[READ_SIZE];
	union {
		char bytes[CMSG_SPACE(RIGHTS_MAX * sizeof(int))];
		struct cmsghdr alignment;
	} control;

	while (bytes > 0) {
		struct iovec part = { .iov_base = text, .iov_len = bytes < sizeof(text) ? bytes : sizeof(text) };
		struct msghdr message = { .msg_iov = &part,
					  .msg_iovlen = 1,
					  .msg_control = control.bytes,
					  .msg_controllen = sizeof(control.bytes) };
		ssize_t got = recvmsg(socket, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

		if (got <= 0)
			return got < 0 ? -errno : -EPIPE;
		take_rights(&message, passed);
		bytes -= (size_t)got;
	}
	return 0;
}

int job_receive_files(const json_t *input, int *files, uint32_t file_count, struct job_answer *answer)
{
	static struct passed passed;
	uint32_t room = (uint32_t)json_integer_value(json_object_get(input, "room"));
	size_t bytes = (size_t)json_integer_value(json_object_get(input, "bytes"));
	int result;

	passed.count = 0;
	result = file_count == 1 ? receive_rights(files[0], bytes, &passed) : -EINVAL;
	for (uint32_t i = 0; i < passed.count && answer->file_count < room && !result; i++) {
		int file = is_tap(passed.files[i]) ? passed.files[i] : open("/dev/null", O_RDONLY | O_CLOEXEC);

		if (file < 0)
			result = -errno;
		else
			answer->files[answer->file_count++] = file;
		if (file == passed.files[i])
			passed.files[i] = -1;
	}
	answer->closed_late = passed.files;
	answer->closed_late_count = passed.count;
	return result;
}

/* ---- in the loop ---- */

void connection_close_files(struct server *server, const int *files, uint32_t count)
{
	if (server->jobs) {
		jobs_close_files(server->jobs, JOBS_STATE_OWNER, files, count);
		return;
	}
	/* The daemon ends. They are TAP devices, or /dev/null. */
	for (uint32_t i = 0; i < count; i++)
		(void)close(files[i]);
}

/* Keep what a message brought; the helper was told how much room there is. */
static void keep_files(struct connection *connection, const struct job_result *result)
{
	for (uint32_t i = 0; i < result->file_count && connection->file_count < CONNECTION_FILES_MAX; i++) {
		connection->files[connection->file_count] = result->files[i];
		connection->file_positions[connection->file_count] = connection->received - 1;
		connection->file_count++;
		result->files[i] = -1;
	}
}

static void on_received(void *opaque, const struct job_result *result)
{
	struct connection *connection = opaque;
	cleanup_free char *text = steal_pointer(connection->peeked);

	connection->receiving = NULL;
	if (result->result) {
		connection_fail(connection, "the descriptors that it passed cannot be received");
		return;
	}
	if (evbuffer_add(connection->input, text, connection->peeked_size)) {
		connection_fail(connection, "out of memory for a request");
		return;
	}
	connection->received += connection->peeked_size;
	keep_files(connection, result);
	connection_wake(connection);
}

/* Let a helper take the bytes that were looked at, with what they bring. Returns 0 or -errno. */
static int begin_receiving(struct connection *connection, const char *text, size_t size)
{
	bool may_pass = peer_role(&connection->peer, &connection->server->config) >= ROLE_RUN;
	uint32_t room = may_pass ? CONNECTION_FILES_MAX - connection->file_count : 0;
	int copy = fcntl(connection->socket, F_DUPFD_CLOEXEC, 0);
	const struct job_request request = {
		.kind = JOB_RECEIVE_FILES,
		.owner = connection->peer.uid,
		.input = json_pack("{s:I, s:I}", "bytes", (json_int_t)size, "room", (json_int_t)room),
		.files = &copy,
		.file_count = 1,
		.done = on_received,
		.opaque = connection,
	};
	int result;

	connection->peeked = malloc(size);
	connection->peeked_size = size;
	if (copy < 0 || !connection->peeked) {
		json_decref(request.input);
		result = -ENOMEM;
	} else {
		memcpy(connection->peeked, text, size);
		result = jobs_submit(connection->server->jobs, &request, &connection->receiving);
	}
	if (result && copy >= 0)
		(void)close(copy);
	if (!result)
		(void)event_del(connection->readable);
	return result;
}

ssize_t connection_receive(struct connection *connection)
{
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
	got = recvmsg(connection->socket, &message, MSG_DONTWAIT | MSG_PEEK);
	if (got <= 0)
		return got;
	/* Descriptors that there was no room for, as none was offered. A look leaves them in the socket. */
	if (message.msg_flags & MSG_CTRUNC) {
		int result = begin_receiving(connection, room.iov_base, (size_t)got);

		if (result)
			connection_fail(connection, "too much waits for the descriptors that it passes");
		errno = EAGAIN;
		return -1;
	}

	got = recv(connection->socket, room.iov_base, (size_t)got, MSG_DONTWAIT);
	if (got <= 0)
		return got;
	room.iov_len = (size_t)got;
	(void)evbuffer_commit_space(connection->input, &room, 1);
	connection->received += (uint64_t)got;
	return got;
}

void connection_close_socket(struct connection *connection)
{
	int unread = 0;

	if (connection->receiving)
		job_forget(steal_pointer(connection->receiving));
	free(connection->peeked);
	/* Nothing can be sent to it after this; what was not read may hold descriptors, which end with the socket. */
	(void)shutdown(connection->socket, SHUT_RDWR);
	if (ioctl(connection->socket, SIOCINQ, &unread) == 0 && unread == 0)
		(void)close(connection->socket);
	else
		jobs_close_files(connection->server->jobs, connection->peer.uid, &connection->socket, 1);
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
