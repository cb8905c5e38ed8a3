/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The MMIO transport, version 2.
 *
 * Registers are a thin layer: a value that has its time and its range is stored, and everything else is ignored. What a
 * stored value may be is checked where it is used: the sizes and addresses of a queue when it is enabled, features when
 * FEATURES_OK is written. So the window needs no state of its own but the three selectors.
 *
 * A device that its host has not configured answers with device ID 0, which tells drivers to leave it alone (section
 * 4.2.2.1); nothing else of it can be reached.
 */
#include "devices/virtio/mmio.h"

#include <linux/virtio_config.h>
#include <linux/virtio_mmio.h>
#include <string.h>

#include "devices/virtio/virtio.h"

#define MAGIC   0x74726976 /* "virt" */
#define VERSION 2

static struct virtio_device *virtio_of(struct device *device)
{
	return (struct virtio_device *)device;
}

/* The queue that the driver has selected, or NULL. */
static struct virtqueue *selected_queue(struct virtio_device *device)
{
	return device->queue_select < device->ops->queue_count ? &device->queues[device->queue_select] : NULL;
}

/* One half of the features; the halves past the second are empty. */
static uint32_t half_of(uint64_t features, uint32_t select)
{
	return select < 2 ? (uint32_t)(features >> (32 * select)) : 0;
}

static uint64_t with_half(uint64_t value, uint32_t half, bool high)
{
	return high ? (value & UINT32_MAX) | (uint64_t)half << 32 : (value & ~(uint64_t)UINT32_MAX) | half;
}

/* What can be read of a device whether present or not. Returns whether the register is one of these. */
static bool read_identity(const struct virtio_device *device, uint64_t offset, uint32_t *ret_value)
{
	switch (offset) {
	case VIRTIO_MMIO_MAGIC_VALUE:
		*ret_value = MAGIC;
		return true;
	case VIRTIO_MMIO_VERSION:
		*ret_value = VERSION;
		return true;
	case VIRTIO_MMIO_DEVICE_ID:
		*ret_value = device->present ? device->ops->id : 0;
		return true;
	case VIRTIO_MMIO_VENDOR_ID:
		*ret_value = VIRTIO_MMIO_VENDOR;
		return true;
	default:
		return false;
	}
}

/* Returns whether there is such a register to read; where not, all ones stand. */
static bool read_register(struct virtio_device *device, uint64_t offset, uint32_t *ret_value)
{
	const struct virtqueue *queue = selected_queue(device);

	if (read_identity(device, offset, ret_value))
		return true;
	if (!device->present)
		return false;

	switch (offset) {
	case VIRTIO_MMIO_DEVICE_FEATURES:
		*ret_value = half_of(device->offered, device->device_features_select);
		return true;
	case VIRTIO_MMIO_QUEUE_NUM_MAX:
		*ret_value = queue ? queue->size_max : 0;
		return true;
	case VIRTIO_MMIO_QUEUE_READY:
		*ret_value = queue && queue->ready;
		return true;
	case VIRTIO_MMIO_INTERRUPT_STATUS:
		*ret_value = device->interrupt_status;
		return true;
	case VIRTIO_MMIO_STATUS:
		*ret_value = device->status;
		return true;
	case VIRTIO_MMIO_CONFIG_GENERATION:
		*ret_value = device->config_generation;
		return true;
	default:
		return false;
	}
}

void virtio_mmio_read(struct device *device, uint64_t offset, uint8_t *data, size_t length)
{
	struct virtio_device *virtio = virtio_of(device);
	uint32_t value;

	pthread_mutex_lock(&virtio->lock);
	if (offset >= VIRTIO_MMIO_CONFIG) {
		offset -= VIRTIO_MMIO_CONFIG;
		if (virtio->present && offset <= virtio->config_size && length <= virtio->config_size - offset)
			memcpy(data, virtio->config + offset, length);
	} else if (length == sizeof(value) && offset % sizeof(value) == 0 && read_register(virtio, offset, &value)) {
		memcpy(data, &value, sizeof(value));
	}
	pthread_mutex_unlock(&virtio->lock);
}

