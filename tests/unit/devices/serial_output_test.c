/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The console's output: positions, overflow by either policy, and when readers are told.
 */
#include <criterion/criterion.h>
#include <pthread.h>
#include <string.h>

#include "serial_port.h"

static struct serial_port port;

static void set_up(void)
{
	serial_port_open(&port, SERIAL_DROP_OLDEST);
}

static void tear_down(void)
{
	serial_port_close(&port);
}

TestSuite(serial_output, .init = set_up, .fini = tear_down);

/* The byte that the guest sends at a position: no two windows of the stream look alike. */
static uint8_t byte_at(uint64_t position)
{
	return (uint8_t)(position ^ (position >> 8) * 31 ^ (position >> 16) * 17);
}

static void send(uint64_t from, uint64_t to)
{
	for (uint64_t position = from; position < to; position++)
		serial_port_put(&port, THR, byte_at(position));
}

/* Read at an offset and check what comes: its place, its content, and how much was lost. */
static void assert_output(uint64_t offset, size_t size, uint64_t expected_offset, size_t expected_size,
			  uint64_t expected_dropped)
{
	static uint8_t data[2 * SERIAL_OUTPUT_SIZE];
	uint64_t ret_offset, dropped;

	memset(data, 0xcc, sizeof(data));
	cr_assert_eq(serial_read_output(port.serial, offset, data, size, &ret_offset, &dropped), expected_size);
	cr_assert_eq(ret_offset, expected_offset);
	cr_assert_eq(dropped, expected_dropped);
	for (size_t i = 0; i < expected_size; i++)
		cr_assert_eq(data[i], byte_at(expected_offset + i));
	for (size_t i = expected_size; i < size && i < sizeof(data); i++)
		cr_assert_eq(data[i], 0xcc, "written past what was returned");
}

Test(serial_output, reading_does_not_consume)
{
	assert_output(0, 10, 0, 0, 0);
	send(0, 100);
	assert_output(0, 10, 0, 10, 0);
	assert_output(10, 1000, 10, 90, 0);
	assert_output(0, 1000, 0, 100, 0);
	assert_output(100, 1000, 100, 0, 0);
	assert_output(UINT64_MAX, 1000, 100, 0, 0);
	assert_output(99, 0, 99, 0, 0);
}

Test(serial_output, drop_oldest_keeps_the_last_bytes)
{
	send(0, SERIAL_OUTPUT_SIZE);
	assert_output(0, 2 * SERIAL_OUTPUT_SIZE, 0, SERIAL_OUTPUT_SIZE, 0);
	send(SERIAL_OUTPUT_SIZE, SERIAL_OUTPUT_SIZE + 1000);
	assert_output(0, 2 * SERIAL_OUTPUT_SIZE, 1000, SERIAL_OUTPUT_SIZE, 1000);
	assert_output(999, 5, 1000, 5, 1000);
	assert_output(SERIAL_OUTPUT_SIZE - 10, 20, SERIAL_OUTPUT_SIZE - 10, 20, 1000);
	assert_output(SERIAL_OUTPUT_SIZE + 999, 20, SERIAL_OUTPUT_SIZE + 999, 1, 1000);
}

Test(serial_output, drop_newest_keeps_the_first_bytes)
{
	serial_port_close(&port);
	serial_port_open(&port, SERIAL_DROP_NEWEST);

	send(0, SERIAL_OUTPUT_SIZE + 1000);
	assert_output(0, 2 * SERIAL_OUTPUT_SIZE, 0, SERIAL_OUTPUT_SIZE, 1000);
	assert_output(SERIAL_OUTPUT_SIZE, 10, SERIAL_OUTPUT_SIZE, 0, 1000);
}

Test(serial_output, readers_are_told_once_until_they_reach_the_end)
{
	uint8_t data[200];
	uint64_t offset, dropped;

	send(0, 100);
	cr_assert_eq(port.announcements, 1);
	(void)serial_read_output(port.serial, 0, data, 99, &offset, &dropped);
	send(100, 150);
	cr_assert_eq(port.announcements, 1, "the reader knows that it has not seen all");
	(void)serial_read_output(port.serial, 99, data, 51, &offset, &dropped);
	cr_assert_eq(port.announcements, 1);
	send(150, 200);
	cr_assert_eq(port.announcements, 2);
}

Test(serial_output, a_restored_or_reset_port_shows_nothing_of_what_was_sent_before)
{
	struct serial_port other;
	struct device *device = serial_device(port.serial);

	serial_port_open(&other, SERIAL_DROP_OLDEST);
	send(0, 500);
	serial_port_clone(&other, &port);
	assert_output(0, 1000, 0, 0, 0);
	send(0, 10);
	assert_output(0, 1000, 0, 10, 0);
	cr_assert_eq(port.announcements, 2, "the new stream is announced");

	device->ops->reset(device);
	assert_output(0, 1000, 0, 0, 0);
	serial_port_close(&other);
}

static void *send_much(void *unused)
{
	(void)unused;
	send(0, 3 * SERIAL_OUTPUT_SIZE);
	return NULL;
}

/* A reader that follows while the guest sends sees every byte once, or knows how many it lost. */
Test(serial_output, a_reader_can_follow_while_the_guest_sends)
{
	static uint8_t data[1000];
	uint64_t next = 0, lost = 0, seen = 0, offset, dropped;
	pthread_t guest;

	cr_assert_eq(pthread_create(&guest, NULL, send_much, NULL), 0);
	while (next < 3 * SERIAL_OUTPUT_SIZE) {
		size_t size = serial_read_output(port.serial, next, data, sizeof(data), &offset, &dropped);

		cr_assert_geq(offset, next);
		for (size_t i = 0; i < size; i++)
			cr_assert_eq(data[i], byte_at(offset + i));
		lost += offset - next;
		seen += size;
		next = offset + size;
	}
	cr_assert_eq(pthread_join(guest, NULL), 0);
	cr_assert_eq(seen + lost, 3 * SERIAL_OUTPUT_SIZE);
	cr_assert_leq(lost, dropped);
}
