/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A whole machine inside the sandbox: built after stage 7, confined with its vCPU threads by stage 8, then booted,
 * spoken to, paused and looked at, as a worker does. And what a vCPU's thread may not do is death to it all.
 */
#include <criterion/criterion.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "demo_guest/demo_guest.h"
#include "devices/machine.h"
#include "sandbox/sandbox.h"

#define CONFINED_UID 12345
#define CONFINED_GID 23456

/* Memory that a child and the test share: how far the child got. */
struct progress {
	char text[512]; /* why it stopped */
	bool confined;
	bool answered;
	bool finished;
};

static const struct sandbox_rule boot_rules[] = {
	SANDBOX_ALLOW(fstat),
	SANDBOX_ALLOW(pread64),
	SANDBOX_ALLOW(close),
	SANDBOX_ALLOW(write),
};
static const struct sandbox_rule_set boot_rule_set = SANDBOX_RULE_SET("boot", boot_rules);

static struct kvm_host host;

static void probe_host(void)
{
	struct error_detail detail = { .text = "" };

	if (getenv("EMBER_NO_KVM"))
		cr_skip_test("needs KVM, and EMBER_NO_KVM is set");
	cr_assert_eq(host_probe(&host, &detail), 0, "%s", detail.text);
}

static struct sandbox_filter *build_filter(void)
{
	const struct sandbox_ioctl_set kvm = { "kvm", kvm_runtime_ioctls, kvm_runtime_ioctl_count };
	const struct sandbox_ioctl_set *const ioctls[] = { &kvm };
	const struct sandbox_rule_set *const sets[] = {
		&sandbox_rules_runtime,
		&boot_rule_set,
#ifdef EMBER_SANITIZE
		&sandbox_rules_sanitizer,
		&sandbox_rules_sanitizer_report,
#endif
	};
	struct sandbox_filter *filter = NULL;
	struct sandbox_error error = { .text = "" };

	cr_assert_eq(sandbox_filter_build(sets, sizeof(sets) / sizeof(sets[0]), ioctls, 1, &filter, &error), 0, "%s",
		     error.text);
	return filter;
}

static int image_file(void)
{
	int file = memfd_create("image", MFD_CLOEXEC);

	cr_assert_geq(file, 0);
	cr_assert_eq(write(file, demo_guest_image, demo_guest_image_size), (ssize_t)demo_guest_image_size);
	return file;
}

