/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Streams by hand: connects to the host's port 5000 and says "ping", to which "pong" is the answer (signal 1); is refused
 * at port 5001 (signal 2); and from then on (signal 3) gives back what it is sent on its port 7000. When that is "flood",
 * it asks for a stream and drops it at once, again and again (signal 4 at the end). Signal 5 when the first packet comes
 * after a reset of the transport; signals 100 and more say which step went wrong.
 */
#include "vsock_driver.h"

#define FLOOD        4000
#define OUR_PORT     1000
#define SERVING_PORT 7000

static bool set_up(void)
{
	if (!vsock_start(0))
		return false;
	vsock_offer_buffers();
	return true;
}

static bool payload_is(const char *text)
{
	for (unsigned int i = 0; text[i] != '\0'; i++) {
		if (vsock_payload[i] != (uint8_t)text[i])
			return false;
	}
	return true;
}

static bool connect_and_talk(void)
{
	vsock_send(OP_REQUEST, OUR_PORT, 5000, 0);
	if (vsock_receive(OUR_PORT).operation != OP_RESPONSE)
		return false;
	for (unsigned int i = 0; i < 4; i++)
		vsock_payload[i] = (uint8_t) "ping"[i];
	vsock_send(OP_RW, OUR_PORT, 5000, 4);
	return vsock_receive(OUR_PORT).operation == OP_RW && payload_is("pong");
}

static bool be_refused(void)
{
	vsock_send(OP_REQUEST, OUR_PORT + 1, 5001, 0);
	return vsock_receive(OUR_PORT + 1).operation == OP_RST;
}

/* A device whose answers nobody takes stops listening: take them, and do not look. */
static void send_unheard(uint16_t operation)
{
	struct vsock_header header = vsock_packet(operation, OUR_PORT + 2, 5002, 0);
	struct vsock_header unheard;

	vsock_post(&header);
	while (!vsock_is_sent())
		(void)vsock_take(&unheard);
}

static void flood(void)
{
	for (uint32_t i = 0; i < FLOOD; i++) {
		send_unheard(OP_REQUEST);
		send_unheard(OP_RST);
	}
	signal_host(4);
}

_Noreturn static void serve(void)
{
	uint32_t resets = 0;

	for (;;) {
		struct vsock_header header = vsock_receive(SERVING_PORT);

		if (resets != vsock_resets())
			signal_host(5);
		resets = vsock_resets();
		if (header.operation == OP_REQUEST)
			vsock_send(OP_RESPONSE, SERVING_PORT, header.source_port, 0);
		else if (header.operation == OP_RW && payload_is("flood"))
			flood();
		else if (header.operation == OP_RW)
			vsock_send(OP_RW, SERVING_PORT, header.source_port, header.length);
	}
}

void guest_main(uint64_t memory_size, uint64_t vcpus)
{
	static bool (*const steps[])(void) = { set_up, connect_and_talk, be_refused };

	(void)memory_size;
	(void)vcpus;
	for (unsigned int i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		if (!steps[i]()) {
			signal_host((uint8_t)(100 + i));
			return;
		}
		if (i > 0)
			signal_host((uint8_t)i);
	}
	signal_host(3);
	serve();
}
