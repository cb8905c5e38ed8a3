/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The vsock device: streams in both directions, credit, ends, snapshots, and guests and peers that break the rules.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "devices/virtio/vsock/connection.h"
#include "vsock_guest.h"

static struct vsock_guest guest;

static void set_up(void)
{
	vsock_guest_open(&guest);
}

static void tear_down(void)
{
	vsock_guest_close(&guest);
}

TestSuite(virtio_vsock, .init = set_up, .fini = tear_down);

static void assert_text(int peer, const char *text)
{
	char got[256] = "";

	cr_assert_eq(recv(peer, got, strlen(text), MSG_WAITALL), (ssize_t)strlen(text));
	cr_assert_str_eq(got, text);
}

static void assert_closed(int peer)
{
	char byte;

	cr_assert_leq(recv(peer, &byte, 1, 0), 0);
	close(peer);
}

static void say(uint32_t port, uint32_t host_port, const char *text)
{
	vsock_guest_say(&guest, port, host_port, VIRTIO_VSOCK_OP_RW, 0, text, strlen(text));
}

static struct virtio_vsock_hdr assert_receives(uint16_t op)
{
	struct virtio_vsock_hdr header = vsock_guest_receive(&guest, NULL);

	cr_assert_eq(header.op, op, "%u instead of %u", header.op, op);
	cr_assert_eq(header.dst_cid, GUEST_CID);
	return header;
}

static void assert_hears(const char *text)
{
	char data[GUEST_DATA] = "";
	struct virtio_vsock_hdr header = vsock_guest_receive(&guest, data);

	cr_assert_eq(header.op, VIRTIO_VSOCK_OP_RW);
	cr_assert_eq(header.len, strlen(text));
	cr_assert_arr_eq(data, text, strlen(text));
}

static void assert_fails(void)
{
	driver_wait_failed(&guest.driver);
	vsock_guest_start(&guest, GUEST_BUFFERS);
}

Test(virtio_vsock, it_says_what_it_is)
{
	cr_assert_eq(driver_read(&guest.driver, VIRTIO_MMIO_DEVICE_ID), 19);
	cr_assert_eq(driver_read(&guest.driver, VIRTIO_MMIO_CONFIG), GUEST_CID);
	cr_assert_eq(driver_read(&guest.driver, VIRTIO_MMIO_CONFIG + 4), 0);
}

Test(virtio_vsock, cids_that_no_guest_has)
{
	static const uint32_t cids[] = { 0, 1, 2, UINT32_MAX };

	for (int i = 0; i < 4; i++) {
		const struct virtio_vsock_options options = { .guest_cid = cids[i], .listener = -1 };
		struct error_detail detail = { 0 };

		cr_assert_eq(virtio_vsock_configure(guest.vsock, &options, &detail), -EINVAL);
		cr_assert_not_null(strstr(detail.text, "cid"));
	}
}

Test(virtio_vsock, the_host_connects_and_both_speak)
{
	uint32_t host_port;
	int peer = vsock_guest_stream(&guest, 52, &host_port);

	cr_assert_geq(host_port, UINT32_C(1) << 30);
	cr_assert_eq(send(peer, "hello guest", 11, 0), 11);
	assert_hears("hello guest");
	say(52, host_port, "hello host");
	assert_text(peer, "hello host");
	close(peer);
}

/* What follows the line in the same write belongs to the stream. */
Test(virtio_vsock, data_right_behind_the_line)
{
	int peer = vsock_guest_connect(&guest);
	struct virtio_vsock_hdr header;

	cr_assert_eq(send(peer, "CONNECT 7\nearly", 15, 0), 15);
	header = assert_receives(VIRTIO_VSOCK_OP_REQUEST);
	vsock_guest_say(&guest, 7, header.src_port, VIRTIO_VSOCK_OP_RESPONSE, 0, NULL, 0);
	assert_hears("early");
	close(peer);
}

