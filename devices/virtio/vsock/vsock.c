/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The vsock device: its life, its connections, its state.
 *
 * One thread does everything, with the device's lock, in rounds: packets from the guest, sockets, packets to the guest,
 * until a round finds nothing to do, or the sockets want a look. No call blocks. All that a guest or a peer can make us
 * keep is bounded: connections by their number, a connection by its buffer, refusals by their list.
 *
 * Streams do not survive a snapshot: in a machine that was restored there are none, and its guest is told so by an
 * event, upon which its driver ends its sockets and reads its CID anew. The machine that the snapshot was taken of goes
 * on with them. New streams wait until the driver has given the event's buffer back, and so has done that: it would end
 * them with the old ones, or answer under its old CID. What it still sends under that one is refused, not dropped: who
 * waits for an answer to it would wait in vain.
 */
#include "devices/virtio/vsock/vsock.h"

#include <errno.h>
#include <linux/virtio_ids.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "devices/entropy.h"
#include "devices/virtio/mmio.h"
#include "devices/virtio/vsock/vsock_private.h"

#define QUEUE_COUNT 3
#define QUEUE_SIZE  256
#define ROUNDS_MAX  16 /* before sockets are looked at again, however fast the guest sends */

struct vsock_state_record {
	struct virtio_state virtio;
	/*
	 * Bits 0 to 31: what the driver goes by; until it has taken note of a reset, its former CID. The rest of a CID is
	 * reserved (section 5.10.4), and says what the rings do not: whether there are events that it has not taken note
	 * of (bit 48), and if so, struct virtio_vsock's events_heard (bits 32 to 47). Snapshots from before have zeros
	 * there, and versions from before do not look.
	 */
	uint64_t guest_cid;
};

#define SAVED_HEARD_SHIFT 32
#define SAVED_UNHEARD     (UINT64_C(1) << 48)
#define SAVED_CID_MAX     (2 * SAVED_UNHEARD - 1)

_Static_assert(sizeof(struct vsock_state_record) <= DEVICE_STATE_MAX, "a snapshot has no room for more");

static const struct state_field vsock_state_fields[] = {
	VIRTIO_STATE_FIELDS(struct vsock_state_record),
	STATE_FIELD_MAX(struct vsock_state_record, guest_cid, FIELD_U64, SAVED_CID_MAX),
	STATE_FIELDS_END,
};

static struct virtio_vsock *vsock_of(struct device *device)
{
	return (struct virtio_vsock *)device;
}

struct vsock_connection *vsock_find(struct virtio_vsock *vsock, uint32_t guest_port, uint32_t host_port)
{
	for (uint32_t i = 0; i < VSOCK_CONNECTIONS_MAX; i++) {
		struct vsock_connection *connection = &vsock->connections[i];

		if (connection->state != VSOCK_FREE && connection->state != VSOCK_HANDSHAKE &&
		    connection->guest_port == guest_port && connection->host_port == host_port)
			return connection;
	}

	return NULL;
}

static void close_connections(struct virtio_vsock *vsock)
{
	for (uint32_t i = 0; i < VSOCK_CONNECTIONS_MAX; i++)
		vsock_connection_close(&vsock->connections[i]);
	vsock->refusal_count = 0;
}

static uint64_t vsock_serve(struct virtio_device *device)
{
	struct virtio_vsock *vsock = (struct virtio_vsock *)device;
	bool done = true;
	uint64_t next;

	vsock_note_watches(vsock);
	for (unsigned int round = 0; done && round < ROUNDS_MAX && virtio_may_serve(device); round++) {
		done = vsock_receive_from_guest(vsock);
		done |= vsock_serve_sockets(vsock);
		done |= vsock_send_to_guest(vsock);

		/* Between rounds registers may be accessed; the lock alone would be ours again before anybody woke. */
		pthread_mutex_unlock(&device->lock);
		(void)sched_yield();
		pthread_mutex_lock(&device->lock);
	}

	if (!virtio_may_serve(device))
		return IO_THREAD_NEVER;
	next = vsock_set_watches(vsock);
	return done ? 0 : next; /* 0: at once, after a look at the sockets */
}

static void vsock_reset(struct virtio_device *device)
{
	struct virtio_vsock *vsock = (struct virtio_vsock *)device;

	close_connections(vsock);
	vsock->former_cid = 0;
	vsock->reset_pending = false;
	vsock->reset_unheard = false;
}

void virtio_vsock_connected(struct virtio_vsock *vsock, uint64_t cookie, int socket)
{
	struct virtio_device *device = &vsock->virtio;
	struct vsock_connection *found = NULL;

	pthread_mutex_lock(&device->lock);
	for (uint32_t i = 0; i < VSOCK_CONNECTIONS_MAX && !found; i++) {
		struct vsock_connection *connection = &vsock->connections[i];

		if (connection->state == VSOCK_CONNECTING && connection->cookie == cookie)
			found = connection;
	}
	if (found && socket >= 0) {
		found->socket = socket;
		found->state = VSOCK_OPEN;
		found->pending = VSOCK_SEND_RESPONSE;
	} else if (found) {
		vsock_connection_kill(found);
	}
	pthread_mutex_unlock(&device->lock);

	if (!found && socket >= 0)
		(void)close(socket);
	io_thread_wake(&device->thread);
}

