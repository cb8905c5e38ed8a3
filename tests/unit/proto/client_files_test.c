/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Descriptors that libember passes with a request: they arrive with the first byte of their line, and with no other line.
 */
#include "proto/client/ember.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static struct ember *client;
static int daemon_end;

static void connect_pair(void)
{
	int ends[2];

	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
	cr_assert_eq(ember_connect_fd(ends[0], &client), 0);
	daemon_end = ends[1];
}

static void disconnect_pair(void)
{
	client = ember_free(client);
	(void)close(daemon_end);
}

TestSuite(client_files, .init = connect_pair, .fini = disconnect_pair);

/* One message from the client: its text, and how many descriptors came with it; each must be a pipe's end and is closed. */
static const char *hear(size_t size, size_t *ret_files)
{
	union {
		char bytes[CMSG_SPACE(EMBER_FILES_MAX * sizeof(int))];
		struct cmsghdr alignment;
	} control;
	static char text[1 << 20];
	struct iovec part = { .iov_base = text, .iov_len = size };
	struct msghdr message = {
		.msg_iov = &part, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof(control)
	};
	ssize_t length = recvmsg(daemon_end, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);
	int files[EMBER_FILES_MAX];

	*ret_files = 0;
	text[length > 0 ? length : 0] = '\0';
	if (length <= 0 || !header)
		return text;
	*ret_files = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
	memcpy(files, CMSG_DATA(header), *ret_files * sizeof(int));
	for (size_t i = 0; i < *ret_files; i++)
		cr_assert_eq(close(files[i]), 0);
	return text;
}

Test(client_files, go_with_their_line_alone)
{
	int ends[2];
	const char *text;
	size_t files;

	cr_assert_eq(pipe2(ends, O_CLOEXEC), 0);
	cr_assert_eq(ember_send(client, "server.ping", NULL, NULL, NULL, NULL), 0);
	cr_assert_eq(ember_send_with_files(client, "vm.boot", NULL, ends, 2, NULL, NULL, NULL), 0);
	cr_assert_eq(ember_send(client, "server.info", NULL, NULL, NULL, NULL), 0);
	(void)close(ends[0]);
	(void)close(ends[1]);

	/* A read may bring what was sent before, and ends with the message that has descriptors. */
	text = hear(65536, &files);
	cr_expect_eq(files, 2);
	cr_expect_not_null(strstr(text, "vm.boot"));
	cr_expect_null(strstr(text, "server.info"));
	text = hear(65536, &files);
	cr_expect_eq(files, 0);
	cr_expect_not_null(strstr(text, "server.info"));
}

Test(client_files, wait_for_their_turn_where_the_socket_is_full)
{
	json_t *params = json_object();
	int ends[2], rounds;
	const char *text = "";
	size_t files = 0;
	char *filler;

	filler = malloc(1 << 20);
	cr_assert_not_null(filler);
	memset(filler, 'x', (1 << 20) - 1);
	filler[(1 << 20) - 1] = '\0';
	cr_assert_eq(json_object_set_new(params, "filler", json_string(filler)), 0);
	free(filler);
	cr_assert_eq(pipe2(ends, O_CLOEXEC), 0);
	cr_assert_eq(ember_send(client, "server.ping", params, NULL, NULL, NULL), 0);
	cr_assert_gt(ember_unsent(client), 0);
	cr_assert_eq(ember_send_with_files(client, "vm.boot", NULL, ends, 1, NULL, NULL, NULL), 0);
	cr_expect_eq(ember_send_with_files(client, "vm.boot", NULL, ends, 1, NULL, NULL, NULL), -EBUSY);
	cr_assert_eq(ember_send(client, "server.info", NULL, NULL, NULL, NULL), 0);

	for (rounds = 0; rounds < 10000 && files == 0; rounds++) {
		cr_assert_eq(ember_dispatch(client, 0), 0);
		text = hear(65536, &files);
	}
	cr_assert_eq(files, 1);
	cr_expect_str_eq(strrchr(text, '{'), "{\"jsonrpc\":\"2.0\",\"method\":\"vm.boot\",\"id\":2}\n");
	json_decref(params);
	(void)close(ends[0]);
	(void)close(ends[1]);
}

Test(client_files, have_a_bound)
{
	int many[EMBER_FILES_MAX + 1] = { 0 };
	int none = -1;

	cr_expect_eq(ember_send_with_files(client, "vm.boot", NULL, many, EMBER_FILES_MAX + 1, NULL, NULL, NULL),
		     -EINVAL);
	cr_expect_eq(ember_send_with_files(client, "vm.boot", NULL, &none, 1, NULL, NULL, NULL), -EBADF);
	cr_expect_eq(ember_in_flight(client), 0);
	cr_expect_eq(ember_unsent(client), 0);
}
