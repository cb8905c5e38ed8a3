/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Machines on this host's KVM, each in a process of its own, and the snapshots that go from one to the next.
 *
 * A test's own process makes no machine and no thread: it forks one child for each life of a VM. What a child finds
 * wrong it says on stderr, and exits; its parent's assertion then fails the test.
 */
#ifndef EMBER_TESTS_KVM_SNAPSHOT_FIXTURE_H
#define EMBER_TESTS_KVM_SNAPSHOT_FIXTURE_H

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "devices/machine.h"
#include "guest.h"
#include "guests/report.h"
#include "snapshot/capture.h"
#include "snapshot/state_json.h"

/* In a child: end it, and the test, unless the condition holds. */
#define CHECK(condition)                                                    \
	do {                                                                \
		if (!(condition))                                           \
			fixture_fail(__FILE__, __LINE__, "%s", #condition); \
	} while (0)
#define CHECK_EQ(actual, expected)                                                                                 \
	do {                                                                                                       \
		uint64_t check_actual = (uint64_t)(actual);                                                        \
		uint64_t check_expected = (uint64_t)(expected);                                                    \
		if (check_actual != check_expected)                                                                \
			fixture_fail(__FILE__, __LINE__, "%s is %#jx, not %#jx", #actual, (uintmax_t)check_actual, \
				     (uintmax_t)check_expected);                                                   \
	} while (0)
/* A call that returns 0, and fills `detail` where it does not. */
#define CHECK_OK(call)                                                                                    \
	do {                                                                                              \
		struct error_detail detail = { "" };                                                      \
		int check_result = (call);                                                                \
		if (check_result != 0)                                                                    \
			fixture_fail(__FILE__, __LINE__, "%s: %d: %s", #call, check_result, detail.text); \
	} while (0)

__attribute__((format(printf, 3, 4))) _Noreturn void fixture_fail(const char *file, int line, const char *format, ...);

struct vm_life {
	struct machine *machine;
	struct vm_state *state; /* of the snapshot that was taken or restored last */
	pthread_mutex_t lock;
	pthread_cond_t changed;
	uint64_t signals[256];
	unsigned int exits;
	struct machine_exit_info exit;
};

/* In the test's process: skip where EMBER_NO_KVM is set; make the scratch folder; remove it. */
void fixture_setup(void);
void fixture_teardown(void);

/* Zeroed memory that all the processes of a test see. */
void *fixture_share(size_t size);

/* As fork(2), for a child that dies with the test's process. */
pid_t fixture_fork(void);

/* Run body in a child, and fail the test unless it returns. */
void fixture_in_process(const char *what, void (*body)(void *opaque), void *opaque);

/* ---- in a child ---- */

/* This process's host, probed at the first call. */
const struct kvm_host *fixture_host(void);

/* A machine with an image loaded, at rest. */
void fixture_boot(struct vm_life *life, uint32_t vcpus, const uint8_t *image, size_t size);
#define FIXTURE_BOOT(life, vcpus, name)                                                           \
	do {                                                                                      \
		GUEST_IMAGE(snapshot_##name);                                                     \
		fixture_boot(life, vcpus, snapshot_##name##_image, snapshot_##name##_image_size); \
	} while (0)

/* A machine that nothing has been put into. */
void fixture_build(struct vm_life *life, const struct machine_shape *shape);

void fixture_run(struct vm_life *life);

/*
 * Wait until a number has been signalled so often in this life; a machine that ends before fails the test. No limit:
 * the runner has one.
 */
void fixture_wait(struct vm_life *life, uint8_t number, uint64_t count);

/* Run until the guest is ready, and pause. */
void fixture_run_until_ready(struct vm_life *life);

/* Capture the paused machine and publish its snapshot in the scratch folder. */
void fixture_save(struct vm_life *life, const char *name);

/* Write a captured state, which a test may have changed, and the machine's memory. */
void fixture_publish(struct vm_life *life, const char *name);

/* Open, load, check, verify: a state and its memory file. */
void fixture_load(const char *name, struct vm_state **ret_state, int *ret_memory);

/* All of it: a machine with the snapshot in it, at rest. */
void fixture_restore(struct vm_life *life, const char *name);
void fixture_restore_with(struct vm_life *life, const char *name, const struct inject_options *options);

/* Tell the guest to go on, and wait until it has filled its report. */
void fixture_finish(struct vm_life *life);

/* The guest's report, as it stands in its memory. */
struct report *fixture_report(struct vm_life *life);

void fixture_end(struct vm_life *life);

#endif
