/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The entropy device: what it gives, how much, how often, and to whom not.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <linux/virtio_ids.h>
#include <sched.h>
#include <string.h>

#include "devices/virtio/rng.h"
#include "driver.h"
#include "kvm/monotonic.h"

static struct ring ring;
static struct virtio_rng *rng;
static struct driver driver;

static void open_with(const struct rate_limit_options *limit)
{
	ring_open(&ring, 64);
	cr_assert_eq(virtio_rng_new(0, &ring.memory, &rng), 0);
	cr_assert_eq(virtio_rng_configure(rng, limit), 0);
	driver_open(&driver, &ring, virtio_rng_device(rng));
}

static void tear_down(void)
{
	struct device *device = &virtio_rng_device(rng)->device;

	device->ops->free(device);
	ring_close(&ring);
}

TestSuite(virtio_rng, .fini = tear_down);

static bool is_all_zero(uint64_t gpa, size_t length)
{
	for (size_t i = 0; i < length; i++) {
		if (ring.memory.host[gpa + i] != 0)
			return false;
	}
	return true;
}

Test(virtio_rng, it_says_what_it_is)
{
	open_with(NULL);
	cr_assert_eq(driver_read(&driver, VIRTIO_MMIO_DEVICE_ID), VIRTIO_ID_RNG);
	cr_assert_eq(driver_read(&driver, VIRTIO_MMIO_CONFIG), UINT32_MAX);
	cr_assert_eq(virtio_rng_configure(rng, NULL), -EBUSY);
}

Test(virtio_rng, every_buffer_is_filled_to_its_end_and_no_further)
{
	open_with(NULL);
	driver_start(&driver, 0);
	ring_describe(&ring, 0, RING_BUFFERS + 1, 63, WRITE | NEXT, 1);
	ring_describe(&ring, 1, RING_BUFFERS + 0x100, 1000, WRITE, 0);
	driver_offer(&driver, 0);
	driver_wait_used(&driver, 1);
	cr_assert_eq(ring_used(&ring, 0).len, 1063);
	cr_assert(is_all_zero(RING_BUFFERS, 1));
	cr_assert_not(is_all_zero(RING_BUFFERS + 1, 63));
	cr_assert(is_all_zero(RING_BUFFERS + 64, 0x100 - 64));
	cr_assert_not(is_all_zero(RING_BUFFERS + 0x100 + 1000 - 16, 16));
	cr_assert(is_all_zero(RING_BUFFERS + 0x100 + 1000, 1000));
}

Test(virtio_rng, two_requests_get_different_bytes)
{
	open_with(NULL);
	driver_start(&driver, 0);
	ring_describe(&ring, 0, RING_BUFFERS, 64, WRITE, 0);
	ring_describe(&ring, 1, RING_BUFFERS + 64, 64, WRITE, 0);
	driver_offer(&driver, 0);
	driver_offer(&driver, 1);
	driver_wait_used(&driver, 2);
	cr_assert_arr_neq(ring.memory.host + RING_BUFFERS, ring.memory.host + RING_BUFFERS + 64, 64);
}

Test(virtio_rng, a_large_request_is_given_a_part)
{
	open_with(NULL);
	driver_start(&driver, 0);
	ring_describe(&ring, 0, RING_BUFFERS, RING_MEMORY - RING_BUFFERS, WRITE, 0);
	driver_offer(&driver, 0);
	driver_wait_used(&driver, 1);
	cr_assert_eq(ring_used(&ring, 0).len, RNG_REQUEST_MAX);
	cr_assert(is_all_zero(RING_BUFFERS + RNG_REQUEST_MAX, RNG_REQUEST_MAX));
}

Test(virtio_rng, a_readable_buffer_fails_the_device)
{
	open_with(NULL);
	driver_start(&driver, 0);
	ring_describe(&ring, 0, RING_BUFFERS, 8, NEXT, 1);
	ring_describe(&ring, 1, RING_BUFFERS, 8, WRITE, 0);
	driver_offer(&driver, 0);
	driver_wait_failed(&driver);
	cr_assert_eq(ring_used_index(&ring), 0);
}

/* One request an hour: the second is not served; with a debt of one byte and a fast rate it is, later. */
Test(virtio_rng, a_limit_holds_requests_back)
{
	const struct rate_limit_options limit = { .bytes = { .per_second = 1, .burst = 3600 } };

	open_with(&limit);
	driver_start(&driver, 0);
	ring_describe(&ring, 0, RING_BUFFERS, 4096, WRITE, 0);
	driver_offer(&driver, 0);
	driver_wait_used(&driver, 1);
	driver_offer(&driver, 0);
	driver_pause(&driver);
	cr_assert_eq(ring_used_index(&ring), 1);
	driver_resume(&driver);
	driver_write(&driver, VIRTIO_MMIO_STATUS, 0);
	cr_assert_eq(driver_status(&driver), 0);
}

Test(virtio_rng, what_is_held_back_is_served_when_its_time_comes)
{
	const struct rate_limit_options limit = { .operations = { .per_second = 1000, .burst = 1 } };
	uint64_t start = monotonic_ns();

	open_with(&limit);
	driver_start(&driver, 0);
	ring_describe(&ring, 0, RING_BUFFERS, 1, WRITE, 0);
	for (int i = 0; i < 50; i++)
		driver_offer(&driver, 0);
	driver_wait_used(&driver, 50);
	cr_assert_geq(monotonic_ns() - start, UINT64_C(49000000), "50 requests of which the first is free");
}
