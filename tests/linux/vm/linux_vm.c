/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Boots a Linux kernel on a machine of the devices library, with ACPI tables, and says how it ended.
 *
 *     linux_vm --kernel FILE [--entry bzimage|elf64|pvh] [--initrd FILE] [--cmdline TEXT] [--vcpus N] [--memory MIB]
 *              [--disk IMAGE [--overlay FILE]] [--rng] [--vsock SOCKET] [--tap NAME] [--timeout SECONDS]
 *              [--snapshot FOLDER]
 *     linux_vm --restore FOLDER [--disk IMAGE [--overlay FILE]] [--rng] [--vsock SOCKET] [--tap NAME]
 *              [--timeout SECONDS]
 *
 * The guest's console goes to stdout. The last line is "linux_vm: END after MS ms", where END is what
 * machine_exit_name() gives ("power_off", "reset", ...), or timeout; the exit status is 0 for all but timeout. A bzImage
 * that is to be entered as an ELF is unpacked first. With --snapshot, the machine is paused, saved and let go on when
 * the guest signals event 1.
 *
 * The main thread waits for what happens and copies the console; everything else happens on vCPU threads.
 */
#include <errno.h>
#include <getopt.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "../guest/signal_port.h"
#include "devices/power.h"
#include "kvm/monotonic.h"
#include "linux_vm.h"

/* How it ended, told by vCPU threads to the main one. */
struct run {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	const char *end; /* NULL: it runs */
	struct machine_exit_info exit_info;
	bool has_output;
	bool wants_snapshot;
	struct machine *machine; /* set before it runs */
	uint64_t console_offset;
};

void fail(const char *what, int result, const struct error_detail *detail)
{
	fprintf(stderr, "linux_vm: %s: %s\n", what, detail && detail->text[0] ? detail->text : strerror(-result));
	exit(2);
}

static void on_exited(void *opaque, const struct machine_exit_info *info)
{
	struct run *run = opaque;

	pthread_mutex_lock(&run->lock);
	run->end = machine_exit_name(info->reason);
	run->exit_info = *info;
	pthread_cond_signal(&run->changed);
	pthread_mutex_unlock(&run->lock);
}

static void on_signal(void *opaque, uint8_t number, const struct signal_record *record)
{
	struct run *run = opaque;

	(void)record;
	switch (number) {
	case GUEST_EVENT_SNAPSHOT:
		pthread_mutex_lock(&run->lock);
		run->wants_snapshot = true;
		pthread_cond_signal(&run->changed);
		pthread_mutex_unlock(&run->lock);
		break;
	case GUEST_EVENT_POWER_BUTTON:
		power_press(run->machine->power);
		break;
	case GUEST_EVENT_GENERATION_ID:
		linux_vm_change_generation(run->machine);
		break;
	default:
		break;
	}
}

static void on_output(void *opaque)
{
	struct run *run = opaque;

	pthread_mutex_lock(&run->lock);
	run->has_output = true;
	pthread_cond_signal(&run->changed);
	pthread_mutex_unlock(&run->lock);
}

static void copy_console(struct run *run, struct machine *machine)
{
	uint8_t bytes[4096];
	uint64_t dropped;
	size_t length;

	do {
		length = serial_read_output(machine->serial, run->console_offset, bytes, sizeof(bytes),
					    &run->console_offset, &dropped);
		run->console_offset += length;
		(void)fwrite(bytes, 1, length, stdout);
	} while (length > 0);
	(void)fflush(stdout);
}

static void save_and_go_on(struct run *run, struct machine *machine, const struct options *options)
{
	int result;

	machine_pause(machine);
	copy_console(run, machine);
	linux_vm_save(machine, options);
	result = machine_resume(machine);
	if (result < 0)
		fail("run", result, NULL);
}

/* Returns how it ended. */
static const char *wait_for_end(struct run *run, struct machine *machine, const struct options *options)
{
	struct timespec deadline;
	const char *end;
	bool wants_snapshot;
	int result = 0;

	(void)clock_gettime(CLOCK_REALTIME, &deadline);
	deadline.tv_sec += (time_t)options->timeout_s;
	do {
		pthread_mutex_lock(&run->lock);
		while (!run->end && !run->has_output && !run->wants_snapshot && result == 0)
			result = pthread_cond_timedwait(&run->changed, &run->lock, &deadline);
		wants_snapshot = run->wants_snapshot;
		run->wants_snapshot = false;
		run->has_output = false;
		end = run->end;
		pthread_mutex_unlock(&run->lock);
		copy_console(run, machine);
		if (wants_snapshot && options->snapshot && !end)
			save_and_go_on(run, machine, options);
	} while (!end && result == 0);

	return end ? end : "timeout";
}