Test(virtio_vsock, a_line_in_pieces)
{
	static const char line[] = "CONNECT 1234\n";
	int peer = vsock_guest_connect(&guest);

	for (size_t i = 0; i < sizeof(line) - 1; i++) {
		cr_assert_eq(send(peer, line + i, 1, 0), 1);
		for (int j = 0; j < 20; j++)
			(void)sched_yield();
	}
	cr_assert_eq(assert_receives(VIRTIO_VSOCK_OP_REQUEST).dst_port, 1234);
	close(peer);
}

Test(virtio_vsock, lines_that_are_none)
{
	static const char *const lines[] = {
		"\n",
		"CONNECT\n",
		"CONNECT \n",
		"CONNECT x\n",
		"CONNECT -1\n",
		"CONNECT 4294967295\n",
		"CONNECT 99999999999999999999\n",
		"CONNECT 1 \n",
		"connect 1\n",
		"CONNECT 12345678901234567890123456",
		"GET / HTTP/1.1\r\n\r\n",
	};

	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		int peer = vsock_guest_connect(&guest);

		cr_assert_eq(send(peer, lines[i], strlen(lines[i]), 0), (ssize_t)strlen(lines[i]));
		assert_closed(peer);
	}
	cr_assert_not(vsock_guest_has_packet(&guest));
}

Test(virtio_vsock, the_guest_refuses)
{
	int peer = vsock_guest_connect(&guest);
	struct virtio_vsock_hdr header;

	cr_assert_eq(send(peer, "CONNECT 9\n", 10, 0), 10);
	header = assert_receives(VIRTIO_VSOCK_OP_REQUEST);
	vsock_guest_say(&guest, 9, header.src_port, VIRTIO_VSOCK_OP_RST, 0, NULL, 0);
	assert_closed(peer);
}

Test(virtio_vsock, the_guest_connects)
{
	int ends[2];

	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
	guest.answer = ends[0];
	vsock_guest_say(&guest, 1000, 80, VIRTIO_VSOCK_OP_REQUEST, 0, NULL, 0);
	assert_receives(VIRTIO_VSOCK_OP_RESPONSE);
	cr_assert_eq(guest.asked_port, 80);
	say(1000, 80, "ping");
	assert_text(ends[1], "ping");
	cr_assert_eq(send(ends[1], "pong", 4, 0), 4);
	assert_hears("pong");
	close(ends[1]);
}

Test(virtio_vsock, the_host_answers_later)
{
	int ends[2];

	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
	vsock_guest_say(&guest, 1000, 80, VIRTIO_VSOCK_OP_REQUEST, 0, NULL, 0);
	while (!guest.asked)
		(void)sched_yield();
	virtio_vsock_connected(guest.vsock, guest.asked_cookie + 1, dup(ends[0])); /* not one that is waited for */
	virtio_vsock_connected(guest.vsock, guest.asked_cookie, ends[0]);
	assert_receives(VIRTIO_VSOCK_OP_RESPONSE);
	close(ends[1]);
}

Test(virtio_vsock, the_host_refuses)
{
	guest.answer = -ECONNREFUSED;
	vsock_guest_say(&guest, 1000, 80, VIRTIO_VSOCK_OP_REQUEST, 0, NULL, 0);
	assert_receives(VIRTIO_VSOCK_OP_RST);
}

/* credit */

