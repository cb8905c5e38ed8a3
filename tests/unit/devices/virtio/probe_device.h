/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A virtio device of the tests' own: two queues, a writable configuration, and service that can be stopped half way.
 */
#ifndef EMBER_TESTS_UNIT_DEVICES_VIRTIO_PROBE_DEVICE_H
#define EMBER_TESTS_UNIT_DEVICES_VIRTIO_PROBE_DEVICE_H

#include <stdatomic.h>

#include "devices/virtio/virtio.h"

#define PROBE_ID         42
#define PROBE_QUEUE_SIZE 16
#define PROBE_FEATURES   (UINT64_C(1) << 3 | UINT64_C(1) << 40)

struct probe_device {
	struct virtio_device virtio;
	uint8_t config[6];
	struct virtqueue_chain chain;
	atomic_bool stall;     /* stop between taking a chain and giving it back, until cleared or cancelled */
	atomic_bool stalled;   /* it has stopped there */
	atomic_uint cancelled; /* how often it gave up there */
	atomic_uint served;    /* chains taken */
	unsigned int resets;
};

struct probe_state {
	struct virtio_state virtio;
};

extern const struct device_ops probe_device_ops;

/* Present already. Fails the test on any error. */
void probe_device_open(struct probe_device *probe, struct guest_memory *memory);

/* The same, not yet present. */
void probe_device_open_absent(struct probe_device *probe, struct guest_memory *memory);
void probe_device_close(struct probe_device *probe);

#endif
