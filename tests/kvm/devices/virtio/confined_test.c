/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Virtio devices behind a syscall filter of what they and kvm/ say they need, and nothing else: made before it,
 * configured, used, paused, saved and restored behind it. A call that was forgotten kills the child.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "devices/virtio/blk/blk.h"
#include "devices/virtio/rng.h"
#include "fixture.h"
#include "sandbox/filter.h"
#include "sandbox/sandbox.h"

GUEST_IMAGE(virtio_use);

static struct sandbox_filter *build_filter(void)
{
	const struct sandbox_ioctl_set kvm = { "kvm", kvm_runtime_ioctls, kvm_runtime_ioctl_count };
	const struct sandbox_ioctl_set *const ioctls[] = { &kvm };
	const struct sandbox_rule_set of_kvm = SANDBOX_CALL_SET("kvm", kvm_runtime_syscalls, kvm_runtime_syscall_count);
	const struct sandbox_rule_set of_machine =
		SANDBOX_CALL_SET("machine", machine_runtime_syscalls, machine_runtime_syscall_count);
	const struct sandbox_rule_set of_virtio =
		SANDBOX_CALL_SET("virtio", virtio_runtime_syscalls, virtio_runtime_syscall_count);
	const struct sandbox_rule_set *const sets[] = {
		&sandbox_rules_runtime,
		&of_kvm,
		&of_machine,
		&of_virtio,
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

/* Used in the child only: the exit status says where it went wrong. */
#define CHECK(condition)                           \
	do {                                       \
		if (!(condition))                  \
			_exit(__LINE__ % 200 + 1); \
	} while (0)

static int fill_image(void)
{
	int image = memfd_create("image", MFD_CLOEXEC);

	for (int i = 0; i < 64; i++) {
		uint8_t sector[512];

		memset(sector, i + 1, sizeof(sector));
		cr_assert_eq(write(image, sector, sizeof(sector)), sizeof(sector));
	}
	return image;
}

static void live(const struct sandbox_filter *filter, const int *images, const int *overlays, int copy, int guest)
{
	static struct fixture fixtures[2];
	static uint8_t state[DEVICE_STATE_MAX];
	const struct machine_shape shape = { .vcpus = 1, .memory_size = UINT64_C(4) << 20, .disks = 1, .rngs = 1 };
	struct sandbox_error error = { .text = "" };

	for (int i = 0; i < 2; i++)
		fixture_build_shape(&fixtures[i], &shape);
	CHECK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
	CHECK(sandbox_filter_load(filter, &error) == 0);

	for (int i = 0; i < 2; i++) {
		const struct virtio_blk_options disk = {
			.disk = { .image = images[i], .base = -1, .overlay = overlays[i] },
			.serial = "test",
		};
		const struct rate_limit_options limit = { .operations = { .per_second = 1000, .burst = 1 } };

		CHECK(virtio_rng_configure(fixtures[i].machine->rngs[0], &limit) == 0);
		CHECK(virtio_blk_configure(fixtures[i].machine->disks[0], &disk, NULL) == 0);
	}
	CHECK(machine_boot_image(fixtures[0].machine, guest, ENTRY_LONG, NULL) == 0);
	CHECK(machine_run(fixtures[0].machine) == 0);
	fixture_wait_signal(&fixtures[0], 1, 1);
	machine_pause(fixtures[0].machine);
	CHECK(virtio_blk_copy_overlay(fixtures[0].machine->disks[0], copy, NULL) == 0);
	virtio_blk_ops.save(&virtio_blk_device(fixtures[0].machine->disks[0])->device, state);
	CHECK(guest_memory_lay_anonymous(&fixtures[1].machine->vm.memory) == 0);
	CHECK(virtio_blk_ops.restore(&virtio_blk_device(fixtures[1].machine->disks[0])->device, state, NULL) == 0);
	for (int i = 0; i < 2; i++)
		fixture_end(&fixtures[i]);
	_exit(0);
}

Test(virtio_confined, they_ask_for_nothing_that_they_do_not_say)
{
	struct sandbox_filter *filter;
	int images[2] = { fill_image(), fill_image() };
	int overlays[2] = { memfd_create("overlay", MFD_CLOEXEC), -1 };
	int copy = memfd_create("copy", MFD_CLOEXEC);
	int guest = fixture_image(virtio_use_image, virtio_use_image_size);
	siginfo_t end = { .si_pid = 0 };
	char death[100];
	pid_t pid;

	(void)fixture_host();
	filter = build_filter();
	pid = fork();
	cr_assert_geq(pid, 0);
	if (pid == 0)
		live(filter, images, overlays, copy, guest);

	cr_assert_eq(waitid(P_PID, (id_t)pid, &end, WEXITED), 0);
	sandbox_describe_death(end.si_code, end.si_status, death, sizeof(death));
	cr_assert(end.si_code == CLD_EXITED && end.si_status == 0, "%s", death);
	sandbox_filter_free(filter);
}
