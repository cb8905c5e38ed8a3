/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The balloon: what goes into it and out of it, what the guest reports as free, and what it says of its memory.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <linux/virtio_ids.h>
#include <string.h>

#include "balloon_guest.h"
#include "kvm/monotonic.h"

#define CONFIG_TARGET VIRTIO_MMIO_CONFIG
#define CONFIG_ACTUAL (VIRTIO_MMIO_CONFIG + 4)

static struct balloon_guest guest;

static void tear_down(void)
{
	balloon_guest_close(&guest);
}

TestSuite(virtio_balloon, .fini = tear_down);

/* Exactly these of the free pages are gone. */
static void assert_gone(const uint32_t *pages, size_t count)
{
	for (uint32_t page = FREE_PAGE; page < PAGES; page++) {
		bool named = false;

		for (size_t i = 0; i < count; i++)
			named |= pages[i] == page;
		cr_assert_eq(balloon_guest_has(&guest, page), !named, "page %u", page);
	}
}

static struct virtio_balloon_status status(void)
{
	struct virtio_balloon_status now;

	virtio_balloon_read(guest.balloon, &now);
	return now;
}

Test(virtio_balloon, it_says_what_it_is)
{
	balloon_guest_open(&guest, 0);
	cr_assert_eq(driver_read(&guest.driver, VIRTIO_MMIO_DEVICE_ID), VIRTIO_ID_BALLOON);
	cr_assert_eq(driver_read(&guest.driver, CONFIG_TARGET), 7);
	cr_assert_eq(driver_read(&guest.driver, CONFIG_ACTUAL), 0);
	cr_assert_eq(driver_read(&guest.driver, CONFIG_ACTUAL + 4), UINT32_MAX, "no more fields");
	cr_assert_eq(driver_offered(&guest.driver) & 0xffffff,
		     STATISTICS | REPORTING | FEATURE(VIRTIO_BALLOON_F_DEFLATE_ON_OOM));
}

Test(virtio_balloon, it_offers_what_it_was_told_to)
{
	const struct {
		struct virtio_balloon_options options;
		uint64_t features;
	} cases[] = {
		{ { 0 }, 0 },
		{ { .deflate_on_oom = true }, FEATURE(VIRTIO_BALLOON_F_DEFLATE_ON_OOM) },
		{ { .free_page_reporting = true }, REPORTING },
		{ { .statistics = true }, STATISTICS },
	};
	struct virtio_balloon *balloon;
	struct driver driver;

	balloon_guest_open(&guest, 0);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		cr_assert_eq(virtio_balloon_new(0, &guest.rings[0].memory, &balloon), 0);
		cr_assert_eq(virtio_balloon_configure(balloon, &cases[i].options, NULL), 0);
		driver_open(&driver, &guest.rings[0], virtio_balloon_device(balloon));
		cr_assert_eq(driver_offered(&driver) & 0xffffff, cases[i].features);
		virtio_balloon_ops.free(&virtio_balloon_device(balloon)->device);
	}
}

Test(virtio_balloon, configurations_that_are_refused)
{
	struct virtio_balloon_options options = { .target_pages = PAGES + 1 };
	struct error_detail detail = { 0 };
	struct virtio_balloon *balloon;

	balloon_guest_open(&guest, 0);
	cr_assert_eq(virtio_balloon_new(0, &guest.rings[0].memory, &balloon), 0);
	cr_assert_eq(virtio_balloon_set_target(balloon, 1), -ENODEV);
	cr_assert_eq(virtio_balloon_ask_statistics(balloon), -ENODEV);
	cr_assert_eq(virtio_balloon_configure(balloon, &options, &detail), -EINVAL);
	cr_assert_not_null(strstr(detail.text, "target_pages"));
	options.target_pages = PAGES;
	cr_assert_eq(virtio_balloon_configure(balloon, &options, &detail), 0);
	cr_assert_eq(virtio_balloon_configure(balloon, &options, &detail), -EBUSY);
	virtio_balloon_ops.free(&virtio_balloon_device(balloon)->device);
}

