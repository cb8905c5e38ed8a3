/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The signal port: counts, time stamps, the callback, and what a snapshot keeps of them.
 */
#include "devices/signal_port.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <string.h>

static struct signal_port *port;
static struct device *device;
static unsigned int calls;
static _Thread_local uint8_t last_number;
static _Thread_local struct signal_record last_record;

static void remember(void *opaque, uint8_t number, const struct signal_record *record)
{
	__atomic_add_fetch((unsigned int *)opaque, 1, __ATOMIC_RELAXED);
	last_number = number;
	last_record = *record;
}

static void set_up(void)
{
	cr_assert_eq(signal_port_new(remember, &calls, &port), 0);
	device = signal_port_device(port);
}

static void tear_down(void)
{
	device->ops->free(device);
}

TestSuite(signal_port, .init = set_up, .fini = tear_down);

static void put(uint8_t number)
{
	device->ops->write(device, 0, &number, 1);
}

static struct signal_record record_of(uint8_t number)
{
	struct signal_record record;

	signal_port_record(port, number, &record);
	return record;
}

Test(signal_port, every_number_has_its_own_record)
{
	for (unsigned int number = 0; number <= 0xff; number++) {
		put((uint8_t)number);
		cr_assert_eq(last_number, number);
		cr_assert_eq(last_record.count, 1);
		cr_assert_neq(last_record.first_ns, 0);
		cr_assert_eq(last_record.first_ns, last_record.last_ns);
	}
	cr_assert_eq(calls, 256);
	cr_assert_eq(record_of(255).count, 1);
}

Test(signal_port, first_time_stays_and_last_time_moves_on)
{
	struct signal_record once, twice;

	put(SIGNAL_READY);
	once = record_of(SIGNAL_READY);
	put(SIGNAL_READY);
	twice = record_of(SIGNAL_READY);

	cr_assert_eq(twice.count, 2);
	cr_assert_eq(twice.first_ns, once.first_ns);
	cr_assert_geq(twice.last_ns, once.last_ns);
	cr_assert_eq(memcmp(&twice, &last_record, sizeof(twice)), 0);
	cr_assert_eq(record_of(1).count, 0);
	cr_assert_eq(record_of(1).first_ns, 0);
}

Test(signal_port, reads_tell_that_ember_is_there)
{
	uint8_t data[4] = { 0xff, 0xff, 0xff, 0xff };

	device->ops->read(device, 0, data, 1);
	cr_assert_eq(data[0], SIGNAL_PORT_PROBE);
	data[0] = 0xff;
	device->ops->read(device, 0, data, 4);
	cr_assert_eq(data[0], 0xff);
}

Test(signal_port, wider_writes_signal_nothing)
{
	static const uint8_t data[8] = { 1 };

	device->ops->write(device, 0, data, 2);
	device->ops->write(device, 0, data, 4);
	device->ops->write(device, 0, data, 8);
	cr_assert_eq(calls, 0);
	cr_assert_eq(record_of(1).count, 0);
}

Test(signal_port, counts_survive_and_times_do_not)
{
	uint8_t state[DEVICE_STATE_MAX + 1] = { 0 };
	struct signal_record record;

	put(3);
	put(3);
	put(255);
	device->ops->save(device, state + 1);

	device->ops->reset(device);
	cr_assert_eq(record_of(3).count, 0);
	cr_assert_eq(device->ops->restore(device, state + 1, NULL), 0);
	record = record_of(3);
	cr_assert_eq(record.count, 2);
	cr_assert_eq(record.first_ns, 0);
	cr_assert_eq(record.last_ns, 0);
	cr_assert_eq(record_of(255).count, 1);

	put(3);
	record = record_of(3);
	cr_assert_eq(record.count, 3);
	cr_assert_neq(record.first_ns, 0);
}

Test(signal_port, a_count_at_its_end_is_harmless)
{
	uint8_t state[DEVICE_STATE_MAX];

	memset(state, 0xff, sizeof(state));
	cr_assert_eq(state_fields_check(device->ops->state_fields, state, "signal_port", NULL), 0);
	cr_assert_eq(device->ops->restore(device, state, NULL), 0);
	cr_assert_eq(record_of(9).count, UINT64_MAX);
	put(9);
	cr_assert_eq(record_of(9).count, 0);
}

static void *signal_often(void *number)
{
	for (int i = 0; i < 10000; i++)
		put(*(const uint8_t *)number);
	return NULL;
}

Test(signal_port, no_signal_is_lost_among_threads)
{
	static const uint8_t number = 42;
	pthread_t threads[4];

	for (size_t i = 0; i < 4; i++)
		cr_assert_eq(pthread_create(&threads[i], NULL, signal_often, (void *)&number), 0);
	for (size_t i = 0; i < 4; i++)
		cr_assert_eq(pthread_join(threads[i], NULL), 0);

	cr_assert_eq(record_of(number).count, 40000);
	cr_assert_eq(calls, 40000);
}
