/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The window of registers: what each register answers, when it can be written, and the status machine, with drivers
 * good and bad.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>

#include "devices/virtio/mmio.h"
#include "driver.h"
#include "probe_device.h"

#define ACKNOWLEDGE VIRTIO_CONFIG_S_ACKNOWLEDGE
#define DRIVER      VIRTIO_CONFIG_S_DRIVER
#define FEATURES_OK VIRTIO_CONFIG_S_FEATURES_OK
#define DRIVER_OK   VIRTIO_CONFIG_S_DRIVER_OK
#define NEEDS_RESET VIRTIO_CONFIG_S_NEEDS_RESET
#define FAILED      VIRTIO_CONFIG_S_FAILED
#define VERSION_1   FEATURE(VIRTIO_F_VERSION_1)

static struct ring ring;
static struct probe_device probe;
static struct driver driver;

static void set_up(void)
{
	ring_open(&ring, 8);
	probe_device_open(&probe, &ring.memory);
	driver_open(&driver, &ring, &probe.virtio);
}

static void tear_down(void)
{
	probe_device_close(&probe);
	ring_close(&ring);
}

TestSuite(virtio_mmio, .init = set_up, .fini = tear_down);

Test(virtio_mmio, identity)
{
	cr_assert_eq(driver_read(&driver, VIRTIO_MMIO_MAGIC_VALUE), 0x74726976);
	cr_assert_eq(driver_read(&driver, VIRTIO_MMIO_VERSION), 2);
	cr_assert_eq(driver_read(&driver, VIRTIO_MMIO_DEVICE_ID), PROBE_ID);
	cr_assert_eq(driver_read(&driver, VIRTIO_MMIO_VENDOR_ID), VIRTIO_MMIO_VENDOR);
}

Test(virtio_mmio, an_absent_device_has_an_identity_only)
{
	struct probe_device absent;
	struct driver none;

	probe_device_open_absent(&absent, &ring.memory);
	driver_open(&none, &ring, &absent.virtio);
	cr_assert_eq(driver_read(&none, VIRTIO_MMIO_MAGIC_VALUE), 0x74726976);
	cr_assert_eq(driver_read(&none, VIRTIO_MMIO_DEVICE_ID), 0);
	driver_negotiate(&none, VERSION_1);
	driver_set_queue(&none);
	driver_write(&none, VIRTIO_MMIO_QUEUE_NOTIFY, 99);
	cr_assert_eq(absent.virtio.status, 0);
	cr_assert_not(absent.virtio.queues[0].ready);
	cr_assert_eq(driver_read(&none, VIRTIO_MMIO_STATUS), UINT32_MAX);
	cr_assert_eq(driver_read(&none, VIRTIO_MMIO_CONFIG), UINT32_MAX);
	probe_device_close(&absent);
}

Test(virtio_mmio, a_device_is_presented_once)
{
	cr_assert_eq(virtio_present(&probe.virtio, 0, NULL, 0), -EBUSY);
}

Test(virtio_mmio, features_come_in_halves)
{
	cr_assert_eq(driver_offered(&driver), PROBE_FEATURES | VERSION_1 | FEATURE(VIRTIO_RING_F_INDIRECT_DESC) |
						      FEATURE(VIRTIO_RING_F_EVENT_IDX));
	for (uint64_t select = 2; select < UINT64_C(1) << 32; select = select * 3 + 1) {
		driver_write(&driver, VIRTIO_MMIO_DEVICE_FEATURES_SEL, (uint32_t)select);
		cr_assert_eq(driver_read(&driver, VIRTIO_MMIO_DEVICE_FEATURES), 0);
	}
}

