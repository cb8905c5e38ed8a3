/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A network interface on a TAP device.
 *
 * Each frame is one chain and one system call: the frame's bytes go straight between the kernel and guest memory, the
 * header before them through a copy of ours. Of the guest's header nothing is believed: the copy is checked against
 * what was negotiated before the host's network stack sees it, and what does not fit is dropped, as a frame on a wire
 * would be. What the host's stack may leave undone for the guest is set by an ioctl when a driver starts, since only
 * then it is known.
 *
 * The device's thread watches the TAP device for frames while the guest has buffers for them, and for room while the
 * guest has frames that it did not take. A frame that was not moved stays in its chain, which is put back: so a pause
 * finds nothing in between.
 */
#include "devices/virtio/net/net.h"

#include <errno.h>
#include <linux/if_tun.h>
#include <linux/virtio_ids.h>
#include <linux/virtio_net.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <unistd.h>

#include "devices/virtio/mmio.h"
#include "kvm/monotonic.h"

#define QUEUE_TO_GUEST   0
#define QUEUE_FROM_GUEST 1
#define QUEUE_COUNT      2
#define QUEUE_SIZE       256

#define WATCH_TAP    1
#define FEATURE(bit) (UINT64_C(1) << (bit))

#define FRAME_MIN        14 /* an Ethernet header; what is shorter is no frame */
#define BUFFER_MIN       (NET_HEADER + 1514)
#define BUFFER_MIN_LARGE (NET_HEADER + NET_FRAME_MAX)

_Static_assert(sizeof(struct virtio_net_hdr_v1) == NET_HEADER, "virtio 1.2, section 5.1.6");

struct virtio_net {
	struct virtio_device virtio;
	struct virtio_net_config config;
	int tap;
	bool offloads_set; /* the TAP device knows what this driver can do */
	bool readable;     /* the TAP device may have a frame */
	bool blocked;      /* it takes none at the moment */
	bool gone;         /* it gives and takes nothing any more */
	struct rate_limit to_guest;
	struct rate_limit from_guest;
	struct virtqueue_chain chain;
	struct iovec iovecs[1 + VIRTQUEUE_SIZE_MAX]; /* our header, and a chain */
	struct pollfd watches[1 + WATCH_TAP];
};

struct net_state {
	struct virtio_state virtio;
	uint8_t mac[6];
};

_Static_assert(sizeof(struct net_state) <= DEVICE_STATE_MAX, "a snapshot has no room for more");

static const struct state_field net_state_fields[] = {
	VIRTIO_STATE_FIELDS(struct net_state),
	STATE_ARRAY(struct net_state, mac, FIELD_BYTES, 6),
	STATE_FIELDS_END,
};

static struct virtio_net *net_of(struct device *device)
{
	return (struct virtio_net *)device;
}

/* Tell the TAP device what it may leave to the guest. Returns whether it is so. */
static bool set_offloads(struct virtio_net *net)
{
	const struct virtio_device *device = &net->virtio;
	unsigned int flags = 0;

	if (net->offloads_set)
		return true;
	if (virtio_has_feature(device, VIRTIO_NET_F_GUEST_CSUM)) {
		flags |= TUN_F_CSUM;
		if (virtio_has_feature(device, VIRTIO_NET_F_GUEST_TSO4))
			flags |= TUN_F_TSO4;
		if (virtio_has_feature(device, VIRTIO_NET_F_GUEST_TSO6))
			flags |= TUN_F_TSO6;
	}

	/* None is how a TAP device begins: it matters only where a driver before had some. */
	net->offloads_set = ioctl(net->tap, TUNSETOFFLOAD, (unsigned long)flags) == 0 || flags == 0;
	return net->offloads_set;
}

