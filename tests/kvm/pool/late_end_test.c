/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guests that end while a request is on its way to their pause: see late_end.c.
 */
#include <criterion/criterion.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "late_end.h"
#include "pool_harness.h"

static struct harness harness;

static void set_up(void)
{
	harness_open_with(&harness, POOL_ZYGOTE_LATE_END, 10000);
}

static void tear_down(void)
{
	harness_close(&harness);
}

TestSuite(late_end, .init = set_up, .fini = tear_down, .timeout = 600);

/* In long mode: wait for the flag, then pulse the reset line. */
static const uint8_t guest[] = {
	0x80, 0x3c, 0x25, 0x00, 0x00, 0x05, 0x00, 0x00, /* 1: cmpb $0, LATE_END_FLAG */
	0x74, 0xf6,                                     /* je 1b */
	0xb0, 0xfe,                                     /* movb $0xfe, %al */
	0xe6, 0x64,                                     /* outb %al, $0x64 */
	0xf4,                                           /* hlt */
};

static void boot(struct started_vm *vm)
{
	struct machine_shape shape = harness_shape(1, 16);
	const struct pool_devices devices = { 0 };

	harness_boot_image(&harness, &shape, &devices, guest, sizeof(guest), vm);
}

static void assert_told_of_its_end(struct started_vm *vm)
{
	harness_wait(&harness, &vm->exited);
	cr_assert_eq(vm->exit.reason, MACHINE_EXIT_RESET);
}

/* There is nothing to go on from, and nobody would learn why: it is refused, and the end is told. */
Test(late_end, no_snapshot_of_a_guest_that_has_ended)
{
	static struct started_vm vm;
	static struct asked taken;
	struct pool_snapshot snapshot = {
		.state_file = memfd_create("state.json", MFD_CLOEXEC),
		.memory_file = memfd_create("memory.snap", MFD_CLOEXEC),
		.resume = true,
	};

	boot(&vm);
	pool_vm_snapshot(vm.vm, &snapshot, NULL, asked_snapshot, &taken);
	harness_wait(&harness, &taken.answered);
	cr_assert_neq(taken.result.status, POOL_OK);
	cr_assert_not_null(strstr(taken.result.detail.text, "exited"), "%s", taken.result.detail.text);
	cr_assert_eq(lseek(snapshot.state_file, 0, SEEK_END), 0, "nothing was written");
	assert_told_of_its_end(&vm);
	(void)close(snapshot.state_file);
	(void)close(snapshot.memory_file);
}

Test(late_end, no_pause_of_a_guest_that_has_ended)
{
	static struct started_vm vm;
	static struct asked pause;

	boot(&vm);
	pool_vm_pause(vm.vm, asked_done, &pause);
	harness_wait(&harness, &pause.answered);
	cr_assert_neq(pause.result.status, POOL_OK);
	cr_assert_not_null(strstr(pause.result.detail.text, "exited"), "%s", pause.result.detail.text);
	assert_told_of_its_end(&vm);
}
