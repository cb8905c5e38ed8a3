/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The MMIO transport, version 2 (virtio 1.2, section 4.2): a window of registers onto a virtio device.
 */
#ifndef EMBER_DEVICES_VIRTIO_MMIO_H
#define EMBER_DEVICES_VIRTIO_MMIO_H

#include <stddef.h>
#include <stdint.h>

#include "devices/device.h"

#define VIRTIO_MMIO_WINDOW       0x1000               /* bytes of a device's window */
#define VIRTIO_MMIO_WINDOWS_BASE UINT64_C(0xd0000000) /* guest-physical address of the first window */
#define VIRTIO_MMIO_GSI_BASE     5                    /* interrupt line of the first; the others follow */
#define VIRTIO_MMIO_WINDOWS_MAX  16
#define VIRTIO_MMIO_VENDOR       0x52424d45 /* "EMBR" */

/*
 * The read() and write() of every virtio device's device_ops; offset counts from the window's start. What the
 * specification does not allow (registers in other sizes than aligned 32 bits, unknown registers) reads as all ones and
 * is ignored when written.
 */
void virtio_mmio_read(struct device *device, uint64_t offset, uint8_t *data, size_t length);
void virtio_mmio_write(struct device *device, uint64_t offset, const uint8_t *data, size_t length);

#endif
