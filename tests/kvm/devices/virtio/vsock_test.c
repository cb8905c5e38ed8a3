/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A vsock on this host's KVM, with a guest that drives it by hand: streams in both directions; and a snapshot of one that
 * is in use. The original goes on with it, and its clone, under another CID, is told that it is gone.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "devices/virtio/vsock/vsock.h"
#include "virtio_steps.h"

#define TALKED  1 /* signals; see guests/vsock.c */
#define REFUSED 2
#define SERVING 3
#define RESET   5

#define PIECE 700

GUEST_IMAGE(virtio_vsock);

struct end {
	struct fixture fixture;
	struct sockaddr_un address; /* of its listener, in the abstract namespace */
	socklen_t address_size;
	int peer; /* of the stream that the guest asked for */
};

static struct end source, target;

TestSuite(machine_vsock, .timeout = 600);

static int listen_as(struct end *end, const char *name)
{
	int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int length;

	end->address = (struct sockaddr_un){ .sun_family = AF_UNIX };
	length = snprintf(end->address.sun_path + 1, sizeof(end->address.sun_path) - 1, "ember-%s-%d", name,
			  (int)getpid());
	end->address_size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)length);
	cr_assert_eq(bind(listener, (const struct sockaddr *)&end->address, end->address_size), 0);
	cr_assert_eq(listen(listener, 8), 0);
	return listener;
}

/* Port 5000 is there, and no other. */
static void connect_guest(void *opaque, uint32_t port, uint64_t cookie)
{
	struct end *end = opaque;
	struct virtio_vsock *vsock = end->fixture.machine->vsocks[0];
	int ends[2];

	if (port != 5000 || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0) {
		virtio_vsock_connected(vsock, cookie, -ECONNREFUSED);
		return;
	}
	end->peer = ends[0];
	(void)fcntl(ends[1], F_SETFL, O_NONBLOCK);
	(void)!write(ends[0], "pong", 4);
	virtio_vsock_connected(vsock, cookie, ends[1]);
}

static void build(struct end *end, const char *name, uint32_t cid)
{
	const struct machine_shape shape = { .vcpus = 1, .memory_size = UINT64_C(4) << 20, .vsocks = 1 };
	const struct virtio_vsock_options options = {
		.guest_cid = cid,
		.listener = listen_as(end, name),
		.connect = connect_guest,
		.opaque = end,
	};
	struct error_detail detail = { 0 };

	fixture_build_shape(&end->fixture, &shape);
	cr_assert_eq(virtio_vsock_configure(end->fixture.machine->vsocks[0], &options, &detail), 0, "%s", detail.text);
}

static void read_all(int stream, uint8_t *ret_bytes, size_t size)
{
	for (size_t got = 0; got < size;) {
		ssize_t count = read(stream, ret_bytes + got, size - got);

		cr_assert_gt(count, 0, "the stream ends after %zu of %zu bytes", got, size);
		got += (size_t)count;
	}
}

/* A stream to the guest's port 7000, open. */
static int open_stream(const struct end *end)
{
	int stream = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	char line[32] = "";

	cr_assert_eq(connect(stream, (const struct sockaddr *)&end->address, end->address_size), 0);
	cr_assert_eq(write(stream, "CONNECT 7000\n", 13), 13);
	for (size_t i = 0; i == 0 || line[i - 1] != '\n'; i++) {
		cr_assert_lt(i, sizeof(line) - 1);
		cr_assert_eq(read(stream, line + i, 1), 1);
	}
	cr_assert_eq(strncmp(line, "OK ", 3), 0, "%s", line);
	return stream;
}

static void say(int stream, uint8_t number)
{
	uint8_t bytes[PIECE];

	memset(bytes, number, sizeof(bytes));
	cr_assert_eq(write(stream, bytes, sizeof(bytes)), sizeof(bytes));
}

static void hear(int stream, uint8_t number)
{
	uint8_t bytes[PIECE];

	read_all(stream, bytes, sizeof(bytes));
	for (size_t i = 0; i < sizeof(bytes); i++)
		cr_assert_eq(bytes[i], number);
}

static void boot(void)
{
	build(&source, "source", 42);
	virtio_steps_boot(&source.fixture, virtio_vsock_image, virtio_vsock_image_size);
	fixture_wait_signal(&source.fixture, SERVING, 1);
	cr_assert_eq(fixture_signals(&source.fixture, TALKED), 1);
	cr_assert_eq(fixture_signals(&source.fixture, REFUSED), 1);
}

Test(machine_vsock, streams_in_both_directions)
{
	uint8_t ping[4];
	int stream;

	boot();
	read_all(source.peer, ping, sizeof(ping));
	cr_assert_arr_eq(ping, "ping", sizeof(ping));
	for (unsigned int i = 0; i < 3; i++) {
		stream = open_stream(&source);
		for (uint8_t k = 1; k < 10; k++) {
			say(stream, k);
			hear(stream, k);
		}
		close(stream);
	}
	cr_assert_eq(fixture_signals(&source.fixture, RESET), 0);
	fixture_end(&source.fixture);
}

/* In the middle of what is said: the original loses no byte, and its clone takes new streams at once. */
Test(machine_vsock, a_stream_in_use_at_the_snapshot)
{
	int stream, of_clone;

	boot();
	stream = open_stream(&source);
	for (uint8_t i = 0; i < 8; i++) {
		for (uint8_t k = 0; k < 10; k++)
			say(stream, k);
		usleep(i * 500);
		machine_pause(source.fixture.machine);
		build(&target, "target", 1000 + i);
		virtio_steps_move(&source.fixture, &target.fixture);

		cr_assert_eq(machine_run(target.fixture.machine), 0);
		of_clone = open_stream(&target);
		say(of_clone, 200);
		hear(of_clone, 200);
		cr_assert_eq(fixture_signals(&target.fixture, RESET), 1);
		close(of_clone);
		fixture_end(&target.fixture);

		cr_assert_eq(machine_run(source.fixture.machine), 0);
		for (uint8_t k = 0; k < 10; k++)
			hear(stream, k);
	}
	cr_assert_eq(fixture_signals(&source.fixture, RESET), 0);
	close(stream);
	fixture_end(&source.fixture);
}
