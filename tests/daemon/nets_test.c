/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Network interfaces: TAP devices by name and by descriptors that come with a request. Skipped where this process may
 * make no TAP device.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <linux/if.h>
#include <linux/if_tun.h>

#include "device_steps.h"

#define ROLES   "{\"roles\": {\"run\": {\"users\": [20002]}, \"observe\": {\"users\": [20001]}}}"
#define RUN_UID 20002
#define FRAMES  (IFF_TAP | IFF_NO_PI | IFF_VNET_HDR) /* what a VM needs */

static struct daemon daemon_under_test;
static struct ember *client;
static char tap_name[IFNAMSIZ];

/* A TAP device of these flags; -1: there can be none. */
static int make_tap(short flags)
{
	struct ifreq request = { .ifr_flags = flags };
	int tap = open("/dev/net/tun", O_RDWR | O_CLOEXEC);

	(void)snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", tap_name);
	if (tap >= 0 && ioctl(tap, TUNSETIFF, &request) < 0) {
		(void)close(tap);
		return -1;
	}
	return tap;
}

static const char *interface_path(void)
{
	static char path[64];

	(void)snprintf(path, sizeof(path), "/sys/class/net/%s", tap_name);
	return path;
}

static bool interface_exists(void)
{
	return exists(interface_path());
}

static void start(void)
{
	int tap;

	(void)snprintf(tap_name, sizeof(tap_name), "emt%d", (int)getpid());
	tap = make_tap(FRAMES);
	if (tap < 0)
		cr_skip_test("no TAP device can be made here: %s", strerror(errno));
	(void)close(tap);
	daemon_start(&daemon_under_test, ROLES);
	client = daemon_connect(&daemon_under_test);
}

static void stop(void)
{
	perform(client, "server.ping", NULL);
	(void)ember_free(client);
	daemon_stop(&daemon_under_test);
}

/* vm.boot of the demo guest with interfaces (taken over) and descriptors. Returns the error's code; 0: started. */
static int boot_with(struct ember *who, json_t *nets, const int *files, size_t count, json_t **ret_result, char *named,
		     size_t size)
{
	json_t *params = json_pack("{s:i, s:o}", "memory_mib", GUEST_MIB, "net", nets);
	struct ember_error error = { 0 };
	int failed = ember_call_with_files(who, "vm.boot", params, files, count, WAIT_MS, ret_result, &error), code;

	json_decref(params);
	cr_assert(failed == 0 || failed == -EREMOTEIO, "%s", error.message);
	if (named)
		(void)snprintf(named, size, "%s: %s", json_string_value(json_object_get(error.data, "field")) ?: "",
			       error.message);
	code = error.code;
	ember_error_release(&error);
	return code;
}

static void refuse_files(int code, const char *field, json_t *nets, const int *files, size_t count)
{
	char named[512];

	cr_expect_eq(boot_with(client, nets, files, count, NULL, named, sizeof(named)), code, "%s", named);
	cr_expect(strncmp(named, field, strlen(field)) == 0, "%s, not %s", named, field);
}

DAEMON_TEST(nets, by_name)
{
	json_t *started, *info;

	started = call(client, "vm.boot", "{s:i, s:[{s:s}]}", "memory_mib", GUEST_MIB, "net", "tap", tap_name);
	cr_expect_str_eq(text_at(started, "shape"), "1x8-host+1n");
	cr_expect(interface_exists(), "one that nobody has is made");
	info = call(client, "vm.info", "{s:O}", "vm", json_object_get(started, "vm"));
	cr_expect_eq(strlen(text_at(info, "devices.net.0.mac")), 17);
	cr_expect(strchr("26ae", text_at(info, "devices.net.0.mac")[1]), "%s", text_at(info, "devices.net.0.mac"));
	json_decref(info);

	refused(client, RPC_FAILED_PRECONDITION, "net[0].tap", "vm.boot", "{s:[{s:s}]}", "net", "tap", tap_name);
	refused(client, RPC_FAILED_PRECONDITION, "net[0].tap", "vm.boot", "{s:[{s:s}]}", "net", "tap", "lo");
	refused(client, RPC_INVALID_PARAMS, "net[0]", "vm.boot", "{s:[{}]}", "net");
	refused(client, RPC_INVALID_PARAMS, "net[0].mac", "vm.boot", "{s:[{s:s, s:s}]}", "net", "tap", tap_name, "mac",
		"01:00:00:00:00:01");
	release_vm(client, text_at(started, "vm"));
	json_decref(started);
	cr_expect_not(interface_exists(), "it goes with the VM");
}

