/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A driver whose other processor writes all over its queues while the device reads them.
 */
#ifndef EMBER_TESTS_KVM_DEVICES_VIRTIO_GUESTS_RACE_H
#define EMBER_TESTS_KVM_DEVICES_VIRTIO_GUESTS_RACE_H

#include "rules.h"

/*
 * For each queue: have it used again and again while the other processor overwrites its descriptors, rings and buffers,
 * stops it, and resets its device; then reset the device, which has to work again. Signals 1 in the end, or 100 plus the
 * number of the queue. For a machine of two processors.
 */
void run_race(const struct target *targets, size_t count);

#endif