Test(virtio_vsock, no_more_is_sent_than_the_guest_has_room_for)
{
	uint32_t host_port;
	int peer = vsock_guest_stream(&guest, 52, &host_port);
	struct virtio_vsock_hdr header = {
		.src_cid = GUEST_CID,
		.dst_cid = 2,
		.src_port = 52,
		.dst_port = host_port,
		.type = VIRTIO_VSOCK_TYPE_STREAM,
		.op = VIRTIO_VSOCK_OP_CREDIT_UPDATE,
		.buf_alloc = 10,
	};

	vsock_guest_send(&guest, &header, NULL, 0);
	cr_assert_eq(send(peer, "0123456789abcdefghij", 20, 0), 20);
	assert_hears("0123456789");
	assert_receives(VIRTIO_VSOCK_OP_CREDIT_REQUEST);
	header.fwd_cnt = 4;
	vsock_guest_send(&guest, &header, NULL, 0);
	assert_hears("abcd");
	assert_receives(VIRTIO_VSOCK_OP_CREDIT_REQUEST);
	header.buf_alloc = 0; /* a guest that takes its buffer back */
	header.fwd_cnt = 14;
	vsock_guest_send(&guest, &header, NULL, 0);
	header.buf_alloc = 100;
	vsock_guest_send(&guest, &header, NULL, 0);
	assert_hears("efghij");
	close(peer);
}

Test(virtio_vsock, the_guest_is_told_how_much_was_taken)
{
	static uint8_t data[GUEST_DATA];
	static uint8_t got[GUEST_DATA];
	uint32_t host_port;
	int peer = vsock_guest_stream(&guest, 52, &host_port);

	for (uint32_t i = 1; i <= 4; i++) {
		vsock_guest_say(&guest, 52, host_port, VIRTIO_VSOCK_OP_RW, 0, data, sizeof(data));
		cr_assert_eq(recv(peer, got, sizeof(got), MSG_WAITALL), sizeof(got));
	}
	cr_assert_eq(assert_receives(VIRTIO_VSOCK_OP_CREDIT_UPDATE).fwd_cnt, 4 * GUEST_DATA);
	vsock_guest_say(&guest, 52, host_port, VIRTIO_VSOCK_OP_CREDIT_REQUEST, 0, NULL, 0);
	cr_assert_eq(assert_receives(VIRTIO_VSOCK_OP_CREDIT_UPDATE).buf_alloc, VSOCK_BUFFER);
	close(peer);
}

/* Nobody reads: the socket's own buffer fills, then ours, and then the guest has no credit left. */
Test(virtio_vsock, a_guest_that_sends_more_than_there_is_room_for)
{
	static uint8_t data[GUEST_DATA];
	uint32_t host_port;
	int peer = vsock_guest_stream(&guest, 52, &host_port);
	struct virtio_vsock_hdr header = { .op = 0 };

	for (int i = 0; i < 10000 && header.op != VIRTIO_VSOCK_OP_RST; i++) {
		vsock_guest_say(&guest, 52, host_port, VIRTIO_VSOCK_OP_RW, 0, data, sizeof(data));
		while (vsock_guest_has_packet(&guest) && header.op != VIRTIO_VSOCK_OP_RST)
			header = vsock_guest_receive(&guest, NULL);
	}
	cr_assert_eq(header.op, VIRTIO_VSOCK_OP_RST);
	close(peer);
}

/* ends */

Test(virtio_vsock, the_guest_sends_no_more)
{
	uint32_t host_port;
	int peer = vsock_guest_stream(&guest, 52, &host_port);

	say(52, host_port, "last words");
	vsock_guest_say(&guest, 52, host_port, VIRTIO_VSOCK_OP_SHUTDOWN, VIRTIO_VSOCK_SHUTDOWN_SEND, NULL, 0);
	assert_text(peer, "last words");
	cr_assert_eq(recv(peer, &host_port, 1, 0), 0);
	cr_assert_eq(send(peer, "still here", 10, 0), 10);
	assert_hears("still here");
	close(peer);
	assert_receives(VIRTIO_VSOCK_OP_RST);
}

Test(virtio_vsock, the_guest_closes)
{
	uint32_t host_port;
	int peer = vsock_guest_stream(&guest, 52, &host_port);

	say(52, host_port, "bye");
	vsock_guest_say(&guest, 52, host_port, VIRTIO_VSOCK_OP_SHUTDOWN, 3, NULL, 0);
	assert_receives(VIRTIO_VSOCK_OP_RST);
	assert_text(peer, "bye");
	assert_closed(peer);
}

