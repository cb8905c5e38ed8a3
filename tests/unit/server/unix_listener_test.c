/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Taking a socket's path: fresh, stale, taken, and in the way.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "server/config.h"
#include "server/unix_listener.h"

static char folder[64], path[96], lock_path[112];

static void make_folder(void)
{
	(void)snprintf(folder, sizeof(folder), "/tmp/ember-listener-XXXXXX");
	cr_assert_not_null(mkdtemp(folder));
	(void)snprintf(path, sizeof(path), "%s/s.sock", folder);
	(void)snprintf(lock_path, sizeof(lock_path), "%s.lock", path);
}

static void remove_folder(void)
{
	(void)unlink(path);
	(void)unlink(lock_path);
	cr_expect_eq(rmdir(folder), 0, "something was left behind");
}

TestSuite(unix_listener, .init = make_folder, .fini = remove_folder);

static int connect_to_path(void)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), error = 0;

	memcpy(address.sun_path, path, strlen(path));
	if (connect(fd, (const struct sockaddr *)&address, sizeof(address)))
		error = -errno;
	(void)close(fd);
	return error;
}

Test(unix_listener, a_fresh_path_is_taken_and_removed_at_the_end)
{
	struct error_detail detail = { "" };
	struct unix_listener *listener;
	struct stat status;

	cr_assert_eq(unix_listener_open(path, 0640, CONFIG_NO_ID, &listener, &detail), 0, "%s", detail.text);
	cr_assert_eq(listen(unix_listener_fd(listener), 1), 0);
	cr_expect_eq(connect_to_path(), 0);
	cr_assert_eq(stat(path, &status), 0);
	cr_expect_eq(status.st_mode & 07777, 0640);
	cr_expect_null(unix_listener_close(listener));
	cr_expect_neq(access(path, F_OK), 0);
	cr_expect_neq(access(lock_path, F_OK), 0);
}

Test(unix_listener, the_group_is_set)
{
	struct error_detail detail = { "" };
	struct unix_listener *listener;
	struct stat status;

	cr_assert_eq(unix_listener_open(path, 0660, getegid(), &listener, &detail), 0, "%s", detail.text);
	cr_assert_eq(stat(path, &status), 0);
	cr_expect_eq(status.st_gid, getegid());
	(void)unix_listener_close(listener);
}

Test(unix_listener, a_stale_socket_is_replaced)
{
	struct error_detail detail = { "" };
	struct unix_listener *listener;
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int dead = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	memcpy(address.sun_path, path, strlen(path));
	cr_assert_eq(bind(dead, (const struct sockaddr *)&address, sizeof(address)), 0);
	(void)close(dead);
	cr_assert_eq(connect_to_path(), -ECONNREFUSED);

	cr_assert_eq(unix_listener_open(path, 0600, CONFIG_NO_ID, &listener, &detail), 0, "%s", detail.text);
	cr_assert_eq(listen(unix_listener_fd(listener), 1), 0);
	cr_expect_eq(connect_to_path(), 0);
	(void)unix_listener_close(listener);
}

Test(unix_listener, a_second_one_is_refused_and_the_first_goes_on)
{
	struct unix_listener *first, *second = NULL;
	struct error_detail detail = { "" };

	cr_assert_eq(unix_listener_open(path, 0600, CONFIG_NO_ID, &first, &detail), 0);
	cr_expect_eq(unix_listener_open(path, 0600, CONFIG_NO_ID, &second, &detail), -EADDRINUSE);
	cr_expect(strstr(detail.text, path), "%s", detail.text);
	cr_assert_eq(listen(unix_listener_fd(first), 1), 0);
	cr_expect_eq(connect_to_path(), 0);
	(void)unix_listener_close(first);
	cr_assert_eq(unix_listener_open(path, 0600, CONFIG_NO_ID, &second, &detail), 0);
	(void)unix_listener_close(second);
}

Test(unix_listener, a_server_without_our_lock_is_left_alone)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int other = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct unix_listener *listener = NULL;
	struct error_detail detail = { "" };

	memcpy(address.sun_path, path, strlen(path));
	cr_assert_eq(bind(other, (const struct sockaddr *)&address, sizeof(address)), 0);
	cr_assert_eq(listen(other, 1), 0);
	cr_expect_eq(unix_listener_open(path, 0600, CONFIG_NO_ID, &listener, &detail), -EADDRINUSE);
	cr_expect_eq(connect_to_path(), 0);
	(void)close(other);
}

Test(unix_listener, what_is_no_socket_is_not_removed)
{
	struct unix_listener *listener = NULL;
	struct error_detail detail = { "" };
	int file = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);

	(void)close(file);
	cr_expect_eq(unix_listener_open(path, 0600, CONFIG_NO_ID, &listener, &detail), -EEXIST);
	cr_expect_eq(access(path, F_OK), 0);
	cr_expect_neq(access(lock_path, F_OK), 0);
}

Test(unix_listener, a_path_too_long_for_a_socket_is_refused)
{
	struct unix_listener *listener = NULL;
	struct error_detail detail = { "" };
	char longest[200];

	memset(longest, 'x', sizeof(longest) - 1);
	longest[0] = '/';
	longest[sizeof(longest) - 1] = '\0';
	cr_expect_eq(unix_listener_open(longest, 0600, CONFIG_NO_ID, &listener, &detail), -ENAMETOOLONG);
	cr_expect_neq(detail.text[0], '\0');
}

Test(unix_listener, the_folder_is_made)
{
	struct error_detail detail = { "" };
	struct unix_listener *listener;
	char deep[128], below[112];

	(void)snprintf(below, sizeof(below), "%s/run", folder);
	(void)snprintf(deep, sizeof(deep), "%s/s", below);
	cr_assert_eq(unix_listener_open(deep, 0600, CONFIG_NO_ID, &listener, &detail), 0, "%s", detail.text);
	(void)unix_listener_close(listener);
	cr_expect_eq(rmdir(below), 0);
}

/* Something else took our path: it is not ours to remove. */
Test(unix_listener, closing_removes_only_its_own_socket)
{
	struct error_detail detail = { "" };
	struct unix_listener *listener;
	int file;

	cr_assert_eq(unix_listener_open(path, 0600, CONFIG_NO_ID, &listener, &detail), 0);
	cr_assert_eq(unlink(path), 0);
	file = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	(void)close(file);
	(void)unix_listener_close(listener);
	cr_expect_eq(access(path, F_OK), 0);
}
