/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The part of a machine that has to do with virtio devices. For machine.c only; users see machine.h.
 */
#ifndef EMBER_DEVICES_MACHINE_VIRTIO_H
#define EMBER_DEVICES_MACHINE_VIRTIO_H

#include "devices/machine.h"

/*
 * Make the virtio devices of the machine's shape, each with its window, its interrupt line, and its notifications. The
 * VM exists, and no vCPU yet.
 *
 * Returns 0, or -errno with the device in detail; devices that were made are the bus's.
 */
int machine_add_virtio(struct machine *machine, struct error_detail *detail);

/* The number of virtio devices in a shape is one that fits. Returns 0, or -EINVAL with the field in detail. */
int machine_check_virtio(const struct machine_shape *shape, struct error_detail *detail);

#endif