static uint64_t parse_number(const char *text, uint64_t least, uint64_t greatest)
{
	char *end;
	unsigned long long value;

	errno = 0;
	value = strtoull(text, &end, 10);
	if (errno != 0 || *end != '\0' || end == text || value < least || value > greatest)
		fail(text, -EINVAL, NULL);
	return value;
}

static struct options parse_options(int argc, char **argv)
{
	static const struct option long_options[] = {
		{ "kernel", required_argument, NULL, 'k' },
		{ "entry", required_argument, NULL, 'e' },
		{ "initrd", required_argument, NULL, 'i' },
		{ "cmdline", required_argument, NULL, 'c' },
		{ "vcpus", required_argument, NULL, 'v' },
		{ "memory", required_argument, NULL, 'm' },
		{ "timeout", required_argument, NULL, 't' },
		{ "snapshot", required_argument, NULL, 's' },
		{ "restore", required_argument, NULL, 'r' },
		{ "disk", required_argument, NULL, 'd' },
		{ "overlay", required_argument, NULL, 'o' },
		{ "rng", no_argument, NULL, 'g' },
		{ "vsock", required_argument, NULL, 'V' },
		{ "tap", required_argument, NULL, 'T' },
		{ 0 },
	};
	struct options options = { .cmdline = "console=ttyS0", .vcpus = 1, .memory_mib = 256, .timeout_s = 60 };
	int option;

	while ((option = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
		switch (option) {
		case 'k':
			options.kernel = optarg;
			break;
		case 'e':
			if (kernel_entry_parse(optarg, &options.entry) < 0)
				fail(optarg, -ENOENT, NULL);
			break;
		case 'i':
			options.initrd = optarg;
			break;
		case 'c':
			options.cmdline = optarg;
			break;
		case 'v':
			options.vcpus = (uint32_t)parse_number(optarg, 1, MACHINE_VCPUS_MAX);
			break;
		case 'm':
			options.memory_mib = parse_number(optarg, 1, GUEST_MEMORY_SIZE_MAX / MIB);
			break;
		case 't':
			options.timeout_s = parse_number(optarg, 1, 3600);
			break;
		case 's':
			options.snapshot = optarg;
			break;
		case 'r':
			options.restore = optarg;
			break;
		case 'd':
			options.disk = optarg;
			break;
		case 'o':
			options.overlay = optarg;
			break;
		case 'V':
			options.vsock = optarg;
			break;
		case 'T':
			options.tap = optarg;
			break;
		case 'g':
			options.rng = true;
			break;
		default:
			exit(2);
		}
	}
	if (!options.kernel == !options.restore || optind != argc)
		fail("usage", -EINVAL, NULL);
	return options;
}

/* A machine that is ready to run: booted or restored. */
static struct machine *build(const struct kvm_host *host, const struct options *options, struct run *run)
{
	struct vm_state *state = options->restore ? linux_vm_load(options->restore) : NULL;
	struct machine_shape shape = {
		.vcpus = options->vcpus,
		.memory_size = options->memory_mib * MIB,
		.disks = options->disk != NULL,
		.rngs = options->rng,
		.vsocks = options->vsock != NULL,
		.nets = options->tap != NULL,
	};
	const struct machine_callbacks callbacks = {
		.opaque = run, .signalled = on_signal, .output_ready = on_output, .exited = on_exited
	};
	struct error_detail detail = { 0 };
	struct machine *machine;
	int result;

	if (state)
		vm_state_shape(state, &shape);
	result = machine_create(host, &shape, &callbacks, &machine, NULL, &detail);
	if (result < 0)
		fail("machine", result, &detail);
	linux_vm_configure(machine, options);
	if (state)
		linux_vm_inject(machine, state, options->restore);
	else
		linux_vm_boot(machine, options);
	free(state);
	run->machine = machine;
	return machine;
}

int main(int argc, char **argv)
{
	static struct kvm_host host;
	struct options options = parse_options(argc, argv);
	struct run run = { .lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER };
	struct error_detail detail = { 0 };
	struct machine *machine;
	const char *end;
	uint64_t started;
	int result;

	result = host_probe(&host, &detail);
	if (result < 0)
		fail("KVM", result, &detail);
	machine = build(&host, &options, &run);

	started = monotonic_ns();
	result = machine_run(machine);
	if (result < 0)
		fail("run", result, NULL);
	end = wait_for_end(&run, machine, &options);
	started = monotonic_ns() - started;
	machine_pause(machine);
	copy_console(&run, machine);
	printf("\nlinux_vm: %s after %llu ms (vCPU %u, stop %s, code 0x%llx, rip 0x%llx)\n", end,
	       (unsigned long long)(started / 1000000), run.exit_info.vcpu, vcpu_stop_name(run.exit_info.stop.stop),
	       (unsigned long long)run.exit_info.stop.code, (unsigned long long)run.exit_info.stop.rip);
	machine_free(machine);
	host_close(&host);
	return strcmp(end, "timeout") == 0;
}
