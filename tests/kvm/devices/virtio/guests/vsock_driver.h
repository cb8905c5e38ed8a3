/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The vsock of guests without a kernel. Packets are asked for, not waited for by interrupt.
 */
#ifndef EMBER_TESTS_KVM_DEVICES_VIRTIO_GUESTS_VSOCK_DRIVER_H
#define EMBER_TESTS_KVM_DEVICES_VIRTIO_GUESTS_VSOCK_DRIVER_H

#include "virtio.h"

#define VSOCK 0 /* the window */

#define RX    0 /* queues */
#define TX    1
#define EVENT 2

#define OP_REQUEST   1
#define OP_RESPONSE  2
#define OP_RST       3
#define OP_SHUTDOWN  4
#define OP_RW        5
#define HOST         2
#define CREDIT       65536
#define VSOCK_BUFFER 1024 /* bytes of a packet, with its header */

/* struct virtio_vsock_hdr */
struct vsock_header {
	uint64_t source_cid, target_cid;
	uint32_t source_port, target_port, length;
	uint16_t type, operation;
	uint32_t flags, credit, forwarded;
} __attribute__((packed));

extern struct queue vsock_queues[3];
extern uint8_t vsock_payload[VSOCK_BUFFER]; /* what is sent, and what came last */

/* The whole start; whether the device agrees. No buffers are offered yet. */
bool vsock_start(uint64_t features);

/* All buffers for packets, and one for an event, offered. */
void vsock_offer_buffers(void);

/* A packet from this guest to the host, as a stream of ours has it. */
struct vsock_header vsock_packet(uint16_t operation, uint32_t source_port, uint32_t target_port, uint32_t length);

/* Offer a packet, with the bytes of the payload that its header says, or with another number of them. */
void vsock_post(const struct vsock_header *header);
void vsock_post_bytes(const struct vsock_header *header, uint32_t header_bytes, uint32_t bytes);

/* Has the device taken it? */
bool vsock_is_sent(void);

/* Post and wait. */
void vsock_send(uint16_t operation, uint32_t source_port, uint32_t target_port, uint32_t length);

/* Whether there is a packet: the next one, whose bytes go to the payload. Its buffer is offered again. */
bool vsock_take(struct vsock_header *ret_header);

/*
 * The next packet for this port of ours, of those that do more than to tell of credit; others are dropped. Also what the
 * streams end with: whether the transport was reset is seen to on the way.
 */
struct vsock_header vsock_receive(uint32_t port);

/* How often the transport was reset. */
uint32_t vsock_resets(void);

#endif
