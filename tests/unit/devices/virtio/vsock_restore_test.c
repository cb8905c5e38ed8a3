/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guests that go on elsewhere, under another CID: what they had sent under the former one, and what they take note of
 * before new streams open.
 */
#include <criterion/criterion.h>
#include <sched.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "devices/virtio/vsock/vsock_private.h"
#include "vsock_guest.h"

#define PORT  52
#define TX    1
#define EVENT 2

static struct vsock_guest guest;

static void set_up(void)
{
	vsock_guest_open(&guest);
}

static void tear_down(void)
{
	vsock_guest_close(&guest);
}

TestSuite(virtio_vsock_restore, .init = set_up, .fini = tear_down, .timeout = 600);

/* What the guest has paused as goes on in another device; to be resumed. */
static void move(uint32_t cid)
{
	static uint8_t state[DEVICE_STATE_MAX];
	struct error_detail detail = { 0 };

	virtio_vsock_ops.save(&virtio_vsock_device(guest.vsock)->device, state);
	cr_assert_eq(state_fields_check(virtio_vsock_ops.state_fields, state, "virtio_vsock", &detail), 0, "%s",
		     detail.text);
	vsock_guest_replace(&guest, cid);
	cr_assert_eq(virtio_vsock_ops.restore(&virtio_vsock_device(guest.vsock)->device, state, &detail), 0, "%s",
		     detail.text);
}

static void pause_and_move(uint32_t cid)
{
	driver_pause(&guest.driver);
	move(cid);
	driver_resume(&guest.driver);
}

static void wait_for_events(uint16_t count)
{
	while (ring_used_index(&guest.rings[EVENT]) != count)
		(void)sched_yield();
}

/* The driver has seen to an event: its buffer is for the next one. */
static void give_event_buffer(uint16_t head)
{
	ring_offer(&guest.rings[EVENT], head);
	driver_write(&guest.driver, VIRTIO_MMIO_QUEUE_NOTIFY, EVENT);
}

static struct virtio_vsock_hdr packet_as(uint64_t cid, uint16_t op)
{
	return (struct virtio_vsock_hdr){
		.src_cid = cid,
		.dst_cid = 2,
		.src_port = PORT,
		.dst_port = 80,
		.type = VIRTIO_VSOCK_TYPE_STREAM,
		.op = op,
	};
}

static void send_as(uint64_t cid, uint16_t op)
{
	struct virtio_vsock_hdr header = packet_as(cid, op);

	vsock_guest_send(&guest, &header, NULL, 0);
}

static void assert_refused_as(uint64_t cid)
{
	struct virtio_vsock_hdr header = vsock_guest_receive(&guest, NULL);

	cr_assert_eq(header.op, VIRTIO_VSOCK_OP_RST, "%u", header.op);
	cr_assert_eq(header.dst_cid, cid, "%u", (unsigned int)header.dst_cid);
	cr_assert_eq(header.dst_port, PORT);
	cr_assert_eq(header.src_port, 80);
}

Test(virtio_vsock_restore, a_request_in_the_ring_at_the_snapshot_is_answered)
{
	struct virtio_vsock_hdr header = packet_as(GUEST_CID, VIRTIO_VSOCK_OP_REQUEST);
	struct ring *ring = &guest.rings[TX];

	driver_pause(&guest.driver);
	memcpy(ring->memory.host + RING_BUFFERS, &header, sizeof(header));
	ring_describe(ring, 0, RING_BUFFERS, sizeof(header), 0, 0);
	ring_offer(ring, 0);
	move(GUEST_CID + 1);
	driver_resume(&guest.driver);
	assert_refused_as(GUEST_CID);
	cr_assert_eq(guest.asked, 0);
}

/* Also when it gets to the ring after the driver has taken note; but a RST is an answer itself. */
Test(virtio_vsock_restore, what_is_sent_under_the_former_cid_is_refused)
{
	pause_and_move(GUEST_CID + 1);
	wait_for_events(1);
	send_as(GUEST_CID, VIRTIO_VSOCK_OP_RST);
	send_as(GUEST_CID, VIRTIO_VSOCK_OP_RW);
	assert_refused_as(GUEST_CID);
	give_event_buffer(0);
	send_as(GUEST_CID, VIRTIO_VSOCK_OP_REQUEST);
	assert_refused_as(GUEST_CID);
	guest.answer = -1;
	send_as(GUEST_CID + 1, VIRTIO_VSOCK_OP_REQUEST);
	assert_refused_as(GUEST_CID + 1);
	cr_assert_eq(guest.asked, 1);
}

