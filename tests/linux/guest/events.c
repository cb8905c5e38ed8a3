/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ACPI events and entropy, as a guest's user space sees them.
 */
#include "events.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/input.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "firmware.h"
#include "hex.h"
#include "signal_port.h"

#define WAIT_MS       10000
#define ENTROPY_BYTES 8

static void say_error(const char *what)
{
	printf("guest: %s: %s\n", what, strerror(errno));
}

static bool is_power_key(int input)
{
	struct pollfd wait = { .fd = input, .events = POLLIN };
	struct input_event event;

	while (poll(&wait, 1, WAIT_MS) > 0 && read(input, &event, sizeof(event)) == (ssize_t)sizeof(event))
		if (event.type == EV_KEY && event.code == KEY_POWER && event.value == 1)
			return true;
	return false;
}

void guest_power_button(void)
{
	int input = open("/dev/input/event0", O_RDONLY | O_CLOEXEC);

	if (input < 0) {
		say_error("/dev/input/event0");
		return;
	}
	guest_signal(GUEST_EVENT_POWER_BUTTON);
	printf("guest: power button %s\n", is_power_key(input) ? "pressed" : "was not pressed");
	(void)close(input);
}

void guest_generation_id(void)
{
	const struct timespec pause = { .tv_nsec = 20000000 };
	uint8_t before[GENERATION_ID_SIZE], after[GENERATION_ID_SIZE];
	char old[2 * GENERATION_ID_SIZE + 1], new[2 * GENERATION_ID_SIZE + 1];
	unsigned long events = firmware_events();
	int result = firmware_generation_id(before);

	guest_signal(GUEST_EVENT_GENERATION_ID);
	for (int waited = 0; waited < WAIT_MS / 20 && firmware_events() == events; waited++)
		(void)nanosleep(&pause, NULL);
	if (result == 0)
		result = firmware_generation_id(after);
	if (result < 0)
		printf("guest: /dev/mem: %s\n", strerror(-result));
	else
		printf("guest: generation id %s to %s, %lu events\n", hex_text(before, sizeof(before), old),
		       hex_text(after, sizeof(after), new), firmware_events() - events);
}

void guest_entropy(void)
{
	int device = open("/dev/hwrng", O_RDONLY | O_CLOEXEC);
	uint64_t values[2] = { 0 };

	for (size_t i = 0; i < 2; i++) {
		if (device < 0 || read(device, &values[i], ENTROPY_BYTES) != ENTROPY_BYTES) {
			say_error("/dev/hwrng");
			return;
		}
	}
	printf("guest: entropy %016llx %016llx\n", (unsigned long long)values[0], (unsigned long long)values[1]);
	(void)close(device);
}
