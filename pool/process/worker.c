/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The worker's life: built, confined, warm, then whatever its channel says.
 *
 * Its main thread does nothing but answer the channel and send what vCPU threads could not; vCPUs run on threads of their own, made
 * before the filter is loaded, since no thread can be made after. Every file that it works on comes over the channel.
 */
#include "pool/process/worker.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "devices/power.h"
#include "devices/virtio/blk/overlay.h"
#include "devices/virtio/virtio.h"
#include "kvm/file_status.h"
#include "pool/process/exit_status.h"
#include "pool/process/worker_private.h"
#include "snapshot/folder.h"

/* Besides what glibc, KVM and the devices need: the channel, the wake-up, and files that arrive on the channel. */
static const struct sandbox_rule worker_rules[] = {
	SANDBOX_ALLOW(recvmsg),
	SANDBOX_ALLOW(sendmsg),
	SANDBOX_ALLOW(poll),
	SANDBOX_ALLOW(ppoll),
	SANDBOX_ALLOW(read),
	SANDBOX_ALLOW(write),
	SANDBOX_ALLOW(pread64),
	SANDBOX_ALLOW(getrandom),
	SANDBOX_ALLOW(pwrite64),
	SANDBOX_ALLOW(ftruncate),
	SANDBOX_ALLOW(lseek),
	SANDBOX_ALLOW(fstat),
	SANDBOX_ALLOW(close),
	SANDBOX_ALLOW(sched_yield),
	SANDBOX_ALLOW_INT(madvise, 2, MADV_POPULATE_READ), /* guest_memory_is_whole(), when a guest has fallen over */
};
static const struct sandbox_rule_set worker_rule_set = SANDBOX_RULE_SET("worker", worker_rules);
static struct sandbox_ioctl_set kvm_ioctl_set = { .name = "kvm", .requests = kvm_runtime_ioctls };

/* What virtio devices need besides: sockets and TAP devices, which others have no use for. */
static struct sandbox_rule_set virtio_rule_set = { .name = "virtio", .calls = virtio_runtime_syscalls };
static struct sandbox_ioctl_set virtio_ioctl_set = { .name = "virtio", .requests = virtio_runtime_ioctls };

/* The last of each is for workers with virtio devices alone. */
static const struct sandbox_rule_set *const rule_sets[] = {
	&sandbox_rules_runtime,   &worker_rule_set,
#ifdef EMBER_SANITIZE
	&sandbox_rules_sanitizer, &sandbox_rules_sanitizer_report,
#endif
	&virtio_rule_set,
};
static const struct sandbox_ioctl_set *const ioctl_sets[] = { &kvm_ioctl_set, &virtio_ioctl_set };

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

const struct worker_rules worker_rules_of[WORKER_KIND_COUNT] = {
	[WORKER_PLAIN] = { rule_sets, COUNT(rule_sets) - 1, ioctl_sets, COUNT(ioctl_sets) - 1 },
	[WORKER_VIRTIO] = { rule_sets, COUNT(rule_sets), ioctl_sets, COUNT(ioctl_sets) },
};

enum worker_kind worker_kind_of(const struct message_fork *fork)
{
	return fork->disks > 0 || fork->rngs > 0 || fork->vsocks > 0 || fork->nets > 0 || fork->balloons > 0
		       ? WORKER_VIRTIO
		       : WORKER_PLAIN;
}

/* Where guest memory is, for the signal handler. */
static struct {
	const uint8_t *start;
	const uint8_t *end;
} guarded;

/*
 * Host code touched guest memory that has no file behind it any more: the snapshot was cut short. (A guest's own access makes
 * KVM_RUN fail instead.) There is no state worth going on with, and the exit status says why.
 */
static void on_sigbus(int signal_number, siginfo_t *info, void *context)
{
	const uint8_t *address = info->si_addr;

	(void)context;
	if (address >= guarded.start && address < guarded.end)
		_exit(EXIT_STATUS_MEMORY_FILE_CUT);
	(void)signal(signal_number, SIG_DFL); /* the access is repeated, and ends us as any other crash would */
}

