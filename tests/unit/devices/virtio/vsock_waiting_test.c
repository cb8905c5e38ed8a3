/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Places that nobody may hold for ever by saying nothing: a host that does not answer the guest, peers that do not say
 * where they want to go. Time is not waited for: connections are made older than they are.
 */
#include <criterion/criterion.h>
#include <sched.h>
#include <sys/socket.h>
#include <unistd.h>

#include "devices/virtio/vsock/vsock_private.h"
#include "vsock_guest.h"

#define HOST_PORT 80

static struct vsock_guest guest;

static void set_up(void)
{
	vsock_guest_open(&guest);
}

static void tear_down(void)
{
	vsock_guest_close(&guest);
}

TestSuite(virtio_vsock_waiting, .init = set_up, .fini = tear_down, .timeout = 600);

/* How many connections are in a state; if `older`, their patience is over from now on, in the order of their places. */
static uint32_t count_connections(enum vsock_state state, bool older)
{
	struct virtio_device *device = virtio_vsock_device(guest.vsock);
	uint32_t count = 0;

	pthread_mutex_lock(&device->lock);
	for (uint32_t i = 0; i < VSOCK_CONNECTIONS_MAX; i++) {
		struct vsock_connection *connection = &guest.vsock->connections[i];

		if (connection->state != state)
			continue;
		count++;
		if (older)
			connection->since_ns -= 2 * VSOCK_PATIENCE_NS - i;
	}
	pthread_mutex_unlock(&device->lock);
	return count;
}

static void ask(uint32_t port)
{
	vsock_guest_say(&guest, port, HOST_PORT, VIRTIO_VSOCK_OP_REQUEST, 0, NULL, 0);
}

/* The device looks at what there is: a packet that asks for nothing. */
static void wake(void)
{
	vsock_guest_say(&guest, 1, 1, VIRTIO_VSOCK_OP_RST, 0, NULL, 0);
}

static void assert_refused(uint32_t port)
{
	struct virtio_vsock_hdr header = vsock_guest_receive(&guest, NULL);

	cr_assert_eq(header.op, VIRTIO_VSOCK_OP_RST, "%u", header.op);
	cr_assert_eq(header.dst_port, port, "%u", header.dst_port);
}

/* The guest asks until no place is left; the host answers nothing. */
static void fill_with_requests(void)
{
	for (uint32_t i = 0; i < VSOCK_CONNECTIONS_MAX; i++)
		ask(i);
	cr_assert_eq(count_connections(VSOCK_CONNECTING, false), VSOCK_CONNECTIONS_MAX);
}

Test(virtio_vsock_waiting, an_answer_that_never_comes_costs_no_place_for_ever)
{
	uint64_t lost;
	int ends[2];

	fill_with_requests();
	ask(1000);
	assert_refused(1000);
	count_connections(VSOCK_CONNECTING, true);
	lost = guest.vsock->connections[0].cookie;
	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
	guest.answer = ends[0];
	ask(1001);
	assert_refused(0);
	cr_assert_eq(vsock_guest_receive(&guest, NULL).op, VIRTIO_VSOCK_OP_RESPONSE);
	close(ends[1]);

	/* An answer after all, to a request whose place is another's. */
	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
	virtio_vsock_connected(guest.vsock, lost, ends[0]);
	cr_assert_eq(recv(ends[1], &lost, 1, 0), 0);
	close(ends[1]);
}

Test(virtio_vsock_waiting, a_peer_has_the_place_of_an_answer_that_never_came)
{
	int peer;

	fill_with_requests();
	peer = vsock_guest_connect(&guest);
	cr_assert_eq(send(peer, "CONNECT 7\n", 10, 0), 10);
	count_connections(VSOCK_CONNECTING, true);
	wake();
	assert_refused(0);
	cr_assert_eq(vsock_guest_receive(&guest, NULL).op, VIRTIO_VSOCK_OP_REQUEST);
	close(peer);
}

/* Peers that say nothing, until the device takes no more of them. */
static void fill_with_peers(int peers[VSOCK_PEERS_MAX])
{
	for (uint32_t i = 0; i < VSOCK_PEERS_MAX; i++)
		peers[i] = vsock_guest_connect(&guest);
	while (count_connections(VSOCK_HANDSHAKE, false) < VSOCK_PEERS_MAX)
		(void)sched_yield();
}

Test(virtio_vsock_waiting, silent_peers_leave_room_for_the_guest)
{
	int peers[VSOCK_PEERS_MAX];
	int more[VSOCK_PEERS_MAX];

	fill_with_peers(peers);
	for (uint32_t i = 0; i < VSOCK_PEERS_MAX; i++)
		more[i] = vsock_guest_connect(&guest);
	for (uint32_t i = 0; i < VSOCK_CONNECTIONS_MAX - VSOCK_PEERS_MAX; i++)
		ask(i);
	cr_assert_eq(count_connections(VSOCK_CONNECTING, false), VSOCK_CONNECTIONS_MAX - VSOCK_PEERS_MAX);
	cr_assert_eq(count_connections(VSOCK_HANDSHAKE, false), VSOCK_PEERS_MAX);
	for (uint32_t i = 0; i < VSOCK_PEERS_MAX; i++) {
		close(peers[i]);
		close(more[i]);
	}
}

Test(virtio_vsock_waiting, one_peer_more_waits_until_another_has_spoken)
{
	int peers[VSOCK_PEERS_MAX];
	int last;

	fill_with_peers(peers);
	last = vsock_guest_connect(&guest);
	cr_assert_eq(send(last, "CONNECT 2\n", 10, 0), 10);
	cr_assert_eq(send(peers[VSOCK_PEERS_MAX / 2], "CONNECT 1\n", 10, 0), 10);
	cr_assert_eq(vsock_guest_receive(&guest, NULL).dst_port, 1);
	cr_assert_eq(vsock_guest_receive(&guest, NULL).dst_port, 2);
	for (uint32_t i = 0; i < VSOCK_PEERS_MAX; i++)
		close(peers[i]);
	close(last);
}

Test(virtio_vsock_waiting, silent_peers_do_not_shut_the_door_for_ever)
{
	int peers[VSOCK_PEERS_MAX];
	int last;
	char byte;

	fill_with_peers(peers);
	last = vsock_guest_connect(&guest);
	cr_assert_eq(send(last, "CONNECT 2\n", 10, 0), 10);
	count_connections(VSOCK_HANDSHAKE, true);
	wake();
	cr_assert_eq(vsock_guest_receive(&guest, NULL).dst_port, 2);
	cr_assert_eq(recv(peers[0], &byte, 1, 0), 0, "the oldest has made room");
	for (uint32_t i = 1; i < VSOCK_PEERS_MAX; i++) {
		cr_assert_eq(recv(peers[i], &byte, 1, MSG_DONTWAIT), -1);
		close(peers[i]);
	}
	close(peers[0]);
	close(last);
}
