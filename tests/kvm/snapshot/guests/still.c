/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stands still, and counts how often it was told to go on: once in each life.
 */
#include "base.h"

void guest_main(void)
{
	for (uint64_t count = 1;; count++) {
		stand_still();
		report()->go = 0;
		report()->values[0] = count;
		signal_host(EVENT_DONE);
	}
}
