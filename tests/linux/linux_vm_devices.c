/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The devices of a test machine, beyond those that every machine has.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/random.h>

#include "devices/virtio/blk/blk.h"
#include "devices/virtio/rng.h"
#include "linux_vm.h"

#define GENERATION_ID_SIZE 16

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

void linux_vm_pulse(struct machine *machine, uint32_t gsi)
{
	int result = vm_irq_line(&machine->vm, gsi, true);

	if (result == 0)
		result = vm_irq_line(&machine->vm, gsi, false);
	if (result < 0)
		fail("interrupt", result, NULL);
}

void linux_vm_change_generation(struct machine *machine)
{
	uint8_t id[GENERATION_ID_SIZE];
	int result;

	if (getrandom(id, sizeof(id), 0) != (ssize_t)sizeof(id))
		fail("getrandom", -errno, NULL);
	result = guest_memory_write(&machine->vm.memory, LINUX_GENERATION_ID_GPA, id, sizeof(id));
	if (result < 0)
		fail("generation ID", result, NULL);
	linux_vm_pulse(machine, GENERATION_ID_GSI);
}
