/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Steps that the tests of virtio devices on KVM have in common.
 */
#ifndef EMBER_TESTS_KVM_DEVICES_VIRTIO_STEPS_H
#define EMBER_TESTS_KVM_DEVICES_VIRTIO_STEPS_H

#include "fixture.h"

/* Boot a guest in a machine whose devices are configured, and let it run. */
void virtio_steps_boot(struct fixture *fixture, const uint8_t *guest, size_t size);

/* Wait for the guest's signal 1; any signal of 100 and more is a failed step. */
void virtio_steps_wait_for_success(struct fixture *fixture);

/* Put a snapshot of a paused machine into another that is like it. */
void virtio_steps_move(struct fixture *from, struct fixture *to);

#endif
