/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A machine on this host's KVM, with a guest in it, and an observer of what it does.
 */
#ifndef EMBER_TESTS_KVM_DEVICES_FIXTURE_H
#define EMBER_TESTS_KVM_DEVICES_FIXTURE_H

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>

#include "devices/machine.h"
#include "guest.h"

struct observer {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	uint64_t signals[256];
	unsigned int exits; /* calls of exited() */
	struct machine_exit_info exit;
};

struct fixture {
	struct machine *machine;
	struct observer observer;
};

/* This process's host. Fails the test where KVM is absent, and skips it where EMBER_NO_KVM is set. */
const struct kvm_host *fixture_host(void);

/* A machine that has not been booted. Fails the test on any error. */
void fixture_build(struct fixture *fixture, uint32_t vcpus, uint64_t memory_mib);
void fixture_build_shape(struct fixture *fixture, const struct machine_shape *shape);

/* The same, booted from an image, and running. */
void fixture_start(struct fixture *fixture, uint32_t vcpus, enum entry_mode mode, const uint8_t *image, size_t size);
#define fixture_start_guest(fixture, vcpus, mode, name)                                                   \
	do {                                                                                              \
		GUEST_IMAGE(devices_##name);                                                              \
		fixture_start(fixture, vcpus, mode, devices_##name##_image, devices_##name##_image_size); \
	} while (0)

void fixture_end(struct fixture *fixture);

/* A memfd with these bytes; the caller closes it. */
int fixture_image(const uint8_t *image, size_t size);

/*
 * Wait until a number has been signalled so often, or the machine has exited. Without a limit: the test runner has
 * one.
 */
void fixture_wait_signal(struct fixture *fixture, uint8_t number, uint64_t count);
void fixture_wait_exit(struct fixture *fixture, struct machine_exit_info *ret_info);
uint64_t fixture_signals(struct fixture *fixture, uint8_t number);

/*
 * Type all of it, waiting for room, while reading what comes back; until as many bytes have come from position 0 as
 * were typed.
 */
void fixture_converse(struct fixture *fixture, const uint8_t *typed, uint8_t *ret_answer, size_t size);

/* Wait for output up to a position, and read it from position 0. */
void fixture_read_output(struct fixture *fixture, uint8_t *ret_data, size_t size);

#endif