/* Is the guest's header one that its driver may send? Section 5.1.6.2. */
static bool is_header_allowed(const struct virtio_net *net, const struct virtio_net_hdr_v1 *header, uint64_t frame)
{
	const struct virtio_device *device = &net->virtio;

	if ((header->flags & ~VIRTIO_NET_HDR_F_NEEDS_CSUM) != 0)
		return false;
	if (header->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) {
		uint64_t end = (uint64_t)header->csum_start + header->csum_offset + sizeof(uint16_t);

		if (!virtio_has_feature(device, VIRTIO_NET_F_CSUM) || end > frame)
			return false;
	}

	switch (header->gso_type) {
	case VIRTIO_NET_HDR_GSO_NONE:
		return frame <= NET_FRAME_MAX;
	case VIRTIO_NET_HDR_GSO_TCPV4:
		if (!virtio_has_feature(device, VIRTIO_NET_F_HOST_TSO4))
			return false;
		break;
	case VIRTIO_NET_HDR_GSO_TCPV6:
		if (!virtio_has_feature(device, VIRTIO_NET_F_HOST_TSO6))
			return false;
		break;
	default:
		return false;
	}

	/* Segments need a checksum each, a size, and headers that end inside the frame. */
	return (header->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) && header->gso_size > 0 && header->hdr_len <= frame &&
	       frame <= NET_FRAME_MAX;
}

/* The chain's part behind its header as host addresses, ours first. Returns how many. */
static int fill_iovecs(struct virtio_net *net, struct virtio_net_hdr_v1 *header, const struct virtqueue_cursor *frame)
{
	uint64_t bytes;

	net->iovecs[0] = (struct iovec){ .iov_base = header, .iov_len = sizeof(*header) };
	return 1 + virtqueue_cursor_iovec(frame, NET_FRAME_MAX, net->iovecs + 1, VIRTQUEUE_SIZE_MAX, &bytes);
}

/* Give the frame in the chain to the TAP device. Returns false where it takes none now. */
static bool send_frame(struct virtio_net *net)
{
	struct virtio_net_hdr_v1 header;
	struct virtqueue_cursor cursor;
	ssize_t count;
	uint64_t frame;

	virtqueue_cursor_readable(&cursor, &net->virtio.queues[QUEUE_FROM_GUEST], &net->chain);
	if (virtqueue_cursor_read(&cursor, &header, sizeof(header)) != sizeof(header))
		return true;
	frame = cursor.left;
	if (frame < FRAME_MIN || !is_header_allowed(net, &header, frame))
		return true;

	header.num_buffers = 0;
	do
		count = writev(net->tap, net->iovecs, fill_iovecs(net, &header, &cursor));
	while (count < 0 && errno == EINTR);

	/* Any other error is the frame's own, or that of an interface that is down. */
	return count >= 0 || errno != EAGAIN;
}

/* Returns when to go on, or IO_THREAD_NEVER. */
static uint64_t serve_from_guest(struct virtio_net *net)
{
	struct virtio_device *device = &net->virtio;

	while (!net->blocked && virtio_may_serve(device)) {
		uint64_t later = rate_limit_next(&net->from_guest, monotonic_ns());
		bool taken;

		if (later > 0)
			return later;
		if (virtio_pop(device, QUEUE_FROM_GUEST, &net->chain) == 0)
			break;
		if (net->chain.writable > 0) {
			virtio_fail(device, "a frame to send may be written");
			break;
		}
		pthread_mutex_unlock(&device->lock);
		taken = send_frame(net);
		pthread_mutex_lock(&device->lock);
		if (!taken) {
			virtqueue_unpop(&device->queues[QUEUE_FROM_GUEST]);
			net->blocked = true;
			break;
		}
		rate_limit_charge(&net->from_guest, net->chain.readable_bytes);
		virtio_push(device, QUEUE_FROM_GUEST, net->chain.head, 0);
	}

	return IO_THREAD_NEVER;
}