static void guard_memory(const struct guest_memory *memory)
{
	struct sigaction action = { .sa_sigaction = on_sigbus, .sa_flags = SA_SIGINFO };

	guarded.start = memory->host;
	guarded.end = memory->host + memory->size;
	(void)sigaction(SIGBUS, &action, NULL);
}

static void fill_phases(struct message_phases *phases, const struct machine_create_times *times)
{
	for (int i = 0; i < MESSAGE_PHASE_COUNT; i++)
		phases->phases_ns[i] = MESSAGE_PHASE_NONE;
	phases->phases_ns[MESSAGE_PHASE_VM_CREATE] = times->vm.vm_create_ns;
	phases->phases_ns[MESSAGE_PHASE_IRQCHIP] = times->vm.irqchip_ns;
	phases->phases_ns[MESSAGE_PHASE_PIT] = times->vm.pit_ns;
	phases->phases_ns[MESSAGE_PHASE_MEMORY_REGISTER] = times->vm.memory_register_ns;
	phases->phases_ns[MESSAGE_PHASE_VCPU_CREATE] = times->vcpus.vcpu_create_ns;
	phases->phases_ns[MESSAGE_PHASE_PRIME] = times->vcpus.prime_ns;
}

static void build_machine(struct worker *worker, struct machine_create_times *ret_times)
{
	const struct message_fork *fork = &worker->setup->fork;
	struct machine_shape shape = {
		.vcpus = fork->vcpus,
		.cpu_template = (enum cpu_template)fork->cpu_template,
		.memory_size = fork->memory_size,
		.disks = fork->disks,
		.rngs = fork->rngs,
		.vsocks = fork->vsocks,
		.nets = fork->nets,
		.balloons = fork->balloons,
		.no_pit_reinject = fork->no_pit_reinject != 0,
	};
	struct machine_callbacks callbacks = {
		.opaque = &worker->report,
		.signalled = report_signalled,
		.output_ready = report_output,
		.exited = report_exited,
	};
	struct error_detail detail = { "" };
	int result;

	result = report_init(&worker->report, worker->channel);
	if (result < 0)
		child_fail(worker->channel, "report", result, strerror(-result));
	result = machine_create(worker->setup->host, &shape, &callbacks, &worker->machine, ret_times, &detail);
	if (result < 0)
		child_fail(worker->channel, "machine", result, detail.text);
	guard_memory(&worker->machine->vm.memory);
}

/*
 * The size of the longest file that it may write, so that it cannot fill the disk with those of a snapshot. With disks that is an
 * overlay of the longest image that can have one; how much of it they fill is bounded by each overlay's own limit. What lies past it in
 * an image that is written in place is an error to the guest.
 */
static uint64_t file_size_max(const struct message_fork *fork)
{
	uint64_t size = fork->memory_size > SNAPSHOT_STATE_SIZE_MAX ? fork->memory_size : SNAPSHOT_STATE_SIZE_MAX;

	if (fork->disks > 0 && size < OVERLAY_FILE_MAX)
		size = OVERLAY_FILE_MAX;
	return size;
}

