/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A balloon driver that breaks the rules: the device needs a reset, nothing else is dropped than was named, and after a
 * reset it works again.
 */
#include <criterion/criterion.h>
#include <string.h>

#include "balloon_guest.h"
#include "devices/virtio/balloon/pages.h"

static struct balloon_guest guest;

static void set_up(void)
{
	balloon_guest_open(&guest, STATISTICS | REPORTING);
}

static void tear_down(void)
{
	balloon_guest_close(&guest);
}

TestSuite(virtio_balloon_hostile, .init = set_up, .fini = tear_down);

/* The device has given up without a page of the free ones touched, and serves the next driver. */
static void assert_refused(uint32_t queue)
{
	const uint32_t page = FREE_PAGE;

	driver_wait_failed(&guest.driver);
	cr_assert_eq(ring_used_index(&guest.rings[queue]), 0);
	for (uint32_t i = FREE_PAGE; i < PAGES; i++)
		cr_assert(balloon_guest_has(&guest, i), "page %u", i);
	balloon_guest_start(&guest, STATISTICS | REPORTING);
	balloon_guest_name(&guest, INFLATE, &page, 1);
	memset(guest.rings[0].memory.host + page * BALLOON_PAGE, CONTENT, BALLOON_PAGE);
	balloon_guest_start(&guest, STATISTICS | REPORTING);
}

static void name(uint32_t queue, uint32_t one, uint32_t other)
{
	const uint32_t pages[] = { one, other };

	memcpy(guest.rings[0].memory.host + GUEST_ARRAYS, pages, sizeof(pages));
	balloon_guest_offer(&guest, queue, GUEST_ARRAYS, sizeof(pages), 0);
}

Test(virtio_balloon_hostile, pages_past_memory)
{
	const uint32_t pages[] = { PAGES, PAGES + 1, 1 << 20, 1U << 31, UINT32_MAX };

	for (size_t i = 0; i < sizeof(pages) / sizeof(pages[0]); i++) {
		for (uint32_t queue = INFLATE; queue <= DEFLATE; queue++) {
			name(queue, FREE_PAGE, pages[i]);
			assert_refused(queue);
			name(queue, pages[i], FREE_PAGE);
			assert_refused(queue);
		}
	}
}

Test(virtio_balloon_hostile, arrays_that_are_none)
{
	for (uint32_t queue = INFLATE; queue <= DEFLATE; queue++) {
		balloon_guest_offer(&guest, queue, GUEST_ARRAYS, 3, 0);
		assert_refused(queue);
		balloon_guest_offer(&guest, queue, GUEST_ARRAYS, 4, WRITE);
		assert_refused(queue);
		ring_describe(&guest.rings[queue], 1, GUEST_ARRAYS, 4, WRITE, 0);
		balloon_guest_offer(&guest, queue, GUEST_ARRAYS, 4, NEXT);
		assert_refused(queue);
	}
}

Test(virtio_balloon_hostile, an_array_of_the_greatest_length_and_one_more)
{
	uint32_t *pages = (uint32_t *)(void *)(guest.rings[0].memory.host + GUEST_ARRAYS);

	for (uint32_t i = 0; i <= BALLOON_REQUEST_PAGES; i++)
		pages[i] = FREE_PAGE + i % 2 * 10;
	balloon_guest_offer(&guest, INFLATE, GUEST_ARRAYS, BALLOON_REQUEST_PAGES * 4, 0);
	balloon_guest_wait(&guest, INFLATE);
	for (uint32_t i = FREE_PAGE; i < PAGES; i++)
		cr_assert_eq(balloon_guest_has(&guest, i), i != FREE_PAGE && i != FREE_PAGE + 10);
	memset(guest.rings[0].memory.host + FREE_PAGE * BALLOON_PAGE, CONTENT, 11 * BALLOON_PAGE);
	balloon_guest_start(&guest, STATISTICS | REPORTING);
	balloon_guest_offer(&guest, INFLATE, GUEST_ARRAYS, BALLOON_REQUEST_PAGES * 4 + 4, 0);
	assert_refused(INFLATE);
}

