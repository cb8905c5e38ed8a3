/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The part that all virtio devices share.
 *
 * One mutex a device. vCPU threads hold it for a register access; the device's thread holds it to take a chain and to
 * give one back, and drops it while it moves data. So registers answer at once while a disk works, and the queues need
 * no other lock.
 *
 * Two accesses wait for the device's thread, because the driver may use its memory for something else as soon as they
 * are done: a reset gives up the transfer in flight, and the stop of a queue lets it finish, or be put back where the
 * machine pauses just then; the queue is gone then, and the driver has asked for that. What the thread finds when
 * it wants to give a chain back is then no queue that is served, and the chain is dropped: nothing is written to a ring
 * after its reset.
 *
 * The status register only goes forward (section 2.1.1: the driver must not clear bits), until a reset. Registers that
 * belong to another phase than the current one cannot be written.
 */
#include "devices/virtio/virtio.h"

#include <errno.h>
#include <linux/virtio_config.h>
#include <linux/virtio_mmio.h>
#include <linux/virtio_ring.h>
#include <string.h>
#include <unistd.h>

#include <sys/eventfd.h>

#define FEATURE(bit) (UINT64_C(1) << (bit))
#define FEATURES_OF_QUEUES \
	(FEATURE(VIRTIO_F_VERSION_1) | FEATURE(VIRTIO_RING_F_INDIRECT_DESC) | FEATURE(VIRTIO_RING_F_EVENT_IDX))

#define STATUS_OF_DRIVER                                                                      \
	(VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER | VIRTIO_CONFIG_S_FEATURES_OK | \
	 VIRTIO_CONFIG_S_DRIVER_OK | VIRTIO_CONFIG_S_FAILED)
#define STATUS_ENDED (VIRTIO_CONFIG_S_NEEDS_RESET | VIRTIO_CONFIG_S_FAILED)

static uint64_t serve(void *opaque)
{
	struct virtio_device *device = opaque;

	return device->ops->serve(device);
}

int virtio_init(struct virtio_device *device, const struct device_ops *device_ops, const struct virtio_ops *ops,
		uint32_t instance, struct guest_memory *memory)
{
	int r;

	device->device.ops = device_ops;
	device->device.instance = instance;
	device->ops = ops;
	device->memory = memory;
	for (uint32_t i = 0; i < ops->queue_count; i++)
		virtqueue_init(&device->queues[i], memory, ops->queue_size_max);

	device->interrupt_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (device->interrupt_fd < 0)
		return -errno;

	pthread_mutex_init(&device->lock, NULL);
	r = io_thread_start(&device->thread, &device->lock, ops->name, serve, device);
	if (r < 0) {
		pthread_mutex_destroy(&device->lock);
		(void)close(device->interrupt_fd);
	}
	return r;
}

void virtio_release(struct virtio_device *device)
{
	io_thread_stop(&device->thread);
	pthread_mutex_destroy(&device->lock);
	(void)close(device->interrupt_fd);
}

int virtio_present(struct virtio_device *device, uint64_t features, const uint8_t *config, uint32_t config_size)
{
	int r = -EBUSY;

	pthread_mutex_lock(&device->lock);
	if (!device->present) {
		device->present = true;
		device->offered = features | FEATURES_OF_QUEUES;
		device->config = config;
		device->config_size = config_size;
		r = 0;
	}
	pthread_mutex_unlock(&device->lock);

	return r;
}

/* A driver is there, and neither side has given up. */
static bool is_running(const struct virtio_device *device)
{
	return (device->status & (VIRTIO_CONFIG_S_DRIVER_OK | STATUS_ENDED)) == VIRTIO_CONFIG_S_DRIVER_OK;
}

bool virtio_may_serve(const struct virtio_device *device)
{
	return is_running(device) && io_thread_may_serve(&device->thread);
}

bool virtio_has_feature(const struct virtio_device *device, unsigned int bit)
{
	return (device->driver_features & FEATURE(bit)) != 0;
}

static void interrupt(struct virtio_device *device, uint32_t reason)
{
	const uint64_t one = 1;

	device->interrupt_status |= reason;
	/* Fails when the counter is full: then the line is raised already. */
	(void)!write(device->interrupt_fd, &one, sizeof(one));
}

void virtio_config_changed(struct virtio_device *device)
{
	device->config_generation++;
	if (is_running(device))
		interrupt(device, VIRTIO_MMIO_INT_CONFIG);
}

