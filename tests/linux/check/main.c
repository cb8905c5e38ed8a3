/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Checks of Linux guests, from their host, through emberd (its socket is in EMBER_SOCKET), vsock and TAP devices.
 *
 *     linux_check ask PATH REQUEST           ask the agent of the guest behind a vsock path; print the answer
 *     linux_check tap NAME ADDRESS           make a TAP device, give the host's end an address, bring it up
 *     linux_check streams PATH COUNT KIB     so many streams at once, each echoes so much
 *     linux_check vsock COUNT KIB            so many streams, across a snapshot and in a clone; a guest that calls
 *     linux_check clones COUNT               clones of one snapshot are different guests
 *     linux_check first-answer COUNT         how long until a guest answers: a cold boot, and so many warm restores
 *     linux_check network                    pings, and TCP across a snapshot
 *     linux_check tsc COUNT                  so often: a clone beside its original, in shells of one age
 *     linux_check balloon                    memory goes back to the host
 *
 * Exit status 0: all is as it must be. Else a line on standard error says what was expected and what was there.
 */
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "check.h"

void fail(const char *format, ...)
{
	va_list arguments;

	(void)fflush(stdout);
	fprintf(stderr, "linux_check: ");
	va_start(arguments, format);
	vfprintf(stderr, format, arguments);
	va_end(arguments);
	fprintf(stderr, "\n");
	exit(1);
}

static int64_t clock_ns(clockid_t clock)
{
	struct timespec now;

	(void)clock_gettime(clock, &now);
	return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

int64_t monotonic_ns(void)
{
	return clock_ns(CLOCK_MONOTONIC);
}

int64_t realtime_ns(void)
{
	return clock_ns(CLOCK_REALTIME);
}

void pause_ms(long ms)
{
	const struct timespec pause = { .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000 };

	(void)nanosleep(&pause, NULL);
}

long parse_number(const char *text, long least, long greatest)
{
	char *end;
	long value;

	errno = 0;
	value = strtol(text, &end, 10);
	if (errno != 0 || end == text || *end != '\0' || value < least || value > greatest)
		fail("a number from %ld to %ld must be given, not \"%s\"", least, greatest, text);
	return value;
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		int arguments;
		void (*run)(int argc, char **argv);
	} checks[] = {
		{ "ask", 2, check_ask },     { "tap", 2, check_tap },         { "streams", 3, check_streams },
		{ "vsock", 2, check_vsock }, { "clones", 1, check_clones },   { "first-answer", 1, check_first_answer },
		{ "tsc", 1, check_tsc },     { "network", 0, check_network }, { "balloon", 0, check_balloon },
	};

	(void)signal(SIGPIPE, SIG_IGN);
	for (size_t i = 0; i < sizeof(checks) / sizeof(checks[0]); i++) {
		if (argc - 2 == checks[i].arguments && strcmp(argv[1], checks[i].name) == 0) {
			checks[i].run(argc - 2, argv + 2);
			return 0;
		}
	}
	fail("there is no such check, or it takes other arguments");
}
