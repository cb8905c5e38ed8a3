/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The network interface of guests without a kernel.
 */
#ifndef EMBER_TESTS_KVM_DEVICES_VIRTIO_GUESTS_NET_DRIVER_H
#define EMBER_TESTS_KVM_DEVICES_VIRTIO_GUESTS_NET_DRIVER_H

#include "net_frame.h"
#include "virtio.h"

#define NET 0 /* the window */

#define RX 0 /* queues */
#define TX 1

#define F_CSUM   (UINT64_C(1) << 0)
#define F_MAC    (UINT64_C(1) << 5)
#define F_HOST_4 (UINT64_C(1) << 11) /* HOST_TSO4 */

#define H_NEEDS_CSUM 1
#define H_TCPV4      1

/* struct virtio_net_hdr_v1 */
struct net_header {
	uint8_t flags, gso_type;
	uint16_t header_length, gso_size, csum_start, csum_offset, buffers;
};

extern struct queue net_queues[2];

/* The whole start; whether the device agrees. No buffers are offered yet. */
bool net_start(uint64_t features);

/* All buffers for frames, offered. */
void net_offer_buffers(void);

/* Offer a frame, whose memory stays as it is until it is used. */
void net_post(const struct net_header *header, const struct net_frame *frame, uint32_t length);

/* The same, and wait until it is used. False: the device needs a reset. */
bool net_send(const struct net_frame *frame);

/* Sleep until there is a frame; its buffer is offered again. */
void net_receive(struct net_frame *ret_frame);

/* The address that the device's configuration has now. */
void net_read_mac(uint8_t *ret_mac);

#endif
