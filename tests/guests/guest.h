/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a library made by ember_test_guest() holds: GUEST_IMAGE(hello_long) declares hello_long_image and
 * hello_long_image_size.
 */
#ifndef EMBER_TESTS_GUESTS_GUEST_H
#define EMBER_TESTS_GUESTS_GUEST_H

#include <stddef.h>
#include <stdint.h>

#define GUEST_IMAGE(name)                    \
	extern const uint8_t name##_image[]; \
	extern const size_t name##_image_size

#endif
