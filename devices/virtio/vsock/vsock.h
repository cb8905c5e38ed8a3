/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Streams between the guest and sockets of the host (virtio 1.2, section 5.10).
 *
 * Whoever connects to the listening socket says "CONNECT PORT\n" and is connected to that port of the guest's, which
 * answers "OK PORT\n" with the host's port; or the connection is closed. When the guest connects to a port of the
 * host's (CID 2), the host is asked for a socket.
 */
#ifndef EMBER_DEVICES_VIRTIO_VSOCK_VSOCK_H
#define EMBER_DEVICES_VIRTIO_VSOCK_VSOCK_H

#include <stdint.h>

#include "devices/virtio/virtio.h"

#define VSOCK_CONNECTIONS_MAX 256
#define VSOCK_CID_MIN         3 /* the first that a guest may have; section 5.10.4 */

struct virtio_vsock; /* begins with a struct virtio_device */

struct virtio_vsock_options {
	uint32_t guest_cid; /* from VSOCK_CID_MIN to UINT32_MAX - 1 */
	int listener; /* a listening stream socket, non-blocking; taken over on success; -1: nobody connects to the guest */
	/*
	 * The guest connects to a port of the host's. To be answered by virtio_vsock_connected(), now or later. Called
	 * on the device's thread without locks. NULL: nobody is there, whatever the port.
	 */
	void (*connect)(void *opaque, uint32_t port, uint64_t cookie);
	void *opaque;
};

extern const struct device_ops virtio_vsock_ops;

/*
 * Make a vsock device, absent until virtio_vsock_configure(). Starts its thread.
 *
 * memory  of the VM; outlives the device
 *
 * Returns 0 or -errno. The caller (a bus) ends it through its ops.
 */
int virtio_vsock_new(uint32_t instance, struct guest_memory *memory, struct virtio_vsock **ret_vsock);
struct virtio_device *virtio_vsock_device(struct virtio_vsock *vsock);

/*
 * Show the device to the guest. Before a boot, or before the restore of a machine that had one: its streams are gone,
 * which its guest is told, and its CID is the new one.
 *
 * options  copied
 *
 * Returns 0, -EBUSY (it is configured already), -EINVAL, or -errno of getrandom(2), with the reason in detail.
 */
int virtio_vsock_configure(struct virtio_vsock *vsock, const struct virtio_vsock_options *options,
			   struct error_detail *detail);

/*
 * The answer to a connect(). Any thread. A cookie that is not waited for any more closes the socket.
 *
 * socket  a connected stream socket, taken over; or -errno: the guest is refused
 */
void virtio_vsock_connected(struct virtio_vsock *vsock, uint64_t cookie, int socket);

#endif
