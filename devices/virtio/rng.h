/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Entropy (virtio 1.2, section 5.4): the host's random bytes for the guest's own generator.
 */
#ifndef EMBER_DEVICES_VIRTIO_RNG_H
#define EMBER_DEVICES_VIRTIO_RNG_H

#include <stdint.h>

#include "devices/virtio/rate_limit.h"
#include "devices/virtio/virtio.h"

#define RNG_REQUEST_MAX 4096 /* bytes that one request is given at most; the driver asks again for more */

struct virtio_rng; /* begins with a struct virtio_device */

extern const struct device_ops virtio_rng_ops;

/*
 * Make an entropy device, absent until virtio_rng_configure(). Starts its thread.
 *
 * memory  of the VM; outlives the device
 *
 * Returns 0 or -errno. The caller (a bus) ends it through its ops.
 */
int virtio_rng_new(uint32_t instance, struct guest_memory *memory, struct virtio_rng **ret_rng);
struct virtio_device *virtio_rng_device(struct virtio_rng *rng);

/*
 * Show the device to the guest. Before the machine runs.
 *
 * limit  of bytes given and of requests; NULL: none
 *
 * Returns 0, or -EBUSY (it is configured already).
 */
int virtio_rng_configure(struct virtio_rng *rng, const struct rate_limit_options *limit);

#endif
