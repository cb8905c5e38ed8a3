/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Packets: a header, a text, descriptors.
 */
#include "server/jobs/packet.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#define PACKET_MAGIC 0x424f4a45 /* "EJOB" */

union packet_control {
	struct cmsghdr header;
	char space[CMSG_SPACE(sizeof(int) * JOB_FILES_MAX)];
};

int packet_send(int channel, const struct packet_header *header, const char *text, const int *files, int flags)
{
	struct packet_header copy = *header;
	struct iovec parts[] = {
		{ .iov_base = &copy, .iov_len = sizeof(copy) },
		{ .iov_base = (void *)text, .iov_len = header->text_size },
	};
	union packet_control control = { 0 };
	struct msghdr message = { .msg_iov = parts, .msg_iovlen = 2 };
	size_t bytes = sizeof(int) * header->file_count;
	ssize_t sent;

	copy.magic = PACKET_MAGIC;
	if (bytes > 0) {
		message.msg_control = control.space;
		message.msg_controllen = CMSG_SPACE(bytes);
		control.header.cmsg_level = SOL_SOCKET;
		control.header.cmsg_type = SCM_RIGHTS;
		control.header.cmsg_len = CMSG_LEN(bytes);
		memcpy(CMSG_DATA(&control.header), files, bytes);
	}
	do {
		sent = sendmsg(channel, &message, MSG_NOSIGNAL | flags);
	} while (sent < 0 && errno == EINTR);
	return sent < 0 ? -errno : 0;
}

static uint32_t take_files(struct msghdr *message, int *files)
{
	uint32_t count = 0;

	for (struct cmsghdr *part = CMSG_FIRSTHDR(message); part; part = CMSG_NXTHDR(message, part)) {
		size_t bytes = part->cmsg_len - CMSG_LEN(0);

		if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS)
			continue;
		if (bytes > (JOB_FILES_MAX - count) * sizeof(int))
			bytes = (JOB_FILES_MAX - count) * sizeof(int);
		memcpy(files + count, CMSG_DATA(part), bytes);
		count += (uint32_t)(bytes / sizeof(int));
	}
	return count;
}

static bool is_plausible(const struct packet *packet, size_t size, uint32_t file_count)
{
	const struct packet_header *header = &packet->header;

	return size >= sizeof(*header) && header->magic == PACKET_MAGIC && header->text_size <= JOB_TEXT_MAX &&
	       size == sizeof(*header) + header->text_size && header->file_count == file_count &&
	       header->type >= PACKET_JOB && header->type <= PACKET_IDLE && header->kind < JOB_KIND_COUNT;
}

int packet_receive(int channel, struct packet *ret_packet, int flags)
{
	struct iovec parts[] = {
		{ .iov_base = &ret_packet->header, .iov_len = sizeof(ret_packet->header) },
		{ .iov_base = ret_packet->text, .iov_len = sizeof(ret_packet->text) },
	};
	union packet_control control;
	struct msghdr message = {
		.msg_iov = parts, .msg_iovlen = 2, .msg_control = control.space, .msg_controllen = sizeof(control.space)
	};
	uint32_t count;
	ssize_t got;

	do {
		got = recvmsg(channel, &message, MSG_CMSG_CLOEXEC | flags);
	} while (got < 0 && errno == EINTR);
	if (got < 0)
		return errno == ECONNRESET ? -EPIPE : -errno;

	count = take_files(&message, ret_packet->files);
	if (got == 0 && count == 0)
		return -EPIPE;
	if (!(message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) && is_plausible(ret_packet, (size_t)got, count))
		return 0;
	for (uint32_t i = 0; i < count; i++)
		(void)close(ret_packet->files[i]);
	return -EBADMSG;
}
