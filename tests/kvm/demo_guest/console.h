/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A machine with a guest in it, and a person at its console.
 */
#ifndef EMBER_TESTS_KVM_DEMO_GUEST_CONSOLE_H
#define EMBER_TESTS_KVM_DEMO_GUEST_CONSOLE_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "devices/machine.h"

#define REPLY_MAX 2048

struct guest {
	struct machine *machine;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	uint64_t outputs;      /* calls of output_ready() */
	uint64_t signals[256]; /* calls of signalled(), by number */
	bool exited;
	struct machine_exit_info exit;
	uint64_t position; /* of the console's stream, up to which lines have been read */
	char reply[REPLY_MAX];
};

/* Boot the image; it runs when this returns. Fails the test on any error. guest_end() ends it. */
struct guest *guest_start(const uint8_t *image, size_t size, enum entry_mode mode, const struct machine_shape *shape);
void guest_end(struct guest *guest);

/* The demo guest, with 16 MiB and one vCPU, after its banner and its ready signal. */
struct guest *demo_start(void);
struct guest *demo_start_shaped(const struct machine_shape *shape);

/* Type bytes as they are. Waits for the guest to take them where the console's queue is full. */
void guest_type(struct guest *guest, const char *bytes);

/*
 * The console's next line, without its end; kept in the guest until the next call. Waits for it without a limit of
 * its own; fails the test where the machine ends first.
 */
const char *guest_read_line(struct guest *guest);

/* Type a line and read one. */
const char *guest_ask(struct guest *guest, const char *line);

/* Wait until a number has been signalled so often. */
void guest_wait_signal(struct guest *guest, uint8_t number, uint64_t times);

/* Wait for the machine's end; why it came. */
enum machine_exit guest_wait_exit(struct guest *guest);

#endif
