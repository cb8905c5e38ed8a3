/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A virtio device of the tests' own. Its service gives each chain back as if its first writable byte had been written.
 */
#include "probe_device.h"

#include <criterion/criterion.h>
#include <sched.h>
#include <string.h>

#include "devices/virtio/mmio.h"

static void stall(struct probe_device *probe)
{
	atomic_store(&probe->stalled, true);
	while (atomic_load(&probe->stall)) {
		if (io_thread_is_cancelled(&probe->virtio.thread)) {
			atomic_fetch_add(&probe->cancelled, 1);
			break;
		}
		(void)sched_yield();
	}
	atomic_store(&probe->stalled, false);
}

static uint64_t probe_serve(struct virtio_device *device)
{
	struct probe_device *probe = (struct probe_device *)device;

	while (virtio_may_serve(device) && virtio_pop(device, 0, &probe->chain) == 1) {
		atomic_fetch_add(&probe->served, 1);
		pthread_mutex_unlock(&device->lock);
		stall(probe);
		pthread_mutex_lock(&device->lock);
		virtio_push(device, 0, probe->chain.head, 1);
	}
	return IO_THREAD_NEVER;
}

static void probe_write_config(struct virtio_device *device, uint32_t offset, const uint8_t *data, size_t length)
{
	memcpy(((struct probe_device *)device)->config + offset, data, length);
}

static void probe_reset(struct virtio_device *device)
{
	((struct probe_device *)device)->resets++;
}

static void probe_save(struct device *device, void *ret_state)
{
	virtio_save((struct virtio_device *)device, &((struct probe_state *)ret_state)->virtio);
}

static int probe_restore(struct device *device, const void *state, struct error_detail *detail)
{
	return virtio_restore((struct virtio_device *)device, &((const struct probe_state *)state)->virtio, "probe",
			      detail);
}

static const struct state_field probe_state_fields[] = {
	VIRTIO_STATE_FIELDS(struct probe_state),
	STATE_FIELDS_END,
};

const struct device_ops probe_device_ops = {
	.name = "probe",
	.state_fields = probe_state_fields,
	.state_size = sizeof(struct probe_state),
	.read = virtio_mmio_read,
	.write = virtio_mmio_write,
	.hold = virtio_hold,
	.drain = virtio_drain,
	.resume = virtio_resume,
	.save = probe_save,
	.restore = probe_restore,
	.reset = virtio_reset,
};

static const struct virtio_ops probe_ops = {
	.name = "probe",
	.id = PROBE_ID,
	.queue_count = 2,
	.queue_size_max = PROBE_QUEUE_SIZE,
	.serve = probe_serve,
	.write_config = probe_write_config,
	.reset = probe_reset,
};

void probe_device_open_absent(struct probe_device *probe, struct guest_memory *memory)
{
	memset(probe, 0, sizeof(*probe));
	memcpy(probe->config, "config", 6);
	cr_assert_eq(virtio_init(&probe->virtio, &probe_device_ops, &probe_ops, 0, memory), 0);
}

void probe_device_open(struct probe_device *probe, struct guest_memory *memory)
{
	probe_device_open_absent(probe, memory);
	cr_assert_eq(virtio_present(&probe->virtio, PROBE_FEATURES, probe->config, sizeof(probe->config)), 0);
}

void probe_device_close(struct probe_device *probe)
{
	virtio_release(&probe->virtio);
}