DAEMON_TEST(nets, a_snapshot_remembers_name_and_address)
{
	json_t *started, *info;

	started = call(client, "vm.boot", "{s:i, s:[{s:s, s:s}]}", "memory_mib", GUEST_MIB, "net", "tap", tap_name,
		       "mac", "02:00:00:00:00:07");
	perform(client, "vm.snapshot", "{s:O, s:s}", "vm", json_object_get(started, "vm"), "name", "one");
	refused(client, RPC_FAILED_PRECONDITION, "net[0].tap", "vm.restore", "{s:s}", "snapshot", "one");
	release_vm(client, text_at(started, "vm"));
	json_decref(started);

	started = call(client, "vm.restore", "{s:s}", "snapshot", "one");
	info = call(client, "vm.info", "{s:O}", "vm", json_object_get(started, "vm"));
	cr_expect_str_eq(text_at(info, "devices.net.0.tap"), tap_name);
	cr_expect_str_eq(text_at(info, "devices.net.0.mac"), "02:00:00:00:00:07");
	json_decref(info);
	release_vm(client, text_at(started, "vm"));
	json_decref(started);

	started = call(client, "vm.restore", "{s:s, s:[{s:s}]}", "snapshot", "one", "net", "mac", "02:00:00:00:00:08");
	info = call(client, "vm.info", "{s:O}", "vm", json_object_get(started, "vm"));
	cr_expect_str_eq(text_at(info, "devices.net.0.mac"), "02:00:00:00:00:08");
	json_decref(info);
	release_vm(client, text_at(started, "vm"));
	json_decref(started);
}

DAEMON_TEST(nets, by_descriptor)
{
	json_t *started = NULL;
	int tap = make_tap(FRAMES), files[2] = { open("/dev/null", O_RDWR | O_CLOEXEC), tap };

	cr_assert_eq(boot_with(client, json_pack("[{s:i}]", "tap_fd", 1), files, 2, &started, NULL, 0), 0);
	(void)close(tap);
	cr_expect(interface_exists(), "the VM has it");
	perform(client, "vm.snapshot", "{s:O, s:s}", "vm", json_object_get(started, "vm"), "name", "one");
	release_vm(client, text_at(started, "vm"));
	json_decref(started);
	cr_expect_not(interface_exists(), "the daemon or another worker has kept it");
	refused(client, RPC_FAILED_PRECONDITION, "net[0].tap", "vm.restore", "{s:s}", "snapshot", "one");
	started = call(client, "vm.restore", "{s:s, s:[{s:s}]}", "snapshot", "one", "net", "tap", tap_name);
	json_decref(started);
	(void)close(files[0]);
}

DAEMON_TEST(nets, descriptors_that_are_no_tap_device)
{
	int tun = make_tap(IFF_TUN | IFF_NO_PI | IFF_VNET_HDR), plain, null = open("/dev/null", O_RDWR | O_CLOEXEC);
	int ends[2];

	cr_assert_eq(pipe2(ends, O_CLOEXEC), 0);
	refuse_files(RPC_INVALID_ARGUMENT, "net[0].tap_fd", json_pack("[{s:i}]", "tap_fd", 0), &null, 1);
	refuse_files(RPC_INVALID_ARGUMENT, "net[0].tap_fd", json_pack("[{s:i}]", "tap_fd", 0), ends, 1);
	refuse_files(RPC_INVALID_ARGUMENT, "net[0].tap_fd", json_pack("[{s:i}]", "tap_fd", 0), &tun, 1);
	(void)close(tun);
	wait_gone(interface_path());
	plain = make_tap(IFF_TAP | IFF_NO_PI);
	refuse_files(RPC_INVALID_ARGUMENT, "net[0].tap_fd", json_pack("[{s:i}]", "tap_fd", 0), &plain, 1);
	refuse_files(RPC_INVALID_PARAMS, "net[0].tap_fd", json_pack("[{s:i}]", "tap_fd", 1), &plain, 1);
	refuse_files(RPC_INVALID_PARAMS, "net[0].tap_fd", json_pack("[{s:i}]", "tap_fd", 0), NULL, 0);
	refuse_files(RPC_INVALID_PARAMS, "net[1].tap_fd", json_pack("[{s:i}, {s:i}]", "tap_fd", 0, "tap_fd", 0), &plain,
		     1);
	refuse_files(RPC_INVALID_PARAMS, "net[0]", json_pack("[{s:i, s:s}]", "tap_fd", 0, "tap", tap_name), &plain, 1);
	(void)close(plain);
	(void)close(null);
	(void)close(ends[0]);
	(void)close(ends[1]);
	/* They are closed off the daemon's loop, and with the last of them goes the device. */
	wait_gone(interface_path());
}

/* A role that may start VMs may bring its own device, and is not trusted with names. */
DAEMON_TEST(nets, a_descriptor_needs_no_admin)
{
	json_t *started = NULL;
	struct ember *runner;
	struct raw raw;
	int tap = make_tap(FRAMES);

	raw_connect_as(&raw, daemon_under_test.socket_path, RUN_UID, RUN_UID);
	cr_assert_eq(ember_connect_fd(dup(raw.fd), &runner), 0);
	raw_close(&raw);
	cr_expect_eq(boot_with(runner, json_pack("[{s:s}]", "tap", tap_name), NULL, 0, NULL, NULL, 0),
		     RPC_PERMISSION_DENIED);
	cr_assert_eq(boot_with(runner, json_pack("[{s:i}]", "tap_fd", 0), &tap, 1, &started, NULL, 0), 0);
	json_decref(started);
	(void)ember_free(runner);
	(void)close(tap);
}