static void vsock_save(struct device *device, void *ret_state)
{
	struct virtio_vsock *vsock = vsock_of(device);
	bool knows_cid = !vsock->reset_pending && !vsock->reset_unheard;
	struct vsock_state_record state = {
		.guest_cid = knows_cid ? vsock->config.guest_cid : vsock->former_cid,
	};

	if (vsock->reset_unheard)
		state.guest_cid |= SAVED_UNHEARD | (uint64_t)vsock->events_heard << SAVED_HEARD_SHIFT;
	virtio_save(&vsock->virtio, &state.virtio);
	memcpy(ret_state, &state, sizeof(state));
}

static int vsock_restore(struct device *device, const void *saved, struct error_detail *detail)
{
	struct virtio_vsock *vsock = vsock_of(device);
	struct vsock_state_record state;
	int r;

	memcpy(&state, saved, sizeof(state));
	r = virtio_restore(&vsock->virtio, &state.virtio, "virtio_vsock", detail);
	if (r < 0)
		return r;

	pthread_mutex_lock(&vsock->virtio.lock);
	vsock->former_cid = state.guest_cid & UINT32_MAX;
	vsock->events_heard = (uint16_t)(state.guest_cid >> SAVED_HEARD_SHIFT);
	vsock->reset_pending =
		(vsock->virtio.status & VIRTIO_CONFIG_S_DRIVER_OK) && vsock->virtio.queues[VSOCK_QUEUE_EVENT].ready;
	vsock->reset_unheard = vsock->reset_pending && (state.guest_cid & SAVED_UNHEARD);
	pthread_mutex_unlock(&vsock->virtio.lock);
	return 0;
}

static void vsock_free(struct device *device)
{
	struct virtio_vsock *vsock = vsock_of(device);

	virtio_release(&vsock->virtio);
	close_connections(vsock);
	if (vsock->options.listener >= 0)
		(void)close(vsock->options.listener);
	free(vsock);
}

const struct device_ops virtio_vsock_ops = {
	.name = "virtio_vsock",
	.state_fields = vsock_state_fields,
	.state_size = sizeof(struct vsock_state_record),
	.read = virtio_mmio_read,
	.write = virtio_mmio_write,
	.hold = virtio_hold,
	.drain = virtio_drain,
	.resume = virtio_resume,
	.save = vsock_save,
	.restore = vsock_restore,
	.reset = virtio_reset,
	.free = vsock_free,
};

static const struct virtio_ops vsock_ops = {
	.name = "virtio-vsock",
	.id = VIRTIO_ID_VSOCK,
	.queue_count = QUEUE_COUNT,
	.queue_size_max = QUEUE_SIZE,
	.serve = vsock_serve,
	.reset = vsock_reset,
};

int virtio_vsock_new(uint32_t instance, struct guest_memory *memory, struct virtio_vsock **ret_vsock)
{
	struct virtio_vsock *vsock = calloc(1, sizeof(*vsock));
	int r;

	if (!vsock)
		return -ENOMEM;

	vsock->options.listener = -1;
	r = virtio_init(&vsock->virtio, &virtio_vsock_ops, &vsock_ops, instance, memory);
	if (r < 0) {
		free(vsock);
		return r;
	}

	*ret_vsock = vsock;
	return 0;
}

struct virtio_device *virtio_vsock_device(struct virtio_vsock *vsock)
{
	return &vsock->virtio;
}

int virtio_vsock_configure(struct virtio_vsock *vsock, const struct virtio_vsock_options *options,
			   struct error_detail *detail)
{
	uint32_t port;
	int r;

	if (options->guest_cid < VSOCK_CID_MIN || options->guest_cid == UINT32_MAX) {
		error_detail_set(detail, "cid: %u is no guest's", options->guest_cid);
		return -EINVAL;
	}
	if (vsock->virtio.present) {
		error_detail_set(detail, "the vsock is configured already");
		return -EBUSY;
	}

	/*
	 * Ports begin at a random place: the guest of a snapshot may still hold the sockets of its former streams when the
	 * first new one comes, and must not take it for one of them.
	 */
	r = entropy_fill(&port, sizeof(port));
	if (r < 0) {
		error_detail_set(detail, "getrandom: %s", strerrordesc_np(-r));
		return r;
	}

	/* The thread looks at none of this before there is a driver, which needs a device that is present. */
	vsock->next_port = VSOCK_PORT_FIRST + port % (UINT32_MAX - VSOCK_PORT_FIRST);
	vsock->options = *options;
	vsock->config.guest_cid = options->guest_cid;
	return virtio_present(&vsock->virtio, 0, (const uint8_t *)&vsock->config, sizeof(vsock->config));
}
