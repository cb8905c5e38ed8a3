/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Places for connections.
 *
 * There are VSOCK_CONNECTIONS_MAX of them. Nobody may hold one for ever by saying nothing, so that a connection which
 * waits for somebody's word gives its place to a new one: at once where nobody cares any more (the socket is gone and
 * the guest knows), after VSOCK_PATIENCE_NS where a late word might still be worth something. It is never ended before
 * its place is needed.
 *
 * Peers that have connected and not said where they want to go hold a quarter of the places at most: the guest's own
 * connections, and streams, have the rest. One peer more is not accepted before one of these has spoken, has gone, or
 * has been silent for too long. It is not enough that another comes: many that connect at once, each a moment before it
 * speaks, would drive each other out. And it must not wait for ever: silent ones could shut the door for everybody.
 */
#include "devices/virtio/vsock/vsock_private.h"
#include "kvm/monotonic.h"

static uint32_t count_peers(const struct virtio_vsock *vsock)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < VSOCK_CONNECTIONS_MAX; i++)
		count += vsock->connections[i].state == VSOCK_HANDSHAKE;
	return count;
}

/* Who has waited longest in a state, or NULL. */
static struct vsock_connection *find_oldest(struct virtio_vsock *vsock, enum vsock_state state)
{
	struct vsock_connection *oldest = NULL;
	uint64_t now = monotonic_ns();

	for (uint32_t i = 0; i < VSOCK_CONNECTIONS_MAX; i++) {
		struct vsock_connection *connection = &vsock->connections[i];

		if (connection->state == state && (!oldest || now - connection->since_ns > now - oldest->since_ns))
			oldest = connection;
	}

	return oldest;
}

/* The same, where that is too long. */
static struct vsock_connection *find_overdue(struct virtio_vsock *vsock, enum vsock_state state)
{
	struct vsock_connection *oldest = find_oldest(vsock, state);

	return oldest && monotonic_ns() - oldest->since_ns >= VSOCK_PATIENCE_NS ? oldest : NULL;
}

struct vsock_connection *vsock_find_room(struct virtio_vsock *vsock)
{
	struct vsock_connection *closing = NULL;

	for (uint32_t i = 0; i < VSOCK_CONNECTIONS_MAX; i++) {
		struct vsock_connection *connection = &vsock->connections[i];

		if (connection->state == VSOCK_FREE)
			return connection;
		if (connection->state == VSOCK_CLOSING && connection->pending == 0)
			closing = connection;
	}

	return closing ? closing : find_overdue(vsock, VSOCK_CONNECTING);
}

struct vsock_connection *vsock_find_room_for_peer(struct virtio_vsock *vsock)
{
	return count_peers(vsock) < VSOCK_PEERS_MAX ? vsock_find_room(vsock) : find_overdue(vsock, VSOCK_HANDSHAKE);
}

uint64_t vsock_next_room_ns(struct virtio_vsock *vsock)
{
	bool too_many = count_peers(vsock) >= VSOCK_PEERS_MAX;
	const struct vsock_connection *oldest = find_oldest(vsock, too_many ? VSOCK_HANDSHAKE : VSOCK_CONNECTING);

	return oldest ? oldest->since_ns + VSOCK_PATIENCE_NS : IO_THREAD_NEVER;
}

int vsock_open_at(struct virtio_vsock *vsock, struct vsock_connection *place, enum vsock_state state, int socket)
{
	const struct vsock_refusal refusal = {
		.guest_cid = vsock->config.guest_cid,
		.guest_port = place->guest_port,
		.host_port = place->host_port,
		.type = VIRTIO_VSOCK_TYPE_STREAM,
	};
	bool unanswered = place->state == VSOCK_CONNECTING;
	int r = vsock_connection_open(place, state, socket);

	/* Where the list is full, it is not told: it takes no answers, and has long given up on this one. */
	if (r == 0 && unanswered && vsock->refusal_count < VSOCK_RESETS_MAX)
		vsock->refusals[vsock->refusal_count++] = refusal;
	return r;
}
