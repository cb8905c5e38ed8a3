/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Taking a snapshot: pause, capture, write both files into the descriptors that came with the request, and go on or not.
 *
 * The guest stands still from the pause until its memory is written, so that the two files are of one instant. Syncing and naming them is
 * the supervisor's business: a worker cannot open or rename anything.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kvm/cleanup.h"
#include "pool/process/worker_private.h"
#include "snapshot/capture.h"
#include "snapshot/memory_file.h"
#include "snapshot/state_json.h"

/* Everything of a paused machine to its files; times so far in ret_done. */
static int write_files(struct worker *worker, const struct message *message, struct message_snapshot_done *ret_done,
		       struct error_detail *detail)
{
	struct machine *machine = worker->machine;
	struct child_progress progress = { .channel = worker->channel, .request = message->header.request };
	struct memory_progress memory_progress = { .opaque = &progress, .advanced = child_advanced };
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

	if (worker->exited) {
		child_refuse(worker->channel, message->header.request, -ESHUTDOWN, "the VM has exited");
		return;
	}
	machine_pause(machine);
	done.pause_ns = monotonic_ns() - begun;

	result = write_files(worker, message, &done, &detail);
	if (result == 0)
		run_again = was_running && message->payload.snapshot.resume;
	if (run_again && machine_resume(machine) == 0)
		done.running = 1;

	if (result < 0)
		child_refuse(worker->channel, message->header.request, result,
			     detail.text[0] != '\0' ? detail.text : strerror(-result));
	else
		child_answer(worker->channel, MESSAGE_SNAPSHOT_DONE, message->header.request, &done, NULL);
}
