/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a VM is given: gathered message by message before its start, and handed to the machine's devices when that comes.
 *
 * A message that does not fit what was said before (an index out of order, a device that the machine has not got, a device twice) comes from
 * a supervisor that has lost count, and ends the process. Whether a file, a socket or a number can be used is for the device to say: its
 * refusal is the answer to the start, with the device's name before it.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "devices/virtio/balloon/balloon.h"
#include "devices/virtio/blk/blk.h"
#include "devices/virtio/net/net.h"
#include "devices/virtio/rng.h"
#include "devices/virtio/vsock/vsock.h"
#include "pool/process/worker_private.h"

#define BALLOON_PAGES_PER_MIB (UINT32_C(0x100000) / BALLOON_PAGE)

_Static_assert(MESSAGE_SERIAL_SIZE >= POOL_SERIAL_SIZE, "a serial fits its message");
_Static_assert(MESSAGE_BALLOON_STATISTICS == BALLOON_STATISTICS, "a message holds what a balloon knows");

/* ---- gathering ---- */

static bool is_terminated(const char *text, size_t size)
{
	return memchr(text, '\0', size) != NULL;
}

static bool gather_drive(struct worker *worker, struct message *message)
{
	const struct message_drive *given = &message->payload.drive;
	struct pool_devices *devices = &worker->devices;
	struct pool_drive *drive;

	if (given->index != devices->drive_count || given->index >= worker->machine->shape.disks ||
	    !is_terminated(given->serial, POOL_SERIAL_SIZE))
		return false;
	drive = &devices->drives[devices->drive_count++];
	*drive = (struct pool_drive){
		.image = message_steal_fd(message, 0),
		.base = -1,
		.overlay = -1,
		.overlay_limit = given->overlay_limit,
		.read_only = given->read_only != 0,
		.limit = given->limit,
	};
	memcpy(drive->serial, given->serial, sizeof(drive->serial));
	return true;
}

static bool gather_overlay(struct worker *worker, struct message *message)
{
	const struct message_drive_overlay *given = &message->payload.drive_overlay;
	struct pool_devices *devices = &worker->devices;
	struct pool_drive *drive;
	int *layer;

	if (devices->drive_count == 0 || given->index != devices->drive_count - 1 ||
	    given->layer >= MESSAGE_LAYER_COUNT)
		return false;
	drive = &devices->drives[given->index];
	layer = given->layer == MESSAGE_LAYER_BASE ? &drive->base : &drive->overlay;
	if (*layer >= 0)
		return false;
	*layer = message_steal_fd(message, 0);
	return true;
}

static bool gather_net(struct worker *worker, struct message *message)
{
	const struct message_net *given = &message->payload.net;
	struct pool_devices *devices = &worker->devices;
	struct pool_net *net;

	if (given->index != devices->net_count || given->index >= worker->machine->shape.nets)
		return false;
	net = &devices->nets[devices->net_count++];
	*net = (struct pool_net){
		.tap = message_steal_fd(message, 0),
		.offloads = given->offloads != 0,
		.to_guest = given->to_guest,
		.from_guest = given->from_guest,
	};
	memcpy(net->mac, given->mac, sizeof(net->mac));
	return true;
}

static bool gather_vsock(struct worker *worker, struct message *message)
{
	struct pool_devices *devices = &worker->devices;

	if (devices->has_vsock || worker->machine->shape.vsocks == 0)
		return false;
	devices->has_vsock = true;
	devices->vsock = (struct pool_vsock){ .listener = -1, .cid = message->payload.vsock.cid };
	if (message->fd_count > 0)
		devices->vsock.listener = message_steal_fd(message, 0);
	return true;
}

static bool gather_rng(struct worker *worker, const struct message *message)
{
	struct pool_devices *devices = &worker->devices;

	if (devices->has_rng || worker->machine->shape.rngs == 0)
		return false;
	devices->has_rng = true;
	devices->rng = message->payload.rng;
	return true;
}

static bool gather_balloon(struct worker *worker, const struct message *message)
{
	const struct message_balloon *given = &message->payload.balloon;
	struct pool_devices *devices = &worker->devices;

	if (devices->has_balloon || worker->machine->shape.balloons == 0)
		return false;
	devices->has_balloon = true;
	devices->balloon = (struct pool_balloon){
		.deflate_on_oom = given->deflate_on_oom != 0,
		.free_page_reporting = given->free_page_reporting != 0,
		.target_mib = given->target_mib,
	};
	return true;
}

static bool gather_metadata(struct worker *worker, const struct message *message)
{
	const struct message_metadata *given = &message->payload.metadata;
	struct pool_devices *devices = &worker->devices;

	if (devices->has_metadata || given->size > sizeof(devices->metadata))
		return false;
	devices->has_metadata = true;
	devices->metadata_size = given->size;
	memcpy(devices->metadata, given->data, given->size);
	return true;
}