Test(virtio_vsock, the_host_closes)
{
	uint32_t host_port;
	int peer = vsock_guest_stream(&guest, 52, &host_port);
	struct virtio_vsock_hdr header;

	cr_assert_eq(send(peer, "bye", 3, 0), 3);
	close(peer);
	assert_hears("bye");
	/* Its last byte may be seen before it is seen to be gone: then the guest is told one after the other. */
	do
		header = assert_receives(VIRTIO_VSOCK_OP_SHUTDOWN);
	while (header.flags == VIRTIO_VSOCK_SHUTDOWN_SEND);
	cr_assert_eq(header.flags, 3);
	say(52, host_port, "into the void");
	vsock_guest_say(&guest, 52, host_port, VIRTIO_VSOCK_OP_RST, 0, NULL, 0);
	say(52, host_port, "nobody");
	assert_receives(VIRTIO_VSOCK_OP_RST);
}

Test(virtio_vsock, the_host_ends_one_direction)
{
	uint32_t host_port;
	int peer = vsock_guest_stream(&guest, 52, &host_port);

	cr_assert_eq(shutdown(peer, SHUT_WR), 0);
	cr_assert_eq(assert_receives(VIRTIO_VSOCK_OP_SHUTDOWN).flags, VIRTIO_VSOCK_SHUTDOWN_SEND);
	say(52, host_port, "answer");
	assert_text(peer, "answer");
	vsock_guest_say(&guest, 52, host_port, VIRTIO_VSOCK_OP_SHUTDOWN, VIRTIO_VSOCK_SHUTDOWN_SEND, NULL, 0);
	assert_receives(VIRTIO_VSOCK_OP_RST);
	assert_closed(peer);
}

Test(virtio_vsock, a_peer_that_does_not_wait_for_the_answer)
{
	int peer = vsock_guest_connect(&guest);

	cr_assert_eq(send(peer, "CONNECT 9\n", 10, 0), 10);
	assert_receives(VIRTIO_VSOCK_OP_REQUEST);
	close(peer);
	assert_receives(VIRTIO_VSOCK_OP_RST);
}

/* guests that break the rules */

Test(virtio_vsock, packets_that_belong_to_nothing_are_refused)
{
	struct virtio_vsock_hdr header = {
		.src_cid = GUEST_CID,
		.dst_cid = 2,
		.src_port = 1,
		.dst_port = 2,
		.type = VIRTIO_VSOCK_TYPE_STREAM,
	};

	for (uint16_t op = 0; op < 20; op++) {
		if (op == VIRTIO_VSOCK_OP_REQUEST || op == VIRTIO_VSOCK_OP_RST)
			continue;
		header.op = op;
		vsock_guest_send(&guest, &header, NULL, 0);
		assert_receives(VIRTIO_VSOCK_OP_RST);
	}
	header.op = VIRTIO_VSOCK_OP_REQUEST;
	header.type = VIRTIO_VSOCK_TYPE_SEQPACKET;
	vsock_guest_send(&guest, &header, NULL, 0);
	cr_assert_eq(assert_receives(VIRTIO_VSOCK_OP_RST).type, VIRTIO_VSOCK_TYPE_SEQPACKET);
	header.type = VIRTIO_VSOCK_TYPE_STREAM;
	header.dst_cid = 3;
	vsock_guest_send(&guest, &header, NULL, 0);
	assert_receives(VIRTIO_VSOCK_OP_RST);
	cr_assert_eq(guest.asked, 0);
}

Test(virtio_vsock, packets_in_another_guests_name_are_dropped)
{
	struct virtio_vsock_hdr header = {
		.src_cid = GUEST_CID + 1,
		.dst_cid = 2,
		.type = VIRTIO_VSOCK_TYPE_STREAM,
		.op = VIRTIO_VSOCK_OP_REQUEST,
	};

	vsock_guest_send(&guest, &header, NULL, 0);
	header.src_cid = UINT64_C(1) << 32 | GUEST_CID;
	vsock_guest_send(&guest, &header, NULL, 0);
	driver_pause(&guest.driver);
	cr_assert_not(vsock_guest_has_packet(&guest));
	cr_assert_eq(guest.asked, 0);
}

