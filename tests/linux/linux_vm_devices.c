/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The devices of a test machine, beyond those that every machine has.
 */
#include <errno.h>
#include <fcntl.h>

#include "devices/generation_id.h"
#include "devices/virtio/blk/blk.h"
#include "devices/virtio/rng.h"
#include "linux_vm.h"

static int open_file(const char *path, int flags)
{
	int fd = open(path, flags | O_CLOEXEC, 0600);

	if (fd < 0)
		fail(path, -errno, NULL);
	return fd;
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
