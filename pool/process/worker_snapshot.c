/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Taking a snapshot: pause, capture, write into the descriptors that came with the request, and go on or not.
 *
 * The guest stands still from the pause until its memory is written and the overlays of its drives are copied, so that all files are of
 * one instant. Syncing and naming them is
 * the supervisor's business: a worker cannot open or rename anything.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "devices/virtio/blk/blk.h"
#include "kvm/cleanup.h"
#include "pool/process/worker_private.h"
#include "snapshot/capture.h"
#include "snapshot/memory_file.h"
#include "snapshot/state_json.h"

/* How far it is: memory and overlays as one. */
struct progress {
	struct child_progress child;
	uint64_t before; /* bytes of what was done before the present part */
	uint64_t total;
};

static int memory_advanced(void *opaque, uint64_t done, uint64_t total)
{
	struct progress *progress = opaque;

	(void)total;
	return child_advanced(&progress->child, progress->before + done, progress->total);
}

static void overlay_advanced(void *opaque, uint64_t bytes)
{
	struct progress *progress = opaque;

	progress->before += bytes;
	(void)child_advanced(&progress->child, progress->before, progress->total);
}

/* ---- overlays ---- */

void worker_forget_overlays(struct worker_overlays *overlays)
{
	for (uint32_t i = 0; i < MACHINE_DISKS_MAX; i++) {
		if (overlays->next > 0 && overlays->files[i] >= 0)
			(void)close(overlays->files[i]);
		overlays->files[i] = -1;
	}
	overlays->next = 0;
}

bool worker_gather_overlay(struct worker *worker, struct message *message)
{
	struct worker_overlays *overlays = &worker->overlays;
	uint32_t index = message->payload.snapshot_overlay.index;

	/* Left of a snapshot that could not be asked for after all. */
	if (overlays->request != message->header.request)
		worker_forget_overlays(overlays);
	overlays->request = message->header.request;
	if (index < overlays->next || index >= worker->machine->shape.disks)
		return false;
	overlays->files[index] = message_steal_fd(message, 0);
	overlays->next = index + 1;
	return true;
}

/* Add how many bytes of overlays there are to copy. */
static int count_overlays(struct worker *worker, uint64_t *total, struct error_detail *detail)
{
	for (uint32_t i = 0; i < worker->machine->shape.disks; i++) {
		uint64_t bytes;
		int result;

		if (worker->overlays.files[i] < 0)
			continue;
		result = virtio_blk_count_overlays(worker->machine->disks[i], &bytes, detail);
		if (result < 0) {
			worker_blame("drives", i, result, detail);
			return result;
		}
		*total += bytes;
	}
	return 0;
}

static int copy_overlays(struct worker *worker, struct progress *progress, uint64_t *ret_ns,
			 struct error_detail *detail)
{
	const struct disk_progress disk_progress = { .opaque = progress, .advanced = overlay_advanced };
	uint64_t begun = monotonic_ns();
	int result = 0;

	for (uint32_t i = 0; i < worker->machine->shape.disks && result == 0; i++) {
		if (worker->overlays.files[i] < 0)
			continue;
		result = virtio_blk_copy_overlay(worker->machine->disks[i], worker->overlays.files[i], &disk_progress,
						 detail);
		if (result < 0)
			worker_blame("drives", i, result, detail);
	}
	*ret_ns = monotonic_ns() - begun;
	return result;
}

/* ---- all of it ---- */

/* Everything of a paused machine to its files; times so far in ret_done. */
static int write_files(struct worker *worker, const struct message *message, struct message_snapshot_done *ret_done,
		       struct error_detail *detail)
{
	struct machine *machine = worker->machine;
	struct progress progress = {
		.child = { .channel = worker->channel, .request = message->header.request },
		.total = machine->vm.memory.size,
	};
	struct memory_progress memory_progress = { .opaque = &progress, .advanced = memory_advanced };
	struct capture_times times = { 0 };
	cleanup_free struct vm_state *state = malloc(sizeof(*state));
	cleanup_free struct memory_checksums *checksums = calloc(1, sizeof(*checksums));
	struct snapshot_metadata metadata = {
		.ember_version = EMBER_VERSION,
		.host_tsc_khz = machine->vm.host->tsc_khz,
		.host_xsave_size = machine->vm.host->xsave_size,
	};
	uint64_t crc64;
	uint64_t begun;
	int result;

	if (!state || !checksums)
		return -ENOMEM;
	result = count_overlays(worker, &progress.total, detail);
	if (result == 0)
		result = snapshot_capture(machine, state, &times, detail);
	if (result < 0)
		return result;
	ret_done->vcpu_ns = times.vcpu_ns;
	ret_done->irqchip_ns = times.irqchip_ns;
	ret_done->clock_ns = times.clock_ns;
	ret_done->devices_ns = times.devices_ns;

	begun = monotonic_ns();
	result = memory_file_write(message->fds[1], machine->vm.memory.host, machine->vm.memory.size, &memory_progress,
				   checksums, &ret_done->data_bytes, detail);
	if (result < 0)
		return result;
	ret_done->memory_bytes = machine->vm.memory.size;
	ret_done->memory_ns = monotonic_ns() - begun;
	progress.before = machine->vm.memory.size;

	result = copy_overlays(worker, &progress, &ret_done->overlays_ns, detail);
	if (result < 0)
		return result;

	begun = monotonic_ns();
	result = state_json_write(message->fds[0], state, &metadata, checksums, &crc64, detail);
	ret_done->state_ns = monotonic_ns() - begun;
	return result;
}

void worker_snapshot(struct worker *worker, struct message *message)
{
	struct machine *machine = worker->machine;
	bool was_running = machine->running;
	bool run_again = was_running;
	struct message_snapshot_done done = { 0 };
	struct error_detail detail = { "" };
	uint64_t begun = monotonic_ns();
	int result;

	if (worker->overlays.request != message->header.request)
		worker_forget_overlays(&worker->overlays);
	if (worker->exited) {
		child_refuse(worker->channel, message->header.request, DEED_VM, -ESHUTDOWN, "the VM has exited");
		return;
	}
	machine_pause(machine);
	done.pause_ns = monotonic_ns() - begun;
	/* Its end may have come meanwhile, and be on its way to the supervisor: nobody wants that kept. */
	if (machine_has_exited(machine)) {
		worker_forget_overlays(&worker->overlays);
		child_refuse(worker->channel, message->header.request, DEED_VM, -ESHUTDOWN, "the VM has exited");
		return;
	}

	result = write_files(worker, message, &done, &detail);
	worker_forget_overlays(&worker->overlays);
	if (result == 0)
		run_again = was_running && message->payload.snapshot.resume;
	if (run_again && machine_resume(machine) == 0)
		done.running = 1;

	if (result < 0)
		child_refuse(worker->channel, message->header.request, DEED_CAPTURE, result, detail.text);
	else
		child_answer(worker->channel, MESSAGE_SNAPSHOT_DONE, message->header.request, &done, NULL);
}