Test(virtio_balloon_hostile, reports_of_parts_of_pages)
{
	const struct {
		uint64_t gpa;
		uint32_t length;
	} cases[] = {
		{ FREE_PAGE * BALLOON_PAGE + 1, BALLOON_PAGE },
		{ FREE_PAGE * BALLOON_PAGE, BALLOON_PAGE - 1 },
		{ FREE_PAGE * BALLOON_PAGE, BALLOON_PAGE + 1 },
		{ FREE_PAGE * BALLOON_PAGE + 2048, 2048 },
		{ FREE_PAGE * BALLOON_PAGE, 1 },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		balloon_guest_offer(&guest, OTHERS + 1, cases[i].gpa, cases[i].length, WRITE);
		assert_refused(OTHERS + 1);
		/* Nothing is dropped before all has been looked at. */
		ring_describe(&guest.rings[OTHERS + 1], 1, cases[i].gpa, cases[i].length, WRITE, 0);
		balloon_guest_offer(&guest, OTHERS + 1, 200 * BALLOON_PAGE, BALLOON_PAGE, WRITE | NEXT);
		assert_refused(OTHERS + 1);
	}
}

Test(virtio_balloon_hostile, reports_outside_memory_or_readable)
{
	balloon_guest_offer(&guest, OTHERS + 1, (PAGES - 1) * BALLOON_PAGE, 2 * BALLOON_PAGE, WRITE);
	assert_refused(OTHERS + 1);
	balloon_guest_offer(&guest, OTHERS + 1, UINT64_MAX - BALLOON_PAGE + 1, BALLOON_PAGE, WRITE);
	assert_refused(OTHERS + 1);
	balloon_guest_offer(&guest, OTHERS + 1, FREE_PAGE * BALLOON_PAGE, UINT32_MAX - BALLOON_PAGE + 1, WRITE);
	assert_refused(OTHERS + 1);
	balloon_guest_offer(&guest, OTHERS + 1, FREE_PAGE * BALLOON_PAGE, BALLOON_PAGE, 0);
	assert_refused(OTHERS + 1);
	ring_describe(&guest.rings[OTHERS + 1], 1, 200 * BALLOON_PAGE, BALLOON_PAGE, WRITE, 0);
	balloon_guest_offer(&guest, OTHERS + 1, FREE_PAGE * BALLOON_PAGE, BALLOON_PAGE, NEXT);
	assert_refused(OTHERS + 1);
}

Test(virtio_balloon_hostile, statistics_to_be_written_to)
{
	balloon_guest_offer(&guest, OTHERS, GUEST_ARRAYS, 10, WRITE);
	assert_refused(OTHERS);
}

/* The buffer that the device has read and not given back is the driver's to change, to its own harm only. */
Test(virtio_balloon_hostile, statistics_that_change_while_they_are_kept)
{
	const uint64_t entries[] = { VIRTIO_BALLOON_S_MEMFREE, 1 };

	balloon_guest_tell(&guest, entries, 1);
	(void)balloon_guest_wait_statistics(&guest, 0);
	ring_describe(&guest.rings[OTHERS], 0, UINT64_MAX - 4, 10, 0, 0);
	cr_assert_eq(virtio_balloon_ask_statistics(guest.balloon), 0);
	assert_refused(OTHERS);

	balloon_guest_tell(&guest, entries, 1);
	(void)balloon_guest_wait_statistics(&guest, 0);
	ring_write16(&guest.rings[OTHERS], guest.rings[OTHERS].base + RING_AVAILABLE + 2, 0);
	cr_assert_eq(virtio_balloon_ask_statistics(guest.balloon), 0);
	driver_pause(&guest.driver);
	cr_assert_eq(driver_status(&guest.driver), 0xf, "there is nothing to give back");
	cr_assert_eq(ring_used_index(&guest.rings[OTHERS]), 0);
}

Test(virtio_balloon_hostile, more_pages_in_the_balloon_than_there_are)
{
	driver_write(&guest.driver, VIRTIO_MMIO_CONFIG + 4, PAGES + 1);
	assert_refused(INFLATE);
	driver_write(&guest.driver, VIRTIO_MMIO_CONFIG + 4, UINT32_MAX);
	assert_refused(INFLATE);
}

/* Its own rings go into the balloon: what it finds then is its own affair. */
Test(virtio_balloon_hostile, the_queues_themselves)
{
	uint32_t pages[4 * 8];
	const uint32_t page = FREE_PAGE;

	for (uint32_t i = 0; i < 4 * 8; i++)
		pages[i] = i;
	memcpy(guest.rings[0].memory.host + GUEST_ARRAYS, pages, sizeof(pages));
	balloon_guest_offer(&guest, INFLATE, GUEST_ARRAYS, sizeof(pages), 0);
	while (ring_used_index(&guest.rings[INFLATE]) == 0 &&
	       !(driver_status(&guest.driver) & VIRTIO_CONFIG_S_NEEDS_RESET))
		driver_interrupts(&guest.driver);
	balloon_guest_start(&guest, 0);
	balloon_guest_name(&guest, INFLATE, &page, 1);
	cr_assert_not(balloon_guest_has(&guest, page));
}