/* Section 4.2.2.2: control registers know aligned 32-bit accesses only. */
Test(virtio_mmio, other_accesses_to_registers_are_ignored)
{
	struct device *device = &probe.virtio.device;
	uint8_t ones[8];
	uint8_t data[8];

	memset(ones, 0xff, sizeof(ones));
	for (uint64_t offset = 0; offset < VIRTIO_MMIO_CONFIG; offset++) {
		for (size_t length = 1; length <= 8; length *= 2) {
			if (length == 4 && offset % 4 == 0)
				continue;
			memset(data, 0xff, sizeof(data));
			device->ops->read(device, offset, data, length);
			cr_assert_arr_eq(data, ones, 8);
			memset(data, ACKNOWLEDGE, sizeof(data));
			device->ops->write(device, offset, data, length);
		}
	}
	cr_assert_eq(probe.virtio.status, 0);
	cr_assert_eq(probe.virtio.queue_select, 0);
	cr_assert_eq(probe.virtio.device_features_select, 0);
}

Test(virtio_mmio, registers_that_cannot_be_read_or_are_none_read_as_ones)
{
	static const uint64_t offsets[] = {
		0x014, 0x018, 0x020, 0x024, 0x028, 0x030, 0x038, 0x03c, 0x040, 0x048, 0x050,
		0x064, 0x080, 0x0a4, 0x0a8, 0x0ac, 0x0b0, 0x0b4, 0x0b8, 0x0bc, 0x0c0, 0x0f8
	};

	for (size_t i = 0; i < sizeof(offsets) / sizeof(offsets[0]); i++)
		cr_assert_eq(driver_read(&driver, offsets[i]), UINT32_MAX, "0x%lx", offsets[i]);
}

Test(virtio_mmio, configuration_space_is_read_and_written_in_any_size_inside_its_bounds)
{
	struct device *device = &probe.virtio.device;
	uint8_t data[8];

	for (uint64_t offset = 0; offset < VIRTIO_MMIO_WINDOW - VIRTIO_MMIO_CONFIG - 8; offset++) {
		for (size_t length = 1; length <= 8; length *= 2) {
			bool inside = offset + length <= 6;

			memset(data, 0xff, sizeof(data));
			device->ops->read(device, VIRTIO_MMIO_CONFIG + offset, data, length);
			if (inside)
				cr_assert_arr_eq(data, "config" + offset, length);
			else
				cr_assert_eq(data[0], 0xff);
			if (!inside)
				device->ops->write(device, VIRTIO_MMIO_CONFIG + offset, data, length);
		}
	}
	cr_assert_arr_eq(probe.config, "config", 6);
	device->ops->write(device, VIRTIO_MMIO_CONFIG + 4, (const uint8_t *)"xy", 2);
	cr_assert_arr_eq(probe.config, "confxy", 6);
}

Test(virtio_mmio, a_change_of_configuration_is_told_to_a_driver)
{
	uint32_t generation = driver_read(&driver, VIRTIO_MMIO_CONFIG_GENERATION);

	pthread_mutex_lock(&probe.virtio.lock);
	virtio_config_changed(&probe.virtio);
	pthread_mutex_unlock(&probe.virtio.lock);
	cr_assert_neq(driver_read(&driver, VIRTIO_MMIO_CONFIG_GENERATION), generation);
	cr_assert_eq(driver_interrupts(&driver), 0, "nobody is there to be told");

	driver_start(&driver, 0);
	pthread_mutex_lock(&probe.virtio.lock);
	virtio_config_changed(&probe.virtio);
	pthread_mutex_unlock(&probe.virtio.lock);
	cr_assert_eq(driver_interrupts(&driver), 1);
	cr_assert_eq(driver_read(&driver, VIRTIO_MMIO_INTERRUPT_STATUS), VIRTIO_MMIO_INT_CONFIG);
}

/* status */

Test(virtio_mmio, the_status_goes_forward_only)
{
	driver_start(&driver, 0);
	for (uint32_t value = 1; value < 0x10; value++) {
		driver_write(&driver, VIRTIO_MMIO_STATUS, value);
		cr_assert_eq(driver_status(&driver), 0xf);
	}
	driver_write(&driver, VIRTIO_MMIO_STATUS, 0);
	cr_assert_eq(driver_status(&driver), 0);
}