/* Up, down, apart, twice, and the last page of memory. */
Test(virtio_balloon, pages_that_go_in_lose_their_content_and_no_others)
{
	const uint32_t pages[] = { 130, 131, 132, 150, 149, 148, 200, 202, 131, 255 };

	balloon_guest_open(&guest, 0);
	balloon_guest_name(&guest, INFLATE, pages, sizeof(pages) / sizeof(pages[0]));
	assert_gone(pages, sizeof(pages) / sizeof(pages[0]));
	cr_assert_eq(status().reported_bytes, 0);
}

Test(virtio_balloon, an_array_may_be_cut_anywhere)
{
	const uint32_t pages[] = { 140, 160, 180 };

	balloon_guest_open(&guest, 0);
	memcpy(guest.rings[0].memory.host + GUEST_ARRAYS, pages, 7);
	memcpy(guest.rings[0].memory.host + GUEST_ARRAYS + 0x100, (const uint8_t *)pages + 7, 5);
	ring_describe(&guest.rings[INFLATE], 1, GUEST_ARRAYS + 0x100, 5, 0, 0);
	balloon_guest_offer(&guest, INFLATE, GUEST_ARRAYS, 7, NEXT);
	balloon_guest_wait(&guest, INFLATE);
	assert_gone(pages, 3);
}

Test(virtio_balloon, more_page_numbers_than_are_copied_at_one_time)
{
	uint32_t pages[700];

	balloon_guest_open(&guest, 0);
	for (uint32_t i = 0; i < 700; i++)
		pages[i] = FREE_PAGE + i % 100;
	balloon_guest_name(&guest, INFLATE, pages, 700);
	assert_gone(pages, 100);
}

Test(virtio_balloon, pages_that_come_out_can_be_used_again)
{
	const uint32_t pages[] = { 160, 161 };

	balloon_guest_open(&guest, 0);
	balloon_guest_name(&guest, INFLATE, pages, 2);
	memset(guest.rings[0].memory.host + 160 * BALLOON_PAGE, CONTENT, 2 * BALLOON_PAGE);
	balloon_guest_name(&guest, DEFLATE, pages, 2);
	assert_gone(NULL, 0);
}

Test(virtio_balloon, free_pages_that_are_reported_are_dropped_and_counted)
{
	const uint32_t pages[] = { 140, 141, 142, 143, 200 };

	balloon_guest_open(&guest, REPORTING);
	ring_describe(&guest.rings[OTHERS], 1, 200 * BALLOON_PAGE, BALLOON_PAGE, WRITE, 0);
	balloon_guest_offer(&guest, OTHERS, 140 * BALLOON_PAGE, 4 * BALLOON_PAGE, WRITE | NEXT);
	balloon_guest_wait(&guest, OTHERS);
	assert_gone(pages, 5);
	cr_assert_eq(status().reported_bytes, 5 * BALLOON_PAGE);
}

Test(virtio_balloon, a_new_target_is_a_change_of_configuration)
{
	uint32_t generation;

	balloon_guest_open(&guest, 0);
	generation = driver_read(&guest.driver, VIRTIO_MMIO_CONFIG_GENERATION);
	cr_assert_eq(driver_interrupts(&guest.driver), 0);
	cr_assert_eq(virtio_balloon_set_target(guest.balloon, PAGES), 0);
	cr_assert_eq(driver_interrupts(&guest.driver), 1);
	cr_assert_eq(driver_read(&guest.driver, VIRTIO_MMIO_INTERRUPT_STATUS), VIRTIO_MMIO_INT_CONFIG);
	cr_assert_eq(driver_read(&guest.driver, CONFIG_TARGET), PAGES);
	cr_assert_neq(driver_read(&guest.driver, VIRTIO_MMIO_CONFIG_GENERATION), generation);
	cr_assert_eq(virtio_balloon_set_target(guest.balloon, PAGES + 1), -EINVAL);
	cr_assert_eq(status().target_pages, PAGES);
}

