/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The balloon of guests without a kernel.
 */
#include "balloon_driver.h"

struct queue balloon_queues[4];

bool balloon_start(void)
{
	if (!negotiate(BALLOON, F_STATISTICS | F_REPORTING | F_INDIRECT))
		return false;
	for (uint32_t i = 0; i < 4; i++) {
		if (!set_queue(BALLOON, i, &balloon_queues[i]))
			return false;
	}
	return set_driver_ok(BALLOON);
}

void balloon_offer(uint32_t queue, uint64_t gpa, uint32_t length, uint16_t flags)
{
	balloon_queues[queue].descriptors[0] = (struct descriptor){ gpa, length, flags, 0 };
	offer_on(BALLOON, queue, &balloon_queues[queue], 0);
}
