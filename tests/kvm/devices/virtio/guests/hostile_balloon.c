/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A balloon's hostile driver: gives it what is none.
 */
#include "balloon_driver.h"
#include "race.h"

#define PAGE  4096
#define GIVEN UINT64_C(0x800000) /* a page that may go */

static uint32_t array[4];
static uint64_t memory_end;

static void inflate(void)
{
	array[0] = GIVEN / PAGE;
	balloon_offer(INFLATE, (uint64_t)array, 4, 0);
}

static void deflate(void)
{
	array[0] = GIVEN / PAGE;
	balloon_offer(DEFLATE, (uint64_t)array, 4, 0);
}

static void tell(void)
{
	balloon_offer(STATISTICS, (uint64_t)array, 10, 0);
}

static void report(void)
{
	balloon_offer(REPORTING, GIVEN, PAGE, WRITE);
}

/* After a reset it takes a page, and the page can be used again. */
static bool works(void)
{
	if (!balloon_start())
		return false;
	inflate();
	if (!wait_used_on(BALLOON, &balloon_queues[INFLATE]))
		return false;
	*(volatile uint64_t *)GIVEN = 77;
	return *(volatile uint64_t *)GIVEN == 77;
}

static const struct target targets[] = {
	[INFLATE] = { BALLOON, INFLATE, &balloon_queues[INFLATE], 0, balloon_start, NULL, inflate, works },
	[DEFLATE] = { BALLOON, DEFLATE, &balloon_queues[DEFLATE], 0, balloon_start, NULL, deflate, works },
	[STATISTICS] = { BALLOON, STATISTICS, &balloon_queues[STATISTICS], 0, balloon_start, NULL, tell, works },
	[REPORTING] = { BALLOON, REPORTING, &balloon_queues[REPORTING], WRITE, balloon_start, NULL, report, works },
};

static bool is_offer_refused(uint32_t queue, uint64_t gpa, uint32_t length, uint16_t flags)
{
	balloon_queues[queue].descriptors[0] = (struct descriptor){ gpa, length, flags, 0 };
	return is_refused(&targets[queue]);
}

static bool is_page_refused(uint32_t queue, uint64_t page)
{
	array[0] = GIVEN / PAGE;
	array[1] = (uint32_t)page;
	return is_offer_refused(queue, (uint64_t)array, 8, 0);
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
	return is_offer_refused(INFLATE, (uint64_t)array, 6, 0);
}

static bool an_array_to_write_to(void)
{
	return is_offer_refused(INFLATE, (uint64_t)array, 4, WRITE);
}

static bool all_of_memory_as_an_array(void)
{
	return is_offer_refused(INFLATE, 0, (uint32_t)memory_end, 0);
}

static bool a_report_to_read(void)
{
	return is_offer_refused(REPORTING, GIVEN, PAGE, 0);
}

static bool a_report_of_half_a_page(void)
{
	return is_offer_refused(REPORTING, GIVEN, PAGE / 2, WRITE);
}

static bool a_report_between_pages(void)
{
	return is_offer_refused(REPORTING, GIVEN + 8, PAGE, WRITE);
}

static bool a_report_past_memory(void)
{
	return is_offer_refused(REPORTING, memory_end - PAGE, 2 * PAGE, WRITE);
}

static bool a_report_that_wraps(void)
{
	return is_offer_refused(REPORTING, UINT64_MAX - PAGE + 1, PAGE, WRITE);
}

static bool statistics_to_write_to(void)
{
	return is_offer_refused(STATISTICS, (uint64_t)array, 10, WRITE);
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

void guest_main(uint64_t memory_size, uint64_t vcpus)
{
	static const hostile_case cases[] = {
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

	memory_end = memory_size;
	set_up_irqs(1 << 5);
	/* An array of page numbers that is overwritten would give away the guest itself: so not the first queue. */
	if (vcpus > 1)
		run_race(&targets[DEFLATE], 3);
	else
		run_hostile(targets, sizeof(targets) / sizeof(targets[0]), cases, sizeof(cases) / sizeof(cases[0]),
			    memory_size);
}
