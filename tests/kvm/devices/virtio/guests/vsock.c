/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Streams by hand, over a vsock that is the machine's first virtio device: connects to the host's port 5000 and says
 * "ping", to which "pong" is the answer (signal 1); is refused at port 5001 (signal 2); then asks for a stream and drops
 * it at once, again and again (signal 3 at the end); and from then on gives back what it is sent on its port 7000.
 * Signals 100 and more say which step went wrong.
 */
#include "virtio.h"

#define DEVICE       0
#define RX           0
#define TX           1
#define BUFFERS      8
#define BUFFER       1024
#define FLOOD        4000
#define OP_REQUEST   1
#define OP_RESPONSE  2
#define OP_RST       3
#define OP_RW        5
#define CREDIT       65536
#define OUR_PORT     1000
#define SERVING_PORT 7000

struct header {
	uint64_t source_cid, target_cid;
	uint32_t source_port, target_port, length;
	uint16_t type, operation;
	uint32_t flags, credit, forwarded;
} __attribute__((packed));

static struct queue rings[3];
static volatile uint8_t received[BUFFERS][BUFFER] __attribute__((aligned(4096)));
static struct header sent __attribute__((aligned(16)));
static uint8_t payload[BUFFER];
static uint16_t seen;  /* of what the device has put into buffers */
static uint32_t taken; /* bytes of the stream that is in use: there is one at a time */

static bool set_up(void)
{
	if (get(DEVICE, DEVICE_ID) != 19 || !negotiate(DEVICE, 0))
		return false;
	for (uint32_t i = 0; i < 3; i++) {
		if (!set_queue(DEVICE, i, &rings[i]))
			return false;
	}
	if (!set_driver_ok(DEVICE))
		return false;
	for (uint16_t i = 0; i < BUFFERS; i++) {
		rings[RX].descriptors[i] = (struct descriptor){ (uint64_t)received[i], BUFFER, WRITE, 0 };
		offer_on(DEVICE, RX, &rings[RX], i);
	}
	return true;
}

static void post(uint16_t operation, uint32_t source_port, uint32_t target_port, uint32_t length)
{
	struct queue *ring = &rings[TX];

	sent = (struct header){
		.source_cid = get(DEVICE, CONFIG),
		.target_cid = 2,
		.source_port = source_port,
		.target_port = target_port,
		.length = length,
		.type = 1,
		.operation = operation,
		.credit = CREDIT,
		.forwarded = taken,
	};
	ring->descriptors[0] = (struct descriptor){ (uint64_t)&sent, sizeof(sent), length > 0 ? NEXT : 0, 1 };
	ring->descriptors[1] = (struct descriptor){ (uint64_t)payload, length, 0, 0 };
	offer_on(DEVICE, TX, ring, 0);
}

static bool is_sent(void)
{
	return rings[TX].used_index == rings[TX].avail_index;
}

static void send(uint16_t operation, uint32_t source_port, uint32_t target_port, uint32_t length)
{
	post(operation, source_port, target_port, length);
	while (!is_sent())
		__asm__ volatile("pause");
}

/* The next packet for this port of ours; its bytes go to payload, others' are dropped. */
static struct header receive(uint32_t port)
{
	struct queue *ring = &rings[RX];
	struct header header;

	do {
		uint32_t buffer;

		while (ring->used_index == seen)
			__asm__ volatile("pause");
		__asm__ volatile("" : : : "memory");
		buffer = ring->used_ring[seen % QUEUE_SIZE].id % BUFFERS;
		seen = (uint16_t)(seen + 1);
		header = *(const struct header *)(uint64_t)received[buffer];
		for (uint32_t i = 0; i < header.length && i < BUFFER - sizeof(header); i++)
			payload[i] = received[buffer][sizeof(header) + i];
		offer_on(DEVICE, RX, ring, (uint16_t)buffer);
	} while (header.target_port != port);
	if (header.operation == OP_RW)
		taken += header.length;
	else if (header.operation < OP_RW)
		taken = 0; /* a stream begins or ends */
	return header;
}

static bool payload_is(const char *text)
{
	for (unsigned int i = 0; text[i] != '\0'; i++) {
		if (payload[i] != (uint8_t)text[i])
			return false;
	}
	return true;
}

/* What there is for us besides what tells of credit. */
static struct header receive_news(uint32_t port)
{
	struct header header;

	do {
		header = receive(port);
	} while (header.operation > OP_RW);
	return header;
}

static bool connect_and_talk(void)
{
	send(OP_REQUEST, OUR_PORT, 5000, 0);
	if (receive_news(OUR_PORT).operation != OP_RESPONSE)
		return false;
	for (unsigned int i = 0; i < 4; i++)
		payload[i] = (uint8_t) "ping"[i];
	send(OP_RW, OUR_PORT, 5000, 4);
	return receive_news(OUR_PORT).operation == OP_RW && payload_is("pong");
}

static bool be_refused(void)
{
	send(OP_REQUEST, OUR_PORT + 1, 5001, 0);
	return receive_news(OUR_PORT + 1).operation == OP_RST;
}

/* A device whose answers nobody takes stops listening: give the buffers back unread. */
static void send_unheard(uint16_t operation)
{
	struct queue *ring = &rings[RX];

	post(operation, OUR_PORT + 2, 5002, 0);
	while (!is_sent()) {
		for (; seen != ring->used_index; seen = (uint16_t)(seen + 1))
			offer_on(DEVICE, RX, ring, (uint16_t)(ring->used_ring[seen % QUEUE_SIZE].id % BUFFERS));
	}
}

static void flood(void)
{
	for (uint32_t i = 0; i < FLOOD; i++) {
		send_unheard(OP_REQUEST);
		send_unheard(OP_RST);
	}
}

_Noreturn static void serve(void)
{
	for (;;) {
		struct header header = receive_news(SERVING_PORT);

		if (header.operation == OP_REQUEST)
			send(OP_RESPONSE, SERVING_PORT, header.source_port, 0);
		else if (header.operation == OP_RW)
			send(OP_RW, SERVING_PORT, header.source_port, header.length);
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
	flood();
	signal_host(3);
	serve();
}
