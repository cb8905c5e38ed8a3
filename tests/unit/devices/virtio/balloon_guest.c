/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest with a balloon driver. Its memory is anonymous, so that a page that was dropped is zeros.
 */
#include "balloon_guest.h"

#include <criterion/criterion.h>
#include <sched.h>
#include <string.h>

#define RING_STEP UINT64_C(0x8000) /* from queue to queue */

struct virtio_balloon *balloon_guest_new_device(struct guest_memory *memory)
{
	const struct virtio_balloon_options options = {
		.deflate_on_oom = true,
		.free_page_reporting = true,
		.statistics = true,
		.target_pages = 7,
	};
	struct error_detail detail = { 0 };
	struct virtio_balloon *balloon;

	cr_assert_eq(virtio_balloon_new(0, memory, &balloon), 0);
	cr_assert_eq(virtio_balloon_configure(balloon, &options, &detail), 0, "%s", detail.text);
	return balloon;
}

void balloon_guest_open(struct balloon_guest *guest, uint64_t features)
{
	memset(guest, 0, sizeof(*guest));
	ring_open(&guest->rings[0], 16);
	for (int i = 1; i < QUEUES; i++) {
		guest->rings[i] = guest->rings[0];
		guest->rings[i].base = (uint64_t)i * RING_STEP;
	}
	memset(guest->rings[0].memory.host + FREE_PAGE * BALLOON_PAGE, CONTENT, (PAGES - FREE_PAGE) * BALLOON_PAGE);
	guest->balloon = balloon_guest_new_device(&guest->rings[0].memory);
	driver_open(&guest->driver, &guest->rings[0], virtio_balloon_device(guest->balloon));
	balloon_guest_start(guest, features);
}

void balloon_guest_close(struct balloon_guest *guest)
{
	struct device *device = &virtio_balloon_device(guest->balloon)->device;

	device->ops->free(device);
	ring_close(&guest->rings[0]);
}

void balloon_guest_start(struct balloon_guest *guest, uint64_t features)
{
	driver_negotiate(&guest->driver, FEATURE(VIRTIO_F_VERSION_1) | features);
	for (uint32_t i = 0; i < QUEUES; i++) {
		struct ring *ring = &guest->rings[i];

		ring->offered = 0;
		memset(ring->memory.host + ring->base, 0, RING_STEP);
		driver_set_queue_number(&guest->driver, i, ring);
		cr_assert_eq(driver_read(&guest->driver, VIRTIO_MMIO_QUEUE_READY), 1);
	}
	driver_write(&guest->driver, VIRTIO_MMIO_STATUS, 0xf);
	cr_assert_eq(driver_status(&guest->driver), 0xf);
}

void balloon_guest_offer(struct balloon_guest *guest, uint32_t queue, uint64_t gpa, uint32_t length, uint16_t flags)
{
	ring_describe(&guest->rings[queue], 0, gpa, length, flags, 1);
	ring_offer(&guest->rings[queue], 0);
	driver_write(&guest->driver, VIRTIO_MMIO_QUEUE_NOTIFY, queue);
}

void balloon_guest_wait(struct balloon_guest *guest, uint32_t queue)
{
	const struct ring *ring = &guest->rings[queue];

	while (ring_used_index(ring) != ring->offered) {
		cr_assert_not(driver_status(&guest->driver) & VIRTIO_CONFIG_S_NEEDS_RESET, "%s",
			      guest->driver.virtio->fault);
		(void)sched_yield();
	}
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	cr_assert_eq(ring_used(ring, (uint16_t)(ring->offered - 1)).len, 0);
}

void balloon_guest_name(struct balloon_guest *guest, uint32_t queue, const uint32_t *pages, size_t count)
{
	memcpy(guest->rings[0].memory.host + GUEST_ARRAYS, pages, count * sizeof(*pages));
	balloon_guest_offer(guest, queue, GUEST_ARRAYS, (uint32_t)(count * sizeof(*pages)), 0);
	balloon_guest_wait(guest, queue);
}

void balloon_guest_tell(struct balloon_guest *guest, const uint64_t *entries, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		const struct virtio_balloon_stat entry = { (uint16_t)entries[2 * i], entries[2 * i + 1] };

		memcpy(guest->rings[0].memory.host + GUEST_ARRAYS + i * sizeof(entry), &entry, sizeof(entry));
	}
	balloon_guest_offer(guest, OTHERS, GUEST_ARRAYS, (uint32_t)(count * sizeof(struct virtio_balloon_stat)), 0);
}

struct virtio_balloon_status balloon_guest_wait_statistics(struct balloon_guest *guest, uint64_t after_ns)
{
	struct virtio_balloon_status status;

	virtio_balloon_read(guest->balloon, &status);
	while (status.statistics_ns <= after_ns) {
		(void)sched_yield();
		virtio_balloon_read(guest->balloon, &status);
	}
	return status;
}

bool balloon_guest_has(const struct balloon_guest *guest, uint32_t page)
{
	const uint8_t *bytes = guest->rings[0].memory.host + page * BALLOON_PAGE;

	cr_assert(bytes[0] == CONTENT || bytes[0] == 0, "page %u begins with 0x%x", page, bytes[0]);
	for (uint32_t i = 1; i < BALLOON_PAGE; i++)
		cr_assert_eq(bytes[i], bytes[0], "page %u, byte %u", page, i);
	return bytes[0] == CONTENT;
}
