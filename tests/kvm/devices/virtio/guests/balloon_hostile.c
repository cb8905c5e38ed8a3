/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Gives its balloon what is none; after each case the device needs a reset, and works again after it. Signals 1 when it
 * was so each time, else 100 plus the number of the case.
 */
#include "balloon_driver.h"

#define PAGE  4096
#define GIVEN UINT64_C(0x800000) /* a page that may go */

static uint32_t array[4];
static uint64_t memory_end;

static bool is_refused(uint32_t queue, uint64_t gpa, uint32_t length, uint16_t flags)
{
	balloon_offer(queue, gpa, length, flags);
	wait_needs_reset(BALLOON);
	return balloon_queues[queue].used_index == 0;
}

static bool is_page_refused(uint32_t queue, uint64_t page)
{
	array[0] = GIVEN / PAGE;
	array[1] = (uint32_t)page;
	return is_refused(queue, (uint64_t)array, 8, 0);
}

static bool past_memory(void)
{
	return is_page_refused(INFLATE, memory_end / PAGE);
}

static bool at_the_devices(void)
{
	return is_page_refused(INFLATE, 0xd0000);
}

static bool the_last_number(void)
{
	return is_page_refused(INFLATE, UINT32_MAX);
}

static bool out_of_the_balloon_past_memory(void)
{
	return is_page_refused(DEFLATE, memory_end / PAGE);
}

static bool half_a_number(void)
{
	return is_refused(INFLATE, (uint64_t)array, 6, 0);
}

static bool an_array_to_write_to(void)
{
	return is_refused(INFLATE, (uint64_t)array, 4, WRITE);
}

static bool all_of_memory_as_an_array(void)
{
	return is_refused(INFLATE, 0, (uint32_t)memory_end, 0);
}

static bool a_report_to_read(void)
{
	return is_refused(REPORTING, GIVEN, PAGE, 0);
}

static bool a_report_of_half_a_page(void)
{
	return is_refused(REPORTING, GIVEN, PAGE / 2, WRITE);
}

static bool a_report_between_pages(void)
{
	return is_refused(REPORTING, GIVEN + 8, PAGE, WRITE);
}

static bool a_report_past_memory(void)
{
	return is_refused(REPORTING, memory_end - PAGE, 2 * PAGE, WRITE);
}

static bool a_report_that_wraps(void)
{
	return is_refused(REPORTING, UINT64_MAX - PAGE + 1, PAGE, WRITE);
}

static bool statistics_to_write_to(void)
{
	return is_refused(STATISTICS, (uint64_t)array, 10, WRITE);
}

static bool more_than_there_is(void)
{
	set(BALLOON, CONFIG + 4, (uint32_t)(memory_end / PAGE) + 1);
	return (get(BALLOON, STATUS) & S_NEEDS_RESET) != 0;
}

/* Its own queue goes: the device loses sight of it, and nothing else happens. */
static bool the_queue_itself(void)
{
	array[0] = (uint32_t)((uint64_t)&balloon_queues[DEFLATE] / PAGE);
	balloon_offer(INFLATE, (uint64_t)array, 4, 0);
	if (!wait_used_on(BALLOON, &balloon_queues[INFLATE]))
		return false;
	set(BALLOON, QUEUE_NOTIFY, DEFLATE);
	return true;
}

/* After a reset it takes a page, and the page can be used again. */
static bool works(void)
{
	if (!balloon_start())
		return false;
	array[0] = GIVEN / PAGE;
	balloon_offer(INFLATE, (uint64_t)array, 4, 0);
	if (!wait_used_on(BALLOON, &balloon_queues[INFLATE]))
		return false;
	*(volatile uint64_t *)GIVEN = 77;
	return *(volatile uint64_t *)GIVEN == 77;
}

void guest_main(uint64_t memory_size, uint64_t vcpus)
{
	static bool (*const cases[])(void) = {
		past_memory,
		at_the_devices,
		the_last_number,
		out_of_the_balloon_past_memory,
		half_a_number,
		an_array_to_write_to,
		all_of_memory_as_an_array,
		a_report_to_read,
		a_report_of_half_a_page,
		a_report_between_pages,
		a_report_past_memory,
		a_report_that_wraps,
		statistics_to_write_to,
		more_than_there_is,
		the_queue_itself,
	};

	(void)vcpus;
	memory_end = memory_size;
	set_up_irqs(1 << 5);
	for (unsigned int i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		if (!balloon_start() || !cases[i]() || !works()) {
			signal_host((uint8_t)(100 + i));
			return;
		}
	}
	signal_host(1);
}
