/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The balloon of guests without a kernel, with all four queues.
 */
#ifndef EMBER_TESTS_KVM_DEVICES_VIRTIO_GUESTS_BALLOON_DRIVER_H
#define EMBER_TESTS_KVM_DEVICES_VIRTIO_GUESTS_BALLOON_DRIVER_H

#include "virtio.h"

#define BALLOON 0 /* the window */

#define INFLATE    0 /* queues */
#define DEFLATE    1
#define STATISTICS 2
#define REPORTING  3

#define F_STATISTICS (UINT64_C(1) << 1)
#define F_REPORTING  (UINT64_C(1) << 5)

#define STATISTIC_FREE  4
#define STATISTIC_TOTAL 5

struct statistic {
	uint16_t tag;
	uint64_t value;
} __attribute__((packed));

extern struct queue balloon_queues[4];

/* The whole start; whether the device agrees. */
bool balloon_start(void);

/* Make one buffer available. */
void balloon_offer(uint32_t queue, uint64_t gpa, uint32_t length, uint16_t flags);

#endif
