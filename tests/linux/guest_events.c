/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ACPI events and entropy, as a guest's user space sees them.
 */
#include "guest_events.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/input.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "guest_signal.h"

#define WAIT_MS           10000
#define GENERATION_ID_GPA 0xff000 /* LINUX_GENERATION_ID_GPA of the host's loader */
#define PAGE              4096
#define ENTROPY_BYTES     8

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

/* How many interrupts the device for generic events has had, on all CPUs. */
static unsigned long count_events(void)
{
	FILE *file = fopen("/proc/interrupts", "r");
	unsigned long sum = 0;
	char line[1024];

	while (file && fgets(line, sizeof(line), file)) {
		char *field = strchr(line, ':'), *end;

		if (!field || !strstr(line, "ACPI:Ged"))
			continue;
		for (field++;; field = end) {
			unsigned long value = strtoul(field, &end, 10);

			if (end == field)
				break;
			sum += value;
		}
	}
	if (file)
		(void)fclose(file);
	return sum;
}

void guest_generation_id(void)
{
	const struct timespec pause = { .tv_nsec = 20000000 };
	int memory = open("/dev/mem", O_RDONLY | O_CLOEXEC);
	const volatile uint64_t *id = MAP_FAILED;
	unsigned long events = count_events();
	uint64_t before;

	if (memory >= 0)
		id = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, memory, GENERATION_ID_GPA);
	if (id == MAP_FAILED) {
		say_error("/dev/mem");
		return;
	}
	before = id[0];
	guest_signal(GUEST_EVENT_GENERATION_ID);
	for (int waited = 0; waited < WAIT_MS / 20 && count_events() == events; waited++)
		(void)nanosleep(&pause, NULL);
	printf("guest: generation id %016llx to %016llx, %lu events\n", (unsigned long long)before,
	       (unsigned long long)id[0], count_events() - events);
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
