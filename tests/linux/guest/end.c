/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ways in which a guest ends. Which of a host's mechanisms a reboot uses is the kernel's choice (reboot= on its
 * command line).
 */
#include "end.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/reboot.h>
#include <unistd.h>

void guest_end(const char *how)
{
	(void)fflush(stdout);
	sync();
	if (strcmp(how, "panic") != 0) {
		(void)reboot(strcmp(how, "poweroff") == 0 ? RB_POWER_OFF : RB_AUTOBOOT);
		printf("guest: %s: %s\n", how, strerror(errno));
		(void)fflush(stdout);
	}
	_exit(0); /* an init that ends is a panic */
}