/* How many descriptors of /dev/null, which is what is passed here, the daemon has open. */
static size_t open_files(void)
{
	char path[64], name[64];
	size_t count = 0;
	ssize_t length;

	for (int i = 0; i < 1024; i++) {
		(void)snprintf(path, sizeof(path), "/proc/%d/fd/%d", (int)daemon_under_test.pid, i);
		length = readlink(path, name, sizeof(name) - 1);
		name[length > 0 ? length : 0] = '\0';
		count += strcmp(name, "/dev/null") == 0;
	}
	return count;
}

static void send_with_files(int socket, const char *text, int file, size_t count)
{
	union {
		char bytes[CMSG_SPACE(64 * sizeof(int))];
		struct cmsghdr alignment;
	} control = { 0 };
	struct iovec part = { .iov_base = (char *)text, .iov_len = strlen(text) };
	struct msghdr message = { .msg_iov = &part,
				  .msg_iovlen = 1,
				  .msg_control = control.bytes,
				  .msg_controllen = CMSG_SPACE(count * sizeof(int)) };
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);
	size_t i;

	header->cmsg_level = SOL_SOCKET;
	header->cmsg_type = SCM_RIGHTS;
	header->cmsg_len = CMSG_LEN(count * sizeof(int));
	for (i = 0; i < count; i++)
		memcpy(CMSG_DATA(header) + i * sizeof(int), &file, sizeof(file));
	cr_assert_eq(sendmsg(socket, &message, 0), (ssize_t)strlen(text));
}

static void wait_open_files(size_t wanted)
{
	int64_t until = now_ms() + WAIT_MS;

	while (open_files() > wanted) {
		cr_assert_lt(now_ms(), until, "%zu descriptors, not %zu", open_files(), wanted);
		sleep_ms(10);
	}
}

DAEMON_TEST(nets, descriptors_that_nobody_asked_for_are_closed)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC), round;
	struct raw raw;
	json_t *answer;
	size_t before;

	raw_connect(&raw, daemon_under_test.socket_path);
	json_decref(raw_call(&raw, "server.ping", NULL));
	before = open_files();
	for (round = 0; round < 50; round++) {
		/* More than there is room for, in pieces of a line, and on a line that is no JSON. */
		send_with_files(raw.fd, "{\"jsonrpc\": \"2.0\", ", null, 40);
		send_with_files(raw.fd, "\"id\": 1, \"method\": \"server.ping\"}\n", null, 3);
		answer = raw_receive(&raw);
		cr_expect_not_null(json_object_get(answer, "result"));
		json_decref(answer);
		send_with_files(raw.fd, "no JSON\n", null, 2);
		answer = raw_receive(&raw);
		cr_expect_not_null(json_object_get(answer, "error"));
		json_decref(answer);
	}
	wait_open_files(before);
	/* Half a line, and the end. */
	send_with_files(raw.fd, "{", null, 5);
	raw_close(&raw);
	wait_open_files(before);
	(void)close(null);
}

DAEMON_TEST(nets, descriptors_go_with_their_line)
{
	static const char ping[] = "{\"jsonrpc\": \"2.0\", \"id\": 1, \"method\": \"server.ping\"}\n";
	static const char boot[] =
		"{\"jsonrpc\": \"2.0\", \"id\": 2, \"method\": \"vm.boot\", \"params\": {\"memory_mib\": 8, "
		"\"net\": [{\"tap_fd\": 0}]}}\n";
	int tap = make_tap(FRAMES), null = open("/dev/null", O_RDWR | O_CLOEXEC);
	struct raw raw;
	json_t *answer;

	raw_connect(&raw, daemon_under_test.socket_path);
	send_with_files(raw.fd, ping, null, 1);
	send_with_files(raw.fd, boot, tap, 1);
	raw_send(&raw, ping);
	answer = raw_receive(&raw);
	cr_expect_eq(int_at(answer, "id"), 1);
	json_decref(answer);
	for (int i = 0; i < 2; i++) {
		answer = raw_receive_answer(&raw);
		cr_expect_not_null(json_object_get(answer, "result"), "%s", json_dumps(answer, 0));
		json_decref(answer);
	}
	raw_send(&raw, boot);
	answer = raw_receive_answer(&raw);
	cr_expect_str_eq(text_at(answer, "error.data.field"), "net[0].tap_fd");
	json_decref(answer);
	raw_close(&raw);
	(void)close(tap);
	(void)close(null);
}
