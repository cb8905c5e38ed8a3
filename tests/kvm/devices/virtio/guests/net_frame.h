/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The frames that the network's guests and their tests exchange.
 */
#ifndef EMBER_TESTS_KVM_DEVICES_VIRTIO_GUESTS_NET_FRAME_H
#define EMBER_TESTS_KVM_DEVICES_VIRTIO_GUESTS_NET_FRAME_H

#include <stdint.h>

#define NET_FRAME_TYPE  0x88b5 /* for experiments: IEEE 802, 9.2.3 */
#define NET_FRAME_BYTES 1000

struct net_frame {
	uint8_t to[6], from[6];
	uint8_t type[2];
	uint32_t number; /* counts questions; the answer has its question's */
	uint8_t bytes[NET_FRAME_BYTES];
} __attribute__((packed));

#endif