Test(virtio_vsock, operations_that_do_not_fit_a_streams_state_end_it)
{
	static const uint16_t ops[] = { VIRTIO_VSOCK_OP_INVALID, VIRTIO_VSOCK_OP_REQUEST, VIRTIO_VSOCK_OP_RESPONSE, 8,
					0xffff };

	for (size_t i = 0; i < sizeof(ops) / sizeof(ops[0]); i++) {
		uint32_t host_port;
		int peer = vsock_guest_stream(&guest, 52, &host_port);

		vsock_guest_say(&guest, 52, host_port, ops[i], 0, NULL, 0);
		assert_receives(VIRTIO_VSOCK_OP_RST);
		assert_closed(peer);
	}
}

Test(virtio_vsock, data_before_the_stream_is_open_ends_it)
{
	int peer = vsock_guest_connect(&guest);
	struct virtio_vsock_hdr header;

	cr_assert_eq(send(peer, "CONNECT 9\n", 10, 0), 10);
	header = assert_receives(VIRTIO_VSOCK_OP_REQUEST);
	say(9, header.src_port, "too early");
	assert_receives(VIRTIO_VSOCK_OP_RST);
	assert_closed(peer);
}

Test(virtio_vsock, malformed_packets_fail_the_device)
{
	struct virtio_vsock_hdr header = { .src_cid = GUEST_CID, .dst_cid = 2, .len = 11 };
	struct ring *ring = &guest.rings[1];

	vsock_guest_send(&guest, &header, "0123456789", 10);
	assert_fails();
	header.len = UINT32_MAX;
	vsock_guest_send(&guest, &header, "0123456789", 10);
	assert_fails();

	ring_describe(ring, 0, RING_BUFFERS, sizeof(header) - 1, 0, 0);
	ring_offer(ring, 0);
	driver_write(&guest.driver, VIRTIO_MMIO_QUEUE_NOTIFY, 1);
	assert_fails();
	ring_describe(ring, 0, RING_BUFFERS, sizeof(header), WRITE, 0);
	ring_offer(ring, 0);
	driver_write(&guest.driver, VIRTIO_MMIO_QUEUE_NOTIFY, 1);
	assert_fails();
}

Test(virtio_vsock, buffers_that_hold_no_packet_fail_the_device)
{
	struct ring *ring = &guest.rings[0];

	vsock_guest_start(&guest, 0);
	ring_describe(ring, 0, RING_BUFFERS, sizeof(struct virtio_vsock_hdr) - 1, WRITE, 0);
	ring_offer(ring, 0);
	vsock_guest_say(&guest, 1, 2, VIRTIO_VSOCK_OP_RW, 0, NULL, 0);
	assert_fails();
	vsock_guest_start(&guest, 0);
	ring_describe(ring, 0, RING_BUFFERS, sizeof(struct virtio_vsock_hdr), 0, 0);
	ring_offer(ring, 0);
	vsock_guest_say(&guest, 1, 2, VIRTIO_VSOCK_OP_RW, 0, NULL, 0);
	assert_fails();
}

