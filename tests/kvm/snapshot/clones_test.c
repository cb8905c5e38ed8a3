/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Many VMs from one snapshot at once: none sees another's writes, and neither does the file. And what cannot be
 * injected.
 */
#include "guests/writer.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <criterion/criterion.h>

#include "fixture.h"

#define CLONES 6

TestSuite(clones, .init = fixture_setup, .fini = fixture_teardown);

static void source(void *opaque)
{
	struct vm_life life;

	(void)opaque;
	FIXTURE_BOOT(&life, 1, writer);
	fixture_run_until_ready(&life);
	fixture_save(&life, "clones");
	fixture_end(&life);
}

/* Clones wait for each other, so that all run at once. */
struct meeting {
	pthread_barrier_t all;
};

static void run_clone(struct meeting *meeting, uint32_t number)
{
	const struct report *report;
	struct vm_life life;

	fixture_restore(&life, "clones");
	report = fixture_report(&life);
	fixture_report(&life)->mode = 1000 * number;
	(void)pthread_barrier_wait(&meeting->all);
	fixture_finish(&life);
	(void)pthread_barrier_wait(&meeting->all);
	CHECK_EQ(report->values[0], FILL_PAGES);
	CHECK_EQ(report->values[1], 0);
	for (unsigned page = 0; page < FILL_PAGES; page++) {
		uint64_t word;

		CHECK_EQ(guest_memory_read(&life.machine->vm.memory, FILL_GPA + 4096 * page, &word, sizeof(word)), 0);
		CHECK_EQ(word, 1000 * number + FILL_ROUNDS - 1);
	}
	fixture_end(&life);
}

/* The file's checksums still hold, and a VM from it finds what the source left. */
static void look_again(void *opaque)
{
	struct vm_life life;

	(void)opaque;
	fixture_restore(&life, "clones");
	fixture_finish(&life);
	CHECK_EQ(fixture_report(&life)->values[0], FILL_PAGES);
	fixture_end(&life);
}

Test(clones, writes_are_private)
{
	struct meeting *meeting = fixture_share(sizeof(*meeting));
	pthread_barrierattr_t shared;
	pid_t clones[CLONES];

	fixture_in_process("source", source, NULL);
	cr_assert_eq(pthread_barrierattr_init(&shared), 0);
	cr_assert_eq(pthread_barrierattr_setpshared(&shared, PTHREAD_PROCESS_SHARED), 0);
	cr_assert_eq(pthread_barrier_init(&meeting->all, &shared, CLONES), 0);
	for (uint32_t i = 0; i < CLONES; i++) {
		clones[i] = fixture_fork();
		if (clones[i] == 0) {
			(void)alarm(60);
			run_clone(meeting, i + 1);
			_exit(0);
		}
	}
	for (uint32_t i = 0; i < CLONES; i++) {
		int status;

		cr_assert_eq(waitpid(clones[i], &status, 0), clones[i]);
		cr_assert_eq(status, 0, "clone %u failed, see above", i + 1);
	}
	fixture_in_process("look again", look_again, NULL);
}

/* ---- refusals ---- */