Test(virtio_mmio, bits_that_no_driver_sets_are_ignored)
{
	driver_write(&driver, VIRTIO_MMIO_STATUS, 0xffffff70);
	cr_assert_eq(driver_status(&driver), 0);
}

Test(virtio_mmio, features_ok_needs_version_1_and_nothing_that_was_not_offered)
{
	driver_negotiate(&driver, 0);
	cr_assert_eq(driver_status(&driver), ACKNOWLEDGE | DRIVER);
	driver_negotiate(&driver, PROBE_FEATURES);
	cr_assert_eq(driver_status(&driver), ACKNOWLEDGE | DRIVER);
	for (unsigned int bit = 0; bit < 64; bit++) {
		bool offered = driver_offered(&driver) & FEATURE(bit);

		driver_negotiate(&driver, VERSION_1 | FEATURE(bit));
		cr_assert_eq((driver_status(&driver) & FEATURES_OK) != 0, offered, "bit %u", bit);
	}
}

Test(virtio_mmio, features_past_64_fail_the_device)
{
	driver_write(&driver, VIRTIO_MMIO_STATUS, ACKNOWLEDGE | DRIVER);
	driver_write(&driver, VIRTIO_MMIO_DRIVER_FEATURES_SEL, 2);
	driver_write(&driver, VIRTIO_MMIO_DRIVER_FEATURES, 0);
	cr_assert_eq(driver_status(&driver), ACKNOWLEDGE | DRIVER);
	driver_write(&driver, VIRTIO_MMIO_DRIVER_FEATURES, 1);
	cr_assert_eq(driver_status(&driver), ACKNOWLEDGE | DRIVER | NEEDS_RESET);
}

Test(virtio_mmio, features_ok_needs_a_driver)
{
	driver_write(&driver, VIRTIO_MMIO_STATUS, ACKNOWLEDGE | FEATURES_OK);
	cr_assert_eq(driver_status(&driver), ACKNOWLEDGE);
}

Test(virtio_mmio, features_cannot_be_changed_after_features_ok)
{
	driver_negotiate(&driver, VERSION_1);
	driver_write(&driver, VIRTIO_MMIO_DRIVER_FEATURES_SEL, 0);
	driver_write(&driver, VIRTIO_MMIO_DRIVER_FEATURES, UINT32_MAX);
	cr_assert_eq(probe.virtio.driver_features, VERSION_1);
}

Test(virtio_mmio, a_driver_that_skips_features_ok)
{
	driver_write(&driver, VIRTIO_MMIO_STATUS, ACKNOWLEDGE | DRIVER);
	driver_set_queue(&driver);
	cr_assert_eq(driver_read(&driver, VIRTIO_MMIO_QUEUE_READY), 0);
	driver_write(&driver, VIRTIO_MMIO_STATUS, ACKNOWLEDGE | DRIVER | DRIVER_OK);
	cr_assert_eq(driver_status(&driver), ACKNOWLEDGE | DRIVER | NEEDS_RESET);
	cr_assert_eq(driver_interrupts(&driver), 0, "before DRIVER_OK nothing is sent");

	driver_start(&driver, 0);
}

Test(virtio_mmio, a_driver_that_gives_up)
{
	driver_start(&driver, 0);
	driver_write(&driver, VIRTIO_MMIO_STATUS, driver_status(&driver) | FAILED);
	cr_assert_eq(driver_status(&driver), 0xf | FAILED);
	ring_describe(&ring, 0, RING_BUFFERS, 1, WRITE, 0);
	driver_offer(&driver, 0);
	driver_pause(&driver); /* what it was going to do, it has done */
	cr_assert_eq(ring_used_index(&ring), 0);
	cr_assert_eq(atomic_load(&probe.served), 0);
}