/* Read a frame into the chain. Returns its bytes with the header, or -errno (-EAGAIN: there is none). */
static ssize_t receive_frame(struct virtio_net *net)
{
	struct virtqueue *queue = &net->virtio.queues[QUEUE_TO_GUEST];
	struct virtio_net_hdr_v1 header = { .flags = 0 };
	struct virtqueue_cursor cursor;
	ssize_t count;

	virtqueue_cursor_writable(&cursor, queue, &net->chain);
	(void)virtqueue_cursor_skip(&cursor, sizeof(header));
	do
		count = readv(net->tap, net->iovecs, fill_iovecs(net, &header, &cursor));
	while (count < 0 && errno == EINTR);
	if (count < 0)
		return -errno;
	if (count < (ssize_t)sizeof(header))
		return -EAGAIN;

	/* Section 5.1.6.4: without merged buffers a frame has one. */
	header.num_buffers = 1;
	virtqueue_cursor_writable(&cursor, queue, &net->chain);
	(void)virtqueue_cursor_write(&cursor, &header, sizeof(header));
	return count;
}

/* Section 5.1.6.3.1: how large a driver's buffers have to be. */
static uint64_t least_buffer(const struct virtio_net *net)
{
	bool large = virtio_has_feature(&net->virtio, VIRTIO_NET_F_GUEST_TSO4) ||
		     virtio_has_feature(&net->virtio, VIRTIO_NET_F_GUEST_TSO6);

	return large ? BUFFER_MIN_LARGE : BUFFER_MIN;
}

static uint64_t serve_to_guest(struct virtio_net *net)
{
	struct virtio_device *device = &net->virtio;

	while (net->readable && virtio_may_serve(device)) {
		uint64_t later = rate_limit_next(&net->to_guest, monotonic_ns());
		ssize_t count;

		if (later > 0)
			return later;
		if (virtio_pop(device, QUEUE_TO_GUEST, &net->chain) == 0)
			break;
		if (net->chain.readable > 0 || net->chain.writable_bytes < least_buffer(net)) {
			virtio_fail(device, "a buffer for frames is too small, or may not be written");
			break;
		}

		pthread_mutex_unlock(&device->lock);
		count = receive_frame(net);
		pthread_mutex_lock(&device->lock);
		if (count < 0) {
			virtqueue_unpop(&device->queues[QUEUE_TO_GUEST]);
			net->readable = false;
			break;
		}
		rate_limit_charge(&net->to_guest, (uint64_t)count);
		virtio_push(device, QUEUE_TO_GUEST, net->chain.head, (uint32_t)count);
	}

	return IO_THREAD_NEVER;
}

/* What has happened to the TAP device during the sleep. */
static void note_watches(struct virtio_net *net)
{
	int events = net->virtio.thread.watch_count > WATCH_TAP ? net->watches[WATCH_TAP].revents : 0;

	if (events & (POLLIN | POLLHUP | POLLERR))
		net->readable = true;
	if (events & (POLLOUT | POLLHUP | POLLERR))
		net->blocked = false;
	if (events & (POLLHUP | POLLERR | POLLNVAL))
		net->gone = true;
	net->virtio.thread.watch_count = 0;
}

/*
 * Frames that may be there already are not asked for: they wait for a buffer of the guest's, of which it notifies, or
 * for the limit. A TAP device that has gone away reports an error for ever, and is left alone.
 */
static void set_watches(struct virtio_net *net)
{
	int events = (net->readable ? 0 : POLLIN) | (net->blocked ? POLLOUT : 0);

	net->virtio.thread.watch_count = 0;
	if (net->gone || events == 0)
		return;

	net->watches[WATCH_TAP] = (struct pollfd){ .fd = net->tap, .events = (short)events };
	net->virtio.thread.watches = net->watches;
	net->virtio.thread.watch_count = 1 + WATCH_TAP;
}

static uint64_t net_serve(struct virtio_device *device)
{
	struct virtio_net *net = (struct virtio_net *)device;
	uint64_t from_guest;
	uint64_t to_guest;

	note_watches(net);
	if (!set_offloads(net)) {
		virtio_fail(device, "the interface cannot do what was negotiated");
		return IO_THREAD_NEVER;
	}

	from_guest = serve_from_guest(net);
	to_guest = serve_to_guest(net);
	set_watches(net);
	return from_guest < to_guest ? from_guest : to_guest;
}

