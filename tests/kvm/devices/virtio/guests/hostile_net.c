/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A network interface's hostile driver. The wire gives every frame back.
 */
#include "net_driver.h"
#include "race.h"

static struct net_frame frame, returned;
static uint8_t room[65536] __attribute__((aligned(4096)));

static bool begin(void)
{
	return net_start(F_INDIRECT);
}

/* Send a frame that nothing is wrong with; whether it is the next to come back. */
static bool is_next(void)
{
	frame.number++;
	if (!net_send(&frame))
		return false;
	net_receive(&returned);
	return returned.number == frame.number;
}

/* Frames of cases before may come back first. */
static bool works(void)
{
	if (!net_start(0))
		return false;
	net_offer_buffers();
	frame.number++;
	if (!net_send(&frame))
		return false;
	do
		net_receive(&returned);
	while (returned.number != frame.number);
	return true;
}

static void send_frame(void)
{
	net_post(&(struct net_header){ .flags = 0 }, &frame, sizeof(frame));
}

static void receive_frames(void)
{
	net_queues[RX].descriptors[0] = (struct descriptor){ (uint64_t)room, 4096, WRITE, 0 };
	offer_on(NET, RX, &net_queues[RX], 0);
	send_frame();
}

static const struct target targets[] = {
	[RX] = { NET, RX, &net_queues[RX], WRITE, begin, send_frame, receive_frames, works },
	[TX] = { NET, TX, &net_queues[TX], 0, begin, NULL, send_frame, works },
};

/* Section 5.1.6.3.1: buffers have to hold a frame. */
static bool a_buffer_that_is_too_small(void)
{
	net_queues[RX].descriptors[0] = (struct descriptor){ (uint64_t)room, 1525, WRITE, 0 };
	return is_refused(&targets[RX]);
}

/* Whether a frame is used without going out, and the next one goes. */
static bool is_dropped(struct net_header header, uint32_t length)
{
	frame.number++;
	net_post(&header, (const struct net_frame *)room, length);
	return wait_used_on(NET, &net_queues[TX]) && is_next();
}

static bool a_header_alone(void)
{
	net_offer_buffers();
	net_queues[TX].descriptors[0] = (struct descriptor){ (uint64_t)&frame, 12, 0, 0 };
	offer_on(NET, TX, &net_queues[TX], 0);
	return wait_used_on(NET, &net_queues[TX]) && is_next();
}

static bool half_a_header(void)
{
	net_offer_buffers();
	net_queues[TX].descriptors[0] = (struct descriptor){ (uint64_t)&frame, 6, 0, 0 };
	offer_on(NET, TX, &net_queues[TX], 0);
	return wait_used_on(NET, &net_queues[TX]) && is_next();
}

static bool frames_that_are_none(void)
{
	net_offer_buffers();
	return is_dropped((struct net_header){ .flags = 0 }, 13) &&
	       is_dropped((struct net_header){ .flags = 0 }, 65551);
}

static bool offloads_that_were_not_negotiated(void)
{
	net_offer_buffers();
	return is_dropped((struct net_header){ .flags = H_NEEDS_CSUM }, 100) &&
	       is_dropped((struct net_header){ .flags = 0x80 }, 100) &&
	       is_dropped((struct net_header){ .gso_type = H_TCPV4, .gso_size = 100 }, 100) &&
	       is_dropped((struct net_header){ .gso_type = 0x77 }, 100);
}

/* The interface leaves checksums to the host, and is lied to about where they are. */
static bool checksums_elsewhere(void)
{
	if (!net_start(F_CSUM | F_HOST_4))
		return false;
	net_offer_buffers();
	return is_dropped((struct net_header){ .flags = H_NEEDS_CSUM, .csum_start = 99 }, 100) &&
	       is_dropped((struct net_header){ .flags = H_NEEDS_CSUM, .csum_offset = 99 }, 100) &&
	       is_dropped((struct net_header){ .flags = H_NEEDS_CSUM, .csum_start = 65535, .csum_offset = 65535 }, 100);
}

static bool segments_that_are_none(void)
{
	if (!net_start(F_CSUM | F_HOST_4))
		return false;
	net_offer_buffers();
	return is_dropped((struct net_header){ .flags = H_NEEDS_CSUM, .gso_type = H_TCPV4 }, 100) &&
	       is_dropped((struct net_header){ .gso_type = H_TCPV4, .gso_size = 100 }, 100) &&
	       is_dropped(
		       (struct net_header){
			       .flags = H_NEEDS_CSUM, .gso_type = H_TCPV4, .gso_size = 100, .header_length = 101 },
		       100);
}

static const hostile_case cases[] = {
	a_buffer_that_is_too_small,        a_header_alone,      half_a_header,          frames_that_are_none,
	offloads_that_were_not_negotiated, checksums_elsewhere, segments_that_are_none,
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
