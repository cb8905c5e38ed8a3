/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The demo guest: what a VM runs where no image is given.
 *
 * It sets its interrupts and its serial port up, says who it is, signals ready, and then answers lines. Between lines
 * it halts, waking for the timer. It reaches "ready" in a few thousand instructions, and relies on nothing but what a
 * long-mode entry promises: memory after the image is zero, the first GiB is mapped to itself, there is a stack,
 * interrupts are off.
 */
#include "commands.h"
#include "console.h"
#include "platform.h"

_Noreturn void guest_main(uint64_t memory_size, uint64_t vcpus);

static void say_who(uint64_t memory_size, uint64_t vcpus)
{
	console_put_string("Ember demo guest: ");
	console_put_decimal(memory_size >> 20);
	console_put_string(" MiB, ");
	console_put_decimal(vcpus);
	console_put_string(vcpus == 1 ? " vCPU; try help\n" : " vCPUs; try help\n");
}

/* Answer every line that has come. */
static void answer_lines(void)
{
	enum console_input input;
	struct text line;

	while ((input = console_take_line(&line)) != CONSOLE_NOTHING) {
		if (input == CONSOLE_LINE)
			command_execute(line);
		else
			console_put_string("error: a line is at most 1024 bytes\n");
	}
}

_Noreturn void guest_main(uint64_t memory_size, uint64_t vcpus)
{
	commands_start(memory_size, vcpus);
	platform_start();
	console_start();
	say_who(memory_size, vcpus);
	platform_signal(SIGNAL_READY);

	for (;;) {
		interrupts_disable();
		if (console_has_input())
			interrupts_enable();
		else
			interrupts_enable_and_wait();
		answer_lines();
	}
}
