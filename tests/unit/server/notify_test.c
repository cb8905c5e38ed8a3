/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The service manager's socket, played by the test.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "server/notify.h"

static int receive_state(const char *name, char *text, size_t size)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int manager = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), error;
	ssize_t got;

	memcpy(address.sun_path, name, strlen(name));
	if (name[0] == '@')
		address.sun_path[0] = '\0';
	cr_assert_eq(bind(manager, (const struct sockaddr *)&address,
			  (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(name))),
		     0);
	(void)setenv("NOTIFY_SOCKET", name, 1);
	error = notify_send("READY=1");
	got = recv(manager, text, size - 1, 0);
	text[got > 0 ? got : 0] = '\0';
	(void)close(manager);
	return error;
}

Test(notify, a_manager_at_a_path_is_told)
{
	char path[64], text[64];

	(void)snprintf(path, sizeof(path), "/tmp/ember-notify-%d", (int)getpid());
	cr_expect_eq(receive_state(path, text, sizeof(text)), 0);
	cr_expect_str_eq(text, "READY=1");
	(void)unlink(path);
}

Test(notify, a_manager_at_an_abstract_name_is_told)
{
	char name[64], text[64];

	(void)snprintf(name, sizeof(name), "@ember-notify-%d", (int)getpid());
	cr_expect_eq(receive_state(name, text, sizeof(text)), 0);
	cr_expect_str_eq(text, "READY=1");
}

Test(notify, no_manager_is_no_error_and_a_wrong_one_is)
{
	(void)unsetenv("NOTIFY_SOCKET");
	cr_expect_eq(notify_send("READY=1"), 0);
	(void)setenv("NOTIFY_SOCKET", "relative", 1);
	cr_expect_eq(notify_send("READY=1"), -EINVAL);
	(void)setenv("NOTIFY_SOCKET", "/nonexistent/notify", 1);
	cr_expect_eq(notify_reloading(), -ENOENT);
}
