/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The rules of a queue, broken one after the other, on whatever device.
 */
#ifndef EMBER_TESTS_KVM_DEVICES_VIRTIO_GUESTS_RULES_H
#define EMBER_TESTS_KVM_DEVICES_VIRTIO_GUESTS_RULES_H

#include "virtio.h"

/* A queue of a device, and what a driver does with it. */
struct target {
	unsigned int device;
	uint32_t number;
	struct queue *queue;
	uint16_t flags; /* of the buffers that belong on it: WRITE, or 0 */

	/* The whole start of the device, with indirect descriptors; nothing is on its queues. */
	bool (*start)(void);

	/* Have the device look at this queue, where a notification alone does not. NULL: it does. */
	void (*provoke)(void);

	/* A good request by this queue, which is not waited for. */
	void (*use)(void);

	/* Start the device, and have it do its work. */
	bool (*works)(void);
};

/* A case of a device's own, run after its start; whether the device answered as it should. */
typedef bool (*hostile_case)(void);

/*
 * Break every rule on each queue, then do the cases of the device's own. The device has to need a reset (or to answer
 * with an error), and to work after it, each time. Signals 1 in the end, or 100 plus the number of the case: those of
 * the first queue from 0, of the next from RULES on, the device's own last.
 */
void run_hostile(const struct target *targets, size_t target_count, const hostile_case *cases, size_t case_count,
		 uint64_t memory_size);

#define RULES 29

/* Offer descriptor 0; whether the device refused it and used nothing. */
bool is_refused(const struct target *target);

#endif
