/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the parts of the vsock device share. All functions are called on the device's thread with the device's lock
 * held.
 */
#ifndef EMBER_DEVICES_VIRTIO_VSOCK_VSOCK_PRIVATE_H
#define EMBER_DEVICES_VIRTIO_VSOCK_VSOCK_PRIVATE_H

#include "devices/virtio/vsock/connection.h"
#include "devices/virtio/vsock/vsock.h"

#define VSOCK_QUEUE_RX    0 /* to the guest */
#define VSOCK_QUEUE_TX    1
#define VSOCK_QUEUE_EVENT 2

#define VSOCK_CID_HOST   2
#define VSOCK_PORT_FIRST (UINT32_C(1) << 30) /* of those given to peers; below are those that services have */
#define VSOCK_RESETS_MAX 64                  /* packets refused, whose sender is not told yet */

/*
 * How long a place is kept for an answer of the host's, longer than Linux waits for a connection (2 s), and for a peer's
 * line. Past that it goes to whoever needs it, so that what never comes costs no place for ever.
 */
#define VSOCK_PATIENCE_NS UINT64_C(5000000000)
#define VSOCK_PEERS_MAX   64 /* who have not said yet where they want to go */

/* A packet from the guest that belongs to nothing: its addresses, as the guest wrote them. */
struct vsock_refusal {
	uint64_t guest_cid; /* its own, or its former one */
	uint32_t guest_port;
	uint32_t host_port;
	uint16_t type;
};

struct virtio_vsock {
	struct virtio_device virtio;
	struct virtio_vsock_config config;
	struct virtio_vsock_options options;
	uint64_t
		former_cid; /* what the driver took for its own at the snapshot that it was restored from; 0: nothing */
	bool reset_pending; /* the guest is to be told that its streams are gone */
	bool reset_unheard; /* it was told, and has not taken note yet */
	uint16_t events_heard; /* where its ring of buffers for events ends when it has given back those that tell it */
	uint32_t next_port;    /* from VSOCK_PORT_FIRST to UINT32_MAX - 1 */
	uint64_t next_cookie;
	uint32_t next_connection; /* whose turn it is to send */
	uint32_t refusal_count;
	struct vsock_refusal refusals[VSOCK_RESETS_MAX];
	struct vsock_connection connections[VSOCK_CONNECTIONS_MAX];
	struct virtqueue_chain chain;
	struct pollfd watches[2 + VSOCK_CONNECTIONS_MAX]; /* the thread's own, the listener, connections */
	uint32_t watched[2 + VSOCK_CONNECTIONS_MAX];      /* which connection each of them is */
};

/* The connection of these ports that the guest knows of, or NULL. */
struct vsock_connection *vsock_find(struct virtio_vsock *vsock, uint32_t guest_port, uint32_t host_port);

/* Places for connections. vsock_room.c */

/*
 * A place for a new connection, or NULL. One that only waits for the guest's last word makes room; and else, of those
 * that the host has not answered in time, the oldest.
 */
struct vsock_connection *vsock_find_room(struct virtio_vsock *vsock);

/* The same for a peer of the host's that has not said which port it wants, of which there are VSOCK_PEERS_MAX at most. */
struct vsock_connection *vsock_find_room_for_peer(struct virtio_vsock *vsock);

/* When patience will have made room for a peer, where there is none: CLOCK_MONOTONIC, or IO_THREAD_NEVER. */
uint64_t vsock_next_room_ns(struct virtio_vsock *vsock);

/*
 * Begin a connection at such a place. A guest whose unanswered request was there is told that it is refused.
 *
 * Returns 0 or -ENOMEM, with the place as it was.
 */
int vsock_open_at(struct virtio_vsock *vsock, struct vsock_connection *place, enum vsock_state state, int socket);

/* Serve what the guest has sent. Returns whether anything was done. vsock_tx.c */
bool vsock_receive_from_guest(struct virtio_vsock *vsock);

/* Send the guest what there is and what it has room for. Returns whether anything was done. vsock_rx.c */
bool vsock_send_to_guest(struct virtio_vsock *vsock);

/*
 * Accept who waits, read what they want, let sockets take what is theirs. Returns whether anything was done.
 * vsock_host.c
 */
bool vsock_serve_sockets(struct virtio_vsock *vsock);

/* Ask for what is to be watched during the next sleep, and take note of what has happened in the last. vsock_host.c */
uint64_t vsock_set_watches(struct virtio_vsock *vsock); /* returns when to look again, though nothing happens */
void vsock_note_watches(struct virtio_vsock *vsock);

#endif
