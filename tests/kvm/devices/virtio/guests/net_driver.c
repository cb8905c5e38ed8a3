/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Each frame to send has two descriptors, its header's and its own; each buffer for a frame has one.
 */
#include "net_driver.h"

#define BUFFERS 8
#define BUFFER  2048

struct queue net_queues[2];

static volatile uint8_t received[BUFFERS][BUFFER] __attribute__((aligned(4096)));
static struct net_header sent_header;
static uint16_t seen; /* of what the device has put into buffers */

bool net_start(uint64_t features)
{
	if (get(NET, DEVICE_ID) != 1 || !negotiate(NET, features | F_MAC))
		return false;
	seen = 0;
	return set_queue(NET, RX, &net_queues[RX]) && set_queue(NET, TX, &net_queues[TX]) && set_driver_ok(NET);
}

static void offer_buffer(uint16_t buffer)
{
	net_queues[RX].descriptors[buffer] = (struct descriptor){ (uint64_t)received[buffer], BUFFER, WRITE, 0 };
	offer_on(NET, RX, &net_queues[RX], buffer);
}

void net_offer_buffers(void)
{
	for (uint16_t i = 0; i < BUFFERS; i++)
		offer_buffer(i);
}

void net_post(const struct net_header *header, const struct net_frame *frame, uint32_t length)
{
	struct queue *queue = &net_queues[TX];

	sent_header = *header;
	queue->descriptors[0] = (struct descriptor){ (uint64_t)&sent_header, sizeof(sent_header), NEXT, 1 };
	queue->descriptors[1] = (struct descriptor){ (uint64_t)frame, length, 0, 0 };
	offer_on(NET, TX, queue, 0);
}

bool net_send(const struct net_frame *frame)
{
	net_post(&(struct net_header){ .flags = 0 }, frame, sizeof(*frame));
	return wait_used_on(NET, &net_queues[TX]);
}

void net_receive(struct net_frame *ret_frame)
{
	const volatile uint8_t *frame;
	uint16_t buffer;

	while (net_queues[RX].used_index == seen)
		wait_for_interrupt();
	__asm__ volatile("" : : : "memory");
	buffer = (uint16_t)(net_queues[RX].used_ring[seen % QUEUE_SIZE].id % BUFFERS);
	seen = (uint16_t)(seen + 1);
	frame = received[buffer] + sizeof(struct net_header);
	for (uint32_t i = 0; i < sizeof(*ret_frame); i++)
		((uint8_t *)ret_frame)[i] = frame[i];
	offer_buffer(buffer);
}

void net_read_mac(uint8_t *ret_mac)
{
	for (unsigned int i = 0; i < 6; i++)
		ret_mac[i] = get8(NET, CONFIG + i);
}