Test(virtio_vsock_restore, what_is_sent_under_other_cids_is_dropped)
{
	static const uint64_t cids[] = { 0, 2, GUEST_CID - 1, GUEST_CID + 2, UINT64_C(1) << 32 | GUEST_CID };

	pause_and_move(GUEST_CID + 1);
	for (size_t i = 0; i < sizeof(cids) / sizeof(cids[0]); i++)
		send_as(cids[i], VIRTIO_VSOCK_OP_REQUEST);
	send_as(GUEST_CID, VIRTIO_VSOCK_OP_RW);
	assert_refused_as(GUEST_CID);
	cr_assert_not(vsock_guest_has_packet(&guest));
	vsock_guest_start(&guest, GUEST_BUFFERS); /* a driver that never had another */
	send_as(GUEST_CID, VIRTIO_VSOCK_OP_RW);
	send_as(GUEST_CID + 1, VIRTIO_VSOCK_OP_RW);
	assert_refused_as(GUEST_CID + 1);
	cr_assert_not(vsock_guest_has_packet(&guest));
}

/* Before the driver has taken note of the first: it goes by the CID that it had at the beginning. */
Test(virtio_vsock_restore, a_guest_that_goes_on_twice_is_answered_under_the_cid_that_it_knows)
{
	pause_and_move(GUEST_CID + 1);
	wait_for_events(1);
	pause_and_move(GUEST_CID + 2);
	send_as(GUEST_CID, VIRTIO_VSOCK_OP_REQUEST);
	assert_refused_as(GUEST_CID);
	give_event_buffer(0);
	wait_for_events(2);
	give_event_buffer(0);
	send_as(GUEST_CID + 2, VIRTIO_VSOCK_OP_RW);
	assert_refused_as(GUEST_CID + 2);
}

static bool wants_stream(uint32_t port)
{
	struct virtio_device *device = virtio_vsock_device(guest.vsock);
	bool wants = false;

	pthread_mutex_lock(&device->lock);
	for (uint32_t i = 0; i < VSOCK_CONNECTIONS_MAX; i++)
		wants |= guest.vsock->connections[i].state == VSOCK_REQUESTED &&
			 guest.vsock->connections[i].guest_port == port;
	pthread_mutex_unlock(&device->lock);
	return wants;
}

/* A request that may be sent goes out right behind the first of two answers. */
static void assert_not_asked(void)
{
	for (int i = 0; i < 2; i++) {
		send_as(GUEST_CID, VIRTIO_VSOCK_OP_RW);
		assert_refused_as(GUEST_CID);
	}
}

/* A peer that wants a stream to the guest; it may not be asked for yet. */
static int connect_in_vain(void)
{
	int peer = vsock_guest_connect(&guest);

	cr_assert_eq(send(peer, "CONNECT 54\n", 11, 0), 11);
	while (!wants_stream(54))
		(void)sched_yield();
	assert_not_asked();
	return peer;
}

/* Now it is, and is refused. */
static void assert_asked(int peer)
{
	struct virtio_vsock_hdr header = vsock_guest_receive(&guest, NULL);

	cr_assert_eq(header.op, VIRTIO_VSOCK_OP_REQUEST, "%u", header.op);
	vsock_guest_say(&guest, header.dst_port, header.src_port, VIRTIO_VSOCK_OP_RST, 0, NULL, 0);
	close(peer);
}

/* The driver has buffers for several events: that of the first is not taken for that of the second. */
Test(virtio_vsock_restore, a_stream_opens_when_the_driver_has_taken_note_of_every_event)
{
	int peer;

	for (uint16_t i = 1; i < 4; i++) {
		ring_describe(&guest.rings[EVENT], i, 0xf1000, sizeof(struct virtio_vsock_event), WRITE, 0);
		give_event_buffer(i);
	}
	for (uint16_t i = 1; i < 4; i++) {
		pause_and_move(GUEST_CID);
		wait_for_events(i);
	}
	peer = connect_in_vain();
	for (uint16_t i = 0; i < 2; i++) {
		give_event_buffer(i);
		assert_not_asked();
	}
	give_event_buffer(2);
	assert_asked(peer);
}

/* What it has taken note of is not waited for again; one buffer for events is enough. */
Test(virtio_vsock_restore, a_stream_opens_after_each_event)
{
	for (uint16_t i = 1; i < 4; i++) {
		int peer;

		pause_and_move(GUEST_CID);
		wait_for_events(i);
		peer = connect_in_vain();
		give_event_buffer(0);
		assert_asked(peer);
	}
}

/* Of one event it took note between the snapshot and its end, with no other buffer for the next. */
Test(virtio_vsock_restore, an_event_that_waits_for_the_buffer_of_another)
{
	int peer;

	pause_and_move(GUEST_CID);
	wait_for_events(1);
	pause_and_move(GUEST_CID);
	peer = connect_in_vain();
	give_event_buffer(0);
	wait_for_events(2);
	assert_not_asked();
	give_event_buffer(0);
	assert_asked(peer);
}
