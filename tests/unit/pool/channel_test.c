/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The channel against an honest and a hostile other end.
 */
#include "pool/channel.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

static int ends[2];

static void open_ends(void)
{
	cr_assert_eq(channel_pair(ends), 0);
}

static void close_ends(void)
{
	(void)close(ends[0]);
	(void)close(ends[1]);
}

TestSuite(channel, .init = open_ends, .fini = close_ends);

static int count_descriptors(void)
{
	int count = 0;

	for (int fd = 0; fd < 256; fd++)
		count += fcntl(fd, F_GETFD) >= 0;
	return count;
}

/* Send raw bytes with some descriptors, as a hostile process could. */
static void send_raw(const void *bytes, size_t size, int fd, unsigned fd_count)
{
	struct iovec part = { .iov_base = (void *)bytes, .iov_len = size };
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(sizeof(int) * 16)];
	} control = { 0 };
	struct msghdr packet = { .msg_iov = &part, .msg_iovlen = 1 };

	if (fd_count > 0) {
		packet.msg_control = control.space;
		packet.msg_controllen = CMSG_SPACE(sizeof(int) * fd_count);
		control.header.cmsg_level = SOL_SOCKET;
		control.header.cmsg_type = SCM_RIGHTS;
		control.header.cmsg_len = CMSG_LEN(sizeof(int) * fd_count);
		for (unsigned i = 0; i < fd_count; i++)
			memcpy(CMSG_DATA(&control.header) + i * sizeof(int), &fd, sizeof(fd));
	}
	cr_assert_eq(sendmsg(ends[0], &packet, MSG_NOSIGNAL), (ssize_t)size);
}

static struct message_header header_of(enum message_type type)
{
	return (struct message_header){
		.magic = MESSAGE_MAGIC,
		.version = MESSAGE_VERSION,
		.type = (uint16_t)type,
		.payload_size = message_table[type].payload_size,
	};
}

Test(channel, every_type_travels_with_its_payload_and_descriptors)
{
	for (int type = MESSAGE_NONE + 1; type < MESSAGE_TYPE_COUNT; type++) {
		const struct message_description *description = &message_table[type];
		uint8_t payload[sizeof(union message_payload)];
		int fds[MESSAGE_FDS_MAX] = { ends[0], ends[0], ends[0] };
		struct message message;
		struct error_detail detail;

		memset(payload, 0x5a, sizeof(payload));
		payload[description->payload_size > 0 ? description->payload_size - 1 : 0] = 0;
		cr_assert_eq(channel_send(ends[0], (enum message_type)type, 7, payload, fds, false), 0);
		cr_assert_eq(channel_receive(ends[1], &message, false, &detail), 0, "%s", description->name);
		cr_assert_eq(message.header.type, type);
		cr_assert_eq(message.header.request, 7);
		cr_assert_eq(message.fd_count, description->fd_count);
		for (uint32_t i = 0; i < description->fd_count; i++)
			cr_assert(fcntl(message.fds[i], F_GETFD) & FD_CLOEXEC);
		message_close_fds(&message);
	}
}

Test(channel, nothing_there_is_eagain_and_a_closed_end_is_epipe)
{
	struct message message;
	struct error_detail detail;

	cr_assert_eq(channel_receive(ends[1], &message, false, &detail), -EAGAIN);
	(void)close(ends[0]);
	cr_assert_eq(channel_receive(ends[1], &message, false, &detail), -EPIPE);
	cr_assert_eq(channel_send(ends[1], MESSAGE_STOP, 0, NULL, NULL, false), -EPIPE);
	ends[0] = -1;
}

Test(channel, malformed_messages_are_refused_and_the_next_one_is_read)
{
	struct message_header header = header_of(MESSAGE_STOP);
	struct {
		struct message_header header;
		char more[8];
	} longer = { .header = header_of(MESSAGE_STOP) };
	struct message_header wrong[5];
	struct message message;
	struct error_detail detail;

	for (int i = 0; i < 5; i++)
		wrong[i] = header;
	wrong[0].magic++;
	wrong[1].version++;
	wrong[2].type = MESSAGE_TYPE_COUNT;
	wrong[3].type = MESSAGE_NONE;
	wrong[4].payload_size = 8;
	for (int i = 0; i < 5; i++) {
		send_raw(&wrong[i], sizeof(wrong[i]), -1, 0);
		cr_assert_eq(channel_receive(ends[1], &message, false, &detail), -EBADMSG, "case %d", i);
		cr_assert_neq(detail.text[0], '\0');
	}

	send_raw(&header, 5, -1, 0); /* not even a header */
	cr_assert_eq(channel_receive(ends[1], &message, false, &detail), -EBADMSG);
	send_raw(&longer, sizeof(longer), -1, 0); /* more than the type carries */
	cr_assert_eq(channel_receive(ends[1], &message, false, &detail), -EBADMSG);
	header = header_of(MESSAGE_PROGRESS);
	send_raw(&header, sizeof(header), -1, 0); /* and less */
	cr_assert_eq(channel_receive(ends[1], &message, false, &detail), -EBADMSG);

	cr_assert_eq(channel_send(ends[0], MESSAGE_STOP, 0, NULL, NULL, false), 0);
	cr_assert_eq(channel_receive(ends[1], &message, false, &detail), 0);
}

