/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How guests start, stop and end: the demo guest, and the smallest guests of each entry mode.
 */
#include <criterion/criterion.h>
#include <linux/kvm.h>
#include <string.h>
#include <sys/ioctl.h>

#include "console.h"
#include "guest.h"

GUEST_IMAGE(hello_real);
GUEST_IMAGE(hello_protected);
GUEST_IMAGE(hello_long);

static const struct machine_shape small = {
	.vcpus = 1,
	.cpu_template = CPU_TEMPLATE_HOST,
	.memory_size = UINT64_C(2) << 20,
};

static void assert_hello(const uint8_t *image, size_t size, enum entry_mode mode, const char *greeting)
{
	struct guest *guest = guest_start(image, size, mode, &small);

	cr_assert_str_eq(guest_read_line(guest), greeting);
	guest_wait_signal(guest, SIGNAL_READY, 1);
	guest_end(guest);
}

Test(life, a_guest_starts_in_real_mode)
{
	assert_hello(hello_real_image, hello_real_image_size, ENTRY_REAL, "hello from real mode");
}

Test(life, a_guest_starts_in_protected_mode)
{
	assert_hello(hello_protected_image, hello_protected_image_size, ENTRY_PROTECTED, "hello from protected mode");
}

Test(life, a_guest_starts_in_long_mode)
{
	assert_hello(hello_long_image, hello_long_image_size, ENTRY_LONG, "hello from long mode");
}

Test(life, the_demo_guest_needs_no_more_than_2_mib)
{
	struct guest *guest = demo_start_shaped(&small);

	cr_assert_str_eq(guest_ask(guest, "info"), "memory=2097152 vcpus=1 pages=0 ticks_per_second=20");
	cr_assert_str_eq(guest_ask(guest, "touch 1"), "error: usage: touch PAGES [SEED]");
	guest_end(guest);
}

Test(life, the_demo_guest_runs_under_the_portable_template_and_with_other_vcpus)
{
	const struct machine_shape shape = {
		.vcpus = 2,
		.cpu_template = CPU_TEMPLATE_PORTABLE,
		.memory_size = UINT64_C(128) << 20,
	};
	struct guest *guest = demo_start_shaped(&shape);

	cr_assert_str_eq(guest_ask(guest, "info"), "memory=134217728 vcpus=2 pages=32256 ticks_per_second=20");
	guest_end(guest);
}

Test(life, only_the_first_gib_is_touched)
{
	const struct machine_shape shape = {
		.vcpus = 1,
		.cpu_template = CPU_TEMPLATE_HOST,
		.memory_size = UINT64_C(3) << 30,
	};
	struct guest *guest = demo_start_shaped(&shape);

	cr_assert_str_eq(guest_ask(guest, "info"), "memory=3221225472 vcpus=1 pages=261632 ticks_per_second=20");
	guest_end(guest);
}

Test(life, a_pause_loses_nothing)
{
	struct guest *guest = demo_start();

	/* In the middle of a command, of an answer, and of a halt. */
	guest_type(guest, "touch 2000 9\ncount\necho after the pauses\n");
	for (int i = 0; i < 50; i++) {
		machine_pause(guest->machine);
		cr_assert_eq(machine_run(guest->machine), 0);
	}
	cr_assert_eq(strncmp(guest_read_line(guest), "pages 2000 checksum ", 20), 0);
	cr_assert_str_eq(guest_read_line(guest), "1");
	cr_assert_str_eq(guest_read_line(guest), "after the pauses");
	machine_pause(guest->machine);
	guest_type(guest, "echo typed while paused\n");
	cr_assert_eq(machine_run(guest->machine), 0);
	cr_assert_str_eq(guest_read_line(guest), "typed while paused");
	guest_end(guest);
}

Test(life, reset_ends_the_machine)
{
	struct guest *guest = demo_start();

	cr_assert_str_eq(guest_ask(guest, "reset"), "resetting");
	cr_assert_eq(guest_wait_exit(guest), MACHINE_EXIT_RESET);
	guest_end(guest);
}

Test(life, fault_is_a_triple_fault)
{
	struct guest *guest = demo_start();

	cr_assert_str_eq(guest_ask(guest, "fault"), "faulting");
	cr_assert_eq(guest_wait_exit(guest), MACHINE_EXIT_SHUTDOWN);
	guest_end(guest);
}

/* An interrupt that no handler expects stands for a bug in the guest. */
Test(life, an_exception_is_told_signalled_and_ends_the_machine)
{
	struct guest *guest = demo_start();
	const char *line;

	machine_pause(guest->machine);
	cr_assert_eq(ioctl(vcpu_fd(guest->machine->vcpus[0]), KVM_NMI, 0), 0);
	cr_assert_eq(machine_run(guest->machine), 0);
	line = guest_read_line(guest);
	cr_assert_eq(strncmp(line, "panic: exception 2 error 0x0 at 0x10", 36), 0, "%s", line);
	guest_wait_signal(guest, 255, 1);
	cr_assert_eq(guest_wait_exit(guest), MACHINE_EXIT_RESET);
	guest_end(guest);
}
