/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A stream between a port of the guest's and a socket of the host's (virtio 1.2, section 5.10.6): its life, its credit
 * in both directions, and what the guest has to be told of it. Not thread-safe.
 */
#ifndef EMBER_DEVICES_VIRTIO_VSOCK_CONNECTION_H
#define EMBER_DEVICES_VIRTIO_VSOCK_CONNECTION_H

#include <linux/virtio_vsock.h>
#include <stdbool.h>
#include <stdint.h>

#include "devices/virtio/virtqueue.h"

#define VSOCK_BUFFER 65536 /* bytes of the guest's that are kept for a socket that takes no more; a power of two */
#define VSOCK_LINE   32    /* bytes of the longest line with which a socket says where it wants to go */

enum vsock_state {
	VSOCK_FREE = 0,
	VSOCK_HANDSHAKE,  /* the host's peer has not said yet which port it wants */
	VSOCK_REQUESTED,  /* the guest is asked whether it takes the stream */
	VSOCK_CONNECTING, /* the guest asks, and the host has not answered yet */
	VSOCK_OPEN,
	VSOCK_CLOSING, /* the socket is gone, and the guest knows or will know; it has the last word */
	VSOCK_ENDING,  /* the guest is to be told with a reset, and then it is over */
};

/* Packets that a connection has to send, in the order of their importance; one bit each. */
enum vsock_pending {
	VSOCK_SEND_RST = 1 << 0,
	VSOCK_SEND_REQUEST = 1 << 1,
	VSOCK_SEND_RESPONSE = 1 << 2,
	VSOCK_SEND_CREDIT_UPDATE = 1 << 3,
	VSOCK_SEND_CREDIT_REQUEST = 1 << 4,
	VSOCK_SEND_SHUTDOWN = 1 << 5,
};

struct vsock_connection {
	enum vsock_state state;
	int socket; /* non-blocking; -1: none */
	uint32_t guest_port;
	uint32_t host_port;
	uint64_t cookie;   /* names the connection while the host is asked to connect */
	uint64_t since_ns; /* when it began; CLOCK_MONOTONIC */
	uint32_t pending;  /* enum vsock_pending */
	bool readable;     /* the socket may have something */
	bool blocked;      /* the socket takes nothing at the moment */
	bool host_ended;   /* the socket has given its last byte */
	bool host_gone;    /* the socket takes no byte any more */
	bool guest_sends_no_more;
	bool guest_takes_no_more;
	bool write_ended;   /* the socket knows that the guest sends no more */
	uint32_t ends_told; /* enum virtio_vsock_shutdown: what the guest knows of the socket's ends */

	/* From the guest: bytes that the socket has not taken yet, and how many it has taken in all. */
	uint8_t *buffer; /* VSOCK_BUFFER bytes, a ring */
	uint32_t buffer_start;
	uint32_t buffered;
	uint32_t forwarded;      /* fwd_cnt; wraps */
	uint32_t forwarded_told; /* what the guest knows of it */

	/* To the guest. */
	uint32_t sent;            /* bytes; wraps */
	uint32_t guest_buffer;    /* buf_alloc, as the guest last said */
	uint32_t guest_forwarded; /* fwd_cnt, as the guest last said */
	bool credit_asked;

	uint8_t line_length;
	char line[VSOCK_LINE];
};

/* Begin in a state. socket: taken over; -1: none yet. Returns 0 or -ENOMEM. */
int vsock_connection_open(struct vsock_connection *connection, enum vsock_state state, int socket);

/* Forget everything; close the socket. */
void vsock_connection_close(struct vsock_connection *connection);

/* Close the socket, and have the guest told by a reset. */
void vsock_connection_kill(struct vsock_connection *connection);

/* The guest's view of its buffer, which every packet of its carries. */
void vsock_connection_learn_credit(struct vsock_connection *connection, uint32_t buffer, uint32_t forwarded);

/* How many bytes the guest has room for. */
uint32_t vsock_connection_credit(const struct vsock_connection *connection);

/*
 * Data from the guest: kept, and given to the socket by vsock_connection_flush(). Returns 0; -EPROTO: more than the
 * guest was told that there is room for.
 */
int vsock_connection_put(struct vsock_connection *connection, struct virtqueue_cursor *data);

/* Give the socket what it takes, and draw the consequences. Returns whether anything has changed. */
bool vsock_connection_flush(struct vsock_connection *connection);

/* The guest ends one direction or both: enum virtio_vsock_shutdown. */
void vsock_connection_guest_shutdown(struct vsock_connection *connection, uint32_t flags);

/* The socket has given its last byte, or has failed. */
void vsock_connection_host_ended(struct vsock_connection *connection);

/* The socket has hung up: it takes no more, and what it has not given yet is its last. */
void vsock_connection_hung_up(struct vsock_connection *connection);

/* Which directions the socket has ended, as a SHUTDOWN says it: enum virtio_vsock_shutdown. */
uint32_t vsock_connection_ends(const struct vsock_connection *connection);

/* What the socket is to be watched for: POLLIN, POLLOUT, 0 for nothing but its end; -1: not at all. */
int vsock_connection_watch(const struct vsock_connection *connection);

/* May data be read from the socket for the guest? */
bool vsock_connection_may_read(const struct vsock_connection *connection);

#endif