static bool gather_kernel(struct worker *worker, struct message *message)
{
	const struct message_kernel *given = &message->payload.kernel;
	struct pool_kernel *kernel = &worker->kernel;

	if (worker->has_kernel || !is_terminated(given->cmdline, sizeof(given->cmdline)))
		return false;
	worker->has_kernel = true;
	*kernel = (struct pool_kernel){
		.image = message_steal_fd(message, 0),
		.initrd = -1,
		.entry = (enum kernel_entry)given->entry,
	};
	memcpy(kernel->cmdline, given->cmdline, sizeof(kernel->cmdline));
	return true;
}

static bool gather_initrd(struct worker *worker, struct message *message)
{
	if (!worker->has_kernel || worker->kernel.initrd >= 0)
		return false;
	worker->kernel.initrd = message_steal_fd(message, 0);
	return true;
}

bool worker_gather(struct worker *worker, struct message *message)
{
	switch (message->header.type) {
	case MESSAGE_DRIVE:
		return gather_drive(worker, message);
	case MESSAGE_DRIVE_OVERLAY:
		return gather_overlay(worker, message);
	case MESSAGE_NET:
		return gather_net(worker, message);
	case MESSAGE_VSOCK:
	case MESSAGE_VSOCK_NO_LISTENER:
		return gather_vsock(worker, message);
	case MESSAGE_RNG:
		return gather_rng(worker, message);
	case MESSAGE_BALLOON:
		return gather_balloon(worker, message);
	case MESSAGE_METADATA:
		return gather_metadata(worker, message);
	case MESSAGE_KERNEL:
		return gather_kernel(worker, message);
	case MESSAGE_INITRD:
		return gather_initrd(worker, message);
	default:
		return false;
	}
}

bool worker_has_gathered(const struct worker *worker)
{
	const struct machine_shape *shape = &worker->machine->shape;
	const struct pool_devices *devices = &worker->devices;

	return devices->drive_count == shape->disks && devices->net_count == shape->nets &&
	       devices->has_vsock == (shape->vsocks > 0) && devices->has_rng == (shape->rngs > 0) &&
	       devices->has_balloon == (shape->balloons > 0);
}

/* ---- handing over ---- */

/* The device's name before the reason why it was refused. */
static void blame(const char *name, int error, struct error_detail *detail)
{
	struct error_detail reason = *detail;

	if (reason.text[0] == '\0')
		error_detail_set(&reason, "%s", strerror(-error));
	error_detail_set(detail, "%s: %s", name, reason.text);
}

void worker_blame(const char *kind, uint32_t index, int error, struct error_detail *detail)
{
	char name[32];

	(void)snprintf(name, sizeof(name), "%s[%u]", kind, index);
	blame(name, error, detail);
}

static int configure_drives(struct worker *worker, struct error_detail *detail)
{
	for (uint32_t i = 0; i < worker->devices.drive_count; i++) {
		const struct pool_drive *drive = &worker->devices.drives[i];
		struct virtio_blk_options options = {
			.disk = { .image = drive->image,
				  .base = drive->base,
				  .overlay = drive->overlay,
				  .overlay_limit = drive->overlay_limit,
				  .read_only = drive->read_only },
			.serial = drive->serial,
			.limit = drive->limit,
		};
		int result = virtio_blk_configure(worker->machine->disks[i], &options, detail);

		if (result < 0) {
			worker_blame("drives", i, result, detail);
			return result;
		}
	}
	return 0;
}

static int configure_nets(struct worker *worker, struct error_detail *detail)
{
	for (uint32_t i = 0; i < worker->devices.net_count; i++) {
		const struct pool_net *net = &worker->devices.nets[i];
		struct virtio_net_options options = {
			.tap = net->tap,
			.offloads = net->offloads,
			.to_guest = net->to_guest,
			.from_guest = net->from_guest,
		};
		int result;

		memcpy(options.mac, net->mac, sizeof(options.mac));
		result = virtio_net_configure(worker->machine->nets[i], &options, detail);
		if (result < 0) {
			worker_blame("net", i, result, detail);
			return result;
		}
	}
	return 0;
}

/* On the device's thread. A guest that asks faster than can be told of is refused at once. */
static void vsock_connect(void *opaque, uint32_t port, uint64_t cookie)
{
	struct worker *worker = opaque;

	if (!report_vsock_connect(&worker->report, port, cookie))
		virtio_vsock_connected(worker->machine->vsocks[0], cookie, -ECONNREFUSED);
}

