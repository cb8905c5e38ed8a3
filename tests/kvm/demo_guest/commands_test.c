/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every command of the demo guest, typed at its console on a real KVM.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "console.h"

#define FIRST_PAGE (UINT64_C(2) << 20)
#define PAGE       UINT64_C(4096)

static uint64_t ask_number(struct guest *guest, const char *line)
{
	const char *reply = guest_ask(guest, line);
	char *end;
	uint64_t value = strtoull(reply, &end, 10);

	cr_assert(end != reply && *end == '\0', "%s: \"%s\" is not a number", line, reply);
	return value;
}

static uint64_t guest_word(struct guest *guest, uint64_t gpa)
{
	uint64_t word = 0;

	cr_assert_eq(guest_memory_read(&guest->machine->vm.memory, gpa, &word, sizeof(word)), 0);
	return word;
}

Test(commands, echo_answers_the_text)
{
	struct guest *guest = demo_start();

	cr_assert_str_eq(guest_ask(guest, "echo hello, world"), "hello, world");
	cr_assert_str_eq(guest_ask(guest, "  echo   two  words "), "two  words ");
	cr_assert_str_eq(guest_ask(guest, "echo"), "");
	guest_end(guest);
}

Test(commands, crc_is_crc_32_of_text_and_bytes)
{
	struct guest *guest = demo_start();

	cr_assert_str_eq(guest_ask(guest, "crc 123456789"), "crc32 cbf43926");
	cr_assert_str_eq(guest_ask(guest, "crc hex:313233343536373839"), "crc32 cbf43926");
	cr_assert_str_eq(guest_ask(guest, "crc hex:00FFaa"), "crc32 5a666e96");
	cr_assert_str_eq(guest_ask(guest, "crc"), "crc32 00000000");
	guest_end(guest);
}

Test(commands, count_adds_one_and_get_does_not)
{
	struct guest *guest = demo_start();

	cr_assert_eq(ask_number(guest, "get"), 0);
	cr_assert_eq(ask_number(guest, "count"), 1);
	cr_assert_eq(ask_number(guest, "count"), 2);
	cr_assert_eq(ask_number(guest, "get"), 2);
	guest_end(guest);
}

Test(commands, touch_writes_to_that_many_pages_and_no_more)
{
	struct guest *guest = demo_start();
	char first[REPLY_MAX];

	(void)snprintf(first, sizeof(first), "%s", guest_ask(guest, "touch 100 42"));
	cr_assert_eq(strncmp(first, "pages 100 checksum ", 19), 0, "%s", first);
	cr_assert_str_neq(guest_ask(guest, "touch 100 43"), first);
	cr_assert_str_eq(guest_ask(guest, "touch 100 0x2a"), first);
	cr_assert_str_eq(guest_ask(guest, "sum"), first);
	for (uint64_t page = 0; page < 100; page++)
		cr_assert_neq(guest_word(guest, FIRST_PAGE + page * PAGE), 0, "page %lu", (unsigned long)page);
	cr_assert_eq(guest_word(guest, FIRST_PAGE + 100 * PAGE), 0);
	guest_end(guest);
}

Test(commands, sum_finds_a_page_that_was_changed)
{
	struct guest *guest = demo_start();
	const uint64_t other = 0x1234;
	char wanted[REPLY_MAX];
	uint64_t word;

	cr_assert_str_eq(guest_ask(guest, "sum"), "pages 0 checksum 0000000000000000");
	(void)guest_ask(guest, "touch 50");
	word = guest_word(guest, FIRST_PAGE + 7 * PAGE);
	(void)snprintf(wanted, sizeof(wanted), "error: page 7 holds 0x1234 where 0x%lx was written",
		       (unsigned long)word);
	cr_assert_eq(guest_memory_write(&guest->machine->vm.memory, FIRST_PAGE + 7 * PAGE, &other, sizeof(other)), 0);
	cr_assert_str_eq(guest_ask(guest, "sum"), wanted);
	cr_assert_eq(strncmp(guest_ask(guest, "sum 7"), "pages 7 checksum ", 17), 0);
	guest_end(guest);
}

Test(commands, ticks_advance_while_the_guest_halts)
{
	struct guest *guest = demo_start();
	uint64_t first = ask_number(guest, "ticks");

	while (ask_number(guest, "ticks") < first + 2)
		;
	guest_end(guest);
}

Test(commands, ticks_advance_while_the_guest_is_busy)
{
	struct guest *guest = demo_start();
	uint64_t first = ask_number(guest, "ticks");
	const char *reply = guest_ask(guest, "spin 3");

	cr_assert_eq(strncmp(reply, "spun ", 5), 0, "%s", reply);
	cr_assert_geq(ask_number(guest, "ticks"), first + 3);
	cr_assert_str_eq(guest_ask(guest, "spin 0"), "spun 0");
	guest_end(guest);
}