Test(virtio_balloon, the_driver_says_how_many_pages_are_in_it)
{
	const uint8_t byte = 9;

	balloon_guest_open(&guest, 0);
	driver_write(&guest.driver, CONFIG_ACTUAL, PAGES);
	cr_assert_eq(status().actual_pages, PAGES);
	driver_write(&guest.driver, CONFIG_ACTUAL, 3);
	driver_write(&guest.driver, CONFIG_TARGET, 5);
	driver_write(&guest.driver, CONFIG_ACTUAL + 4, 5);
	virtio_balloon_ops.write(&guest.driver.virtio->device, CONFIG_ACTUAL, &byte, 1);
	cr_assert_eq(status().actual_pages, 3);
	cr_assert_eq(status().target_pages, 7);
	cr_assert_eq(driver_status(&guest.driver), 0xf);
}

Test(virtio_balloon, a_reset_empties_it_and_keeps_the_target)
{
	balloon_guest_open(&guest, 0);
	driver_write(&guest.driver, CONFIG_ACTUAL, 3);
	cr_assert_eq(virtio_balloon_set_target(guest.balloon, 20), 0);
	driver_write(&guest.driver, VIRTIO_MMIO_STATUS, 0);
	cr_assert_eq(status().actual_pages, 0);
	cr_assert_eq(status().target_pages, 20);
}

Test(virtio_balloon, statistics_come_with_the_first_buffer_and_when_asked_for)
{
	const uint64_t first[] = { VIRTIO_BALLOON_S_MEMTOT,  1 << 20,    77,         1,
				   VIRTIO_BALLOON_S_SWAP_IN, UINT64_MAX, UINT16_MAX, 2 };
	const uint64_t second[] = { VIRTIO_BALLOON_S_HTLB_PGFAIL, 5 };
	struct virtio_balloon_status now;
	uint64_t start = monotonic_ns();

	balloon_guest_open(&guest, STATISTICS);
	cr_assert_eq(status().statistics_ns, 0);
	balloon_guest_tell(&guest, first, 4);
	now = balloon_guest_wait_statistics(&guest, 0);
	cr_assert_geq(now.statistics_ns, start);
	cr_assert_eq(now.statistics_known, 1 << VIRTIO_BALLOON_S_MEMTOT | 1 << VIRTIO_BALLOON_S_SWAP_IN);
	cr_assert_eq(now.statistics[VIRTIO_BALLOON_S_MEMTOT], 1 << 20);
	cr_assert_eq(now.statistics[VIRTIO_BALLOON_S_SWAP_IN], UINT64_MAX);

	driver_pause(&guest.driver);
	driver_resume(&guest.driver);
	cr_assert_eq(ring_used_index(&guest.rings[OTHERS]), 0, "it is kept until there is something to ask");
	cr_assert_eq(virtio_balloon_ask_statistics(guest.balloon), 0);
	cr_assert_eq(virtio_balloon_ask_statistics(guest.balloon), 0);
	balloon_guest_wait(&guest, OTHERS);
	cr_assert_eq(status().statistics_ns, now.statistics_ns, "the last that are known");
	balloon_guest_tell(&guest, second, 1);
	now = balloon_guest_wait_statistics(&guest, now.statistics_ns);
	cr_assert_eq(now.statistics_known, 1 << VIRTIO_BALLOON_S_HTLB_PGFAIL);
	cr_assert_eq(now.statistics[VIRTIO_BALLOON_S_HTLB_PGFAIL], 5);
	cr_assert_eq(now.statistics[VIRTIO_BALLOON_S_MEMTOT], 0);
	driver_pause(&guest.driver);
	cr_assert_eq(ring_used_index(&guest.rings[OTHERS]), 1, "who asked twice gets one answer");
}

Test(virtio_balloon, statistics_that_are_asked_for_before_there_are_any)
{
	const uint64_t entries[] = { VIRTIO_BALLOON_S_AVAIL, 9 };

	balloon_guest_open(&guest, STATISTICS);
	cr_assert_eq(virtio_balloon_ask_statistics(guest.balloon), 0);
	balloon_guest_tell(&guest, entries, 1);
	cr_assert_eq(balloon_guest_wait_statistics(&guest, 0).statistics[VIRTIO_BALLOON_S_AVAIL], 9);
	driver_pause(&guest.driver);
	cr_assert_eq(ring_used_index(&guest.rings[OTHERS]), 0, "they are new enough");
}

