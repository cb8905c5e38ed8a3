/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A balloon goes on in another machine: its target, what is in it, and a buffer of statistics that it keeps.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "balloon_guest.h"

static struct balloon_guest guest;
static uint8_t state[DEVICE_STATE_MAX];

static void set_up(void)
{
	balloon_guest_open(&guest, STATISTICS | REPORTING);
}

static void tear_down(void)
{
	balloon_guest_close(&guest);
}

TestSuite(virtio_balloon_state, .init = set_up, .fini = tear_down);

static void save(void)
{
	driver_pause(&guest.driver);
	memset(state, 0, sizeof(state));
	virtio_balloon_ops.save(&guest.driver.virtio->device, state);
}

/* Its machine ends, and another takes the state; it stands still. */
static void move(void)
{
	struct error_detail detail = { 0 };

	save();
	virtio_balloon_ops.free(&guest.driver.virtio->device);
	guest.balloon = balloon_guest_new_device(&guest.rings[0].memory);
	guest.driver.virtio = virtio_balloon_device(guest.balloon);
	cr_assert_eq(state_fields_check(virtio_balloon_ops.state_fields, state, "virtio_balloon", &detail), 0, "%s",
		     detail.text);
	cr_assert_eq(virtio_balloon_ops.restore(&guest.driver.virtio->device, state, &detail), 0, "%s", detail.text);
}

Test(virtio_balloon_state, target_and_content_are_kept)
{
	struct virtio_balloon_status status;
	const uint32_t page = FREE_PAGE;

	cr_assert_eq(virtio_balloon_set_target(guest.balloon, 33), 0);
	driver_write(&guest.driver, VIRTIO_MMIO_CONFIG + 4, 21);
	move();
	virtio_balloon_read(guest.balloon, &status);
	cr_assert_eq(status.target_pages, 33);
	cr_assert_eq(status.actual_pages, 21);
	cr_assert_eq(driver_read(&guest.driver, VIRTIO_MMIO_CONFIG), 33);
	driver_resume(&guest.driver);
	cr_assert_eq(driver_interrupts(&guest.driver), 1, "the new target is not missed");
	balloon_guest_name(&guest, INFLATE, &page, 1);
	cr_assert_not(balloon_guest_has(&guest, page));
}

/* What was offered while the machine stood still is served by the one that goes on, once. */
Test(virtio_balloon_state, requests_that_were_not_begun)
{
	const uint32_t page = FREE_PAGE;

	driver_pause(&guest.driver);
	memcpy(guest.rings[0].memory.host + GUEST_ARRAYS, &page, sizeof(page));
	balloon_guest_offer(&guest, INFLATE, GUEST_ARRAYS, sizeof(page), 0);
	balloon_guest_offer(&guest, OTHERS + 1, 200 * BALLOON_PAGE, BALLOON_PAGE, WRITE);
	move();
	cr_assert(balloon_guest_has(&guest, page));
	driver_resume(&guest.driver);
	balloon_guest_wait(&guest, INFLATE);
	balloon_guest_wait(&guest, OTHERS + 1);
	cr_assert_not(balloon_guest_has(&guest, page));
	cr_assert_not(balloon_guest_has(&guest, 200));
}

/* The buffer stays the device's across a restore: known at once, given back when asked for, once. */
Test(virtio_balloon_state, a_buffer_of_statistics_that_is_kept)
{
	const uint64_t first[] = { VIRTIO_BALLOON_S_MEMFREE, 11 };
	const uint64_t second[] = { VIRTIO_BALLOON_S_MEMFREE, 12 };
	struct virtio_balloon_status status;

	balloon_guest_tell(&guest, first, 1);
	(void)balloon_guest_wait_statistics(&guest, 0);
	move();
	driver_resume(&guest.driver);
	status = balloon_guest_wait_statistics(&guest, 0);
	cr_assert_eq(status.statistics[VIRTIO_BALLOON_S_MEMFREE], 11);
	cr_assert_eq(ring_used_index(&guest.rings[OTHERS]), 0);

	cr_assert_eq(virtio_balloon_ask_statistics(guest.balloon), 0);
	balloon_guest_wait(&guest, OTHERS);
	balloon_guest_tell(&guest, second, 1);
	status = balloon_guest_wait_statistics(&guest, status.statistics_ns);
	cr_assert_eq(status.statistics[VIRTIO_BALLOON_S_MEMFREE], 12);
	driver_pause(&guest.driver);
	cr_assert_eq(ring_used_index(&guest.rings[OTHERS]), 1);
}