Test(virtio_mmio, after_a_fault_nothing_helps_but_a_reset)
{
	driver_start(&driver, 0);
	driver_write(&driver, VIRTIO_MMIO_QUEUE_NOTIFY, 2); /* the device has two */
	cr_assert_eq(driver_status(&driver), 0xf | NEEDS_RESET);
	cr_assert_eq(driver_interrupts(&driver), 1);
	cr_assert_eq(driver_read(&driver, VIRTIO_MMIO_INTERRUPT_STATUS), VIRTIO_MMIO_INT_CONFIG);
	driver_write(&driver, VIRTIO_MMIO_STATUS, 0xf);
	cr_assert_eq(driver_status(&driver), 0xf | NEEDS_RESET);
	driver_write(&driver, VIRTIO_MMIO_STATUS, FAILED);
	cr_assert_eq(driver_status(&driver), 0xf | NEEDS_RESET | FAILED);

	driver_start(&driver, 0);
	ring_describe(&ring, 0, RING_BUFFERS, 1, WRITE, 0);
	driver_offer(&driver, 0);
	driver_wait_used(&driver, 1);
}

Test(virtio_mmio, notifications_of_queues_that_do_not_exist)
{
	static const uint32_t queues[] = { 2, 3, 0x10000, 0x80000000, UINT32_MAX };

	for (size_t i = 0; i < sizeof(queues) / sizeof(queues[0]); i++) {
		driver_start(&driver, 0);
		driver_write(&driver, VIRTIO_MMIO_QUEUE_NOTIFY, queues[i]);
		cr_assert(driver_status(&driver) & NEEDS_RESET);
	}
}

Test(virtio_mmio, notifications_of_queues_that_are_not_ready_do_nothing)
{
	driver_start(&driver, 0);
	driver_write(&driver, VIRTIO_MMIO_QUEUE_NOTIFY, 1);
	driver_pause(&driver);
	cr_assert_eq(driver_status(&driver), 0xf);
}

/* queues */

Test(virtio_mmio, queues_are_numbered)
{
	driver_negotiate(&driver, VERSION_1);
	for (uint32_t i = 0; i < 5; i++) {
		driver_write(&driver, VIRTIO_MMIO_QUEUE_SEL, i == 4 ? UINT32_MAX : i);
		cr_assert_eq(driver_read(&driver, VIRTIO_MMIO_QUEUE_NUM_MAX), i < 2 ? PROBE_QUEUE_SIZE : 0);
		cr_assert_eq(driver_read(&driver, VIRTIO_MMIO_QUEUE_READY), 0);
		if (i >= 2) {
			driver_write(&driver, VIRTIO_MMIO_QUEUE_NUM, 8);
			driver_write(&driver, VIRTIO_MMIO_QUEUE_READY, 1);
			cr_assert_eq(driver_read(&driver, VIRTIO_MMIO_QUEUE_READY), 0);
		}
	}
	cr_assert_eq(driver_status(&driver), ACKNOWLEDGE | DRIVER | FEATURES_OK);
}

Test(virtio_mmio, a_queue_that_cannot_be_fails_the_device)
{
	driver_negotiate(&driver, VERSION_1);
	ring.size = 32;
	driver_set_queue(&driver);
	cr_assert_eq(driver_read(&driver, VIRTIO_MMIO_QUEUE_READY), 0);
	cr_assert_eq(driver_status(&driver), ACKNOWLEDGE | DRIVER | FEATURES_OK | NEEDS_RESET);
	cr_assert_not_null(strstr(probe.virtio.fault, "power of two"));
}

Test(virtio_mmio, a_queue_in_use_cannot_be_moved)
{
	struct virtqueue before;

	driver_start(&driver, 0);
	before = probe.virtio.queues[0];
	for (uint64_t offset = VIRTIO_MMIO_QUEUE_NUM; offset <= VIRTIO_MMIO_QUEUE_USED_HIGH; offset += 4) {
		if (offset != VIRTIO_MMIO_QUEUE_READY && offset != VIRTIO_MMIO_STATUS)
			driver_write(&driver, offset, 0);
	}
	cr_assert_eq(before.descriptors, probe.virtio.queues[0].descriptors);
	cr_assert_eq(before.available, probe.virtio.queues[0].available);
	cr_assert_eq(before.used, probe.virtio.queues[0].used);
	cr_assert_eq(before.size, probe.virtio.queues[0].size);
}

