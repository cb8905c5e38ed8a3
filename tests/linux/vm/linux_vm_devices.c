/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The devices of a test machine, beyond those that every machine has.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "devices/generation_id.h"
#include "devices/virtio/blk/blk.h"
#include "devices/virtio/net/net.h"
#include "devices/virtio/rng.h"
#include "devices/virtio/vsock/vsock.h"
#include "linux_vm.h"

static int open_file(const char *path, int flags)
{
	int fd = open(path, flags | O_CLOEXEC, 0600);

	if (fd < 0)
		fail(path, -errno, NULL);
	return fd;
}

static int open_listener(const char *path)
{
	int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	(void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	(void)unlink(path);
	if (listener < 0 || bind(listener, (struct sockaddr *)&address, sizeof(address)) < 0 ||
	    listen(listener, 128) < 0)
		fail(path, -errno, NULL);
	return listener;
}

static int open_tap(const char *name)
{
	struct ifreq interface = { .ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR };
	int tap = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC), header = NET_HEADER;

	(void)snprintf(interface.ifr_name, sizeof(interface.ifr_name), "%s", name);
	if (tap < 0 || ioctl(tap, TUNSETIFF, &interface) < 0 || ioctl(tap, TUNSETVNETHDRSZ, &header) < 0)
		fail(name, -errno, NULL);
	return tap;
}

static int configure_streams(struct machine *machine, const struct options *options, struct error_detail *detail)
{
	struct virtio_vsock_options vsock = { .guest_cid = VSOCK_CID_MIN };
	struct virtio_net_options net = { .mac = { 0x02, 0, 0, 0, 0, 0x01 }, .offloads = true };
	int result = 0;

	if (options->vsock) {
		vsock.listener = open_listener(options->vsock);
		result = virtio_vsock_configure(machine->vsocks[0], &vsock, detail);
	}
	if (result == 0 && options->tap) {
		net.tap = open_tap(options->tap);
		result = virtio_net_configure(machine->nets[0], &net, detail);
	}
	return result;
}

void linux_vm_configure(struct machine *machine, const struct options *options)
{
	struct virtio_blk_options blk = { .serial = "ember-test", .disk = { .base = -1, .overlay = -1 } };
	struct error_detail detail = { 0 };
	int result = 0;

	if (options->disk) {
		blk.disk.image = open_file(options->disk, options->overlay ? O_RDONLY : O_RDWR);
		if (options->overlay)
			blk.disk.overlay = open_file(options->overlay, O_RDWR | O_CREAT);
		result = virtio_blk_configure(machine->disks[0], &blk, &detail);
	}
	if (result == 0 && options->rng)
		result = virtio_rng_configure(machine->rngs[0], NULL);
	if (result == 0)
		result = configure_streams(machine, options, &detail);
	if (result < 0)
		fail("devices", result, &detail);
}

void linux_vm_change_generation(struct machine *machine)
{
	struct device *device = generation_id_device(machine->generation_id);
	uint8_t state[DEVICE_STATE_MAX];
	struct error_detail detail = { 0 };
	int result;

	/* As if the guest had been saved and restored here. */
	device->ops->save(device, state);
	result = device->ops->restore(device, state, &detail);
	if (result < 0)
		fail("generation ID", result, &detail);
	device->ops->resume(device);
}
