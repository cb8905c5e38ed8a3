/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A table of commands. Each gets what follows its name, and answers with a line that ends in a single LF; an answer
 * that starts with "error: " is the only kind that does.
 *
 * Everything that a command leaves behind (the counter, the pages touched) is in memory, so a snapshot keeps it.
 */
#include "commands.h"

#include "console.h"
#include "memory.h"
#include "platform.h"

#define SPIN_TICKS_MAX (60 * TICKS_PER_SECOND)

struct command {
	const char *name;
	const char *usage; /* what comes after the name */
	const char *does;
	/* Returns false where the arguments are not as usage says; nothing has been answered or done then. */
	bool (*execute)(struct text arguments);
};

static uint64_t guest_memory_size;
static uint64_t guest_vcpus;
static uint64_t counter;

static bool take_number(struct text *arguments, uint64_t least, uint64_t greatest, uint64_t *ret_value)
{
	uint64_t value;

	if (!text_parse_number(text_take_word(arguments), &value) || value < least || value > greatest)
		return false;

	*ret_value = value;
	return true;
}

static void answer_decimal(uint64_t value)
{
	console_put_decimal(value);
	console_put_string("\n");
}

static bool execute_echo(struct text arguments)
{
	console_put_text(arguments);
	console_put_string("\n");
	return true;
}

static bool add_hex_to_crc(struct text digits, uint32_t *crc)
{
	if (digits.length % 2 != 0)
		return false;

	for (size_t i = 0; i < digits.length; i += 2) {
		int high = text_hex_digit(digits.start[i]);
		int low = text_hex_digit(digits.start[i + 1]);

		if (high < 0 || low < 0)
			return false;
		*crc = crc32_add(*crc, (uint8_t)(high << 4 | low));
	}

	return true;
}

static bool execute_crc(struct text arguments)
{
	uint32_t crc = 0;

	if (text_take_prefix(&arguments, "hex:")) {
		if (!add_hex_to_crc(arguments, &crc))
			return false;
	} else {
		for (size_t i = 0; i < arguments.length; i++)
			crc = crc32_add(crc, (uint8_t)arguments.start[i]);
	}

	console_put_string("crc32 ");
	console_put_hex_digits(crc, 8);
	console_put_string("\n");
	return true;
}

static bool execute_count(struct text arguments)
{
	if (arguments.length > 0)
		return false;

	answer_decimal(++counter);
	return true;
}

static bool execute_get(struct text arguments)
{
	if (arguments.length > 0)
		return false;

	answer_decimal(counter);
	return true;
}

/* Verify pages and answer for both commands that do. */
static void answer_pages(uint64_t pages)
{
	struct memory_mismatch mismatch;
	uint64_t checksum;

	if (!memory_verify(pages, &checksum, &mismatch)) {
		console_put_string("error: page ");
		console_put_decimal(mismatch.page);
		console_put_string(" holds ");
		console_put_hex(mismatch.found);
		console_put_string(" where ");
		console_put_hex(mismatch.wanted);
		console_put_string(" was written\n");
		return;
	}

	console_put_string("pages ");
	console_put_decimal(pages);
	console_put_string(" checksum ");
	console_put_hex_digits(checksum, 16);
	console_put_string("\n");
}

static bool execute_touch(struct text arguments)
{
	uint64_t pages;
	uint64_t seed = 0;

	if (!take_number(&arguments, 1, memory_pages(), &pages))
		return false;
	if (arguments.length > 0 && !take_number(&arguments, 0, UINT64_MAX, &seed))
		return false;
	if (arguments.length > 0)
		return false;

	memory_touch(pages, seed);
	answer_pages(pages);
	return true;
}

static bool execute_sum(struct text arguments)
{
	uint64_t pages = memory_touched();

	if (arguments.length > 0 && !take_number(&arguments, 0, memory_touched(), &pages))
		return false;
	if (arguments.length > 0)
		return false;

	answer_pages(pages);
	return true;
}