/* Used in the child only: say why and leave. */
#define CHECK(condition, why)                                                                              \
	do {                                                                                               \
		if (!(condition)) {                                                                        \
			(void)snprintf(progress->text, sizeof(progress->text), "%s: %s", #condition, why); \
			_exit(1);                                                                          \
		}                                                                                          \
	} while (0)

static struct machine *build_confined(struct progress *progress, const struct sandbox_filter *filter, int image,
				      const struct machine_callbacks *callbacks)
{
	const int keep[] = { STDERR_FILENO, host.fd, image };
	const struct sandbox_policy policy = {
		.role = "test",
		.uid = CONFINED_UID,
		.gid = CONFINED_GID,
		.parent = getppid(),
		.keep = keep,
		.keep_count = sizeof(keep) / sizeof(keep[0]),
		.filter = filter,
	};
	const struct machine_shape shape = { .vcpus = 2, .memory_size = UINT64_C(16) << 20 };
	struct error_detail detail = { .text = "" };
	struct sandbox_error error = { .text = "" };
	struct machine *machine = NULL;
	struct sandbox sandbox;

	sandbox_init(&sandbox, &policy);
	CHECK(sandbox_advance(&sandbox, SANDBOX_STAGE_BEFORE_THREADS, &error) == 0, error.text);
	CHECK(machine_create(&host, &shape, callbacks, &machine, NULL, &detail) == 0, detail.text);
	CHECK(sandbox_advance(&sandbox, SANDBOX_STAGE_LAST, &error) == 0, error.text);
	progress->confined = true;
	return machine;
}

/* Wait until the console has said a line, and tell where the next one starts. */
static uint64_t wait_for_line(struct machine *machine, uint64_t position, char *ret_line, size_t size)
{
	uint64_t offset;
	uint64_t dropped;
	size_t got;
	char *end;

	for (;;) {
		got = serial_read_output(machine->serial, position, (uint8_t *)ret_line, size - 1, &offset, &dropped);
		end = memchr(ret_line, '\n', got);
		if (end)
			break;
		(void)sched_yield();
	}
	*end = '\0';
	return position + (uint64_t)(end - ret_line) + 1;
}

static void live(struct progress *progress, const struct sandbox_filter *filter, int image)
{
	const struct machine_callbacks callbacks = { .opaque = NULL };
	struct machine *machine = build_confined(progress, filter, image, &callbacks);
	struct vcpu_state *state = calloc(1, sizeof(*state));
	struct error_detail detail = { .text = "" };
	struct irqchip_state irqchip;
	struct kvm_clock_data clock;
	uint64_t position;
	char line[256];

	CHECK(machine_boot_image(machine, image, ENTRY_LONG, &detail) == 0, detail.text);
	CHECK(machine_run(machine) == 0, "run");
	position = wait_for_line(machine, 0, line, sizeof(line));
	CHECK(serial_write_input(machine->serial, (const uint8_t *)"count\n", 6) == 6, "input");
	position = wait_for_line(machine, position, line, sizeof(line));
	CHECK(strcmp(line, "1") == 0, line);
	progress->answered = true;

	machine_pause(machine);
	for (uint32_t i = 0; i < machine->shape.vcpus; i++) {
		CHECK(vcpu_get_state(machine->vcpus[i], state, &detail) == 0, detail.text);
		CHECK(vcpu_set_state(machine->vcpus[i], state, &detail) == 0, detail.text);
	}
	CHECK(vm_get_irqchip(&machine->vm, &irqchip, &detail) == 0, detail.text);
	CHECK(vm_set_irqchip(&machine->vm, &irqchip, &detail) == 0, detail.text);
	CHECK(vm_get_clock(&machine->vm, &clock) == 0, "clock");
	CHECK(vm_set_clock(&machine->vm, &clock) == 0, "clock");
	CHECK(machine_run(machine) == 0, "run");
	CHECK(serial_write_input(machine->serial, (const uint8_t *)"count\n", 6) == 6, "input");
	(void)wait_for_line(machine, position, line, sizeof(line));
	CHECK(strcmp(line, "2") == 0, line);
	free(state);
	machine_free(machine);
	progress->finished = true;
}

/* What a guest that got out of its vCPU would try. */
static void open_a_socket(void *opaque)
{
	(void)opaque;
	(void)socket(AF_UNIX, SOCK_STREAM, 0);
}

static void break_out(struct progress *progress, const struct sandbox_filter *filter, int image)
{
	const struct machine_callbacks callbacks = { .output_ready = open_a_socket };
	struct machine *machine = build_confined(progress, filter, image, &callbacks);
	struct error_detail detail = { .text = "" };
	char line[256];

	CHECK(machine_boot_image(machine, image, ENTRY_LONG, &detail) == 0, detail.text);
	CHECK(machine_run(machine) == 0, "run");
	(void)wait_for_line(machine, 0, line, sizeof(line));
	progress->answered = true;
}

/* Run a body in a child, and tell how it ended. */
static struct progress run_child(void (*body)(struct progress *progress, const struct sandbox_filter *filter,
					      int image),
				 siginfo_t *ret_end)
{
	struct progress *shared =
		mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct sandbox_filter *filter;
	struct progress progress;
	int image;
	pid_t pid;

	cr_assert_neq(shared, MAP_FAILED);
	probe_host();
	filter = build_filter();
	image = image_file();
	pid = fork();
	cr_assert_geq(pid, 0);
	if (pid == 0) {
		body(shared, filter, image);
		_exit(0);
	}

	cr_assert_eq(waitid(P_PID, (id_t)pid, ret_end, WEXITED), 0);
	progress = *shared;
	(void)munmap(shared, sizeof(*shared));
	(void)close(image);
	sandbox_filter_free(filter);
	host_close(&host);
	return progress;
}

Test(confined_machine, it_boots_runs_pauses_and_gives_its_state)
{
	siginfo_t end = { .si_pid = 0 };
	struct progress progress = run_child(live, &end);
	char death[100];

	sandbox_describe_death(end.si_code, end.si_status, death, sizeof(death));
	cr_assert(progress.confined, "%s; %s", death, progress.text);
	cr_assert(progress.answered, "%s; %s", death, progress.text);
	cr_assert(progress.finished, "%s; %s", death, progress.text);
	cr_assert_eq(end.si_code, CLD_EXITED);
	cr_assert_eq(end.si_status, 0);
}

Test(confined_machine, a_vcpus_thread_is_confined_too)
{
	siginfo_t end = { .si_pid = 0 };
	struct progress progress = run_child(break_out, &end);

	cr_assert(progress.confined, "%s", progress.text);
	cr_assert_not(progress.answered, "the call was survived");
	cr_assert(sandbox_is_violation(end.si_code, end.si_status), "code %d, status %d: %s", end.si_code,
		  end.si_status, progress.text);
}