/* forked -> built -> confined -> warm. */
static void become_warm(struct worker *worker)
{
	const struct child_setup *setup = worker->setup;
	const int keep[] = { worker->channel, setup->host->fd }; /* the latter until the VM is there */
	const struct sandbox_limit limits[] = { { RLIMIT_FSIZE, file_size_max(&setup->fork) } };
	const struct sandbox_policy policy = {
		.role = "worker",
		.uid = setup->uid,
		.gid = setup->gid,
		.parent = setup->parent,
		.keep = keep,
		.keep_count = sizeof(keep) / sizeof(keep[0]),
		.limits = limits,
		.limit_count = sizeof(limits) / sizeof(limits[0]),
		.filter = setup->filter,
	};
	struct sandbox sandbox;
	struct machine_create_times times = { 0 };
	struct message_phases phases = { 0 };
	uint64_t begun = monotonic_ns();
	uint64_t before_build, after_build;

	sandbox_init(&sandbox, &policy);
	child_advance(&sandbox, SANDBOX_STAGE_BEFORE_THREADS, worker->channel);
	before_build = monotonic_ns();
	build_machine(worker, &times);
	(void)close(setup->host->fd);
	after_build = monotonic_ns();
	child_advance(&sandbox, SANDBOX_STAGE_LAST, worker->channel);

	fill_phases(&phases, &times);
	phases.phases_ns[MESSAGE_PHASE_FORK] = begun - setup->fork.sent_ns;
	phases.phases_ns[MESSAGE_PHASE_SANDBOX] = before_build - begun + (monotonic_ns() - after_build);
	child_answer(worker->channel, MESSAGE_WARM, 0, &phases, NULL);
}

/* ---- serving ---- */

static void pause_vm(struct worker *worker, const struct message *message)
{
	machine_pause(worker->machine);
	if (machine_has_exited(worker->machine))
		child_refuse(worker->channel, message->header.request, DEED_VM, -ESHUTDOWN, "the VM has exited");
	else
		child_answer(worker->channel, MESSAGE_DONE, message->header.request, NULL, NULL);
}

static void resume_vm(struct worker *worker, const struct message *message)
{
	int result = worker->exited ? -ESHUTDOWN : machine_resume(worker->machine);

	if (result < 0)
		child_refuse(worker->channel, message->header.request, DEED_VM, result,
			     result == -EBUSY ? "the VM runs already" : "the VM has exited");
	else
		child_answer(worker->channel, MESSAGE_DONE, message->header.request, NULL, NULL);
}

static void read_console(struct worker *worker, const struct message *message)
{
	const struct message_console_read *wanted = &message->payload.console_read;
	struct message_console_data answer = { 0 };
	size_t room = wanted->max < MESSAGE_CONSOLE_MAX ? wanted->max : MESSAGE_CONSOLE_MAX;

	report_output_read(&worker->report);
	answer.size = (uint32_t)serial_read_output(worker->machine->serial, wanted->offset, answer.data, room,
						   &answer.offset, &answer.dropped);
	child_answer(worker->channel, MESSAGE_CONSOLE_DATA, message->header.request, &answer, NULL);
}

static void write_console(struct worker *worker, const struct message *message)
{
	const struct message_console_write *input = &message->payload.console_write;
	struct message_console_written answer = { 0 };

	if (input->size > MESSAGE_CONSOLE_MAX) {
		child_refuse(worker->channel, message->header.request, DEED_VM, -EINVAL,
			     "more input than a message holds");
		return;
	}
	answer.written = (uint32_t)serial_write_input(worker->machine->serial, input->data, input->size);
	child_answer(worker->channel, MESSAGE_CONSOLE_WRITTEN, message->header.request, &answer, NULL);
}

static void press_power_button(struct worker *worker, const struct message *message)
{
	if (worker->exited) {
		child_refuse(worker->channel, message->header.request, DEED_VM, -ESHUTDOWN, "the VM has exited");
		return;
	}
	power_press(worker->machine->power);
	child_answer(worker->channel, MESSAGE_DONE, message->header.request, NULL, NULL);
}

/* Before it has started; false: that cannot be asked of a worker that has not. */
static bool serve_warm(struct worker *worker, struct message *message)
{
	switch (message->header.type) {
	case MESSAGE_BOOT:
	case MESSAGE_BOOT_LINUX:
	case MESSAGE_RESTORE:
		return worker_start(worker, message);
	default:
		return worker_gather(worker, message);
	}
}

