/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A driver of a virtio device, through its window of registers.
 */
#ifndef EMBER_TESTS_UNIT_DEVICES_VIRTIO_DRIVER_H
#define EMBER_TESTS_UNIT_DEVICES_VIRTIO_DRIVER_H

#include <linux/virtio_config.h>
#include <linux/virtio_mmio.h>
#include <stdint.h>

#include "devices/virtio/virtio.h"
#include "ring.h"

#define FEATURE(bit) (UINT64_C(1) << (bit))

struct driver {
	struct ring *ring;
	struct virtio_device *virtio;
};

/* Begin with a device; the machine runs. */
void driver_open(struct driver *driver, struct ring *ring, struct virtio_device *virtio);

/* Registers. */
uint32_t driver_read(struct driver *driver, uint64_t offset);
void driver_write(struct driver *driver, uint64_t offset, uint32_t value);
uint64_t driver_offered(struct driver *driver);
uint32_t driver_status(struct driver *driver);

/* Steps 1 to 5 of section 3.1.1: reset, ACKNOWLEDGE, DRIVER, features. */
void driver_negotiate(struct driver *driver, uint64_t features);

/* A queue with a ring's addresses; QueueReady is written. The first: queue 0, with the driver's ring. */
void driver_set_queue(struct driver *driver);
void driver_set_queue_number(struct driver *driver, uint32_t number, const struct ring *ring);

/* All of section 3.1.1, with VERSION_1 and these features. Fails the test if the device does not agree. */
void driver_start(struct driver *driver, uint64_t features);

/* Make a chain available on queue 0, and notify. */
void driver_offer(struct driver *driver, uint16_t head);

/* Wait, without a limit, until the device has used so many chains; or until it needs a reset. */
void driver_wait_used(struct driver *driver, uint16_t count);
void driver_wait_failed(struct driver *driver);

/* How many interrupts since the last call. */
uint64_t driver_interrupts(struct driver *driver);

/* Stop the machine's device, and let it go on. */
void driver_pause(struct driver *driver);
void driver_resume(struct driver *driver);

#endif
