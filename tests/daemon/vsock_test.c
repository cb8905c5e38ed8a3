/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A vsock's side on the host: sockets that come and go with VMs, and CIDs that no two VMs have.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "device_steps.h"

DAEMON_AND_CLIENT(NULL);

static const char *in(const char *name)
{
	return path_in(&daemon_under_test, name);
}

static json_t *boot(json_t *vsock)
{
	return call(client, "vm.boot", "{s:i, s:o}", "memory_mib", GUEST_MIB, "vsock", vsock);
}

static void refuse(int code, const char *named, json_t *vsock)
{
	refused(client, code, named, "vm.boot", "{s:i, s:o}", "memory_mib", GUEST_MIB, "vsock", vsock);
}

static int socket_at(const char *path, bool listening)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int file = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	(void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	if (listening) {
		cr_assert_eq(bind(file, (struct sockaddr *)&address, sizeof(address)), 0);
		cr_assert_eq(listen(file, 5), 0);
	} else {
		cr_assert_eq(connect(file, (struct sockaddr *)&address, sizeof(address)), 0, "%s: %s", path,
			     strerror(errno));
	}
	return file;
}

DAEMON_TEST(vsock, a_socket_lives_as_long_as_its_vm)
{
	json_t *started = boot(json_pack("{s:i, s:s}", "cid", 77, "path", in("v.sock")));
	struct stat status;
	char byte;
	int file;

	cr_expect_str_eq(text_at(started, "shape"), "1x8-host+vsock");
	cr_expect_eq(int_at(started, "vsock.cid"), 77);
	cr_expect_str_eq(text_at(started, "vsock.path"), in("v.sock"));
	cr_assert_eq(stat(in("v.sock"), &status), 0);
	cr_expect_eq(status.st_mode & 0777, 0666, "as the daemon's own");
	/* The demo guest has no driver that would answer. When the VM ends, who waits is told. */
	file = socket_at(in("v.sock"), false);
	cr_expect_eq(write(file, "CONNECT 1\n", 10), 10);

	refuse(RPC_ALREADY_EXISTS, "vsock.cid", json_pack("{s:i}", "cid", 77));
	refuse(RPC_ALREADY_EXISTS, "vsock.path", json_pack("{s:s}", "path", in("v.sock")));
	release_vm(client, text_at(started, "vm"));
	json_decref(started);
	cr_expect_leq(read(file, &byte, 1), 0);
	(void)close(file);
	cr_expect_not(exists(in("v.sock")));
	cr_expect_not(exists(in("v.sock.lock")));
	started = boot(json_pack("{s:i, s:s}", "cid", 77, "path", in("v.sock")));
	perform(client, "vm.kill", "{s:O}", "vm", json_object_get(started, "vm"));
	cr_expect_not(exists(in("v.sock")));
	json_decref(started);
}

DAEMON_TEST(vsock, each_vm_has_a_cid_and_a_path_of_its_own)
{
	json_t *started[8];
	char expected[256], folder[256];
	int i, j;

	for (i = 0; i < 8; i++) {
		started[i] = boot(json_object());
		cr_expect_geq(int_at(started[i], "vsock.cid"), 3);
		(void)snprintf(expected, sizeof(expected), "%s/vsock/%lld.sock", daemon_under_test.folder,
			       (long long)int_at(started[i], "vsock.cid"));
		cr_expect_str_eq(text_at(started[i], "vsock.path"), expected);
		cr_expect(exists(expected));
		for (j = 0; j < i; j++)
			cr_expect_neq(int_at(started[i], "vsock.cid"), int_at(started[j], "vsock.cid"));
	}
	for (i = 0; i < 8; i++) {
		release_vm(client, text_at(started[i], "vm"));
		json_decref(started[i]);
	}
	(void)snprintf(folder, sizeof(folder), "%s/vsock", daemon_under_test.folder);
	cr_expect_eq(rmdir(folder), 0, "something is left in it");
}