Test(channel, a_message_larger_than_any_is_refused)
{
	static uint8_t huge[sizeof(struct message_header) + sizeof(union message_payload) + 1];
	struct message_header header = header_of(MESSAGE_CONSOLE_DATA);
	struct message message;
	struct error_detail detail;

	memcpy(huge, &header, sizeof(header));
	send_raw(huge, sizeof(huge), -1, 0);
	cr_assert_eq(channel_receive(ends[1], &message, false, &detail), -EBADMSG);
}

Test(channel, unwanted_descriptors_are_closed)
{
	struct message_header header = header_of(MESSAGE_STOP);
	struct message message;
	struct error_detail detail;
	int before = count_descriptors();

	/* As many as fit the buffer, more than fit it (MSG_CTRUNC), and too few. */
	for (unsigned count = 1; count <= 16; count++) {
		send_raw(&header, sizeof(header), ends[0], count);
		cr_assert_eq(channel_receive(ends[1], &message, false, &detail), -EBADMSG, "%u descriptors", count);
		cr_assert_eq(count_descriptors(), before, "%u descriptors", count);
	}

	header = header_of(MESSAGE_RESTORE);
	{
		struct {
			struct message_header header;
			struct message_start start;
		} restore = { .header = header };

		send_raw(&restore, sizeof(restore), ends[0], 1);
	}
	cr_assert_eq(channel_receive(ends[1], &message, false, &detail), -EBADMSG);
	cr_assert_eq(count_descriptors(), before);
}

Test(channel, texts_arrive_terminated)
{
	struct message_text text;
	struct message_exited exited;
	struct message message;
	struct error_detail detail;

	memset(&text, 'x', sizeof(text));
	cr_assert_eq(channel_send(ends[0], MESSAGE_FAILED, 0, &text, NULL, false), 0);
	cr_assert_eq(channel_receive(ends[1], &message, false, &detail), 0);
	cr_assert_eq(strnlen(message.payload.text.stage, sizeof(text.stage)), sizeof(text.stage) - 1);
	cr_assert_eq(strnlen(message.payload.text.text, sizeof(text.text)), sizeof(text.text) - 1);

	memset(&exited, 'x', sizeof(exited));
	cr_assert_eq(channel_send(ends[0], MESSAGE_EXITED, 0, &exited, NULL, false), 0);
	cr_assert_eq(channel_receive(ends[1], &message, false, &detail), 0);
	cr_assert_eq(strnlen(message.payload.exited.text, sizeof(exited.text)), sizeof(exited.text) - 1);
}

Test(channel, texts_arrive_printable)
{
	struct message_text text = { .stage = "a\tb", .text = "\033]0;title\007 \xc3\x28 \x7f done" };
	struct message_exited exited = { .text = "one\ntwo" };
	struct message_kernel_loaded kernel = { .version = "6.1\n" };
	struct message message;
	struct error_detail detail;

	cr_assert_eq(channel_send(ends[0], MESSAGE_REFUSED, 0, &text, NULL, false), 0);
	cr_assert_eq(channel_receive(ends[1], &message, false, &detail), 0);
	cr_assert_str_eq(message.payload.text.stage, "a?b");
	cr_assert_str_eq(message.payload.text.text, "?]0;title? ?( ? done");

	cr_assert_eq(channel_send(ends[0], MESSAGE_EXITED, 0, &exited, NULL, false), 0);
	cr_assert_eq(channel_receive(ends[1], &message, false, &detail), 0);
	cr_assert_str_eq(message.payload.exited.text, "one?two");

	cr_assert_eq(channel_send(ends[0], MESSAGE_KERNEL_LOADED, 0, &kernel, NULL, false), 0);
	cr_assert_eq(channel_receive(ends[1], &message, false, &detail), 0);
	cr_assert_str_eq(message.payload.kernel_loaded.version, "6.1?");
}

Test(channel, a_full_socket_is_eagain_to_who_does_not_wait)
{
	struct message_console_data data = { .size = MESSAGE_CONSOLE_MAX };
	int result = 0;

	for (int i = 0; i < 100000 && result == 0; i++)
		result = channel_send(ends[0], MESSAGE_CONSOLE_DATA, 0, &data, NULL, false);
	cr_assert_eq(result, -EAGAIN);
}
