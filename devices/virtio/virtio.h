/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What every virtio device has (virtio 1.2, section 2): status, features, queues, interrupts, configuration; and a
 * thread that serves it.
 *
 * A device is made with its machine, before anybody knows what it will be: it is absent, which the guest sees as device
 * ID 0, until it is given its configuration before a boot or a restore.
 */
#ifndef EMBER_DEVICES_VIRTIO_VIRTIO_H
#define EMBER_DEVICES_VIRTIO_VIRTIO_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "devices/device.h"
#include "devices/virtio/io_thread.h"
#include "devices/virtio/virtqueue.h"

#define VIRTIO_QUEUES_MAX 4

struct virtio_device;

/* What makes a device a disk or a source of entropy. All functions are called with the device's lock held. */
struct virtio_ops {
	const char *name;        /* of the thread */
	uint32_t id;             /* section 5 */
	uint32_t queue_count;    /* 1 .. VIRTIO_QUEUES_MAX */
	uint16_t queue_size_max; /* descriptors; a power of two, at most VIRTQUEUE_SIZE_MAX */

	/*
	 * On the device's thread: work on the queues while virtio_may_serve(). See struct io_thread. Called after every
	 * notification, at DRIVER_OK, and when the machine begins to run.
	 */
	uint64_t (*serve)(struct virtio_device *device);

	/* The driver writes to the configuration space; inside config_size. NULL where nothing can be written. */
	void (*write_config)(struct virtio_device *device, uint32_t offset, const uint8_t *data, size_t length);

	/* The driver has reset the device: forget what the kind keeps beside the queues. May be NULL. */
	void (*reset)(struct virtio_device *device);
};

/* Begins every virtio device's structure. */
struct virtio_device {
	struct device device;
	const struct virtio_ops *ops;
	struct guest_memory *memory;
	int interrupt_fd; /* an eventfd, bound to the interrupt line */
	struct io_thread thread;
	pthread_mutex_t lock; /* guards what follows */

	/* What the host has given. */
	bool present;
	uint64_t offered;      /* features */
	const uint8_t *config; /* the configuration space; the kind's */
	uint32_t config_size;  /* bytes */

	/* What the driver has made of it. */
	uint32_t status;
	uint32_t interrupt_status;
	uint32_t config_generation;
	uint32_t device_features_select;
	uint32_t driver_features_select;
	uint32_t queue_select;
	uint64_t driver_features; /* accepted */
	struct virtqueue queues[VIRTIO_QUEUES_MAX];

	const char *fault; /* static text: why the device needs a reset; NULL where it does not */
};

/* What a snapshot keeps of a queue, and of the part that all devices have. The first member of each kind's state. */
struct virtio_queue_state {
	uint64_t descriptors;
	uint64_t available;
	uint64_t used;
	uint32_t size;
	uint16_t next_available;
	uint16_t next_used;
	uint8_t ready;
};

struct virtio_state {
	uint64_t driver_features;
	uint32_t status;
	uint32_t interrupt_status;
	uint32_t config_generation;
	uint32_t device_features_select;
	uint32_t driver_features_select;
	uint32_t queue_select;
	uint32_t queue_count;
	uint8_t present;
	struct virtio_queue_state queues[VIRTIO_QUEUES_MAX];
};

extern const struct state_field virtio_state_fields[];

/* The member of a kind's table of fields. */
#define VIRTIO_STATE_FIELDS(structure) \
	STATE_STRUCTS(structure, virtio, 1, virtio_state_fields, sizeof(struct virtio_state))

/* For kinds of device */

/*
 * Make the common part and start the thread, held.
 *
 * device      in the kind's structure, zeroed
 * device_ops  the kind's, whose read, write, hold, drain and resume are the ones below
 * memory      of the VM; outlives the device
 *
 * Returns 0, or -errno with nothing to end.
 */
int virtio_init(struct virtio_device *device, const struct device_ops *device_ops, const struct virtio_ops *ops,
		uint32_t instance, struct guest_memory *memory);

/* End the thread, giving up what it does, and release the common part. */
void virtio_release(struct virtio_device *device);

/*
 * Give the device its features and its configuration space: from now on the guest sees it. While the machine does not
 * run, and before a driver has touched it.
 *
 * features  the kind's own; those of the transport and the queues are added
 * config    stays the kind's; changes only with the lock held, followed by virtio_config_changed()
 *
 * Returns 0, or -EBUSY (the device is present already).
 */
int virtio_present(struct virtio_device *device, uint64_t features, const uint8_t *config, uint32_t config_size);

/* With the lock held: is a driver there that may be served, and may another piece of work be begun? */
bool virtio_may_serve(const struct virtio_device *device);

/* With the lock held: was this feature accepted by the driver? bit: VIRTIO_*_F_*. */
bool virtio_has_feature(const struct virtio_device *device, unsigned int bit);

/*
 * With the lock held: the driver has broken the rules. The device needs a reset (section 2.1.2), and until then serves
 * nothing.
 *
 * fault  static text
 */
void virtio_fail(struct virtio_device *device, const char *fault);

/*
 * With the lock held: take a chain, as virtqueue_pop() does. Returns 1 or 0; a malformed chain has failed the device.
 */
int virtio_pop(struct virtio_device *device, uint32_t queue, struct virtqueue_chain *ret_chain);

/*
 * With the lock held: give a chain back and interrupt the driver if it wants that. What is not served any more (the
 * driver has reset the device meanwhile) is dropped.
 */
void virtio_push(struct virtio_device *device, uint32_t queue, uint16_t head, uint32_t written);

/* With the lock held: the configuration space has changed (section 2.5). */
void virtio_config_changed(struct virtio_device *device);

/* struct device_ops of every kind */

/* Begin nothing new until virtio_resume(); and wait until nothing is in flight, after which drain returns 0. */
void virtio_hold(struct device *device);
int virtio_drain(struct device *device);
void virtio_resume(struct device *device);
void virtio_reset(struct device *device);

/*
 * The common part's state. Restore checks everything before it changes anything; where a check fails, detail begins
 * with path.
 *
 * Returns 0, or -EINVAL.
 */
void virtio_save(struct virtio_device *device, struct virtio_state *ret_state);
int virtio_restore(struct virtio_device *device, const struct virtio_state *state, const char *path,
		   struct error_detail *detail);

/* For the transport; with the lock held */

/*
 * The driver writes the status register (section 2.1, 3.1). 0 resets the device, after what is in flight was given up.
 */
void virtio_write_status(struct virtio_device *device, uint32_t value);

/* The driver writes QueueReady of a queue. */
void virtio_write_queue_ready(struct virtio_device *device, struct virtqueue *queue, uint32_t value);

/* May the driver choose features, or set up queues? */
bool virtio_in_feature_phase(const struct virtio_device *device);
bool virtio_in_queue_phase(const struct virtio_device *device);

/* What virtio devices of every kind ask of the kernel beyond kvm_runtime_syscalls[]; see runtime.c. */
extern const int virtio_runtime_syscalls[];
extern const size_t virtio_runtime_syscall_count;
extern const unsigned long virtio_runtime_ioctls[];
extern const size_t virtio_runtime_ioctl_count;

#endif