void virtio_fail(struct virtio_device *device, const char *fault)
{
	bool tell = is_running(device);

	device->fault = fault;
	device->status |= VIRTIO_CONFIG_S_NEEDS_RESET;
	/* Section 2.1.2: after DRIVER_OK the driver is told by a change of configuration. */
	if (tell)
		interrupt(device, VIRTIO_MMIO_INT_CONFIG);
}

int virtio_pop(struct virtio_device *device, uint32_t queue, struct virtqueue_chain *ret_chain)
{
	struct virtqueue *ring = &device->queues[queue];
	int r;

	r = virtqueue_pop(ring, ret_chain);
	if (r < 0) {
		virtio_fail(device, ring->fault);
		return 0;
	}

	return r;
}

void virtio_push(struct virtio_device *device, uint32_t queue, uint16_t head, uint32_t written)
{
	struct virtqueue *ring = &device->queues[queue];

	if (!is_running(device) || !ring->ready || io_thread_is_cancelled(&device->thread))
		return;

	if (virtqueue_push(ring, head, written) < 0)
		virtio_fail(device, ring->fault);
	else if (virtqueue_wants_interrupt(ring))
		interrupt(device, VIRTIO_MMIO_INT_VRING);
}

/* status */

/* Back to the state after power-on; what the host has given stays. The thread does not serve. */
static void forget_driver(struct virtio_device *device)
{
	device->status = 0;
	device->interrupt_status = 0;
	device->device_features_select = 0;
	device->driver_features_select = 0;
	device->queue_select = 0;
	device->driver_features = 0;
	device->fault = NULL;
	for (uint32_t i = 0; i < device->ops->queue_count; i++)
		virtqueue_reset(&device->queues[i]);
	if (device->ops->reset)
		device->ops->reset(device);
}

static bool features_are_acceptable(const struct virtio_device *device)
{
	return (device->driver_features & ~device->offered) == 0 && virtio_has_feature(device, VIRTIO_F_VERSION_1);
}

static bool is_set_first(uint32_t added, uint32_t status, uint32_t bit)
{
	return (added & bit) && !(status & bit);
}

void virtio_write_status(struct virtio_device *device, uint32_t value)
{
	uint32_t added = value & STATUS_OF_DRIVER & ~device->status;

	if (value == 0) {
		io_thread_quiesce(&device->thread, true);
		forget_driver(device);
		return;
	}
	if (device->status & STATUS_ENDED) {
		device->status |= added & VIRTIO_CONFIG_S_FAILED;
		return;
	}

	device->status |= added & (VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER | VIRTIO_CONFIG_S_FAILED);
	/* Section 3.1.1, step 5 and 6: the driver reads the bit back, and finds it clear where we do not agree. */
	if (is_set_first(added, device->status, VIRTIO_CONFIG_S_FEATURES_OK) &&
	    (device->status & VIRTIO_CONFIG_S_DRIVER) && features_are_acceptable(device))
		device->status |= VIRTIO_CONFIG_S_FEATURES_OK;

	if (!is_set_first(added, device->status, VIRTIO_CONFIG_S_DRIVER_OK))
		return;
	if (!(device->status & VIRTIO_CONFIG_S_FEATURES_OK)) {
		virtio_fail(device, "DRIVER_OK without FEATURES_OK");
		return;
	}
	device->status |= VIRTIO_CONFIG_S_DRIVER_OK;
	io_thread_wake(&device->thread);
}

bool virtio_in_feature_phase(const struct virtio_device *device)
{
	return (device->status & (VIRTIO_CONFIG_S_DRIVER | VIRTIO_CONFIG_S_FEATURES_OK | STATUS_ENDED)) ==
	       VIRTIO_CONFIG_S_DRIVER;
}

bool virtio_in_queue_phase(const struct virtio_device *device)
{
	return (device->status & (VIRTIO_CONFIG_S_FEATURES_OK | VIRTIO_CONFIG_S_DRIVER_OK | STATUS_ENDED)) ==
	       VIRTIO_CONFIG_S_FEATURES_OK;
}

/* What was negotiated, for a queue that goes into use. */
static void set_up_queue(const struct virtio_device *device, struct virtqueue *queue)
{
	queue->indirect = virtio_has_feature(device, VIRTIO_RING_F_INDIRECT_DESC);
	queue->event_index = virtio_has_feature(device, VIRTIO_RING_F_EVENT_IDX);
}

