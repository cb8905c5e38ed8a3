/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A vsock's hostile driver. The host takes streams to port 5000, says "hello" on them and reads no more; no other port is
 * there.
 */
#include "race.h"
#include "vsock_driver.h"

#define PORT   5000
#define NOBODY 5001

static uint8_t room[4096] __attribute__((aligned(4096)));
static uint32_t our_port = 1000; /* another one each time */

static bool begin(void)
{
	return vsock_start(F_INDIRECT);
}

static bool is_hello(void)
{
	return vsock_payload[0] == 'h' && vsock_payload[4] == 'o';
}

/* A stream of the kind that nothing is wrong with. */
static bool open_stream(void)
{
	our_port++;
	vsock_send(OP_REQUEST, our_port, PORT, 0);
	return vsock_receive(our_port).operation == OP_RESPONSE && vsock_receive(our_port).operation == OP_RW &&
	       is_hello();
}

static bool works(void)
{
	if (!vsock_start(0))
		return false;
	vsock_offer_buffers();
	return open_stream();
}

/* Whatever it is, it is refused: so there is something for the guest. */
static void be_refused(void)
{
	struct vsock_header header = vsock_packet(OP_REQUEST, our_port, NOBODY, 0);

	vsock_post(&header);
}

static void receive_packet(void)
{
	vsock_queues[RX].descriptors[0] = (struct descriptor){ (uint64_t)room, sizeof(room), WRITE, 0 };
	offer_on(VSOCK, RX, &vsock_queues[RX], 0);
	be_refused();
}

static const struct target targets[] = {
	[RX] = { VSOCK, RX, &vsock_queues[RX], WRITE, begin, be_refused, receive_packet, works },
	[TX] = { VSOCK, TX, &vsock_queues[TX], 0, begin, NULL, be_refused, works },
};

static bool is_buffer_refused(uint32_t length)
{
	vsock_queues[RX].descriptors[0] = (struct descriptor){ (uint64_t)room, length, WRITE, 0 };
	return is_refused(&targets[RX]);
}

static bool a_buffer_that_is_too_small(void)
{
	return is_buffer_refused(sizeof(struct vsock_header) - 1);
}

static bool is_packet_refused(uint32_t said, uint32_t header_bytes, uint32_t bytes)
{
	struct vsock_header header = vsock_packet(OP_RW, our_port, PORT, said);

	vsock_post_bytes(&header, header_bytes, bytes);
	wait_needs_reset(VSOCK);
	return vsock_queues[TX].used_index == 0;
}

static bool half_a_header(void)
{
	return is_packet_refused(0, sizeof(struct vsock_header) / 2, 0);
}

static bool more_said_than_there_is(void)
{
	return is_packet_refused(101, sizeof(struct vsock_header), 100);
}

static bool all_of_32_bits_said(void)
{
	return is_packet_refused(UINT32_MAX, sizeof(struct vsock_header), 100);
}

/* Whether a packet of ours is answered with a reset of its port. */
static bool is_reset(const struct vsock_header *header)
{
	vsock_post(header);
	return vsock_receive(header->source_port).operation == OP_RST;
}

static bool packets_of_no_stream(void)
{
	static const uint16_t operations[] = { OP_RESPONSE, OP_SHUTDOWN, OP_RW, 0, 77 };

	vsock_offer_buffers();
	for (size_t i = 0; i < sizeof(operations) / sizeof(operations[0]); i++) {
		struct vsock_header header = vsock_packet(operations[i], 77, PORT, 0);

		if (!is_reset(&header))
			return false;
	}
	return true;
}

static bool other_types_and_hosts(void)
{
	struct vsock_header header = vsock_packet(OP_REQUEST, 78, PORT, 0);

	vsock_offer_buffers();
	header.type = 2;
	if (!is_reset(&header))
		return false;
	header.type = 1;
	header.target_cid = UINT64_C(1) << 40 | HOST;
	return is_reset(&header);
}

/* In the name of another guest: there is nobody to answer, and the next in our own is answered. */
static bool another_guests_name(void)
{
	struct vsock_header header = vsock_packet(OP_REQUEST, 79, PORT, 0);

	vsock_offer_buffers();
	header.source_cid++;
	vsock_post(&header);
	while (!vsock_is_sent())
		__asm__ volatile("pause");
	header = vsock_packet(OP_REQUEST, 79, NOBODY, 0);
	return is_reset(&header);
}

static bool operations_that_do_not_exist(void)
{
	struct vsock_header header;

	vsock_offer_buffers();
	if (!open_stream())
		return false;
	header = vsock_packet(77, our_port, PORT, 0);
	return is_reset(&header);
}

static bool a_stream_twice(void)
{
	struct vsock_header header;

	vsock_offer_buffers();
	if (!open_stream())
		return false;
	header = vsock_packet(OP_REQUEST, our_port, PORT, 0);
	return is_reset(&header);
}

/* More than the host said it has room for: it reads nothing, and its socket's buffer is not endless. */
static bool more_than_there_is_room_for(void)
{
	struct vsock_header answer;

	vsock_offer_buffers();
	if (!open_stream())
		return false;
	for (;;) {
		struct vsock_header header = vsock_packet(OP_RW, our_port, PORT, VSOCK_BUFFER);

		vsock_post(&header);
		while (!vsock_is_sent()) {
			if (get(VSOCK, STATUS) & S_NEEDS_RESET)
				return false;
		}
		while (vsock_take(&answer)) {
			if (answer.target_port == our_port && answer.operation == OP_RST)
				return true;
		}
	}
}

static const hostile_case cases[] = {
	a_buffer_that_is_too_small,
	half_a_header,
	more_said_than_there_is,
	all_of_32_bits_said,
	packets_of_no_stream,
	other_types_and_hosts,
	another_guests_name,
	operations_that_do_not_exist,
	a_stream_twice,
	more_than_there_is_room_for,
};

void guest_main(uint64_t memory_size, uint64_t vcpus)
{
	set_up_irqs(1 << 5);
	if (vcpus > 1)
		run_race(targets, sizeof(targets) / sizeof(targets[0]));
	else
		run_hostile(targets, sizeof(targets) / sizeof(targets[0]), cases, sizeof(cases) / sizeof(cases[0]),
			    memory_size);
}
