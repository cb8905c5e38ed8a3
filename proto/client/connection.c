/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bytes to and from the daemon.
 *
 * Sending never fails by itself. A daemon that closes a connection may have said why before it did (too many
 * connections, a line too long), and that must reach the caller rather than EPIPE: so a send that fails drops the
 * output and shuts the socket down, which makes it readable to its end, and the failure is what reading then finds.
 *
 * Descriptors go with the first byte of their line, in a message that holds nothing of another line: that is how the
 * daemon knows whose they are.
 */
#include "proto/client/client.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define INPUT_SIZE       65536 /* bytes at one recv(2) */
#define RECEIVES_AT_ONCE 16    /* recv(2) calls before the caller has its turn, however fast the daemon writes */
#define KEPT_OUTPUT      65536 /* bytes: a larger output buffer is given back once it is empty */

static void empty_output(struct ember *client)
{
	client->output_size = 0;
	client->output_sent = 0;
	if (client->output_capacity > KEPT_OUTPUT) {
		free(client->output);
		client->output = NULL;
		client->output_capacity = 0;
	}
}

void ember_client_drop_files(struct ember *client)
{
	while (client->file_count > 0)
		(void)close(client->files[--client->file_count]);
}

/* Send the beginning of the output: up to a line with descriptors, or of such a line, with them, or all of it. */
static ssize_t send_some(struct ember *client)
{
	union {
		char bytes[CMSG_SPACE(EMBER_FILES_MAX * sizeof(int))];
		struct cmsghdr alignment;
	} control = { 0 };
	struct iovec part = { .iov_base = client->output + client->output_sent };
	struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1 };
	size_t files_size = client->file_count * sizeof(int), end = client->output_size;
	struct cmsghdr *header;

	if (client->file_count > 0 && client->output_sent < client->files_begin) {
		end = client->files_begin;
	} else if (client->file_count > 0) {
		end = client->files_end;
		message.msg_control = control.bytes;
		message.msg_controllen = CMSG_SPACE(files_size);
		header = CMSG_FIRSTHDR(&message);
		header->cmsg_level = SOL_SOCKET;
		header->cmsg_type = SCM_RIGHTS;
		header->cmsg_len = CMSG_LEN(files_size);
		memcpy(CMSG_DATA(header), client->files, files_size);
	}
	part.iov_len = end - client->output_sent;
	return sendmsg(client->fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
}

void ember_client_flush(struct ember *client)
{
	while (client->output_sent < client->output_size && !client->unwritable) {
		bool with_files = client->file_count > 0 && client->output_sent == client->files_begin;
		ssize_t sent = send_some(client);

		if (sent >= 0) {
			client->output_sent += (size_t)sent;
			if (with_files && sent > 0)
				ember_client_drop_files(client);
		} else if (errno == EAGAIN || errno == EWOULDBLOCK) {
			return;
		} else if (errno != EINTR) {
			client->unwritable = true;
			(void)shutdown(client->fd, SHUT_RDWR);
		}
	}
	ember_client_drop_files(client);
	empty_output(client);
}

/* Room for that many bytes more: what was sent makes room first. */
static int reserve_output(struct ember *client, size_t length)
{
	size_t kept = client->output_size - client->output_sent, capacity = client->output_capacity;
	char *grown;

	if (length <= client->output_capacity - client->output_size)
		return 0;
	if (length > SIZE_MAX / 4 - kept)
		return -ENOMEM;

	if (client->output_sent > 0) {
		memmove(client->output, client->output + client->output_sent, kept);
		client->files_begin -= client->output_sent;
		client->files_end -= client->output_sent;
		client->output_size = kept;
		client->output_sent = 0;
	}
	if (capacity == 0)
		capacity = 1024;
	while (capacity < kept + length)
		capacity *= 2;
	if (capacity == client->output_capacity)
		return 0;
	grown = realloc(client->output, capacity);
	if (!grown)
		return -ENOMEM;
	client->output = grown;
	client->output_capacity = capacity;

	return 0;
}

/* Copies of these descriptors, for the line that comes next. */
static int keep_files(struct ember *client, const int *files, size_t count)
{
	if (client->file_count > 0)
		return -EBUSY;

	while (client->file_count < count) {
		int copy = fcntl(files[client->file_count], F_DUPFD_CLOEXEC, 0);

		if (copy < 0) {
			int result = -errno;

			ember_client_drop_files(client);
			return result;
		}
		client->files[client->file_count++] = copy;
	}
	return 0;
}

int ember_client_send(struct ember *client, const char *text, const int *files, size_t file_count)
{
	size_t length = strlen(text);
	int result;

	if (client->unwritable)
		return 0;
	if (reserve_output(client, length + 1) < 0)
		return -ENOMEM;
	if (file_count > 0) {
		result = keep_files(client, files, file_count);
		if (result < 0)
			return result;
		client->files_begin = client->output_size;
		client->files_end = client->output_size + length + 1;
	}

	memcpy(client->output + client->output_size, text, length);
	client->output[client->output_size + length] = '\n';
	client->output_size += length + 1;
	ember_client_flush(client);

	return 0;
}

static void read_lines(struct ember *client, const char *data, size_t length)
{
	const char *line;
	size_t line_length;

	while (client->failure == 0) {
		int event = line_reader_next(client->reader, &data, &length, &line, &line_length);

		if (event == LINE_READER_MORE)
			return;
		if (event == LINE_READER_LINE)
			ember_client_line(client, line, line_length);
		else if (event == LINE_READER_TOO_LONG)
			ember_client_fail(client, -EMSGSIZE, "the daemon sent a line over the limit");
		else
			ember_client_fail(client, event, "memory is short");
	}
}

void ember_client_receive(struct ember *client)
{
	if (!client->input)
		client->input = malloc(INPUT_SIZE);
	if (!client->input) {
		ember_client_fail(client, -ENOMEM, "memory is short");
		return;
	}

	for (int i = 0; i < RECEIVES_AT_ONCE && client->failure == 0; i++) {
		ssize_t received = recv(client->fd, client->input, INPUT_SIZE, MSG_DONTWAIT);

		if (received > 0) {
			read_lines(client, client->input, (size_t)received);
			if (received < INPUT_SIZE)
				return;
		} else if (received == 0 || errno == ECONNRESET) {
			ember_client_fail(client, -ECONNRESET, "the daemon closed the connection%s",
					  line_reader_pending(client->reader) > 0 ? " in the middle of a line" : "");
		} else if (errno == EAGAIN || errno == EWOULDBLOCK) {
			return;
		} else if (errno != EINTR) {
			ember_client_fail(client, -errno, "receiving from the daemon: %s", strerror(errno));
		}
	}
}
