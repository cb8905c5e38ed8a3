/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The signal port, from a guest's user space.
 */
#include "signal_port.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/io.h>
#include <time.h>

#define SIGNAL_PORT 0x5e0

static unsigned long long now_ms(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return (unsigned long long)now.tv_sec * 1000 + (unsigned long long)now.tv_nsec / 1000000;
}

void guest_signal(enum guest_event event)
{
	unsigned long long before = now_ms();

	if (ioperm(SIGNAL_PORT, 1, 1) < 0) {
		printf("guest: ioperm: %s\n", strerror(errno));
		return;
	}
	outb((uint8_t)event, SIGNAL_PORT);
	printf("guest: signalled %u at %llu ms, back at %llu ms\n", (unsigned int)event, before, now_ms());
	(void)fflush(stdout);
}