DAEMON_TEST(vsock, clones_have_new_ones_unless_they_are_told)
{
	json_t *started = boot(json_pack("{s:i, s:s}", "cid", 77, "path", in("v.sock"))), *clones[3];

	perform(client, "vm.snapshot", "{s:O, s:s}", "vm", json_object_get(started, "vm"), "name", "one");
	clones[0] = call(client, "vm.restore", "{s:s}", "snapshot", "one");
	clones[1] = call(client, "vm.restore", "{s:s, s:{s:i, s:s}}", "snapshot", "one", "vsock", "cid", 78, "path",
			 in("w.sock"));
	cr_expect_neq(int_at(clones[0], "vsock.cid"), 77);
	cr_expect_neq(int_at(clones[0], "vsock.cid"), 78);
	cr_expect_eq(int_at(clones[1], "vsock.cid"), 78);
	cr_expect(exists(in("w.sock")));
	refused(client, RPC_ALREADY_EXISTS, "vsock.cid", "vm.restore", "{s:s, s:{s:i}}", "snapshot", "one", "vsock",
		"cid", 77);
	release_vm(client, text_at(started, "vm"));
	clones[2] = call(client, "vm.restore", "{s:s, s:{s:i}}", "snapshot", "one", "vsock", "cid", 77);
	cr_expect_eq(int_at(clones[2], "vsock.cid"), 77);
	json_decref(started);
	for (int i = 0; i < 3; i++)
		json_decref(clones[i]);
}

DAEMON_TEST(vsock, paths_that_cannot_be)
{
	char longest[200];
	json_t *started;
	int file;

	write_file(in("file"), "mine", 4);
	refuse(RPC_ALREADY_EXISTS, "vsock.path", json_pack("{s:s}", "path", in("file")));
	cr_expect(exists(in("file")));
	file = socket_at(in("served"), true);
	refuse(RPC_ALREADY_EXISTS, "vsock.path", json_pack("{s:s}", "path", in("served")));
	(void)close(file);
	/* Nobody serves it any more. */
	started = boot(json_pack("{s:s}", "path", in("served")));
	json_decref(started);
	refuse(RPC_INVALID_ARGUMENT, "vsock.path", json_pack("{s:s}", "path", "/proc/none/v.sock"));

	/* A port must fit after it: "_4294967295" and the end. */
	memset(longest, 'x', sizeof(longest));
	memcpy(longest, "/tmp/", 5);
	longest[108 - 12 + 1] = '\0';
	refuse(RPC_INVALID_ARGUMENT, "vsock.path", json_pack("{s:s}", "path", longest));
	longest[108 - 12] = '\0';
	started = boot(json_pack("{s:s}", "path", longest));
	cr_expect(exists(longest));
	release_vm(client, text_at(started, "vm"));
	json_decref(started);
	cr_expect_not(exists(longest));
	refuse(RPC_INVALID_PARAMS, "vsock.cid", json_pack("{s:i}", "cid", 2));
	refuse(RPC_INVALID_PARAMS, "vsock.cid", json_pack("{s:I}", "cid", (json_int_t)4294967295));
}

DAEMON_TEST(vsock, a_daemon_that_died_leaves_nothing_for_long)
{
	json_t *started[2] = { boot(json_object()), boot(json_pack("{s:s}", "path", in("v.sock"))) };
	pid_t children[16];
	size_t count = children_of(daemon_under_test.pid, children, 16);
	char path[256];

	(void)snprintf(path, sizeof(path), "%s", text_at(started[0], "vsock.path"));
	json_decref(started[0]);
	json_decref(started[1]);
	(void)ember_free(client);
	daemon_signal(&daemon_under_test, SIGKILL);
	cr_assert_eq(daemon_wait_end(&daemon_under_test), 128 + SIGKILL);
	/* As long as a worker is not quite gone, its socket takes connections, and is left alone. */
	for (size_t i = 0; i < count && i < 16; i++)
		process_wait_end(children[i]);
	cr_expect(exists(path));
	daemon_start_again(&daemon_under_test);
	client = daemon_connect(&daemon_under_test);
	cr_expect_not(exists(path), "it has a name that only chance gives again");
	started[1] = boot(json_pack("{s:s}", "path", in("v.sock")));
	json_decref(started[1]);
}