Test(virtio_mmio, a_queue_is_stopped_by_its_driver)
{
	driver_start(&driver, 0);
	driver_write(&driver, VIRTIO_MMIO_QUEUE_READY, 0);
	cr_assert_eq(driver_read(&driver, VIRTIO_MMIO_QUEUE_READY), 0);
	ring_describe(&ring, 0, RING_BUFFERS, 1, WRITE, 0);
	driver_offer(&driver, 0);
	driver_pause(&driver);
	cr_assert_eq(ring_used_index(&ring), 0);

	driver_set_queue(&driver);
	cr_assert_eq(driver_read(&driver, VIRTIO_MMIO_QUEUE_READY), 0, "not while the driver is at work");
}

Test(virtio_mmio, addresses_have_64_bits)
{
	driver_negotiate(&driver, VERSION_1);
	driver_write(&driver, VIRTIO_MMIO_QUEUE_USED_HIGH, 0x89abcdef);
	driver_write(&driver, VIRTIO_MMIO_QUEUE_USED_LOW, 0x01234567);
	cr_assert_eq(probe.virtio.queues[0].used, UINT64_C(0x89abcdef01234567));
}

/* service */

Test(virtio_mmio, a_chain_is_served_and_told)
{
	driver_start(&driver, 0);
	ring_describe(&ring, 2, RING_BUFFERS, 1, WRITE, 0);
	driver_offer(&driver, 2);
	driver_wait_used(&driver, 1);
	cr_assert_eq(ring_used(&ring, 0).id, 2);
	cr_assert_eq(ring_used(&ring, 0).len, 1);
	cr_assert_eq(driver_interrupts(&driver), 1);
	cr_assert_eq(driver_read(&driver, VIRTIO_MMIO_INTERRUPT_STATUS), VIRTIO_MMIO_INT_VRING);
	driver_write(&driver, VIRTIO_MMIO_INTERRUPT_ACK, VIRTIO_MMIO_INT_CONFIG);
	cr_assert_eq(driver_read(&driver, VIRTIO_MMIO_INTERRUPT_STATUS), VIRTIO_MMIO_INT_VRING);
	driver_write(&driver, VIRTIO_MMIO_INTERRUPT_ACK, UINT32_MAX);
	cr_assert_eq(driver_read(&driver, VIRTIO_MMIO_INTERRUPT_STATUS), 0);
}

Test(virtio_mmio, chains_made_available_before_driver_ok_are_served_then)
{
	driver_negotiate(&driver, VERSION_1);
	driver_set_queue(&driver);
	ring_describe(&ring, 2, RING_BUFFERS, 1, WRITE, 0);
	driver_offer(&driver, 2);
	cr_assert_eq(ring_used_index(&ring), 0);
	driver_write(&driver, VIRTIO_MMIO_STATUS, 0xf);
	driver_wait_used(&driver, 1);
}

Test(virtio_mmio, a_malformed_chain_fails_the_device)
{
	driver_start(&driver, 0);
	ring_describe(&ring, 0, RING_MEMORY, 1, WRITE, 0);
	driver_offer(&driver, 0);
	driver_wait_failed(&driver);
	cr_assert_eq(ring_used_index(&ring), 0);
	cr_assert_eq(driver_interrupts(&driver), 1);
	cr_assert_eq(driver_read(&driver, VIRTIO_MMIO_INTERRUPT_STATUS), VIRTIO_MMIO_INT_CONFIG);
}

static void stall_one(void)
{
	driver_start(&driver, 0);
	ring_describe(&ring, 0, RING_BUFFERS, 1, WRITE, 0);
	atomic_store(&probe.stall, true);
	driver_offer(&driver, 0);
	while (!atomic_load(&probe.stalled))
		(void)sched_yield();
}

