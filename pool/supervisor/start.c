/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a start carries: checked, copied, and told to a worker.
 *
 * A worker is told in a row of messages, one a device, of which the last one makes it start. They are sent without waiting: a worker that is
 * warm has read all that it was sent, and its socket has room for many times a whole row. A row that breaks off all the same leaves
 * a worker that knows a part of what it will be, of no use to anybody else: see request_begin().
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "pool/supervisor/internal.h"

#define FILES_MAX (5 + 3 * MACHINE_DISKS_MAX + MACHINE_NETS_MAX + 1)

/* ---- checking ---- */

static const struct pool_devices no_devices;

static const struct pool_devices *devices_of(const struct pool_start *start)
{
	return start->devices ? start->devices : &no_devices;
}

static int check_count(const char *name, uint32_t given, uint32_t wanted, struct error_detail *detail)
{
	if (given == wanted)
		return 0;
	error_detail_set(detail, "%s: %u are given to a machine of %u", name, given, wanted);
	return -EINVAL;
}

static int check_devices(const struct machine_shape *shape, const struct pool_devices *devices,
			 struct error_detail *detail)
{
	int result;

	result = check_count("drives", devices->drive_count, shape->disks, detail);
	if (result == 0)
		result = check_count("net", devices->net_count, shape->nets, detail);
	if (result == 0)
		result = check_count("vsock", devices->has_vsock, shape->vsocks, detail);
	if (result == 0)
		result = check_count("rng", devices->has_rng, shape->rngs, detail);
	if (result == 0)
		result = check_count("balloon", devices->has_balloon, shape->balloons, detail);
	if (result == 0 && devices->metadata_size > POOL_METADATA_SIZE) {
		error_detail_set(detail, "metadata: %u bytes are more than %d", devices->metadata_size,
				 POOL_METADATA_SIZE);
		result = -EINVAL;
	}
	return result;
}

static bool is_terminated(const char *text, size_t size)
{
	return memchr(text, '\0', size) != NULL;
}

static int check_texts(const struct pool_start *start, struct error_detail *detail)
{
	const struct pool_devices *devices = devices_of(start);

	for (uint32_t i = 0; i < devices->drive_count; i++) {
		if (!is_terminated(devices->drives[i].serial, sizeof(devices->drives[i].serial))) {
			error_detail_set(detail, "drives[%u]: serial: too long", i);
			return -EINVAL;
		}
	}
	if (start->kernel && !is_terminated(start->kernel->cmdline, sizeof(start->kernel->cmdline))) {
		error_detail_set(detail, "kernel: cmdline: too long");
		return -EINVAL;
	}
	return 0;
}

/* Those without which a start makes no sense. */
static int check_files(const struct pool_start *start, struct error_detail *detail)
{
	const struct pool_devices *devices = devices_of(start);
	bool given;

	if (start->restore)
		given = start->memory >= 0 && start->state >= 0;
	else
		given = (start->kernel ? start->kernel->image : start->image) >= 0;
	for (uint32_t i = 0; i < devices->drive_count; i++)
		given = given && devices->drives[i].image >= 0;
	for (uint32_t i = 0; i < devices->net_count; i++)
		given = given && devices->nets[i].tap >= 0;
	if (given)
		return 0;
	error_detail_set(detail, "a file is missing");
	return -EINVAL;
}

int start_check(const struct pool_start *start, struct error_detail *detail)
{
	int result;

	result = machine_shape_check(&start->shape, detail);
	if (result == 0)
		result = check_devices(&start->shape, devices_of(start), detail);
	if (result == 0)
		result = check_texts(start, detail);
	if (result == 0)
		result = check_files(start, detail);
	return result;
}

/* ---- copying ---- */

/* Where a start keeps descriptors, -1 those that it has not. Returns how many. */
static size_t list_files(struct pool_start *start, int *ret_files[FILES_MAX])
{
	struct pool_devices *devices = (struct pool_devices *)start->devices;
	struct pool_kernel *kernel = (struct pool_kernel *)start->kernel;
	size_t count = 0;

	ret_files[count++] = &start->image;
	ret_files[count++] = &start->memory;
	ret_files[count++] = &start->state;
	if (kernel) {
		ret_files[count++] = &kernel->image;
		ret_files[count++] = &kernel->initrd;
	}
	for (uint32_t i = 0; devices && i < devices->drive_count; i++) {
		ret_files[count++] = &devices->drives[i].image;
		ret_files[count++] = &devices->drives[i].base;
		ret_files[count++] = &devices->drives[i].overlay;
	}
	for (uint32_t i = 0; devices && i < devices->net_count; i++)
		ret_files[count++] = &devices->nets[i].tap;
	if (devices && devices->has_vsock)
		ret_files[count++] = &devices->vsock.listener;
	return count;
}

/* What this kind of start makes no use of is not kept. */
static void drop_unused(struct pool_start *start)
{
	if (start->restore) {
		start->kernel = NULL;
		start->image = -1;
	} else {
		start->memory = start->state = -1;
		if (start->kernel)
			start->image = -1;
	}
}

static int copy_structures(struct pool_start *start)
{
	struct pool_devices *devices = start->devices ? malloc(sizeof(*devices)) : NULL;
	struct pool_kernel *kernel = start->kernel ? malloc(sizeof(*kernel)) : NULL;

	if ((start->devices && !devices) || (start->kernel && !kernel)) {
		free(devices);
		free(kernel);
		return -ENOMEM;
	}
	if (devices)
		*devices = *start->devices;
	if (kernel)
		*kernel = *start->kernel;
	start->devices = devices;
	start->kernel = kernel;
	return 0;
}

