/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What all virtio devices save and restore: a life goes on in another device, and what no life could have led to is
 * refused.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "driver.h"
#include "probe_device.h"

static struct ring ring;
static struct probe_device probe;
static struct probe_device other;
static struct driver driver;
static struct probe_state state;

static void set_up(void)
{
	ring_open(&ring, 8);
	probe_device_open(&probe, &ring.memory);
	probe_device_open(&other, &ring.memory);
	driver_open(&driver, &ring, &probe.virtio);

	ring_describe(&ring, 0, RING_BUFFERS, 1, WRITE, 0);
	driver_start(&driver, FEATURE(VIRTIO_RING_F_EVENT_IDX) | FEATURE(3));
	driver_offer(&driver, 0);
	driver_wait_used(&driver, 1);
	driver_pause(&driver);
	probe_device_ops.save(&probe.virtio.device, &state);
}

static void tear_down(void)
{
	probe_device_close(&probe);
	probe_device_close(&other);
	ring_close(&ring);
}

TestSuite(virtio_state, .init = set_up, .fini = tear_down);

static int restore(struct error_detail *detail)
{
	int r = state_fields_check(probe_device_ops.state_fields, &state, "probe", detail);

	return r < 0 ? r : probe_device_ops.restore(&other.virtio.device, &state, detail);
}

Test(virtio_state, a_saved_state_is_restored_as_it_was)
{
	struct error_detail detail = { 0 };
	struct probe_state again;

	memset(&again, 0, sizeof(again));
	cr_assert_eq(restore(&detail), 0, "%s", detail.text);
	probe_device_ops.save(&other.virtio.device, &again);
	cr_assert_arr_eq(&again, &state, sizeof(state));
	cr_assert_eq(other.virtio.queues[0].event_index, true);
	cr_assert_eq(other.virtio.queues[0].indirect, false);
}

/* The interrupt that was on its way is raised again, and what was offered while the machine was paused is served. */
Test(virtio_state, a_restored_device_goes_on)
{
	struct driver heir;

	ring_offer(&ring, 0);
	cr_assert_eq(restore(NULL), 0);
	driver_open(&heir, &ring, &other.virtio);
	driver_wait_used(&heir, 2);
	cr_assert_gt(driver_interrupts(&heir), 0);
	cr_assert_eq(driver_read(&heir, VIRTIO_MMIO_INTERRUPT_STATUS), VIRTIO_MMIO_INT_VRING);
	driver_offer(&heir, 0);
	driver_wait_used(&heir, 3);
}

Test(virtio_state, an_interrupt_without_a_driver_to_tell_is_not_raised)
{
	driver_write(&driver, VIRTIO_MMIO_INTERRUPT_ACK, UINT32_MAX);
	(void)driver_interrupts(&driver);
	driver_resume(&driver);
	cr_assert_eq(driver_interrupts(&driver), 0);
}

static void assert_refused(const char *field)
{
	struct error_detail detail = { 0 };
	struct probe_state before, after;

	memset(&before, 0, sizeof(before));
	memset(&after, 0, sizeof(after));
	probe_device_ops.save(&other.virtio.device, &before);
	cr_assert_eq(restore(&detail), -EINVAL, "%s was accepted", field);
	cr_assert_not_null(strstr(detail.text, field), "%s", detail.text);
	probe_device_ops.save(&other.virtio.device, &after);
	cr_assert_arr_eq(&before, &after, sizeof(before));
}

Test(virtio_state, statuses_that_registers_cannot_hold)
{
	for (uint32_t status = 0; status < 0x200; status++) {
		bool valid = !(status & ~UINT32_C(0xcf)) && (!(status & 4) || (status & 8));

		state.virtio.status = status;
		if (!valid)
			assert_refused("status");
		else if (!(status & VIRTIO_CONFIG_S_FEATURES_OK))
			assert_refused("ready");
		else
			cr_assert_eq(restore(NULL), 0, "0x%x", status);
	}
}

Test(virtio_state, features_that_this_device_does_not_offer)
{
	state.virtio.driver_features |= FEATURE(50);
	assert_refused("driver_features");
	state.virtio.driver_features = FEATURE(3);
	assert_refused("driver_features");
}

Test(virtio_state, other_numbers_of_queues)
{
	state.virtio.queue_count = 1;
	assert_refused("queues");
	state.virtio.queue_count = VIRTIO_QUEUES_MAX + 1;
	assert_refused("queues");
	state.virtio.queue_count = UINT32_MAX;
	assert_refused("queues");
}

Test(virtio_state, queues_outside_memory)
{
	state.virtio.queues[0].used = RING_MEMORY;
	assert_refused("queues[0]");
	state.virtio.queues[0].used = UINT64_MAX - 3;
	assert_refused("queues[0]");
	state.virtio.queues[0].used = RING_USED;
	state.virtio.queues[0].size = 17;
	assert_refused("queues[0]");
	state.virtio.queues[0].size = 8;
	state.virtio.queues[0].available = RING_DESCRIPTORS;
	assert_refused("overlap");
}

Test(virtio_state, indices_too_far_apart)
{
	state.virtio.queues[0].next_available = 10;
	assert_refused("queues[0]");
	state.virtio.queues[0].next_available = 0;
	assert_refused("queues[0]");
	state.virtio.queues[0].next_available = 9;
	cr_assert_eq(restore(NULL), 0);
}

Test(virtio_state, presence_must_be_the_same)
{
	struct probe_device absent;

	state.virtio.present = 0;
	assert_refused("present");
	state.virtio.present = 1;
	probe_device_open_absent(&absent, &ring.memory);
	cr_assert_eq(probe_device_ops.restore(&absent.virtio.device, &state, NULL), -EINVAL);
	memset(&state, 0, sizeof(state));
	probe_device_ops.save(&absent.virtio.device, &state);
	cr_assert_eq(probe_device_ops.restore(&absent.virtio.device, &state, NULL), 0);
	state.virtio.status = 1;
	cr_assert_eq(probe_device_ops.restore(&absent.virtio.device, &state, NULL), -EINVAL);
	probe_device_close(&absent);
}

/* Any bytes whatever, as a file could hold them: accepted or refused, and then driven; nothing leaves memory. */
Test(virtio_state, random_states)
{
	uint32_t random = 12345;
	unsigned int accepted = 0;

	driver_open(&driver, &ring, &other.virtio);
	for (int turn = 0; turn < 3000; turn++) {
		struct probe_state good = state;
		uint8_t *bytes = (uint8_t *)&state;

		for (int i = 0; i < 3; i++) {
			random = random * 1664525 + 1013904223;
			bytes[(random >> 8) % sizeof(state)] = (uint8_t)(random >> 24);
		}
		driver_pause(&driver);
		if (restore(NULL) == 0)
			accepted++;
		driver_resume(&driver);
		driver_write(&driver, VIRTIO_MMIO_QUEUE_NOTIFY, 0);
		state = good;
	}
	cr_assert_gt(accepted, 100);
}
