/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A pool in a loop of the test's own, and ways to wait for what it does.
 */
#ifndef EMBER_TESTS_KVM_POOL_POOL_HARNESS_H
#define EMBER_TESTS_KVM_POOL_POOL_HARNESS_H

#include <event2/event.h>

#include "pool/pool.h"

#define MIB (UINT64_C(1) << 20)

struct harness {
	struct event_base *base;
	struct pool *pool;
	unsigned events[POOL_EVENT_ZYGOTE_ENDED + 1]; /* how often each kind was reported */
	char last_error[MESSAGE_TEXT_MAX];
	bool verbose;
};

/* A start in progress, or done. */
struct started_vm {
	bool answered;
	bool exited;
	bool gone;
	unsigned outputs;
	unsigned connects; /* asked for by a vsock's guest; the last of them: */
	uint32_t connect_port;
	uint64_t connect_cookie;
	struct pool_result result;
	struct pool_vm *vm; /* NULL again when it is gone */
	struct pool_started started;
	unsigned signals[256];
	struct message_exited exit;
	char reason[64];
};

/* An operation in progress, or done. */
struct asked {
	bool answered;
	struct pool_result result;
	uint8_t data[MESSAGE_CONSOLE_MAX];
	uint64_t offset;
	uint32_t size;
	int state;
	struct message_snapshot_done snapshot;
	struct message_balloon_status balloon;
	struct message_loaded loaded;
	struct message_kernel_loaded kernel;
	unsigned steps; /* of progress */
};

void harness_open(struct harness *harness);
/* With another zygote and less patience. */
void harness_open_with(struct harness *harness, const char *executable, uint32_t reply_timeout_ms);
void harness_close(struct harness *harness);

/* Turn the loop until *done, or fail the test after 30 s. */
void harness_wait(struct harness *harness, const bool *done);
void harness_turn(struct harness *harness, unsigned milliseconds);

struct machine_shape harness_shape(uint32_t vcpus, uint64_t memory_mib);
void harness_configure(struct harness *harness, const struct machine_shape *shape, uint32_t min, uint32_t max);
struct pool_shape_status harness_status(struct harness *harness, const struct machine_shape *shape);
void harness_wait_warm(struct harness *harness, const struct machine_shape *shape, uint32_t count);

/* The pool's first process with that argv[0], or 0: what ps(1) shows. */
pid_t harness_child(const char *title);

/* A memory file with these bytes. The caller closes it. */
int harness_file(const void *data, size_t size);

/* Begin a boot of the hello guest (long mode). */
struct pool_request *harness_boot(struct harness *harness, const struct machine_shape *shape,
				  enum pool_temperature temperature, uint64_t deadline_ns, struct started_vm *vm);
struct pool_request *harness_start(struct harness *harness, const struct pool_start *start, struct started_vm *vm);

/* Boot a flat image (long mode), and wait for the answer. */
void harness_boot_image(struct harness *harness, const struct machine_shape *shape, const struct pool_devices *devices,
			const uint8_t *image, size_t size, struct started_vm *vm);
/* Turn the loop until the guest has signalled so often; a signal of 100 and more is a failed step of its. */
void harness_wait_signal(struct harness *harness, struct started_vm *vm, uint8_t number, unsigned count);
/* Snapshot a VM of at most one disk into files, and let it go on: state and memory; overlay: -1 where it is not kept. */
void harness_snapshot(struct harness *harness, struct pool_vm *vm, const int files[2], int overlay);
/* Have the loader read a snapshot; its sealed state. */
int harness_load(struct harness *harness, const int files[2]);

/* Callbacks for operations; opaque is a struct asked. */
void asked_done(void *opaque, const struct pool_result *result);
void asked_read(void *opaque, const struct pool_result *result, uint64_t offset, uint64_t dropped, const uint8_t *data,
		uint32_t size);
void asked_snapshot(void *opaque, const struct pool_result *result, const struct message_snapshot_done *times);
void asked_balloon(void *opaque, const struct pool_result *result, const struct message_balloon_status *status);
void asked_load(void *opaque, const struct pool_result *result, int state, const struct message_loaded *loaded);
void asked_kernel(void *opaque, const struct pool_result *result, const struct message_kernel_loaded *loaded);
void asked_progress(void *opaque, uint64_t done, uint64_t total);

#endif