Test(commands, tsc_grows)
{
	struct guest *guest = demo_start();
	uint64_t first = ask_number(guest, "tsc");

	cr_assert_gt(ask_number(guest, "tsc"), first);
	guest_end(guest);
}

Test(commands, event_signals_its_number)
{
	struct guest *guest = demo_start();

	cr_assert_str_eq(guest_ask(guest, "event 7"), "event 7");
	cr_assert_str_eq(guest_ask(guest, "event 0xff"), "event 255");
	cr_assert_str_eq(guest_ask(guest, "event 7"), "event 7");
	guest_wait_signal(guest, 7, 2);
	guest_wait_signal(guest, 255, 1);
	cr_assert_eq(guest->signals[SIGNAL_READY], 1);
	guest_end(guest);
}

Test(commands, info_tells_the_machine)
{
	struct guest *guest = demo_start();

	cr_assert_str_eq(guest_ask(guest, "info"), "memory=16777216 vcpus=1 pages=3584 ticks_per_second=20");
	cr_assert_eq(strncmp(guest_ask(guest, "touch 3584"), "pages 3584 ", 11), 0);
	guest_end(guest);
}

Test(commands, help_names_every_command)
{
	static const char *const names[] = { "echo", "crc",  "count", "get",  "touch", "sum",   "ticks",
					     "tsc",  "spin", "event", "info", "reset", "fault", "help" };
	struct guest *guest = demo_start();

	guest_type(guest, "help\n");
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		const char *line = guest_read_line(guest);

		cr_assert_eq(strncmp(line, names[i], strlen(names[i])), 0, "%s", line);
	}
	guest_end(guest);
}

Test(commands, bad_lines_are_answered_with_an_error)
{
	static const struct {
		const char *line;
		const char *reply;
	} lines[] = {
		{ "nonsense", "error: unknown command; try help" },
		{ "ECHO", "error: unknown command; try help" },
		{ "echoes", "error: unknown command; try help" },
		{ "crc hex:1", "error: usage: crc TEXT | hex:DIGITS" },
		{ "crc hex:0g", "error: usage: crc TEXT | hex:DIGITS" },
		{ "count 1", "error: usage: count" },
		{ "get 1", "error: usage: get" },
		{ "touch", "error: usage: touch PAGES [SEED]" },
		{ "touch 0", "error: usage: touch PAGES [SEED]" },
		{ "touch 3585", "error: usage: touch PAGES [SEED]" },
		{ "touch 18446744073709551616", "error: usage: touch PAGES [SEED]" },
		{ "touch 0x10000000000000001", "error: usage: touch PAGES [SEED]" },
		{ "touch 1 2 3", "error: usage: touch PAGES [SEED]" },
		{ "touch -1", "error: usage: touch PAGES [SEED]" },
		{ "touch 0x", "error: usage: touch PAGES [SEED]" },
		{ "touch 1f", "error: usage: touch PAGES [SEED]" },
		{ "sum 1", "error: usage: sum [PAGES]" },
		{ "spin 1201", "error: usage: spin TICKS" },
		{ "event", "error: usage: event NUMBER" },
		{ "event 256", "error: usage: event NUMBER" },
		{ "reset now", "error: usage: reset" },
		{ "fault now", "error: usage: fault" },
		{ "help me", "error: usage: help" },
	};
	struct guest *guest = demo_start();

	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
		cr_assert_str_eq(guest_ask(guest, lines[i].line), lines[i].reply);
	guest_end(guest);
}

Test(commands, lines_may_end_and_be_edited_as_terminals_do)
{
	struct guest *guest = demo_start();

	cr_assert_str_eq(guest_ask(guest, "\r\n\n\r\necho returned\r"), "returned");
	cr_assert_str_eq(guest_ask(guest, "\b\x7f"
					  "ex\bcho erased\x7f\x7f"),
			 "eras");
	guest_end(guest);
}

Test(commands, a_line_too_long_is_dropped_whole)
{
	struct guest *guest = demo_start();
	char line[1100] = "echo ";

	memset(line + 5, 'x', 1019);
	cr_assert_str_eq(guest_ask(guest, line), line + 5);
	memset(line + 5, 'y', 1020);
	cr_assert_str_eq(guest_ask(guest, line), "error: a line is at most 1024 bytes");
	cr_assert_str_eq(guest_ask(guest, "echo next"), "next");
	guest_end(guest);
}

Test(commands, input_that_comes_while_the_guest_is_busy_is_kept)
{
	struct guest *guest = demo_start();

	/* Much more than the guest's ring, its UART and the console's queue hold. */
	guest_type(guest, "spin 5\n");
	for (int i = 0; i < 2000; i++)
		guest_type(guest, "count\n");
	cr_assert_eq(strncmp(guest_read_line(guest), "spun ", 5), 0);
	for (int i = 1; i <= 2000; i++)
		cr_assert_eq(strtol(guest_read_line(guest), NULL, 10), i);
	guest_end(guest);
}
