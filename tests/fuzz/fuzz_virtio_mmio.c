/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A life of a disk device: accesses to its window, writes to guest memory, pauses, and states that are saved, altered
 * and restored, one after the other as the input says. The device serves meanwhile, on its own thread.
 */
#include "devices/virtio/blk/blk.h"
#include "devices/virtio/mmio.h"
#include "fuzz.h"

#include <linux/virtio_config.h>
#include <linux/virtio_mmio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define MEMORY 16384

enum action {
	WRITE_REGISTER,
	WRITE_MEMORY,
	READ_WINDOW,
	WRITE_WINDOW,
	START, /* a whole good start of a driver, so that what follows finds one */
	PAUSE_AND_RESUME,
	SAVE_AND_RESTORE,
	ACTIONS
};

struct step {
	uint8_t action;
	uint8_t length_log2;
	uint16_t offset;
	uint32_t value;
} __attribute__((packed));

static struct guest_memory memory = { .size = MEMORY };
static struct virtio_blk *blk;
static struct device *device;

static void open_device(void)
{
	struct virtio_blk_options options = { .disk = { .base = -1, .overlay = -1 }, .serial = "fuzz" };

	memory.host = aligned_alloc(4096, MEMORY);
	FUZZ_CHECK(memory.host);
	options.disk.image = memfd_create("image", MFD_CLOEXEC);
	FUZZ_CHECK(ftruncate(options.disk.image, 8192) == 0);
	FUZZ_CHECK(virtio_blk_new(0, &memory, &blk) == 0);
	FUZZ_CHECK(virtio_blk_configure(blk, &options, NULL) == 0);
	device = &virtio_blk_device(blk)->device;
}

static void write_register(uint64_t offset, uint32_t value)
{
	device->ops->write(device, offset, (const uint8_t *)&value, sizeof(value));
}

/* The areas at 0, 0x400 and 0x800, for 16 descriptors. */
static void start(void)
{
	write_register(VIRTIO_MMIO_STATUS, 0);
	write_register(VIRTIO_MMIO_STATUS, VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER);
	write_register(VIRTIO_MMIO_DRIVER_FEATURES_SEL, 1);
	write_register(VIRTIO_MMIO_DRIVER_FEATURES, 1);
	write_register(VIRTIO_MMIO_DRIVER_FEATURES_SEL, 0);
	write_register(VIRTIO_MMIO_DRIVER_FEATURES, UINT32_C(1) << 28);
	write_register(VIRTIO_MMIO_STATUS, 0xb);
	write_register(VIRTIO_MMIO_QUEUE_SEL, 0);
	write_register(VIRTIO_MMIO_QUEUE_NUM, 16);
	write_register(VIRTIO_MMIO_QUEUE_AVAIL_LOW, 0x400);
	write_register(VIRTIO_MMIO_QUEUE_USED_LOW, 0x800);
	write_register(VIRTIO_MMIO_QUEUE_READY, 1);
	write_register(VIRTIO_MMIO_STATUS, 0xf);
}

static void save_and_restore(const struct step *step)
{
	static uint8_t state[DEVICE_STATE_MAX];
	uint32_t place = step->offset % virtio_blk_ops.state_size;
	struct error_detail detail = { .text = "" };

	memset(state, 0, sizeof(state));
	FUZZ_CHECK(device->ops->drain(device) == 0);
	device->ops->save(device, state);
	FUZZ_CHECK(state_fields_check(device->ops->state_fields, state, "virtio_blk", &detail) == 0);
	state[place] ^= (uint8_t)step->value;
	if (state_fields_check(device->ops->state_fields, state, "virtio_blk", &detail) == 0 &&
	    device->ops->restore(device, state, &detail) == 0)
		FUZZ_CHECK(detail.text[0] == '\0');
	else
		FUZZ_CHECK(detail.text[0] != '\0');
	device->ops->resume(device);
}

static void act(const struct step *step)
{
	size_t length = (size_t)1 << (step->length_log2 % 4);
	uint64_t offset = step->offset % (VIRTIO_MMIO_WINDOW - length + 1);
	uint8_t bytes[8] = { 0 };

	memcpy(bytes, &step->value, sizeof(step->value));
	switch (step->action % ACTIONS) {
	case WRITE_REGISTER:
		write_register(step->offset % VIRTIO_MMIO_CONFIG & ~3U, step->value);
		break;
	case WRITE_MEMORY:
		(void)guest_memory_write(&memory, step->offset % MEMORY, &step->value, length <= 4 ? length : 4);
		break;
	case READ_WINDOW:
		device->ops->read(device, offset, bytes, length);
		break;
	case WRITE_WINDOW:
		device->ops->write(device, offset, bytes, length);
		break;
	case START:
		start();
		break;
	case PAUSE_AND_RESUME:
		FUZZ_CHECK(device->ops->drain(device) == 0);
		device->ops->resume(device);
		break;
	default:
		save_and_restore(step);
		break;
	}
}

static void check(void)
{
	struct virtio_device *virtio = virtio_blk_device(blk);
	const struct virtqueue *queue = &virtio->queues[0];

	pthread_mutex_lock(&virtio->lock);
	FUZZ_CHECK((virtio->status & ~0xcfU) == 0);
	FUZZ_CHECK(!(virtio->status & VIRTIO_CONFIG_S_DRIVER_OK) || (virtio->status & VIRTIO_CONFIG_S_FEATURES_OK));
	FUZZ_CHECK(!(virtio->status & VIRTIO_CONFIG_S_NEEDS_RESET) || virtio->fault);
	FUZZ_CHECK(!(virtio->status & VIRTIO_CONFIG_S_FEATURES_OK) ||
		   (virtio->driver_features & ~virtio->offered) == 0);
	FUZZ_CHECK(!queue->ready || (queue->size > 0 && queue->size <= queue->size_max &&
				     guest_memory_contains(&memory, queue->used, 8 * (uint64_t)queue->size)));
	pthread_mutex_unlock(&virtio->lock);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (!device)
		open_device();

	memset(memory.host, 0, MEMORY);
	device->ops->resume(device);
	for (size_t at = 0; at + sizeof(struct step) <= size; at += sizeof(struct step)) {
		struct step step;

		memcpy(&step, data + at, sizeof(step));
		act(&step);
		check();
	}
	FUZZ_CHECK(device->ops->drain(device) == 0);
	device->ops->reset(device);
	return 0;
}
