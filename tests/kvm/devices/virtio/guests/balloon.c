/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Has a balloon, and follows the target that its host gives. At first it touches all pages that it may give away, and a
 * range that it reports as free when it has followed the first time. Pages that come out of the balloon it touches again.
 *
 * Signals 2 when all is touched, 3 each time that it has followed, 4 after the report, 100 and more when something is
 * not as it should be. Its statistics are how much memory it has, and how many buffers of statistics it has offered.
 */
#include "balloon_driver.h"
#include "balloon_layout.h"

static uint32_t actual;
static uint64_t told;
static struct statistic statistics[2];

static void touch(uint64_t gpa, uint32_t pages, uint8_t value)
{
	for (uint32_t i = 0; i < pages; i++) {
		*(volatile uint8_t *)(gpa + (uint64_t)i * 4096) = value;
		*(volatile uint8_t *)(gpa + (uint64_t)i * 4096 + 4095) = value;
	}
}

static void tell(uint64_t memory_size)
{
	statistics[0] = (struct statistic){ STATISTIC_TOTAL, memory_size };
	statistics[1] = (struct statistic){ STATISTIC_FREE, ++told };
	balloon_offer(STATISTICS, (uint64_t)statistics, sizeof(statistics), 0);
}

/* Name the pages between what is in the balloon and what is to be. */
static bool name(uint32_t queue, uint32_t from, uint32_t to)
{
	static uint32_t pages[256];

	while (from < to) {
		uint32_t count = to - from < 256 ? to - from : 256;

		for (uint32_t i = 0; i < count; i++)
			pages[i] = (uint32_t)(BALLOON_PLACE / 4096) + from + i;
		balloon_offer(queue, (uint64_t)pages, count * 4, 0);
		if (!wait_used_on(BALLOON, &balloon_queues[queue]))
			return false;
		from += count;
	}
	return true;
}

static bool follow(uint32_t target)
{
	bool good = target > actual ? name(INFLATE, actual, target) : name(DEFLATE, target, actual);

	if (good && target < actual)
		touch(BALLOON_PLACE + (uint64_t)target * 4096, actual - target, 0x22);
	actual = target;
	set(BALLOON, CONFIG + 4, actual);
	return good;
}

static bool report(void)
{
	balloon_offer(REPORTING, BALLOON_REPORTED, BALLOON_REPORTED_PAGES * 4096, WRITE);
	return wait_used_on(BALLOON, &balloon_queues[REPORTING]);
}

void guest_main(uint64_t memory_size, uint64_t vcpus)
{
	bool reported = false;

	(void)vcpus;
	set_up_irqs(1 << 5);
	touch(BALLOON_PLACE, BALLOON_PAGES, 0x11);
	touch(BALLOON_REPORTED, BALLOON_REPORTED_PAGES, 0x11);
	if (!balloon_start() || get(BALLOON, DEVICE_ID) != 5) {
		signal_host(100);
		return;
	}
	tell(memory_size);
	signal_host(2);
	for (;;) {
		uint32_t target = get(BALLOON, CONFIG);

		if (balloon_queues[STATISTICS].used_index == balloon_queues[STATISTICS].avail_index) {
			tell(memory_size);
		} else if (target == actual) {
			wait_for_interrupt();
		} else if (target > BALLOON_PAGES || !follow(target)) {
			signal_host(101);
			return;
		} else {
			signal_host(3);
			if (!reported) {
				reported = report();
				signal_host(reported ? 4 : 102);
			}
		}
	}
}