/* It takes no buffer for answers: nothing more is taken from it when the list of answers is full, until it does. */
Test(virtio_vsock, a_guest_that_takes_no_answers)
{
	struct ring *ring = &guest.rings[1];
	const struct virtio_vsock_hdr header = { .src_cid = GUEST_CID, .dst_cid = 2, .type = 1, .op = 5 };
	uint16_t taken;

	vsock_guest_start(&guest, 0);
	memcpy(ring->memory.host + RING_BUFFERS, &header, sizeof(header));
	ring_describe(ring, 0, RING_BUFFERS, sizeof(header), 0, 0);
	for (int i = 0; i < 200; i++) {
		while ((uint16_t)(ring->offered - ring_used_index(ring)) == ring->size && ring_used_index(ring) < 64)
			(void)sched_yield();
		if ((uint16_t)(ring->offered - ring_used_index(ring)) == ring->size)
			break;
		ring_offer(ring, 0);
		driver_write(&guest.driver, VIRTIO_MMIO_QUEUE_NOTIFY, 1);
	}
	driver_pause(&guest.driver);
	taken = ring_used_index(ring);
	cr_assert_eq(taken, 64);
	driver_resume(&guest.driver);
	for (int i = 0; i < 8; i++)
		vsock_guest_offer(&guest);
	for (int i = 0; i < 64 + 16; i++)
		assert_receives(VIRTIO_VSOCK_OP_RST);
}

/* snapshots and resets */

Test(virtio_vsock, a_restored_guest_is_told_that_its_streams_are_gone)
{
	static uint8_t state[DEVICE_STATE_MAX];
	struct error_detail detail = { 0 };
	uint32_t before_port;
	uint32_t host_port;
	int before = vsock_guest_stream(&guest, 52, &before_port);
	int waiting;
	int after;

	driver_pause(&guest.driver);
	virtio_vsock_ops.save(&virtio_vsock_device(guest.vsock)->device, state);
	cr_assert_eq(state_fields_check(virtio_vsock_ops.state_fields, state, "virtio_vsock", &detail), 0);
	vsock_guest_replace(&guest, GUEST_CID);
	assert_closed(before);
	cr_assert_eq(virtio_vsock_ops.restore(&virtio_vsock_device(guest.vsock)->device, state, &detail), 0, "%s",
		     detail.text);
	driver_resume(&guest.driver);
	while (ring_used_index(&guest.rings[2]) == 0)
		(void)sched_yield();
	cr_assert_eq(ring_used(&guest.rings[2], 0).len, 4);
	cr_assert_eq(ring_read32(&guest.rings[2], 0xf0000), VIRTIO_VSOCK_EVENT_TRANSPORT_RESET);
	cr_assert_eq(driver_read(&guest.driver, VIRTIO_MMIO_CONFIG), GUEST_CID);

	/* Whoever connects waits until the guest has taken note, which it shows by the buffer that it gives back. */
	waiting = vsock_guest_connect(&guest);
	cr_assert_eq(send(waiting, "CONNECT 54\n", 11, 0), 11);
	for (int i = 0; i < 20; i++) {
		vsock_guest_say(&guest, 52, before_port, VIRTIO_VSOCK_OP_RW, 0, "?", 1);
		cr_assert_eq(vsock_guest_receive(&guest, NULL).op, VIRTIO_VSOCK_OP_RST);
	}
	ring_offer(&guest.rings[2], 0);
	driver_write(&guest.driver, VIRTIO_MMIO_QUEUE_NOTIFY, 2);
	cr_assert_eq(vsock_guest_receive(&guest, NULL).op, VIRTIO_VSOCK_OP_REQUEST);

	after = vsock_guest_stream(&guest, 53, &host_port);
	cr_assert_gt(host_port - before_port + 16, 32, "by chance it is once in 100 million times");
	say(53, host_port, "at once");
	assert_text(after, "at once");
	close(after);
	close(waiting);
}

Test(virtio_vsock, a_paused_device_keeps_its_streams)
{
	uint32_t host_port;
	int peer = vsock_guest_stream(&guest, 52, &host_port);

	driver_pause(&guest.driver);
	cr_assert_eq(send(peer, "while you slept", 15, 0), 15);
	cr_assert_not(vsock_guest_has_packet(&guest));
	driver_resume(&guest.driver);
	assert_hears("while you slept");
	close(peer);
}