/* The guest was asked and has not answered: its answer arrives in the other machine. */
Test(virtio_balloon_state, a_buffer_of_statistics_that_was_given_back)
{
	const uint64_t first[] = { VIRTIO_BALLOON_S_MEMFREE, 11 };
	const uint64_t second[] = { VIRTIO_BALLOON_S_MEMFREE, 12 };
	struct virtio_balloon_status status;

	balloon_guest_tell(&guest, first, 1);
	(void)balloon_guest_wait_statistics(&guest, 0);
	cr_assert_eq(virtio_balloon_ask_statistics(guest.balloon), 0);
	balloon_guest_wait(&guest, OTHERS);
	move();
	driver_resume(&guest.driver);
	virtio_balloon_read(guest.balloon, &status);
	cr_assert_eq(status.statistics_ns, 0);
	balloon_guest_tell(&guest, second, 1);
	status = balloon_guest_wait_statistics(&guest, 0);
	cr_assert_eq(status.statistics[VIRTIO_BALLOON_S_MEMFREE], 12);
}

static void assert_refused(const char *field)
{
	struct virtio_balloon_status before, after;
	struct error_detail detail = { 0 };

	virtio_balloon_read(guest.balloon, &before);
	cr_assert_eq(virtio_balloon_ops.restore(&guest.driver.virtio->device, state, &detail), -EINVAL);
	cr_assert_not_null(strstr(detail.text, field), "%s", detail.text);
	virtio_balloon_read(guest.balloon, &after);
	cr_assert_arr_eq(&before, &after, sizeof(before));
	cr_assert_eq(driver_status(&guest.driver), 0xf);
}

/* Any member of the state, by its table. */
static void change(const char *name, uint32_t value)
{
	const struct state_field *field = virtio_balloon_ops.state_fields;

	while (strcmp(field->name, name) != 0)
		field++;
	memcpy(state + field->offset, &value, sizeof(value));
}

Test(virtio_balloon_state, more_pages_than_this_guest_has)
{
	save();
	change("target_pages", PAGES + 1);
	assert_refused("target_pages");
	save();
	change("actual_pages", UINT32_MAX);
	assert_refused("actual_pages");
}

Test(virtio_balloon_state, features_that_this_device_does_not_offer)
{
	const struct virtio_balloon_options options = { .statistics = true };
	struct error_detail detail = { 0 };
	struct virtio_balloon *other;

	save();
	cr_assert_eq(virtio_balloon_new(0, &guest.rings[0].memory, &other), 0);
	cr_assert_eq(virtio_balloon_configure(other, &options, NULL), 0);
	cr_assert_eq(virtio_balloon_ops.restore(&virtio_balloon_device(other)->device, state, &detail), -EINVAL);
	cr_assert_not_null(strstr(detail.text, "driver_features"), "%s", detail.text);
	virtio_balloon_ops.free(&virtio_balloon_device(other)->device);
}

/* The states of kinds with fewer queues are what they were when VIRTIO_QUEUES_MAX was less. */
Test(virtio_balloon_state, a_state_has_the_queues_of_its_kind)
{
	struct virtio_state common = { 0 };

	virtio_save(guest.driver.virtio, &common);
	cr_assert_eq(common.queue_count, 4);
	common.queue_count = 3;
	cr_assert_eq(virtio_restore(guest.driver.virtio, &common, "virtio_balloon", NULL), -EINVAL);
}