void virtio_write_queue_ready(struct virtio_device *device, struct virtqueue *queue, uint32_t value)
{
	if (value == 0 && queue->ready) {
		/* Section 4.2.2.2: the driver reads 0 before it takes the queue's memory back. */
		io_thread_quiesce(&device->thread, false);
		virtqueue_reset(queue);
		return;
	}
	if (value == 0 || queue->ready || !virtio_in_queue_phase(device))
		return;

	set_up_queue(device, queue);
	if (virtqueue_enable(queue) < 0)
		virtio_fail(device, queue->fault);
}

/* life with a machine */

static struct virtio_device *virtio_of(struct device *device)
{
	return (struct virtio_device *)device;
}

void virtio_hold(struct device *device)
{
	struct virtio_device *virtio = virtio_of(device);

	pthread_mutex_lock(&virtio->lock);
	io_thread_hold(&virtio->thread);
	pthread_mutex_unlock(&virtio->lock);
}

int virtio_drain(struct device *device)
{
	struct virtio_device *virtio = virtio_of(device);

	pthread_mutex_lock(&virtio->lock);
	io_thread_hold(&virtio->thread);
	io_thread_quiesce(&virtio->thread, false);
	pthread_mutex_unlock(&virtio->lock);
	return 0;
}

/*
 * An interrupt that was on its way into the interrupt controller when a snapshot was taken may be in no saved state:
 * KVM hands an irqfd's event over on a worker thread of the kernel's. Its reason is in the device's, until the driver
 * acknowledges it. So it is raised once more; drivers expect interrupts without a reason.
 */
void virtio_resume(struct device *device)
{
	struct virtio_device *virtio = virtio_of(device);

	pthread_mutex_lock(&virtio->lock);
	if (virtio->interrupt_status != 0)
		interrupt(virtio, 0);
	io_thread_release(&virtio->thread);
	pthread_mutex_unlock(&virtio->lock);
}

void virtio_reset(struct device *device)
{
	struct virtio_device *virtio = virtio_of(device);

	pthread_mutex_lock(&virtio->lock);
	io_thread_quiesce(&virtio->thread, true);
	forget_driver(virtio);
	virtio->config_generation = 0;
	pthread_mutex_unlock(&virtio->lock);
}

/* state */

static const struct state_field queue_state_fields[] = {
	STATE_FIELD(struct virtio_queue_state, descriptors, FIELD_U64),
	STATE_FIELD(struct virtio_queue_state, available, FIELD_U64),
	STATE_FIELD(struct virtio_queue_state, used, FIELD_U64),
	STATE_FIELD(struct virtio_queue_state, size, FIELD_U32),
	STATE_FIELD(struct virtio_queue_state, next_available, FIELD_U16),
	STATE_FIELD(struct virtio_queue_state, next_used, FIELD_U16),
	STATE_FIELD_MAX(struct virtio_queue_state, ready, FIELD_U8, 1),
	STATE_FIELDS_END,
};

const struct state_field virtio_state_fields[] = {
	STATE_FIELD_MAX(struct virtio_state, present, FIELD_U8, 1),
	STATE_FIELD(struct virtio_state, driver_features, FIELD_U64),
	STATE_FIELD_MAX(struct virtio_state, status, FIELD_U32, STATUS_OF_DRIVER | VIRTIO_CONFIG_S_NEEDS_RESET),
	STATE_FIELD_MAX(struct virtio_state, interrupt_status, FIELD_U32,
			VIRTIO_MMIO_INT_VRING | VIRTIO_MMIO_INT_CONFIG),
	STATE_FIELD(struct virtio_state, config_generation, FIELD_U32),
	STATE_FIELD(struct virtio_state, device_features_select, FIELD_U32),
	STATE_FIELD(struct virtio_state, driver_features_select, FIELD_U32),
	STATE_FIELD(struct virtio_state, queue_select, FIELD_U32),
	STATE_ROWS(struct virtio_state, queues, queue_count, VIRTIO_QUEUES_MAX, queue_state_fields,
		   sizeof(struct virtio_queue_state)),
	STATE_FIELDS_END,
};

void virtio_save(struct virtio_device *device, struct virtio_state *ret_state)
{
	pthread_mutex_lock(&device->lock);
	ret_state->present = device->present;
	ret_state->driver_features = device->driver_features;
	ret_state->status = device->status;
	ret_state->interrupt_status = device->interrupt_status;
	ret_state->config_generation = device->config_generation;
	ret_state->device_features_select = device->device_features_select;
	ret_state->driver_features_select = device->driver_features_select;
	ret_state->queue_select = device->queue_select;
	ret_state->queue_count = device->ops->queue_count;
	for (uint32_t i = 0; i < device->ops->queue_count; i++) {
		const struct virtqueue *queue = &device->queues[i];

		ret_state->queues[i] = (struct virtio_queue_state){
			.descriptors = queue->descriptors,
			.available = queue->available,
			.used = queue->used,
			.size = queue->size,
			.next_available = queue->next_available,
			.next_used = queue->next_used,
			.ready = queue->ready,
		};
	}
	pthread_mutex_unlock(&device->lock);
}