Test(virtio_vsock, a_reset_closes_every_stream)
{
	uint32_t host_port;
	int peers[20];

	for (int i = 0; i < 20; i++)
		peers[i] = vsock_guest_stream(&guest, (uint32_t)i, &host_port);
	driver_write(&guest.driver, VIRTIO_MMIO_STATUS, 0);
	for (int i = 0; i < 20; i++)
		assert_closed(peers[i]);
	vsock_guest_start(&guest, GUEST_BUFFERS);
	close(vsock_guest_stream(&guest, 1, &host_port));
}

/* Streams that the guest never ends make room when their sockets are gone; and new ones are served past any number. */
Test(virtio_vsock, many_streams_one_after_the_other)
{
	for (uint32_t i = 0; i < 2 * VSOCK_CONNECTIONS_MAX; i++) {
		uint32_t host_port;

		close(vsock_guest_stream(&guest, i, &host_port));
		cr_assert_eq(assert_receives(VIRTIO_VSOCK_OP_SHUTDOWN).flags, 3);
	}
}

/* An echo in the guest for many streams at once, until every byte has come back. */

#define STREAMS 64
#define BYTES   (256 * 1024)

struct stream {
	int peer;
	uint32_t host_port;
	uint32_t sent;
	uint32_t echoed;
	uint32_t forwarded; /* bytes that the guest has taken */
};

static struct stream streams[STREAMS];

static uint8_t byte_of(uint32_t stream, uint32_t position)
{
	return (uint8_t)(stream * 31 + position * 7 + position / 4096);
}

static void pump_peer(uint32_t number)
{
	struct stream *stream = &streams[number];
	uint8_t data[3000];
	ssize_t count;

	while (stream->sent < BYTES) {
		uint32_t length = BYTES - stream->sent < sizeof(data) ? BYTES - stream->sent : sizeof(data);

		for (uint32_t i = 0; i < length; i++)
			data[i] = byte_of(number, stream->sent + i);
		count = send(stream->peer, data, length, MSG_DONTWAIT);
		if (count <= 0)
			break;
		stream->sent += (uint32_t)count;
	}
	while ((count = recv(stream->peer, data, sizeof(data), MSG_DONTWAIT)) > 0) {
		for (ssize_t i = 0; i < count; i++)
			cr_assert_eq(data[i], byte_of(number, stream->echoed + (uint32_t)i));
		stream->echoed += (uint32_t)count;
	}
}

/* One packet for the guest: data is sent back as it came. */
static void pump_guest(void)
{
	static uint8_t data[GUEST_DATA];
	struct virtio_vsock_hdr header = vsock_guest_receive(&guest, data);
	struct stream *stream = &streams[header.dst_port];
	struct virtio_vsock_hdr answer = {
		.src_cid = GUEST_CID,
		.dst_cid = 2,
		.src_port = header.dst_port,
		.dst_port = header.src_port,
		.len = header.len,
		.type = VIRTIO_VSOCK_TYPE_STREAM,
		.op = VIRTIO_VSOCK_OP_RW,
		.buf_alloc = GUEST_ALLOCATED,
	};

	if (header.op != VIRTIO_VSOCK_OP_RW) {
		cr_assert_eq(header.op, VIRTIO_VSOCK_OP_CREDIT_UPDATE, "%u", header.op);
		return;
	}
	stream->forwarded += header.len;
	answer.fwd_cnt = stream->forwarded;
	vsock_guest_send(&guest, &answer, data, header.len);
}

Test(virtio_vsock, many_streams_at_once, .timeout = 600)
{
	uint32_t finished = 0;

	for (uint32_t i = 0; i < STREAMS; i++)
		streams[i].peer = vsock_guest_stream(&guest, i, &streams[i].host_port);
	while (finished < STREAMS) {
		finished = 0;
		for (uint32_t i = 0; i < STREAMS; i++) {
			pump_peer(i);
			finished += streams[i].echoed == BYTES;
		}
		while (vsock_guest_has_packet(&guest))
			pump_guest();
	}
	for (uint32_t i = 0; i < STREAMS; i++)
		close(streams[i].peer);
}
