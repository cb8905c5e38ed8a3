/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A machine's virtio devices.
 *
 * They are made with the machine, before it is known what they will be: their threads exist before the process is
 * confined, and what KVM does slowly (an irqfd, an ioeventfd for each queue) is done off the request path. Until it is
 * configured a device is absent: its window says so.
 *
 * The n-th device has the n-th window and the n-th interrupt line from VIRTIO_MMIO_GSI_BASE. Lines are edges, raised by
 * the device's eventfd. A notification is a write of a queue's number to one register: KVM turns it into an event for
 * the device's thread, without an exit to us.
 */
#include "devices/machine_virtio.h"

#include <errno.h>
#include <inttypes.h>
#include <linux/virtio_mmio.h>
#include <string.h>

#include "devices/virtio/balloon/balloon.h"
#include "devices/virtio/blk/blk.h"
#include "devices/virtio/mmio.h"
#include "devices/virtio/net/net.h"
#include "devices/virtio/rng.h"
#include "devices/virtio/vsock/vsock.h"

#define OTHER_GSIS 22 /* the first of the lines that belong to no virtio device */

_Static_assert(MACHINE_VIRTIO_MAX <= VIRTIO_MMIO_WINDOWS_MAX, "a window for each device");
_Static_assert(VIRTIO_MMIO_GSI_BASE + VIRTIO_MMIO_WINDOWS_MAX <= OTHER_GSIS, "a line for each device");

static int check_count(const char *field, uint32_t count, uint32_t max, struct error_detail *detail)
{
	if (count <= max)
		return 0;

	error_detail_set(detail, "%s: %" PRIu32 " is more than %" PRIu32, field, count, max);
	return -EINVAL;
}

int machine_check_virtio(const struct machine_shape *shape, struct error_detail *detail)
{
	int r;

	r = check_count("disks", shape->disks, MACHINE_DISKS_MAX, detail);
	if (r == 0)
		r = check_count("rngs", shape->rngs, MACHINE_RNGS_MAX, detail);
	if (r == 0)
		r = check_count("vsocks", shape->vsocks, MACHINE_VSOCKS_MAX, detail);
	if (r == 0)
		r = check_count("nets", shape->nets, MACHINE_NETS_MAX, detail);
	if (r == 0)
		r = check_count("balloons", shape->balloons, MACHINE_BALLOONS_MAX, detail);
	return r;
}

/* Lead the guest's notifications of each queue to the device's thread. */
static int add_notifications(struct machine *machine, const struct virtio_device *device, uint64_t base)
{
	int r = 0;

	for (uint32_t i = 0; r == 0 && i < device->ops->queue_count; i++) {
		const struct vm_ioeventfd notification = {
			.address = base + VIRTIO_MMIO_QUEUE_NOTIFY,
			.length = sizeof(uint32_t),
			.match_value = true,
			.value = i,
			.eventfd = device->thread.wake_fd,
		};

		r = vm_ioeventfd_add(&machine->vm, &notification);
	}

	return r;
}

/* Give a new device to the bus, which frees it in the end, and a place to it. */
static int attach(struct machine *machine, struct virtio_device *device)
{
	struct machine_window *window = &machine->windows[machine->window_count];
	int r;

	r = bus_add_device(&machine->bus, &device->device);
	if (r < 0) {
		device->device.ops->free(&device->device);
		return r;
	}

	*window = (struct machine_window){
		.device = device,
		.base = VIRTIO_MMIO_WINDOWS_BASE + (uint64_t)machine->window_count * VIRTIO_MMIO_WINDOW,
		.gsi = VIRTIO_MMIO_GSI_BASE + machine->window_count,
	};
	r = bus_add_region(&machine->bus, BUS_MMIO, window->base, VIRTIO_MMIO_WINDOW, 0, &device->device);
	if (r == 0)
		r = vm_irqfd_add(&machine->vm, device->interrupt_fd, -1, window->gsi);
	if (r == 0)
		r = add_notifications(machine, device, window->base);
	if (r == 0)
		machine->window_count++;
	return r;
}

static int add_rng(struct machine *machine, uint32_t instance)
{
	int r = virtio_rng_new(instance, &machine->vm.memory, &machine->rngs[instance]);

	return r < 0 ? r : attach(machine, virtio_rng_device(machine->rngs[instance]));
}

static int add_vsock(struct machine *machine, uint32_t instance)
{
	int r = virtio_vsock_new(instance, &machine->vm.memory, &machine->vsocks[instance]);

	return r < 0 ? r : attach(machine, virtio_vsock_device(machine->vsocks[instance]));
}

static int add_net(struct machine *machine, uint32_t instance)
{
	int r = virtio_net_new(instance, &machine->vm.memory, &machine->nets[instance]);

	return r < 0 ? r : attach(machine, virtio_net_device(machine->nets[instance]));
}

static int add_disk(struct machine *machine, uint32_t instance)
{
	int r = virtio_blk_new(instance, &machine->vm.memory, &machine->disks[instance]);

	return r < 0 ? r : attach(machine, virtio_blk_device(machine->disks[instance]));
}

static int add_balloon(struct machine *machine, uint32_t instance)
{
	int r = virtio_balloon_new(instance, &machine->vm.memory, &machine->balloons[instance]);

	return r < 0 ? r : attach(machine, virtio_balloon_device(machine->balloons[instance]));
}

static int add_kind(struct machine *machine, const char *name, uint32_t count,
		    int (*add)(struct machine *machine, uint32_t instance), struct error_detail *detail)
{
	for (uint32_t i = 0; i < count; i++) {
		int r = add(machine, i);

		if (r < 0) {
			error_detail_set(detail, "device %s %" PRIu32 ": %s", name, i, strerrordesc_np(-r));
			return r;
		}
	}

	return 0;
}

/* The order of windows: a new kind comes last, so that the guests of snapshots find the others where they were. */
int machine_add_virtio(struct machine *machine, struct error_detail *detail)
{
	int r;

	r = add_kind(machine, "virtio_rng", machine->shape.rngs, add_rng, detail);
	if (r == 0)
		r = add_kind(machine, "virtio_vsock", machine->shape.vsocks, add_vsock, detail);
	if (r == 0)
		r = add_kind(machine, "virtio_net", machine->shape.nets, add_net, detail);
	if (r == 0)
		r = add_kind(machine, "virtio_blk", machine->shape.disks, add_disk, detail);
	if (r == 0)
		r = add_kind(machine, "virtio_balloon", machine->shape.balloons, add_balloon, detail);
	return r;
}
