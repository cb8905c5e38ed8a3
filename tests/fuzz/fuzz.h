/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What every fuzz target is: one function over bytes, called by libFuzzer or by replay.c.
 */
#ifndef EMBER_TESTS_FUZZ_H
#define EMBER_TESTS_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A property that must hold for every input; it stays in release builds, which assert() does not. */
#define FUZZ_CHECK(condition)                                                                               \
	do {                                                                                                \
		if (!(condition)) {                                                                         \
			(void)fprintf(stderr, "%s:%d: %s does not hold\n", __FILE__, __LINE__, #condition); \
			abort();                                                                            \
		}                                                                                           \
	} while (0)

#endif