static int configure_vsock(struct worker *worker, struct error_detail *detail)
{
	const struct virtio_vsock_options options = {
		.guest_cid = worker->devices.vsock.cid,
		.listener = worker->devices.vsock.listener,
		.connect = vsock_connect,
		.opaque = worker,
	};
	int result;

	if (!worker->devices.has_vsock)
		return 0;
	result = virtio_vsock_configure(worker->machine->vsocks[0], &options, detail);
	if (result < 0)
		blame("vsock", result, detail);
	return result;
}

static int configure_rng(struct worker *worker, struct error_detail *detail)
{
	int result;

	if (!worker->devices.has_rng)
		return 0;
	result = virtio_rng_configure(worker->machine->rngs[0], &worker->devices.rng);
	if (result < 0)
		blame("rng", result, detail);
	return result;
}

/* The device has 32 bits for pages: what is more is refused as the device refuses what is more than the guest has. */
static int balloon_pages(uint32_t mib, uint32_t *ret_pages, struct error_detail *detail)
{
	if (mib > UINT32_MAX / BALLOON_PAGES_PER_MIB) {
		error_detail_set(detail, "target: %u MiB are more than the guest has", mib);
		return -EINVAL;
	}
	*ret_pages = mib * BALLOON_PAGES_PER_MIB;
	return 0;
}

static int configure_balloon(struct worker *worker, struct error_detail *detail)
{
	const struct pool_balloon *balloon = &worker->devices.balloon;
	struct virtio_balloon_options options = {
		.deflate_on_oom = balloon->deflate_on_oom,
		.free_page_reporting = balloon->free_page_reporting,
		.statistics = true,
	};
	int result;

	if (!worker->devices.has_balloon)
		return 0;
	result = balloon_pages(balloon->target_mib, &options.target_pages, detail);
	if (result == 0)
		result = virtio_balloon_configure(worker->machine->balloons[0], &options, detail);
	if (result < 0)
		blame("balloon", result, detail);
	return result;
}

int worker_configure(struct worker *worker, struct error_detail *detail)
{
	int result;

	result = configure_drives(worker, detail);
	if (result == 0)
		result = configure_nets(worker, detail);
	if (result == 0)
		result = configure_vsock(worker, detail);
	if (result == 0)
		result = configure_rng(worker, detail);
	if (result == 0)
		result = configure_balloon(worker, detail);
	return result;
}

/* ---- while the VM lives ---- */

static void fill_balloon_status(struct virtio_balloon *balloon, struct message_balloon_status *ret_status)
{
	struct virtio_balloon_status status;

	virtio_balloon_read(balloon, &status);
	*ret_status = (struct message_balloon_status){
		.target_bytes = (uint64_t)status.target_pages * BALLOON_PAGE,
		.actual_bytes = (uint64_t)status.actual_pages * BALLOON_PAGE,
		.reported_bytes = status.reported_bytes,
		.statistics_ns = status.statistics_ns,
		.statistics_known = status.statistics_known,
	};
	memcpy(ret_status->statistics, status.statistics, sizeof(ret_status->statistics));
}

void worker_ask_balloon(struct worker *worker, const struct message *message)
{
	const struct message_balloon_ask *ask = &message->payload.balloon_ask;
	struct error_detail detail = { "" };
	struct message_balloon_status status;
	struct virtio_balloon *balloon = worker->machine->balloons[0];
	uint32_t pages, previous_mib = 0;
	int result = balloon ? 0 : -ENODEV;

	if (result == 0) {
		fill_balloon_status(balloon, &status);
		previous_mib = (uint32_t)(status.target_bytes / BALLOON_PAGE / BALLOON_PAGES_PER_MIB);
	}
	if (result == 0 && ask->has_target) {
		result = balloon_pages(ask->target_mib, &pages, &detail);
		if (result == 0)
			result = virtio_balloon_set_target(balloon, pages);
		if (result == -EINVAL)
			error_detail_set(&detail, "target: %u MiB are more than the guest has", ask->target_mib);
	}
	if (result < 0) {
		blame("balloon", result, &detail);
		child_refuse(worker->channel, message->header.request, DEED_VM, result, detail.text);
		return;
	}

	(void)virtio_balloon_ask_statistics(balloon); /* for the next time; a guest need not give any */
	fill_balloon_status(balloon, &status);
	status.previous_target_mib = previous_mib;
	child_answer(worker->channel, MESSAGE_BALLOON_STATUS, message->header.request, &status, NULL);
}

bool worker_answer_vsock(struct worker *worker, struct message *message)
{
	struct virtio_vsock *vsock = worker->machine->vsocks[0];
	int socket = -ECONNREFUSED;

	if (!vsock)
		return false;
	if (message->header.type == MESSAGE_VSOCK_CONNECTED)
		socket = message_steal_fd(message, 0);
	virtio_vsock_connected(vsock, message->payload.vsock_answer.cookie, socket);
	return true;
}
