/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Messages over a SOCK_SEQPACKET pair.
 *
 * The kernel keeps message boundaries, so there is no framing to get wrong: a packet that is not exactly one header and
 * the payload its type calls for is malformed. Descriptors arrive close-on-exec; where the control buffer was too small (MSG_CTRUNC)
 * or their number is not the type's, all that came are closed and the message is refused, so that a hostile sender cannot
 * fill the receiver's descriptor table.
 */
#include "pool/channel.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "proto/reason.h"

int channel_pair(int ret_ends[2])
{
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ret_ends) < 0)
		return -errno;

	return 0;
}

int channel_send(int channel, enum message_type type, uint64_t request, const void *payload, const int *fds, bool wait)
{
	const struct message_description *description = &message_table[type];
	struct message_header header = {
		.magic = MESSAGE_MAGIC,
		.version = MESSAGE_VERSION,
		.type = (uint16_t)type,
		.request = request,
		.payload_size = description->payload_size,
	};
	struct iovec parts[] = {
		{ .iov_base = &header, .iov_len = sizeof(header) },
		{ .iov_base = (void *)payload, .iov_len = description->payload_size },
	};
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(sizeof(int) * MESSAGE_FDS_MAX)];
	} control = { 0 };
	struct msghdr packet = { .msg_iov = parts, .msg_iovlen = description->payload_size > 0 ? 2 : 1 };
	ssize_t sent;

	if (description->fd_count > 0) {
		size_t bytes = sizeof(int) * description->fd_count;

		packet.msg_control = control.space;
		packet.msg_controllen = CMSG_SPACE(bytes);
		control.header.cmsg_level = SOL_SOCKET;
		control.header.cmsg_type = SCM_RIGHTS;
		control.header.cmsg_len = CMSG_LEN(bytes);
		memcpy(CMSG_DATA(&control.header), fds, bytes);
	}

	do {
		sent = sendmsg(channel, &packet, MSG_NOSIGNAL | (wait ? 0 : MSG_DONTWAIT));
	} while (sent < 0 && errno == EINTR);

	if (sent < 0)
		return errno == ECONNRESET ? -EPIPE : -errno;
	return 0;
}

int message_steal_fd(struct message *message, uint32_t index)
{
	int fd = message->fds[index];

	message->fds[index] = -1;
	return fd;
}

void message_close_fds(struct message *message)
{
	for (uint32_t i = 0; i < MESSAGE_FDS_MAX; i++) {
		if (message->fds[i] >= 0)
			(void)close(message->fds[i]);
		message->fds[i] = -1;
	}
	message->fd_count = 0;
}

/* Move the descriptors of a packet into the message. The buffer's padding has room for more than a message may bring: those are closed. */
static void take_fds(struct msghdr *packet, struct message *message)
{
	bool too_many = false;

	for (struct cmsghdr *part = CMSG_FIRSTHDR(packet); part; part = CMSG_NXTHDR(packet, part)) {
		size_t count;

		if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS)
			continue;
		count = (part->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < count; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(part) + i * sizeof(int), sizeof(fd));
			if (message->fd_count < MESSAGE_FDS_MAX) {
				message->fds[message->fd_count++] = fd;
			} else {
				(void)close(fd);
				too_many = true;
			}
		}
	}

	if (too_many)
		packet->msg_flags |= MSG_CTRUNC;
}

static int check_message(const struct message *message, size_t size, int flags, struct error_detail *detail)
{
	const struct message_header *header = &message->header;
	const struct message_description *description;

	if (flags & (MSG_TRUNC | MSG_CTRUNC)) {
		error_detail_set(detail, "a message or its descriptors were cut short");
		return -EBADMSG;
	}
	if (size < sizeof(*header)) {
		error_detail_set(detail, "a message of %zu bytes has no whole header", size);
		return -EBADMSG;
	}
	if (header->magic != MESSAGE_MAGIC || header->version != MESSAGE_VERSION) {
		error_detail_set(detail, "a message has magic %#x and version %u", header->magic, header->version);
		return -EBADMSG;
	}
	if (header->type == MESSAGE_NONE || header->type >= MESSAGE_TYPE_COUNT) {
		error_detail_set(detail, "a message has unknown type %u", header->type);
		return -EBADMSG;
	}

	description = &message_table[header->type];
	if (header->payload_size != description->payload_size || size != sizeof(*header) + description->payload_size) {
		error_detail_set(detail, "a %s message has %zu bytes, not %zu", description->name, size,
				 sizeof(*header) + description->payload_size);
		return -EBADMSG;
	}
	if (message->fd_count != description->fd_count) {
		error_detail_set(detail, "a %s message brings %u descriptors, not %u", description->name,
				 message->fd_count, description->fd_count);
		return -EBADMSG;
	}

	return 0;
}

/* Texts end in logs, on terminals and in JSON, none of which is for the sender to steer. */
static void clean_text(char *text, size_t size)
{
	text[size - 1] = '\0';
	for (; *text != '\0'; text++) {
		if (*text < ' ' || *text > '~')
			*text = '?';
	}
}

/* A refusal without a reason that a process may have is one of its own failure. */
static void clean_reason(struct message_text *text)
{
	if (text->reason == REASON_NONE || text->reason >= REASON_OF_PROCESSES_END)
		text->reason = REASON_FAILED;
}

static void clean_texts(struct message *message)
{
	switch (message->header.type) {
	case MESSAGE_FAILED:
	case MESSAGE_REFUSED:
		clean_reason(&message->payload.text);
		clean_text(message->payload.text.stage, sizeof(message->payload.text.stage));
		clean_text(message->payload.text.text, sizeof(message->payload.text.text));
		break;
	case MESSAGE_EXITED:
		clean_text(message->payload.exited.text, sizeof(message->payload.exited.text));
		break;
	case MESSAGE_KERNEL_LOADED:
		clean_text(message->payload.kernel_loaded.version, sizeof(message->payload.kernel_loaded.version));
		break;
	default:
		break;
	}
}

int channel_receive(int channel, struct message *ret_message, bool wait, struct error_detail *detail)
{
	struct iovec parts[] = {
		{ .iov_base = &ret_message->header, .iov_len = sizeof(ret_message->header) },
		{ .iov_base = &ret_message->payload, .iov_len = sizeof(ret_message->payload) },
	};
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(sizeof(int) * MESSAGE_FDS_MAX)];
	} control;
	struct msghdr packet = {
		.msg_iov = parts,
		.msg_iovlen = 2,
		.msg_control = control.space,
		.msg_controllen = sizeof(control.space),
	};
	ssize_t size;
	int result;

	ret_message->fd_count = 0;
	for (uint32_t i = 0; i < MESSAGE_FDS_MAX; i++)
		ret_message->fds[i] = -1;

	do {
		size = recvmsg(channel, &packet, MSG_CMSG_CLOEXEC | (wait ? 0 : MSG_DONTWAIT));
	} while (size < 0 && errno == EINTR);
	if (size < 0)
		return errno == ECONNRESET ? -EPIPE : -errno;

	take_fds(&packet, ret_message);
	if (size == 0 && ret_message->fd_count == 0)
		return -EPIPE;

	result = check_message(ret_message, (size_t)size, packet.msg_flags, detail);
	if (result < 0) {
		message_close_fds(ret_message);
		return result;
	}

	clean_texts(ret_message);
	return 0;
}
