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
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A property that must hold for every input; it stays in release builds, which assert() does not. */
#define FUZZ_CHECK(condition)                                                                               \
	do {                                                                                                \
		if (!(condition)) {                                                                         \
			(void)fprintf(stderr, "%s:%d: %s does not hold\n", __FILE__, __LINE__, #condition); \
			abort();                                                                            \
		}                                                                                           \
	} while (0)

/* An input that is used up from its start, as numbers. */
struct input {
	const uint8_t *bytes;
	size_t left;
};

/* The next `length` bytes, at most 8, as a number; of an input that ends before, what there is, and zeros. */
static inline uint64_t take(struct input *input, size_t length)
{
	uint64_t value = 0;

	if (length > input->left)
		length = input->left;
	memcpy(&value, input->bytes, length);
	input->bytes += length;
	input->left -= length;
	return value;
}

#endif
