/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A network interface (virtio 1.2, section 5.1): Ethernet frames between the guest and a TAP device of the host's.
 */
#ifndef EMBER_DEVICES_VIRTIO_NET_NET_H
#define EMBER_DEVICES_VIRTIO_NET_NET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "devices/virtio/rate_limit.h"
#include "devices/virtio/virtio.h"

#define NET_HEADER    12    /* bytes before each frame: struct virtio_net_hdr_v1 */
#define NET_FRAME_MAX 65550 /* bytes of the longest frame: one that is to be cut into segments */

struct virtio_net; /* begins with a struct virtio_device */

struct virtio_net_options {
	/*
	 * A queue of a TAP device, non-blocking, made with IFF_TAP, IFF_NO_PI and IFF_VNET_HDR, whose header is
	 * NET_HEADER bytes (TUNSETVNETHDRSZ). Taken over on success.
	 */
	int tap;
	uint8_t mac[6]; /* the guest's; not a group's (the lowest bit of the first byte is 0) */
	bool offloads;  /* checksums and segmentation are left to whoever does them last */
	struct rate_limit_options to_guest;
	struct rate_limit_options from_guest;
};

extern const struct device_ops virtio_net_ops;

/*
 * Make a network device, absent until virtio_net_configure(). Starts its thread.
 *
 * memory  of the VM; outlives the device
 *
 * Returns 0 or -errno. The caller (a bus) ends it through its ops.
 */
int virtio_net_new(uint32_t instance, struct guest_memory *memory, struct virtio_net **ret_net);
struct virtio_device *virtio_net_device(struct virtio_net *net);

/*
 * Show the interface to the guest. Before a boot, or before the restore of a machine that had one, whose guest may know
 * it by another MAC address.
 *
 * Returns 0, -EBUSY (it is configured already), or -EINVAL with the reason in detail.
 */
int virtio_net_configure(struct virtio_net *net, const struct virtio_net_options *options, struct error_detail *detail);

#endif