Test(virtio_balloon, a_driver_without_statistics_is_not_asked)
{
	balloon_guest_open(&guest, REPORTING);
	cr_assert_eq(virtio_balloon_ask_statistics(guest.balloon), -EOPNOTSUPP);
}

/* Of a long buffer a part is read, and of a short one whole entries. */
Test(virtio_balloon, statistics_of_any_length)
{
	const uint64_t entry[] = { VIRTIO_BALLOON_S_MEMFREE, 4 };

	balloon_guest_open(&guest, STATISTICS);
	memset(guest.rings[0].memory.host + GUEST_ARRAYS, 0xff, 0x30000);
	balloon_guest_offer(&guest, OTHERS, GUEST_ARRAYS, 0x30000, 0);
	cr_assert_eq(balloon_guest_wait_statistics(&guest, 0).statistics_known, 0);
	cr_assert_eq(virtio_balloon_ask_statistics(guest.balloon), 0);
	balloon_guest_wait(&guest, OTHERS);
	balloon_guest_tell(&guest, entry, 1);
	(void)balloon_guest_wait_statistics(&guest, status().statistics_ns - 1);
	cr_assert_eq(driver_status(&guest.driver), 0xf);
}

/* Queues are numbered by what was negotiated, and those past the last one are nobody's. */
Test(virtio_balloon, each_set_of_features_has_its_queues)
{
	const uint64_t sets[] = { 0, STATISTICS, REPORTING, STATISTICS | REPORTING };
	const uint64_t entries[] = { VIRTIO_BALLOON_S_CACHES, 3 };
	uint32_t page = FREE_PAGE;

	balloon_guest_open(&guest, 0);
	for (size_t i = 0; i < sizeof(sets) / sizeof(sets[0]); i++) {
		bool statistics = sets[i] & STATISTICS;
		bool reporting = sets[i] & REPORTING;
		uint32_t queue = OTHERS + statistics;

		balloon_guest_start(&guest, sets[i]);
		balloon_guest_name(&guest, INFLATE, &page, 1);
		cr_assert_not(balloon_guest_has(&guest, page++));
		if (statistics) {
			balloon_guest_tell(&guest, entries, 1);
			cr_assert_eq(balloon_guest_wait_statistics(&guest, 0).statistics[VIRTIO_BALLOON_S_CACHES], 3);
		}
		balloon_guest_offer(&guest, queue, page * BALLOON_PAGE, BALLOON_PAGE, WRITE);
		if (reporting)
			balloon_guest_wait(&guest, queue);
		if (queue + 1 < QUEUES)
			balloon_guest_offer(&guest, queue + 1, (page + 1) * BALLOON_PAGE, BALLOON_PAGE, WRITE);
		driver_pause(&guest.driver);
		cr_assert_eq(balloon_guest_has(&guest, page++), !reporting);
		cr_assert(balloon_guest_has(&guest, page++));
		cr_assert_eq(driver_status(&guest.driver), 0xf);
		driver_resume(&guest.driver);
	}
}

Test(virtio_balloon, nothing_is_dropped_while_the_machine_stands_still)
{
	const uint32_t pages[] = { 128, 140 };

	balloon_guest_open(&guest, REPORTING);
	driver_pause(&guest.driver);
	memcpy(guest.rings[0].memory.host + GUEST_ARRAYS, pages, 4);
	balloon_guest_offer(&guest, INFLATE, GUEST_ARRAYS, 4, 0);
	balloon_guest_offer(&guest, OTHERS, 140 * BALLOON_PAGE, BALLOON_PAGE, WRITE);
	assert_gone(NULL, 0);
	driver_pause(&guest.driver);
	assert_gone(NULL, 0);
	driver_resume(&guest.driver);
	balloon_guest_wait(&guest, INFLATE);
	balloon_guest_wait(&guest, OTHERS);
	assert_gone(pages, 2);
}