static bool execute_ticks(struct text arguments)
{
	if (arguments.length > 0)
		return false;

	answer_decimal(platform_ticks());
	return true;
}

static bool execute_tsc(struct text arguments)
{
	if (arguments.length > 0)
		return false;

	answer_decimal(timestamp_counter());
	return true;
}

static bool execute_event(struct text arguments)
{
	uint64_t number;

	if (!take_number(&arguments, 0, UINT8_MAX, &number) || arguments.length > 0)
		return false;

	platform_signal((uint8_t)number);
	console_put_string("event ");
	answer_decimal(number);
	return true;
}

static bool execute_spin(struct text arguments)
{
	uint64_t rounds = 0;
	uint64_t wanted;
	uint64_t start;

	if (!take_number(&arguments, 0, SPIN_TICKS_MAX, &wanted) || arguments.length > 0)
		return false;

	start = platform_ticks();
	while (platform_ticks() - start < wanted)
		rounds++;
	console_put_string("spun ");
	answer_decimal(rounds);
	return true;
}

static bool execute_info(struct text arguments)
{
	if (arguments.length > 0)
		return false;

	console_put_string("memory=");
	console_put_decimal(guest_memory_size);
	console_put_string(" vcpus=");
	console_put_decimal(guest_vcpus);
	console_put_string(" pages=");
	console_put_decimal(memory_pages());
	console_put_string(" ticks_per_second=");
	answer_decimal(TICKS_PER_SECOND);
	return true;
}

static bool execute_reset(struct text arguments)
{
	if (arguments.length > 0)
		return false;

	console_put_string("resetting\n");
	platform_reset();
}

static bool execute_fault(struct text arguments)
{
	if (arguments.length > 0)
		return false;

	console_put_string("faulting\n");
	platform_triple_fault();
}

static bool execute_help(struct text arguments);

static const struct command commands[] = {
	{ "echo", " TEXT", "answer TEXT", execute_echo },
	{ "crc", " TEXT | hex:DIGITS", "CRC-32 of the text or bytes", execute_crc },
	{ "count", "", "add one to the counter and show it", execute_count },
	{ "get", "", "show the counter", execute_get },
	{ "touch", " PAGES [SEED]", "write to that many pages, verify, show a checksum", execute_touch },
	{ "sum", " [PAGES]", "verify the pages touched last, show their checksum", execute_sum },
	{ "ticks", "", "timer interrupts since boot", execute_ticks },
	{ "tsc", "", "the time stamp counter", execute_tsc },
	{ "spin", " TICKS", "keep the processor busy", execute_spin },
	{ "event", " NUMBER", "signal a number, 0 to 255, to the host", execute_event },
	{ "info", "", "memory, vCPUs, touchable pages", execute_info },
	{ "reset", "", "reset the machine", execute_reset },
	{ "fault", "", "end in a triple fault", execute_fault },
	{ "help", "", "this list", execute_help },
};

#define COMMAND_COUNT (sizeof(commands) / sizeof(commands[0]))

static bool execute_help(struct text arguments)
{
	if (arguments.length > 0)
		return false;

	for (size_t i = 0; i < COMMAND_COUNT; i++) {
		console_put_string(commands[i].name);
		console_put_string(commands[i].usage);
		console_put_string(": ");
		console_put_string(commands[i].does);
		console_put_string("\n");
	}
	return true;
}

void commands_start(uint64_t memory_size, uint64_t vcpus)
{
	guest_memory_size = memory_size;
	guest_vcpus = vcpus;
	memory_start(memory_size);
}

void command_execute(struct text line)
{
	const struct text name = text_take_word(&line);

	for (size_t i = 0; i < COMMAND_COUNT; i++) {
		if (!text_equals(name, commands[i].name))
			continue;
		if (!commands[i].execute(line)) {
			console_put_string("error: usage: ");
			console_put_string(commands[i].name);
			console_put_string(commands[i].usage);
			console_put_string("\n");
		}
		return;
	}

	console_put_string("error: unknown command; try help\n");
}
