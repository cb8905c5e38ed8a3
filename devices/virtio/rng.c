/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An entropy device.
 *
 * Bytes come from getrandom(2) through a buffer of ours, which is wiped: so what one guest got is nowhere for another
 * to find. A request is given RNG_REQUEST_MAX bytes at most, however large its buffers are, so that serving one takes
 * microseconds.
 */
#include "devices/virtio/rng.h"

#include <errno.h>
#include <linux/virtio_ids.h>
#include <stdlib.h>
#include <string.h>

#include "devices/entropy.h"
#include "devices/virtio/mmio.h"
#include "kvm/monotonic.h"

#define QUEUE_REQUESTS 0
#define QUEUE_SIZE     64

struct virtio_rng {
	struct virtio_device virtio;
	struct rate_limit limit;
	struct virtqueue_chain chain; /* the request being served */
};

struct rng_state {
	struct virtio_state virtio;
};

_Static_assert(sizeof(struct rng_state) <= DEVICE_STATE_MAX, "a snapshot has no room for more");

static const struct state_field rng_state_fields[] = {
	VIRTIO_STATE_FIELDS(struct rng_state),
	STATE_FIELDS_END,
};

/* Fill the request's buffers, up to the most that one is given. Returns how many bytes. */
static uint32_t fill(struct virtio_rng *rng)
{
	struct virtqueue_cursor cursor;
	uint8_t bytes[ENTROPY_MAX];
	uint32_t done = 0;

	virtqueue_cursor_writable(&cursor, &rng->virtio.queues[QUEUE_REQUESTS], &rng->chain);
	virtqueue_cursor_limit(&cursor, RNG_REQUEST_MAX);
	while (cursor.left > 0) {
		size_t wanted = cursor.left < sizeof(bytes) ? cursor.left : sizeof(bytes);

		if (entropy_fill(bytes, wanted) < 0)
			break;
		done += (uint32_t)virtqueue_cursor_write(&cursor, bytes, wanted);
	}
	explicit_bzero(bytes, sizeof(bytes));

	return done;
}

static uint64_t rng_serve(struct virtio_device *device)
{
	struct virtio_rng *rng = (struct virtio_rng *)device;

	while (virtio_may_serve(device)) {
		uint64_t later = rate_limit_next(&rng->limit, monotonic_ns());
		uint32_t given;

		if (later > 0)
			return later;
		if (virtio_pop(device, QUEUE_REQUESTS, &rng->chain) == 0)
			break;
		/* Section 5.4.6.1: there are buffers to write only. */
		if (rng->chain.readable > 0) {
			virtio_fail(device, "a request for entropy has a readable buffer");
			break;
		}

		pthread_mutex_unlock(&device->lock);
		given = fill(rng);
		pthread_mutex_lock(&device->lock);
		rate_limit_charge(&rng->limit, given);
		virtio_push(device, QUEUE_REQUESTS, rng->chain.head, given);
	}

	return IO_THREAD_NEVER;
}

static void rng_save(struct device *device, void *ret_state)
{
	struct rng_state state = { .virtio = { 0 } };

	virtio_save((struct virtio_device *)device, &state.virtio);
	memcpy(ret_state, &state, sizeof(state));
}

static int rng_restore(struct device *device, const void *saved, struct error_detail *detail)
{
	struct rng_state state;

	memcpy(&state, saved, sizeof(state));
	return virtio_restore((struct virtio_device *)device, &state.virtio, "virtio_rng", detail);
}

static void rng_free(struct device *device)
{
	struct virtio_rng *rng = (struct virtio_rng *)device;

	virtio_release(&rng->virtio);
	free(rng);
}

const struct device_ops virtio_rng_ops = {
	.name = "virtio_rng",
	.state_fields = rng_state_fields,
	.state_size = sizeof(struct rng_state),
	.read = virtio_mmio_read,
	.write = virtio_mmio_write,
	.hold = virtio_hold,
	.drain = virtio_drain,
	.resume = virtio_resume,
	.save = rng_save,
	.restore = rng_restore,
	.reset = virtio_reset,
	.free = rng_free,
};

static const struct virtio_ops rng_ops = {
	.name = "virtio-rng",
	.id = VIRTIO_ID_RNG,
	.queue_count = 1,
	.queue_size_max = QUEUE_SIZE,
	.serve = rng_serve,
};

int virtio_rng_new(uint32_t instance, struct guest_memory *memory, struct virtio_rng **ret_rng)
{
	struct virtio_rng *rng = calloc(1, sizeof(*rng));
	int r;

	if (!rng)
		return -ENOMEM;

	r = virtio_init(&rng->virtio, &virtio_rng_ops, &rng_ops, instance, memory);
	if (r < 0) {
		free(rng);
		return r;
	}

	*ret_rng = rng;
	return 0;
}

struct virtio_device *virtio_rng_device(struct virtio_rng *rng)
{
	return &rng->virtio;
}

int virtio_rng_configure(struct virtio_rng *rng, const struct rate_limit_options *limit)
{
	/* The thread looks at the limit only when there is a driver, which needs a device that is present. */
	if (rng->virtio.present)
		return -EBUSY;

	rate_limit_init(&rng->limit, limit, monotonic_ns());
	return virtio_present(&rng->virtio, 0, NULL, 0);
}
