/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest with a vsock driver, good or bad, and the host around it.
 */
#ifndef EMBER_TESTS_UNIT_DEVICES_VIRTIO_VSOCK_GUEST_H
#define EMBER_TESTS_UNIT_DEVICES_VIRTIO_VSOCK_GUEST_H

#include <linux/virtio_vsock.h>
#include <stddef.h>
#include <stdint.h>

#include "devices/virtio/vsock/vsock.h"
#include "driver.h"

#define GUEST_CID       42
#define GUEST_BUFFERS   16   /* for packets to it, at most */
#define GUEST_DATA      4096 /* bytes of data that each can hold */
#define GUEST_ALLOCATED 65536

struct vsock_guest {
	struct ring rings[3];
	struct driver driver;
	struct virtio_vsock *vsock;
	uint16_t received; /* packets taken from the ring */
	char path[64];     /* where the host listens */
	/* What the host's connect() answers: a socket, or -errno; and what it was asked for. */
	int answer;
	uint32_t asked_port;
	uint64_t asked_cookie;
	unsigned int asked;
};

/* A device that listens, with a driver at work; the host connects nobody until `answer` is set. */
void vsock_guest_open(struct vsock_guest *guest);
void vsock_guest_close(struct vsock_guest *guest);

/* All of section 3.1.1, with empty rings; then so many buffers for packets. */
void vsock_guest_start(struct vsock_guest *guest, unsigned int buffers);

/* A device of the same kind for the same memory, which listens elsewhere; the guest's driver is there still. */
void vsock_guest_replace(struct vsock_guest *guest, uint32_t cid);

/* Offer one more buffer for packets. */
void vsock_guest_offer(struct vsock_guest *guest);

/* Send a packet, as it is; wait until the device has taken it. */
void vsock_guest_send(struct vsock_guest *guest, const struct virtio_vsock_hdr *header, const void *data,
		      size_t length);

/* Send a good one. */
void vsock_guest_say(struct vsock_guest *guest, uint32_t port, uint32_t host_port, uint16_t op, uint32_t flags,
		     const void *data, size_t length);

/* Wait for a packet; its buffer is offered again. ret_data has room for GUEST_DATA bytes, or is NULL. */
struct virtio_vsock_hdr vsock_guest_receive(struct vsock_guest *guest, void *ret_data);

/* Has a packet come that was not received? */
bool vsock_guest_has_packet(struct vsock_guest *guest);

/* A new socket of the host's, connected to the listener. */
int vsock_guest_connect(struct vsock_guest *guest);

/* The same, with the handshake: a stream to a port of the guest's. Returns the socket. */
int vsock_guest_stream(struct vsock_guest *guest, uint32_t port, uint32_t *ret_host_port);

#endif
