/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a worker reports, however often its guest signals.
 */
#include "pool/process/report.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <time.h>
#include <unistd.h>

#include "pool/channel.h"

static int ends[2];
static struct report report;

static void set_up(void)
{
	cr_assert_eq(channel_pair(ends), 0);
	cr_assert_eq(report_init(&report, ends[0]), 0);
}

TestSuite(report, .init = set_up);

static bool receive(struct message *ret_message)
{
	struct error_detail detail;
	int result = channel_receive(ends[1], ret_message, false, &detail);

	cr_assert(result == 0 || result == -EAGAIN);
	return result == 0;
}

static void signal_times(uint8_t number, uint64_t from, uint64_t to)
{
	for (uint64_t count = from; count <= to; count++) {
		struct signal_record record = { .count = count, .first_ns = 1, .last_ns = count };

		report_signalled(&report, number, &record);
	}
}

Test(report, nothing_is_said_before_it_is_opened_and_nothing_is_lost)
{
	struct message message;

	signal_times(0, 1, 1);
	signal_times(9, 1, 3);
	report_output(&report);
	cr_assert_not(receive(&message));

	report_open(&report);
	(void)report_flush(&report);
	cr_assert(receive(&message));
	cr_assert_eq(message.header.type, MESSAGE_SIGNALLED);
	cr_assert_eq(message.payload.signalled.number, 0);
	cr_assert(receive(&message));
	cr_assert_eq(message.payload.signalled.number, 9);
	cr_assert_eq(message.payload.signalled.count, 3);
	cr_assert(receive(&message));
	cr_assert_eq(message.header.type, MESSAGE_OUTPUT);
	cr_assert_not(receive(&message));
}

Test(report, a_flood_is_bounded_and_its_last_count_arrives)
{
	struct message message;
	struct timespec pause = { .tv_nsec = 20000000 };
	uint64_t last = 0;
	unsigned messages = 0;

	report_open(&report);
	signal_times(7, 1, 100000);
	for (int again = 0; again >= 0; again = report_flush(&report)) {
		while (receive(&message)) {
			cr_assert_gt(message.payload.signalled.count, last);
			last = message.payload.signalled.count;
			messages++;
		}
		(void)nanosleep(&pause, NULL);
	}
	while (receive(&message)) {
		last = message.payload.signalled.count;
		messages++;
	}
	cr_assert_eq(last, 100000);
	cr_assert_lt(messages, 50000, "%u messages for 100000 signals", messages);
}

Test(report, output_is_announced_once_until_it_is_read)
{
	struct message message;

	report_open(&report);
	report_output(&report);
	report_output(&report);
	cr_assert(receive(&message));
	cr_assert_not(receive(&message));
	report_output_read(&report);
	report_output(&report);
	cr_assert(receive(&message));
	cr_assert_not(receive(&message));
}

Test(report, connections_are_told_in_order_once_it_is_opened)
{
	struct message message;

	for (uint32_t port = 0; port < 3; port++)
		cr_assert(report_vsock_connect(&report, port, 100 + port));
	cr_assert_not(receive(&message));
	report_open(&report);
	(void)report_flush(&report);
	cr_assert(report_vsock_connect(&report, 3, 103));
	for (uint32_t port = 0; port < 4; port++) {
		cr_assert(receive(&message));
		cr_assert_eq(message.header.type, MESSAGE_VSOCK_CONNECT);
		cr_assert_eq(message.payload.vsock_connect.port, port);
		cr_assert_eq(message.payload.vsock_connect.cookie, 100 + port);
	}
	cr_assert_not(receive(&message));
}

Test(report, a_flood_of_connections_is_bounded_and_who_was_taken_is_told)
{
	struct message message;
	struct timespec pause = { .tv_nsec = 20000000 };
	uint64_t taken = 0, told = 0;

	report_open(&report);
	for (uint32_t i = 0; i < 100000; i++)
		taken += report_vsock_connect(&report, 1, taken);
	cr_assert_lt(taken, 50000, "%u of 100000 connections were taken", (unsigned)taken);
	for (int again = 0; again >= 0; again = report_flush(&report)) {
		while (receive(&message))
			cr_assert_eq(message.payload.vsock_connect.cookie, told++);
		(void)nanosleep(&pause, NULL);
	}
	while (receive(&message))
		cr_assert_eq(message.payload.vsock_connect.cookie, told++);
	cr_assert_eq(told, taken);
}

Test(report, connections_wait_for_signals)
{
	struct message message;
	bool signalled = false;

	report_open(&report);
	while (report_vsock_connect(&report, 1, 1)) /* until tokens and room are spent */
		;
	while (receive(&message))
		;
	signal_times(7, 1, 1);
	(void)report_vsock_connect(&report, 1, 1);
	for (int again = 0; again >= 0 && !signalled; again = report_flush(&report)) {
		while (!signalled && receive(&message)) {
			cr_assert_eq(message.header.type, MESSAGE_SIGNALLED, "a connection came first");
			signalled = true;
		}
	}
	cr_assert(signalled);
}

Test(report, an_exit_is_taken_once_and_after_what_was_signalled)
{
	struct machine_exit_info info = { .reason = MACHINE_EXIT_SHUTDOWN, .vcpu = 1 };
	struct machine_exit_info taken;

	signal_times(3, 1, 1);
	report_exited(&report, &info);
	cr_assert_not(report_take_exit(&report, &taken));
	report_open(&report);
	cr_assert_not(report_take_exit(&report, &taken), "the signal has not been sent yet");
	(void)report_flush(&report);
	cr_assert(report_take_exit(&report, &taken));
	cr_assert_eq(taken.reason, MACHINE_EXIT_SHUTDOWN);
	cr_assert_eq(taken.vcpu, 1);
	cr_assert_not(report_take_exit(&report, &taken));
}
