/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A driver of a virtio device, as section 3.1.1 and 4.2.3 of virtio 1.2 describe one.
 */
#include "driver.h"

#include <criterion/criterion.h>
#include <sched.h>
#include <unistd.h>

void driver_open(struct driver *driver, struct ring *ring, struct virtio_device *virtio)
{
	*driver = (struct driver){ .ring = ring, .virtio = virtio };
	driver_resume(driver);
}

uint32_t driver_read(struct driver *driver, uint64_t offset)
{
	struct device *device = &driver->virtio->device;
	uint32_t value = UINT32_MAX;

	device->ops->read(device, offset, (uint8_t *)&value, sizeof(value));
	return value;
}

void driver_write(struct driver *driver, uint64_t offset, uint32_t value)
{
	struct device *device = &driver->virtio->device;

	device->ops->write(device, offset, (const uint8_t *)&value, sizeof(value));
}

uint64_t driver_offered(struct driver *driver)
{
	uint64_t features;

	driver_write(driver, VIRTIO_MMIO_DEVICE_FEATURES_SEL, 1);
	features = (uint64_t)driver_read(driver, VIRTIO_MMIO_DEVICE_FEATURES) << 32;
	driver_write(driver, VIRTIO_MMIO_DEVICE_FEATURES_SEL, 0);
	return features | driver_read(driver, VIRTIO_MMIO_DEVICE_FEATURES);
}

uint32_t driver_status(struct driver *driver)
{
	return driver_read(driver, VIRTIO_MMIO_STATUS);
}

void driver_negotiate(struct driver *driver, uint64_t features)
{
	driver_write(driver, VIRTIO_MMIO_STATUS, 0);
	driver_write(driver, VIRTIO_MMIO_STATUS, VIRTIO_CONFIG_S_ACKNOWLEDGE);
	driver_write(driver, VIRTIO_MMIO_STATUS, VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER);
	driver_write(driver, VIRTIO_MMIO_DRIVER_FEATURES_SEL, 0);
	driver_write(driver, VIRTIO_MMIO_DRIVER_FEATURES, (uint32_t)features);
	driver_write(driver, VIRTIO_MMIO_DRIVER_FEATURES_SEL, 1);
	driver_write(driver, VIRTIO_MMIO_DRIVER_FEATURES, (uint32_t)(features >> 32));
	driver_write(driver, VIRTIO_MMIO_STATUS, driver_status(driver) | VIRTIO_CONFIG_S_FEATURES_OK);
}

static void write_address(struct driver *driver, uint64_t low, uint64_t gpa)
{
	driver_write(driver, low, (uint32_t)gpa);
	driver_write(driver, low + 4, (uint32_t)(gpa >> 32));
}

void driver_set_queue_number(struct driver *driver, uint32_t number, const struct ring *ring)
{
	driver_write(driver, VIRTIO_MMIO_QUEUE_SEL, number);
	driver_write(driver, VIRTIO_MMIO_QUEUE_NUM, ring->size);
	write_address(driver, VIRTIO_MMIO_QUEUE_DESC_LOW, ring->base + RING_DESCRIPTORS);
	write_address(driver, VIRTIO_MMIO_QUEUE_AVAIL_LOW, ring->base + RING_AVAILABLE);
	write_address(driver, VIRTIO_MMIO_QUEUE_USED_LOW, ring->base + RING_USED);
	driver_write(driver, VIRTIO_MMIO_QUEUE_READY, 1);
}

void driver_set_queue(struct driver *driver)
{
	driver_set_queue_number(driver, 0, driver->ring);
}

void driver_start(struct driver *driver, uint64_t features)
{
	driver_negotiate(driver, features | FEATURE(VIRTIO_F_VERSION_1));
	cr_assert(driver_status(driver) & VIRTIO_CONFIG_S_FEATURES_OK);
	driver_set_queue(driver);
	cr_assert_eq(driver_read(driver, VIRTIO_MMIO_QUEUE_READY), 1);
	driver_write(driver, VIRTIO_MMIO_STATUS, driver_status(driver) | VIRTIO_CONFIG_S_DRIVER_OK);
	cr_assert_eq(driver_status(driver), 0xf);
}

void driver_offer(struct driver *driver, uint16_t head)
{
	ring_offer(driver->ring, head);
	driver_write(driver, VIRTIO_MMIO_QUEUE_NOTIFY, 0);
}

void driver_wait_used(struct driver *driver, uint16_t count)
{
	for (;;) {
		uint16_t used = ring_used_index(driver->ring);

		__atomic_thread_fence(__ATOMIC_SEQ_CST);
		if (used == count)
			break;
		cr_assert_not(driver_status(driver) & VIRTIO_CONFIG_S_NEEDS_RESET, "%s", driver->virtio->fault);
		(void)sched_yield();
	}
}

void driver_wait_failed(struct driver *driver)
{
	while (!(driver_status(driver) & VIRTIO_CONFIG_S_NEEDS_RESET))
		(void)sched_yield();
}

uint64_t driver_interrupts(struct driver *driver)
{
	uint64_t count = 0;

	/* An interrupt comes with the lock held, after what it tells of: who has seen the one waits for the other. */
	pthread_mutex_lock(&driver->virtio->lock);
	if (read(driver->virtio->interrupt_fd, &count, sizeof(count)) < 0)
		count = 0;
	pthread_mutex_unlock(&driver->virtio->lock);
	return count;
}

void driver_pause(struct driver *driver)
{
	cr_assert_eq(driver->virtio->device.ops->drain(&driver->virtio->device), 0);
}

void driver_resume(struct driver *driver)
{
	driver->virtio->device.ops->resume(&driver->virtio->device);
}