/* The settings of a queue: only before it is in use, and after the features are settled. */
static void write_queue_setting(struct virtio_device *device, uint64_t offset, uint32_t value)
{
	struct virtqueue *queue = selected_queue(device);

	if (!queue || queue->ready || !virtio_in_queue_phase(device))
		return;

	switch (offset) {
	case VIRTIO_MMIO_QUEUE_NUM:
		queue->size = value;
		break;
	case VIRTIO_MMIO_QUEUE_DESC_LOW:
	case VIRTIO_MMIO_QUEUE_DESC_HIGH:
		queue->descriptors = with_half(queue->descriptors, value, offset == VIRTIO_MMIO_QUEUE_DESC_HIGH);
		break;
	case VIRTIO_MMIO_QUEUE_AVAIL_LOW:
	case VIRTIO_MMIO_QUEUE_AVAIL_HIGH:
		queue->available = with_half(queue->available, value, offset == VIRTIO_MMIO_QUEUE_AVAIL_HIGH);
		break;
	case VIRTIO_MMIO_QUEUE_USED_LOW:
	case VIRTIO_MMIO_QUEUE_USED_HIGH:
		queue->used = with_half(queue->used, value, offset == VIRTIO_MMIO_QUEUE_USED_HIGH);
		break;
	default:
		break;
	}
}

static void write_driver_features(struct virtio_device *device, uint32_t value)
{
	uint32_t select = device->driver_features_select;

	if (!virtio_in_feature_phase(device))
		return;

	/*
	 * A feature past the second half is one that we do not offer: accepting it spoils FEATURES_OK, as any other
	 * would.
	 */
	if (select < 2)
		device->driver_features = with_half(device->driver_features, value, select == 1);
	else if (value != 0)
		virtio_fail(device, "the driver accepts features that do not exist");
}

/* KVM keeps the notifications of existing queues to itself where they are bound to the thread's eventfd. */
static void notify(struct virtio_device *device, uint32_t queue)
{
	if (queue < device->ops->queue_count)
		io_thread_wake(&device->thread);
	else
		virtio_fail(device, "the driver notifies a queue that does not exist");
}

static void write_register(struct virtio_device *device, uint64_t offset, uint32_t value)
{
	switch (offset) {
	case VIRTIO_MMIO_DEVICE_FEATURES_SEL:
		device->device_features_select = value;
		break;
	case VIRTIO_MMIO_DRIVER_FEATURES:
		write_driver_features(device, value);
		break;
	case VIRTIO_MMIO_DRIVER_FEATURES_SEL:
		device->driver_features_select = value;
		break;
	case VIRTIO_MMIO_QUEUE_SEL:
		device->queue_select = value;
		break;
	case VIRTIO_MMIO_QUEUE_READY:
		if (selected_queue(device))
			virtio_write_queue_ready(device, selected_queue(device), value);
		break;
	case VIRTIO_MMIO_QUEUE_NOTIFY:
		notify(device, value);
		break;
	case VIRTIO_MMIO_INTERRUPT_ACK:
		device->interrupt_status &= ~value;
		break;
	case VIRTIO_MMIO_STATUS:
		virtio_write_status(device, value);
		break;
	default:
		write_queue_setting(device, offset, value);
		break;
	}
}

static void write_config(struct virtio_device *device, uint64_t offset, const uint8_t *data, size_t length)
{
	if (device->ops->write_config && offset <= device->config_size && length <= device->config_size - offset)
		device->ops->write_config(device, (uint32_t)offset, data, length);
}

void virtio_mmio_write(struct device *device, uint64_t offset, const uint8_t *data, size_t length)
{
	struct virtio_device *virtio = virtio_of(device);
	uint32_t value;

	pthread_mutex_lock(&virtio->lock);
	if (!virtio->present) {
		/* Nobody is there. */
	} else if (offset >= VIRTIO_MMIO_CONFIG) {
		write_config(virtio, offset - VIRTIO_MMIO_CONFIG, data, length);
	} else if (length == sizeof(value) && offset % sizeof(value) == 0) {
		memcpy(&value, data, sizeof(value));
		write_register(virtio, offset, value);
	}
	pthread_mutex_unlock(&virtio->lock);
}