/* Once the driver has read back 0, its memory is its own again. */
Test(virtio_mmio, a_reset_in_mid_transfer_gives_the_transfer_up)
{
	stall_one();
	driver_write(&driver, VIRTIO_MMIO_STATUS, 0);
	cr_assert_eq(atomic_load(&probe.cancelled), 1);
	cr_assert_eq(driver_status(&driver), 0);
	cr_assert_eq(ring_used_index(&ring), 0);
	cr_assert_eq(driver_interrupts(&driver), 0);

	/* And a new life begins from the ring's start. */
	atomic_store(&probe.stall, false);
	ring.offered = 0;
	driver_start(&driver, 0);
	driver_offer(&driver, 0);
	driver_wait_used(&driver, 1);
}

static void *write_zero_status(void *opaque)
{
	driver_write(opaque, VIRTIO_MMIO_STATUS, 0);
	return NULL;
}

Test(virtio_mmio, resets_by_several_vcpus_at_once_in_mid_transfer)
{
	pthread_t threads[4];

	for (int turn = 0; turn < 50; turn++) {
		ring.offered = 0;
		stall_one();
		for (int i = 0; i < 4; i++)
			cr_assert_eq(pthread_create(&threads[i], NULL, write_zero_status, &driver), 0);
		for (int i = 0; i < 4; i++)
			cr_assert_eq(pthread_join(threads[i], NULL), 0);
		cr_assert_eq(driver_status(&driver), 0);
		cr_assert_eq(ring_used_index(&ring), 0);
	}
}

static void *release_later(void *opaque)
{
	(void)opaque;
	for (int i = 0; i < 1000; i++)
		(void)sched_yield();
	atomic_store(&probe.stall, false);
	return NULL;
}

/* A pause and the stop of a queue wait for the transfer instead. */
Test(virtio_mmio, a_pause_in_mid_transfer_waits_for_it)
{
	pthread_t thread;

	stall_one();
	cr_assert_eq(pthread_create(&thread, NULL, release_later, NULL), 0);
	driver_pause(&driver);
	cr_assert_not(atomic_load(&probe.stall));
	cr_assert_eq(atomic_load(&probe.cancelled), 0);
	cr_assert_eq(ring_used_index(&ring), 1);
	cr_assert_eq(pthread_join(thread, NULL), 0);

	driver_offer(&driver, 0);
	(void)release_later(NULL);
	cr_assert_eq(ring_used_index(&ring), 1, "nothing moves while the machine is paused");
	driver_resume(&driver);
	driver_wait_used(&driver, 2);
}

Test(virtio_mmio, the_stop_of_a_queue_in_mid_transfer_waits_for_it)
{
	pthread_t thread;

	stall_one();
	cr_assert_eq(pthread_create(&thread, NULL, release_later, NULL), 0);
	driver_write(&driver, VIRTIO_MMIO_QUEUE_READY, 0);
	cr_assert_eq(ring_used_index(&ring), 1);
	cr_assert_eq(pthread_join(thread, NULL), 0);
}

Test(virtio_mmio, the_end_of_a_device_in_mid_transfer)
{
	struct probe_device other;
	struct driver its;

	probe_device_open(&other, &ring.memory);
	driver_open(&its, &ring, &other.virtio);
	driver_start(&its, 0);
	ring_describe(&ring, 0, RING_BUFFERS, 1, WRITE, 0);
	atomic_store(&other.stall, true);
	driver_offer(&its, 0);
	while (!atomic_load(&other.stalled))
		(void)sched_yield();
	probe_device_close(&other);
	cr_assert_eq(atomic_load(&other.cancelled), 1);
}

Test(virtio_mmio, a_power_on_reset_forgets_the_driver)
{
	driver_start(&driver, 0);
	virtio_reset(&probe.virtio.device);
	cr_assert_eq(driver_status(&driver), 0);
	cr_assert_eq(driver_read(&driver, VIRTIO_MMIO_QUEUE_READY), 0);
	cr_assert_eq(driver_read(&driver, VIRTIO_MMIO_DEVICE_ID), PROBE_ID);
	cr_assert_gt(probe.resets, 0);
}