int start_copy(const struct pool_start *start, struct pool_start *ret_copy)
{
	struct pool_start copy = *start;
	int *files[FILES_MAX];
	size_t count;
	int result;

	drop_unused(&copy);
	result = copy_structures(&copy);
	if (result < 0)
		return result;

	count = list_files(&copy, files);
	for (size_t i = 0; i < count; i++) {
		if (*files[i] < 0)
			continue;
		*files[i] = result == 0 ? fcntl(*files[i], F_DUPFD_CLOEXEC, 0) : -1;
		if (*files[i] < 0 && result == 0)
			result = -errno;
	}
	if (result < 0) {
		start_release(&copy);
		return result;
	}

	*ret_copy = copy;
	return 0;
}

void start_release(struct pool_start *start)
{
	int *files[FILES_MAX];
	size_t count = list_files(start, files);

	for (size_t i = 0; i < count; i++) {
		if (*files[i] >= 0)
			(void)close(*files[i]);
		*files[i] = -1;
	}
	free((void *)start->devices);
	free((void *)start->kernel);
	start->devices = NULL;
	start->kernel = NULL;
}

/* ---- telling ---- */

/* A row of messages, which ends at the first that cannot be sent. */
struct row {
	struct process *process;
	uint64_t request;
	uint32_t sent;
	int result;
};

static void tell(struct row *row, enum message_type type, const void *payload, const int *fds)
{
	if (row->result < 0)
		return;
	row->result = process_send(row->process, type, row->request, payload, fds);
	if (row->result == 0)
		row->sent++;
}

static void tell_layer(struct row *row, uint32_t index, enum message_layer layer, int file)
{
	struct message_drive_overlay message = { .index = index, .layer = layer };

	if (file >= 0)
		tell(row, MESSAGE_DRIVE_OVERLAY, &message, &file);
}

static void tell_drive(struct row *row, uint32_t index, const struct pool_drive *drive)
{
	struct message_drive message = {
		.index = index,
		.read_only = drive->read_only,
		.overlay_limit = drive->overlay_limit,
		.limit = drive->limit,
	};

	memcpy(message.serial, drive->serial, sizeof(drive->serial));
	tell(row, MESSAGE_DRIVE, &message, &drive->image);
	tell_layer(row, index, MESSAGE_LAYER_BASE, drive->base);
	tell_layer(row, index, MESSAGE_LAYER_OVERLAY, drive->overlay);
}

static void tell_net(struct row *row, uint32_t index, const struct pool_net *net)
{
	struct message_net message = {
		.index = index,
		.offloads = net->offloads,
		.to_guest = net->to_guest,
		.from_guest = net->from_guest,
	};

	memcpy(message.mac, net->mac, sizeof(net->mac));
	tell(row, MESSAGE_NET, &message, &net->tap);
}

static void tell_metadata(struct row *row, const struct pool_devices *devices)
{
	struct message_metadata message = { .size = devices->metadata_size };

	memcpy(message.data, devices->metadata, devices->metadata_size);
	tell(row, MESSAGE_METADATA, &message, NULL);
}

static void tell_devices(struct row *row, const struct pool_devices *devices)
{
	const struct pool_vsock *vsock = &devices->vsock;
	const struct message_vsock vsock_message = { .cid = vsock->cid };
	const struct message_balloon balloon = {
		.deflate_on_oom = devices->balloon.deflate_on_oom,
		.free_page_reporting = devices->balloon.free_page_reporting,
		.target_mib = devices->balloon.target_mib,
	};

	for (uint32_t i = 0; i < devices->drive_count; i++)
		tell_drive(row, i, &devices->drives[i]);
	for (uint32_t i = 0; i < devices->net_count; i++)
		tell_net(row, i, &devices->nets[i]);
	if (devices->has_vsock)
		tell(row, vsock->listener >= 0 ? MESSAGE_VSOCK : MESSAGE_VSOCK_NO_LISTENER, &vsock_message,
		     &vsock->listener);
	if (devices->has_rng)
		tell(row, MESSAGE_RNG, &devices->rng, NULL);
	if (devices->has_balloon)
		tell(row, MESSAGE_BALLOON, &balloon, NULL);
	if (devices->has_metadata)
		tell_metadata(row, devices);
}

static void tell_kernel(struct row *row, const struct pool_kernel *kernel)
{
	struct message_kernel message = { .entry = (uint32_t)kernel->entry };

	memcpy(message.cmdline, kernel->cmdline, strlen(kernel->cmdline));
	tell(row, MESSAGE_KERNEL, &message, &kernel->image);
	if (kernel->initrd >= 0)
		tell(row, MESSAGE_INITRD, NULL, &kernel->initrd);
}

int start_tell(const struct pool_start *start, struct process *process, uint64_t request, bool *ret_partly)
{
	const struct message_start message = {
		.entry = (uint32_t)start->entry,
		.paused = start->paused,
		.jump_clock = start->clock == INJECT_CLOCK_HOST,
	};
	const int files[2] = { start->memory, start->state };
	struct row row = { .process = process, .request = request };

	tell_devices(&row, devices_of(start));
	if (start->restore) {
		tell(&row, MESSAGE_RESTORE, &message, files);
	} else if (start->kernel) {
		tell_kernel(&row, start->kernel);
		tell(&row, MESSAGE_BOOT_LINUX, &message, NULL);
	} else {
		tell(&row, MESSAGE_BOOT, &message, &start->image);
	}

	*ret_partly = row.result < 0 && row.sent > 0;
	return row.result;
}
