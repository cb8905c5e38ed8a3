/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From warm to running: the request path.
 *
 * A restore maps the sealed state, checks it (whoever made it is not trusted), lays the memory over the reserved range, injects, and lets the
 * vCPUs go. Nothing is parsed and nothing is opened.
 */
#include <errno.h>
#include <sched.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "devices/fw_cfg.h"
#include "devices/machine_linux.h"
#include "kvm/file_status.h"
#include "pool/process/worker_private.h"
#include "snapshot/capture.h"
#include "snapshot/state.h"

#define ENTRY_WAIT_NS UINT64_C(1000000000)

static void no_phases(struct message_phases *phases)
{
	memset(phases, 0, sizeof(*phases));
	for (int i = 0; i < MESSAGE_PHASE_COUNT; i++)
		phases->phases_ns[i] = MESSAGE_PHASE_NONE;
}

/* Wait until the boot vCPU's thread is at its KVM_RUN: it is on its way, and yielding lets it have this processor. */
static uint64_t wait_for_entry(const struct worker *worker, uint64_t since)
{
	uint64_t entered;

	do {
		entered = vcpu_entered_ns(worker->machine->vcpus[0]);
		if (entered >= since)
			return entered;
		(void)sched_yield();
	} while (monotonic_ns() - since < ENTRY_WAIT_NS);
	return 0;
}

static void run_and_answer(struct worker *worker, const struct message *message, struct message_phases *phases)
{
	phases->injected_ns = monotonic_ns();
	if (!message->payload.start.paused) {
		int result = machine_run(worker->machine);

		if (result < 0) {
			child_refuse(worker->channel, message->header.request, DEED_VM, result,
				     "the machine cannot run");
			return;
		}
		phases->entered_ns = wait_for_entry(worker, phases->injected_ns);
		if (phases->entered_ns != 0)
			phases->phases_ns[MESSAGE_PHASE_ENTER] = phases->entered_ns - phases->injected_ns;
	}
	child_answer(worker->channel, MESSAGE_STARTED, message->header.request, phases, NULL);
	report_open(&worker->report);
}

static int boot(struct worker *worker, const struct message *message, struct message_phases *phases,
		struct error_detail *detail)
{
	enum entry_mode entry = (enum entry_mode)message->payload.start.entry;
	uint64_t begun = monotonic_ns();
	int result;

	if (!entry_mode_name(entry)) {
		error_detail_set(detail, "entry: no such mode");
		return -EINVAL;
	}
	result = machine_boot_image(worker->machine, message->fds[0], entry, detail);
	phases->phases_ns[MESSAGE_PHASE_MEMORY_MAP] = monotonic_ns() - begun;
	return result;
}

static int boot_linux(struct worker *worker, struct message_phases *phases, struct error_detail *detail)
{
	const struct pool_kernel *kernel = &worker->kernel;
	const struct machine_linux_options options = {
		.kernel = kernel->image,
		.entry = kernel->entry,
		.initrd = kernel->initrd,
		.cmdline = kernel->cmdline,
	};
	uint64_t begun = monotonic_ns();
	int result;

	result = machine_boot_linux(worker->machine, &options, detail);
	phases->phases_ns[MESSAGE_PHASE_MEMORY_MAP] = monotonic_ns() - begun;
	(void)close(kernel->image);
	if (kernel->initrd >= 0)
		(void)close(kernel->initrd);
	return result;
}

static int map_state(int file, const struct vm_state **ret_state, struct error_detail *detail)
{
	struct stat status;
	void *mapped;

	if (file_status(file, &status) < 0)
		return -errno;
	if (status.st_size != sizeof(struct vm_state)) {
		error_detail_set(detail, "the state has %lld bytes, not %zu", (long long)status.st_size,
				 sizeof(struct vm_state));
		return -EINVAL;
	}
	mapped = mmap(NULL, sizeof(struct vm_state), PROT_READ, MAP_SHARED, file, 0);
	if (mapped == MAP_FAILED)
		return -errno;

	*ret_state = mapped;
	return 0;
}

static int inject(struct worker *worker, const struct message *message, struct inject_times *ret_times,
		  struct error_detail *detail)
{
	const struct inject_options options = {
		.clock = message->payload.start.jump_clock ? INJECT_CLOCK_HOST : INJECT_CLOCK_CONTINUE,
	};
	const struct vm_state *state = NULL;
	int result;

	result = map_state(message->fds[1], &state, detail);
	if (result < 0)
		return result;
	result = vm_state_check(state, detail);
	if (result == 0)
		result = snapshot_inject(worker->machine, state, message->fds[0], &options, ret_times, detail);
	(void)munmap((void *)state, sizeof(*state));
	return result;
}

/* A guest that was ready when its snapshot was taken is ready now: nobody need wait for what it has said already. */
static void report_ready_of_snapshot(struct worker *worker)
{
	struct signal_record ready;

	signal_port_record(worker->machine->signal_port, SIGNAL_READY, &ready);
	if (ready.count > 0)
		report_signalled(&worker->report, SIGNAL_READY, &ready);
}

static int restore(struct worker *worker, struct message *message, struct message_phases *phases,
		   struct error_detail *detail)
{
	struct inject_times times = { 0 };
	int result;

	result = inject(worker, message, &times, detail);
	if (result < 0)
		return result;

	report_ready_of_snapshot(worker);
	worker->memory_file = message_steal_fd(message, 0);
	worker->memory_size = worker->machine->shape.memory_size;
	phases->phases_ns[MESSAGE_PHASE_MEMORY_MAP] = times.memory_map_ns;
	phases->phases_ns[MESSAGE_PHASE_VCPU_STATE] = times.vcpu_ns;
	phases->phases_ns[MESSAGE_PHASE_IRQCHIP_STATE] = times.irqchip_ns;
	phases->phases_ns[MESSAGE_PHASE_DEVICE_STATE] += times.devices_ns; /* to their configuration */
	phases->phases_ns[MESSAGE_PHASE_CLOCK] = times.clock_ns;
	return 0;
}

/* Everything between the configuration of the devices and the run. */
static int prepare(struct worker *worker, struct message *message, struct message_phases *phases,
		   struct error_detail *detail)
{
	const struct pool_devices *devices = &worker->devices;
	int result;

	if (message->header.type == MESSAGE_RESTORE)
		result = restore(worker, message, phases, detail);
	else if (message->header.type == MESSAGE_BOOT_LINUX)
		result = boot_linux(worker, phases, detail);
	else
		result = boot(worker, message, phases, detail);
	/* A restore has brought the snapshot's. */
	if (result == 0 && devices->has_metadata)
		result = fw_cfg_set_metadata(worker->machine->fw_cfg, devices->metadata, devices->metadata_size);
	return result;
}

bool worker_start(struct worker *worker, struct message *message)
{
	struct error_detail detail = { "" };
	struct message_phases phases;
	uint64_t begun = monotonic_ns();
	int result;

	if (!worker_has_gathered(worker) || worker->has_kernel != (message->header.type == MESSAGE_BOOT_LINUX))
		return false;
	worker->started = true;
	no_phases(&phases);
	result = worker_configure(worker, &detail);
	phases.phases_ns[MESSAGE_PHASE_DEVICE_STATE] = monotonic_ns() - begun;
	if (result == 0)
		result = prepare(worker, message, &phases, &detail);
	if (result < 0)
		child_refuse(worker->channel, message->header.request,
			     message->header.type == MESSAGE_RESTORE ? DEED_RESTORE : DEED_BOOT, result, detail.text);
	else
		run_and_answer(worker, message, &phases);
	return true;
}
