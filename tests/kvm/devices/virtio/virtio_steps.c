/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Steps that the tests of virtio devices on KVM have in common.
 */
#include "virtio_steps.h"

#include <criterion/criterion.h>
#include <sys/mman.h>
#include <unistd.h>

#include "snapshot/capture.h"

void virtio_steps_boot(struct fixture *fixture, const uint8_t *guest, size_t size)
{
	struct error_detail detail = { 0 };
	int file = fixture_image(guest, size);

	cr_assert_eq(machine_boot_image(fixture->machine, file, ENTRY_LONG, &detail), 0, "%s", detail.text);
	close(file);
	cr_assert_eq(machine_run(fixture->machine), 0);
}

void virtio_steps_wait_for_success(struct fixture *fixture)
{
	struct observer *observer = &fixture->observer;
	int failed = 0;

	pthread_mutex_lock(&observer->lock);
	while (observer->signals[1] == 0 && observer->exits == 0 && failed == 0) {
		pthread_cond_wait(&observer->changed, &observer->lock);
		for (int i = 100; i < 256; i++) {
			if (observer->signals[i] > 0)
				failed = i;
		}
	}
	pthread_mutex_unlock(&observer->lock);
	cr_assert_eq(failed, 0, "step %d", failed - 100);
	cr_assert_eq(observer->exits, 0, "%s", machine_exit_name(observer->exit.reason));
}

void virtio_steps_move(struct fixture *from, struct fixture *to)
{
	static struct vm_state state;
	struct error_detail detail = { 0 };
	int memory = memfd_create("memory", MFD_CLOEXEC);
	const struct guest_memory *source = &from->machine->vm.memory;

	cr_assert_eq(write(memory, source->host, source->size), (ssize_t)source->size);
	cr_assert_eq(snapshot_capture(from->machine, &state, NULL, &detail), 0, "%s", detail.text);
	cr_assert_eq(vm_state_check(&state, &detail), 0, "%s", detail.text);
	cr_assert_eq(snapshot_inject(to->machine, &state, memory, NULL, &detail), 0, "%s", detail.text);
	close(memory);
}