#define CHECK_REFUSED(call, error, words)                                                                 \
	do {                                                                                              \
		struct error_detail detail = { "" };                                                      \
		int check_result = (call);                                                                \
		if (check_result != (error) || !strstr(detail.text, words))                               \
			fixture_fail(__FILE__, __LINE__, "%s: %d: %s", #call, check_result, detail.text); \
	} while (0)

static void refuse_shapes(void *opaque)
{
	struct machine_shape shape;
	struct vm_state *state;
	struct vm_life life;
	int memory;

	(void)opaque;
	fixture_load("clones", &state, &memory);
	vm_state_shape(state, &shape);

	shape.vcpus = 2;
	fixture_build(&life, &shape);
	CHECK_REFUSED(snapshot_inject(life.machine, state, memory, NULL, NULL, &detail), -EINVAL, "1 vCPUs");
	fixture_end(&life);
	shape.vcpus = 1;
	shape.memory_size *= 2;
	fixture_build(&life, &shape);
	CHECK_REFUSED(snapshot_inject(life.machine, state, memory, NULL, NULL, &detail), -EINVAL, "8388608");
	fixture_end(&life);
	shape.memory_size /= 2;
	shape.cpu_template = CPU_TEMPLATE_PORTABLE;
	fixture_build(&life, &shape);
	CHECK_REFUSED(snapshot_inject(life.machine, state, memory, NULL, NULL, &detail), -EINVAL, "template");
	fixture_end(&life);
}

static void refuse_files_and_devices(void *opaque)
{
	int empty = memfd_create("empty", MFD_CLOEXEC);
	struct device_record *serial = malloc(sizeof(*serial));
	struct machine_shape shape;
	struct vm_state *state;
	struct vm_life life;
	int memory;

	(void)opaque;
	fixture_load("clones", &state, &memory);
	vm_state_shape(state, &shape);
	fixture_build(&life, &shape);
	CHECK(serial);
	CHECK_EQ(ftruncate(empty, (off_t)shape.memory_size - 4096), 0);
	CHECK_REFUSED(snapshot_inject(life.machine, state, empty, NULL, NULL, &detail), -EBADMSG, "memory.snap");

	state->devices[0].instance = 9;
	CHECK_REFUSED(snapshot_inject(life.machine, state, memory, NULL, NULL, &detail), -EINVAL,
		      "that the machine has not");
	state->devices[0].instance = 0;
	*serial = state->devices[0];
	state->devices[0] = state->devices[--state->device_count];
	CHECK_REFUSED(snapshot_inject(life.machine, state, memory, NULL, NULL, &detail), -EINVAL,
		      "no state for the machine's serial");
	state->devices[state->device_count++] = state->devices[0];
	state->devices[0] = *serial;
	CHECK_OK(snapshot_inject(life.machine, state, memory, NULL, NULL, &detail));
	free(serial);
	fixture_end(&life);
}

/* As snapshots were before there were other devices than these. */
static void take_one_with_three_devices(void *opaque)
{
	struct machine_shape shape;
	struct vm_state *state;
	struct vm_life life;
	int memory;

	(void)opaque;
	fixture_load("clones", &state, &memory);
	vm_state_shape(state, &shape);
	CHECK(state->device_count > 3);
	CHECK_EQ(strcmp(state->devices[2].name, "signal_port"), 0);
	state->device_count = 3;
	CHECK_OK(vm_state_check(state, &detail));
	fixture_build(&life, &shape);
	CHECK_OK(snapshot_inject(life.machine, state, memory, NULL, NULL, &detail));
	fixture_finish(&life);
	CHECK_EQ(fixture_report(&life)->values[0], FILL_PAGES);
	fixture_end(&life);
}

Test(clones, a_snapshot_may_be_older_than_a_device)
{
	fixture_in_process("source", source, NULL);
	fixture_in_process("three devices", take_one_with_three_devices, NULL);
}

static void refuse_while_running(void *opaque)
{
	struct vm_state *state;
	struct vm_life life;
	int memory;

	(void)opaque;
	fixture_load("clones", &state, &memory);
	fixture_restore(&life, "clones");
	fixture_run(&life);
	CHECK_REFUSED(snapshot_capture(life.machine, state, NULL, &detail), -EBUSY, "runs");
	CHECK_REFUSED(snapshot_inject(life.machine, state, memory, NULL, NULL, &detail), -EBUSY, "has run");
	machine_pause(life.machine);
	CHECK_REFUSED(snapshot_inject(life.machine, state, memory, NULL, NULL, &detail), -EBUSY, "has run");
	fixture_end(&life);
}

/* A state that KVM does not take: named, and the process lives on. */
static void refuse_by_kvm(void *opaque)
{
	struct machine_shape shape;
	struct vm_state *state;
	struct vm_life life;
	int memory;

	(void)opaque;
	fixture_load("clones", &state, &memory);
	vm_state_shape(state, &shape);
	state->vcpus[0].sregs.cr4 = UINT64_MAX;
	fixture_build(&life, &shape);
	CHECK_REFUSED(snapshot_inject(life.machine, state, memory, NULL, NULL, &detail), -EINVAL, "KVM_SET_SREGS");
	fixture_end(&life);
}

Test(clones, what_does_not_fit_is_refused)
{
	fixture_in_process("source", source, NULL);
	fixture_in_process("shapes", refuse_shapes, NULL);
	fixture_in_process("files and devices", refuse_files_and_devices, NULL);
	fixture_in_process("running", refuse_while_running, NULL);
	fixture_in_process("KVM", refuse_by_kvm, NULL);
}
