/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Answers frames of the kind in net_frame.h, for ever, each to its sender: the same number, every byte inverted, from the
 * address that the interface has at that moment. Signals 1 when the interface is ready, 100 when something went wrong.
 */
#include "net_driver.h"

static struct net_frame frame;

static bool is_question(void)
{
	return frame.type[0] == NET_FRAME_TYPE >> 8 && frame.type[1] == (NET_FRAME_TYPE & 0xff);
}

static bool answer(void)
{
	for (unsigned int i = 0; i < sizeof(frame.to); i++)
		frame.to[i] = frame.from[i];
	net_read_mac(frame.from);
	for (unsigned int i = 0; i < sizeof(frame.bytes); i++)
		frame.bytes[i] = (uint8_t)~frame.bytes[i];
	return net_send(&frame);
}

void guest_main(uint64_t memory_size, uint64_t vcpus)
{
	bool good;

	(void)memory_size;
	(void)vcpus;
	set_up_irqs(1 << 5);
	good = net_start(0);
	if (good) {
		net_offer_buffers();
		signal_host(1);
	}
	while (good) {
		net_receive(&frame);
		if (is_question())
			good = answer();
	}
	signal_host(100);
}
