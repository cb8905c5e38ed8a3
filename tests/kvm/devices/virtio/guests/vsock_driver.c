/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One packet to send at a time, and one stream that data comes on.
 */
#include "vsock_driver.h"

#define BUFFERS 8

struct queue vsock_queues[3];
uint8_t vsock_payload[VSOCK_BUFFER];

static volatile uint8_t received[BUFFERS][VSOCK_BUFFER] __attribute__((aligned(4096)));
static volatile uint32_t event;
static struct vsock_header sent __attribute__((aligned(16)));
static uint16_t seen;  /* of what the device has put into buffers */
static uint32_t taken; /* bytes of the stream that is in use */
static uint32_t resets;

bool vsock_start(uint64_t features)
{
	if (get(VSOCK, DEVICE_ID) != 19 || !negotiate(VSOCK, features))
		return false;
	for (uint32_t i = 0; i < 3; i++) {
		if (!set_queue(VSOCK, i, &vsock_queues[i]))
			return false;
	}
	seen = 0;
	taken = 0;
	return set_driver_ok(VSOCK);
}

static void offer_buffer(uint16_t buffer)
{
	vsock_queues[RX].descriptors[buffer] =
		(struct descriptor){ (uint64_t)received[buffer], VSOCK_BUFFER, WRITE, 0 };
	offer_on(VSOCK, RX, &vsock_queues[RX], buffer);
}

static void offer_event(void)
{
	event = UINT32_MAX;
	vsock_queues[EVENT].descriptors[0] = (struct descriptor){ (uint64_t)&event, sizeof(event), WRITE, 0 };
	offer_on(VSOCK, EVENT, &vsock_queues[EVENT], 0);
}

void vsock_offer_buffers(void)
{
	for (uint16_t i = 0; i < BUFFERS; i++)
		offer_buffer(i);
	offer_event();
}

struct vsock_header vsock_packet(uint16_t operation, uint32_t source_port, uint32_t target_port, uint32_t length)
{
	return (struct vsock_header){
		.source_cid = get(VSOCK, CONFIG),
		.target_cid = HOST,
		.source_port = source_port,
		.target_port = target_port,
		.length = length,
		.type = 1,
		.operation = operation,
		.credit = CREDIT,
		.forwarded = taken,
	};
}

void vsock_post_bytes(const struct vsock_header *header, uint32_t header_bytes, uint32_t bytes)
{
	struct queue *queue = &vsock_queues[TX];

	sent = *header;
	queue->descriptors[0] = (struct descriptor){ (uint64_t)&sent, header_bytes, bytes > 0 ? NEXT : 0, 1 };
	queue->descriptors[1] = (struct descriptor){ (uint64_t)vsock_payload, bytes, 0, 0 };
	offer_on(VSOCK, TX, queue, 0);
}

void vsock_post(const struct vsock_header *header)
{
	vsock_post_bytes(header, sizeof(*header), header->length);
}

bool vsock_is_sent(void)
{
	return vsock_queues[TX].used_index == vsock_queues[TX].avail_index;
}

void vsock_send(uint16_t operation, uint32_t source_port, uint32_t target_port, uint32_t length)
{
	struct vsock_header header = vsock_packet(operation, source_port, target_port, length);

	vsock_post(&header);
	while (!vsock_is_sent())
		__asm__ volatile("pause");
}

/* All streams are gone, and the CID may be another: it is read for each packet. The buffer says that we know. */
static void take_event(void)
{
	if (vsock_queues[EVENT].used_index != vsock_queues[EVENT].avail_index || event != 0)
		return;
	taken = 0;
	resets++;
	offer_event();
}

bool vsock_take(struct vsock_header *ret_header)
{
	struct queue *queue = &vsock_queues[RX];
	uint16_t buffer;

	take_event();
	if (queue->used_index == seen)
		return false;
	__asm__ volatile("" : : : "memory");
	buffer = (uint16_t)(queue->used_ring[seen % QUEUE_SIZE].id % BUFFERS);
	seen = (uint16_t)(seen + 1);
	*ret_header = *(const struct vsock_header *)(uint64_t)received[buffer];
	for (uint32_t i = 0; i < ret_header->length && i < VSOCK_BUFFER - sizeof(*ret_header); i++)
		vsock_payload[i] = received[buffer][sizeof(*ret_header) + i];
	offer_buffer(buffer);
	return true;
}

struct vsock_header vsock_receive(uint32_t port)
{
	struct vsock_header header;

	do {
		while (!vsock_take(&header))
			__asm__ volatile("pause");
	} while (header.target_port != port || header.operation > OP_RW);
	if (header.operation == OP_RW)
		taken += header.length;
	else
		taken = 0; /* a stream begins or ends */
	return header;
}

uint32_t vsock_resets(void)
{
	return resets;
}