/* What registers written one after the other could not have led to is no state. */
static int check_status(const struct virtio_device *device, const struct virtio_state *state, const char *path,
			struct error_detail *detail)
{
	bool features_ok = state->status & VIRTIO_CONFIG_S_FEATURES_OK;

	if ((state->present != 0) != device->present) {
		error_detail_set(detail, "%s.present: the saved device is %s, and this one is not", path,
				 state->present ? "present" : "absent");
		return -EINVAL;
	}
	if (state->status & ~(uint32_t)(STATUS_OF_DRIVER | VIRTIO_CONFIG_S_NEEDS_RESET) ||
	    (!device->present && state->status != 0) || ((state->status & VIRTIO_CONFIG_S_DRIVER_OK) && !features_ok)) {
		error_detail_set(detail, "%s.status: 0x%x is nothing that the register holds", path, state->status);
		return -EINVAL;
	}
	if (features_ok && ((state->driver_features & ~device->offered) != 0 ||
			    !(state->driver_features & FEATURE(VIRTIO_F_VERSION_1)))) {
		error_detail_set(detail,
				 "%s.driver_features: the driver uses 0x%llx, of what this device does not offer", path,
				 (unsigned long long)(state->driver_features & ~device->offered));
		return -EINVAL;
	}
	if (state->queue_count != device->ops->queue_count) {
		error_detail_set(detail, "%s.queues: %u, but the device has %u", path, state->queue_count,
				 device->ops->queue_count);
		return -EINVAL;
	}

	return 0;
}

/* Make a queue of a saved one; nothing of the device is changed. */
static int load_queue(const struct virtio_state *state, uint32_t index, struct virtqueue *queue, const char *path,
		      struct error_detail *detail)
{
	const struct virtio_queue_state *saved = &state->queues[index];

	virtqueue_reset(queue);
	queue->descriptors = saved->descriptors;
	queue->available = saved->available;
	queue->used = saved->used;
	queue->size = saved->size;
	queue->indirect = state->driver_features & FEATURE(VIRTIO_RING_F_INDIRECT_DESC);
	queue->event_index = state->driver_features & FEATURE(VIRTIO_RING_F_EVENT_IDX);
	queue->next_available = saved->next_available;
	queue->next_used = saved->next_used;
	if (!saved->ready)
		return 0;

	if (!(state->status & VIRTIO_CONFIG_S_FEATURES_OK)) {
		error_detail_set(detail, "%s.queues[%u].ready: set without FEATURES_OK", path, index);
		return -EINVAL;
	}
	if (virtqueue_enable(queue) < 0) {
		error_detail_set(detail, "%s.queues[%u]: %s", path, index, queue->fault);
		return -EINVAL;
	}
	if ((uint16_t)(saved->next_available - saved->next_used) > saved->size) {
		error_detail_set(detail, "%s.queues[%u]: more chains are taken than the queue has descriptors", path,
				 index);
		return -EINVAL;
	}

	return 0;
}

int virtio_restore(struct virtio_device *device, const struct virtio_state *state, const char *path,
		   struct error_detail *detail)
{
	struct virtqueue queues[VIRTIO_QUEUES_MAX];
	int r;

	memcpy(queues, device->queues, sizeof(queues));
	r = check_status(device, state, path, detail);
	for (uint32_t i = 0; r == 0 && i < device->ops->queue_count; i++)
		r = load_queue(state, i, &queues[i], path, detail);
	if (r < 0)
		return r;

	pthread_mutex_lock(&device->lock);
	io_thread_quiesce(&device->thread, true);
	forget_driver(device);
	device->driver_features = state->driver_features;
	device->status = state->status;
	device->interrupt_status = state->interrupt_status & (VIRTIO_MMIO_INT_VRING | VIRTIO_MMIO_INT_CONFIG);
	device->config_generation = state->config_generation;
	device->device_features_select = state->device_features_select;
	device->driver_features_select = state->driver_features_select;
	device->queue_select = state->queue_select;
	memcpy(device->queues, queues, sizeof(queues));
	if (device->status & VIRTIO_CONFIG_S_NEEDS_RESET)
		device->fault = "it was so when it was saved";
	pthread_mutex_unlock(&device->lock);

	return 0;
}
