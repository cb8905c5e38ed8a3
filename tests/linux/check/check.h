/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the checks of linux_check share: how one fails, and clocks.
 */
#ifndef EMBER_TESTS_LINUX_CHECK_CHECK_H
#define EMBER_TESTS_LINUX_CHECK_CHECK_H

#include <stdbool.h>
#include <stdint.h>

#define WAIT_MS 120000 /* for anything that must happen */
#define MIB     1048576

/* Say what is wrong, and end the program with status 1. */
__attribute__((noreturn, format(printf, 1, 2))) void fail(const char *format, ...);

/* Go on only if it is so: fail() with "expected ..., got ...", where the text after is what was expected and got. */
#define EXPECT(is_so, ...)                             \
	do {                                           \
		if (!(is_so))                          \
			fail("expected " __VA_ARGS__); \
	} while (0)

/* CLOCK_MONOTONIC and CLOCK_REALTIME in nanoseconds. */
int64_t monotonic_ns(void);
int64_t realtime_ns(void);

/* Sleep for so many milliseconds. */
void pause_ms(long ms);

/* A number of a command line, between the bounds. */
long parse_number(const char *text, long least, long greatest);

/* The checks themselves: argc and argv are what follows the check's name. */
void check_ask(int argc, char **argv);
void check_tap(int argc, char **argv);
void check_streams(int argc, char **argv);
void check_vsock(int argc, char **argv);
void check_clones(int argc, char **argv);
void check_first_answer(int argc, char **argv);
void check_network(int argc, char **argv);
void check_tsc(int argc, char **argv);
void check_balloon(int argc, char **argv);

#endif
