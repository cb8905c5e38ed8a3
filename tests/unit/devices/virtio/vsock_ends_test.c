/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ends of a stream that its socket does not tell of by itself: one that takes no more, in all orders with what the guest
 * ends. Whatever the order, the guest is told, and the stream does not outlive both.
 */
#include <criterion/criterion.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "devices/virtio/vsock/connection.h"
#include "vsock_guest.h"

#define PORT 52
#define BOTH (VIRTIO_VSOCK_SHUTDOWN_RCV | VIRTIO_VSOCK_SHUTDOWN_SEND)

static struct vsock_guest guest;
static uint32_t host_port;
static int peer;

static void set_up(void)
{
	vsock_guest_open(&guest);
	peer = vsock_guest_stream(&guest, PORT, &host_port);
}

static void tear_down(void)
{
	vsock_guest_close(&guest);
}

TestSuite(virtio_vsock_ends, .init = set_up, .fini = tear_down, .timeout = 600);

static void say(const char *text)
{
	vsock_guest_say(&guest, PORT, host_port, VIRTIO_VSOCK_OP_RW, 0, text, strlen(text));
}

static void end(uint32_t flags)
{
	vsock_guest_say(&guest, PORT, host_port, VIRTIO_VSOCK_OP_SHUTDOWN, flags, NULL, 0);
}

static void assert_hears_of_end(uint32_t flags)
{
	struct virtio_vsock_hdr header = vsock_guest_receive(&guest, NULL);

	cr_assert_eq(header.op, VIRTIO_VSOCK_OP_SHUTDOWN, "%u", header.op);
	cr_assert_eq(header.flags, flags, "%u", header.flags);
}

/* The guest has a word with the device, and what comes back shows that the stream is no more. */
static void assert_over(void)
{
	vsock_guest_say(&guest, PORT, host_port, VIRTIO_VSOCK_OP_RST, 0, NULL, 0);
	say("nobody");
	cr_assert_eq(vsock_guest_receive(&guest, NULL).op, VIRTIO_VSOCK_OP_RST);
}

Test(virtio_vsock_ends, a_socket_is_closed_when_the_guest_takes_no_more)
{
	end(VIRTIO_VSOCK_SHUTDOWN_RCV);
	close(peer);
	assert_hears_of_end(BOTH);
	say("into the void");
	end(BOTH);
	cr_assert_eq(vsock_guest_receive(&guest, NULL).op, VIRTIO_VSOCK_OP_RST);
}

Test(virtio_vsock_ends, a_socket_takes_no_more_when_the_guest_does_not_either)
{
	end(VIRTIO_VSOCK_SHUTDOWN_RCV);
	cr_assert_eq(shutdown(peer, SHUT_RD), 0);
	assert_hears_of_end(BOTH);
	assert_over();
	close(peer);
}

/* What the guest sends is refused, of which it is told once; what it is sent still comes. */
Test(virtio_vsock_ends, a_socket_takes_no_more_and_gives_some)
{
	char data[GUEST_DATA];

	cr_assert_eq(shutdown(peer, SHUT_RD), 0);
	say("to nobody");
	assert_hears_of_end(VIRTIO_VSOCK_SHUTDOWN_RCV);
	say("on its way");
	cr_assert_eq(send(peer, "still here", 10, 0), 10);
	cr_assert_eq(vsock_guest_receive(&guest, data).op, VIRTIO_VSOCK_OP_RW);
	cr_assert_arr_eq(data, "still here", 10);
	close(peer);
	assert_hears_of_end(BOTH);
	assert_over();
}

Test(virtio_vsock_ends, the_guest_takes_no_more_when_the_socket_does_not_either)
{
	cr_assert_eq(shutdown(peer, SHUT_RD), 0);
	say("to nobody");
	assert_hears_of_end(VIRTIO_VSOCK_SHUTDOWN_RCV);
	end(VIRTIO_VSOCK_SHUTDOWN_RCV);
	assert_hears_of_end(BOTH);
	end(VIRTIO_VSOCK_SHUTDOWN_SEND);
	cr_assert_eq(vsock_guest_receive(&guest, NULL).op, VIRTIO_VSOCK_OP_RST);
	close(peer);
}

/* It was told of one end, says nothing, and hears of the other. */
Test(virtio_vsock_ends, a_socket_is_closed_after_its_last_byte)
{
	cr_assert_eq(shutdown(peer, SHUT_WR), 0);
	assert_hears_of_end(VIRTIO_VSOCK_SHUTDOWN_SEND);
	close(peer);
	assert_hears_of_end(BOTH);
	assert_over();
}