static void net_reset(struct virtio_device *device)
{
	struct virtio_net *net = (struct virtio_net *)device;

	net->offloads_set = false;
	net->readable = true;
	net->blocked = false;
}

static void net_save(struct device *device, void *ret_state)
{
	struct virtio_net *net = net_of(device);
	struct net_state state = { .virtio = { 0 } };

	virtio_save(&net->virtio, &state.virtio);
	memcpy(state.mac, net->config.mac, sizeof(state.mac));
	memcpy(ret_state, &state, sizeof(state));
}

static int net_restore(struct device *device, const void *saved, struct error_detail *detail)
{
	struct net_state state;

	memcpy(&state, saved, sizeof(state));
	return virtio_restore((struct virtio_device *)device, &state.virtio, "virtio_net", detail);
}

static void net_free(struct device *device)
{
	struct virtio_net *net = net_of(device);

	virtio_release(&net->virtio);
	if (net->tap >= 0)
		(void)close(net->tap);
	free(net);
}

const struct device_ops virtio_net_ops = {
	.name = "virtio_net",
	.state_fields = net_state_fields,
	.state_size = sizeof(struct net_state),
	.read = virtio_mmio_read,
	.write = virtio_mmio_write,
	.hold = virtio_hold,
	.drain = virtio_drain,
	.resume = virtio_resume,
	.save = net_save,
	.restore = net_restore,
	.reset = virtio_reset,
	.free = net_free,
};

static const struct virtio_ops net_ops = {
	.name = "virtio-net",
	.id = VIRTIO_ID_NET,
	.queue_count = QUEUE_COUNT,
	.queue_size_max = QUEUE_SIZE,
	.serve = net_serve,
	.reset = net_reset,
};

int virtio_net_new(uint32_t instance, struct guest_memory *memory, struct virtio_net **ret_net)
{
	struct virtio_net *net = calloc(1, sizeof(*net));
	int r;

	if (!net)
		return -ENOMEM;

	net->tap = -1;
	net->readable = true;
	r = virtio_init(&net->virtio, &virtio_net_ops, &net_ops, instance, memory);
	if (r < 0) {
		free(net);
		return r;
	}

	*ret_net = net;
	return 0;
}

struct virtio_device *virtio_net_device(struct virtio_net *net)
{
	return &net->virtio;
}

int virtio_net_configure(struct virtio_net *net, const struct virtio_net_options *options, struct error_detail *detail)
{
	const uint64_t offloads = FEATURE(VIRTIO_NET_F_CSUM) | FEATURE(VIRTIO_NET_F_HOST_TSO4) |
				  FEATURE(VIRTIO_NET_F_HOST_TSO6) | FEATURE(VIRTIO_NET_F_GUEST_CSUM) |
				  FEATURE(VIRTIO_NET_F_GUEST_TSO4) | FEATURE(VIRTIO_NET_F_GUEST_TSO6);
	static const uint8_t none[6];
	uint64_t now = monotonic_ns();

	if ((options->mac[0] & 1) != 0 || memcmp(options->mac, none, sizeof(none)) == 0) {
		error_detail_set(detail, "mac: %02x:... is no interface's address", options->mac[0]);
		return -EINVAL;
	}
	if (net->virtio.present) {
		error_detail_set(detail, "the interface is configured already");
		return -EBUSY;
	}

	/* The thread looks at none of this before there is a driver, which needs a device that is present. */
	net->tap = options->tap;
	memcpy(net->config.mac, options->mac, sizeof(net->config.mac));
	rate_limit_init(&net->to_guest, &options->to_guest, now);
	rate_limit_init(&net->from_guest, &options->from_guest, now);
	return virtio_present(&net->virtio, FEATURE(VIRTIO_NET_F_MAC) | (options->offloads ? offloads : 0),
			      (const uint8_t *)&net->config, sizeof(net->config));
}