/* Since; false: that cannot be asked of a worker that has. */
static bool serve_vm(struct worker *worker, struct message *message)
{
	switch (message->header.type) {
	case MESSAGE_PAUSE:
		pause_vm(worker, message);
		return true;
	case MESSAGE_RESUME:
		resume_vm(worker, message);
		return true;
	case MESSAGE_SNAPSHOT_OVERLAY:
		return worker_gather_overlay(worker, message);
	case MESSAGE_SNAPSHOT:
		worker_snapshot(worker, message);
		return true;
	case MESSAGE_CONSOLE_READ:
		read_console(worker, message);
		return true;
	case MESSAGE_CONSOLE_WRITE:
		write_console(worker, message);
		return true;
	case MESSAGE_POWER_BUTTON:
		press_power_button(worker, message);
		return true;
	case MESSAGE_BALLOON_ASK:
		worker_ask_balloon(worker, message);
		return true;
	case MESSAGE_VSOCK_CONNECTED:
	case MESSAGE_VSOCK_REFUSED:
		return worker_answer_vsock(worker, message);
	default:
		return false;
	}
}

static void serve(struct worker *worker, struct message *message)
{
	if (message->header.type == MESSAGE_STOP)
		_exit(EXIT_STATUS_STOPPED); /* the kernel closes the VM; nobody waits for us meanwhile */
	/* Out of order: the supervisor keeps count of what we are. */
	if (!(worker->started ? serve_vm : serve_warm)(worker, message))
		_exit(EXIT_STATUS_CHANNEL_LOST);
}
static bool memory_was_cut(const struct worker *worker)
{
	struct stat status;

	return worker->memory_file >= 0 && file_status(worker->memory_file, &status) == 0 &&
	       (uint64_t)status.st_size < worker->memory_size;
}

static void tell_exit(struct worker *worker, const struct machine_exit_info *info)
{
	struct message_exited message = {
		.reason = (uint32_t)info->reason,
		.vcpu = info->vcpu,
		.code = info->stop.code,
		.rip = info->stop.rip,
	};

	if (info->reason == MACHINE_EXIT_MEMORY_FAULT && memory_was_cut(worker))
		_exit(EXIT_STATUS_MEMORY_FILE_CUT);
	(void)snprintf(message.text, sizeof(message.text), "vCPU %u: %s, code %#llx at rip %#llx", info->vcpu,
		       vcpu_stop_name(info->stop.stop), (unsigned long long)info->stop.code,
		       (unsigned long long)info->stop.rip);
	machine_pause(worker->machine);
	worker->exited = true;
	child_answer(worker->channel, MESSAGE_EXITED, 0, &message, NULL);
}

_Noreturn void worker_main(const struct child_setup *setup)
{
	static struct worker worker;
	int timeout_ms = -1;

	worker.setup = setup;
	worker.channel = setup->channel;
	worker.memory_file = -1;
	worker_forget_overlays(&worker.overlays);
	(void)prctl(PR_SET_NAME, "ember-worker");
	become_warm(&worker);

	for (;;) {
		struct pollfd ready[] = {
			{ .fd = worker.channel, .events = POLLIN },
			{ .fd = worker.report.wake, .events = POLLIN },
		};
		struct machine_exit_info info;

		if (poll(ready, 2, timeout_ms) < 0 && errno != EINTR)
			_exit(EXIT_STATUS_CHANNEL_LOST);
		if (ready[1].revents || timeout_ms >= 0)
			timeout_ms = report_flush(&worker.report);
		if (report_take_exit(&worker.report, &info))
			tell_exit(&worker, &info);
		if (ready[0].revents) {
			struct message message;

			child_receive(worker.channel, &message);
			serve(&worker, &message);
			message_close_fds(&message);
		}
	}
}

/* The tables' sizes are not constant expressions outside their folders. */
__attribute__((constructor)) static void complete_sets(void)
{
	kvm_ioctl_set.count = kvm_runtime_ioctl_count;
	virtio_ioctl_set.count = virtio_runtime_ioctl_count;
	virtio_rule_set.call_count = virtio_runtime_syscall_count;
}
