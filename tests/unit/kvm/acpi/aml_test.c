/* SPDX-License-Identifier: Apache-2.0 */
/*
 * AML comes out byte for byte as ACPI 6.4, chapter 20, has it; what it cannot hold is an error, and a small buffer is
 * never overrun.
 */
#include "kvm/acpi/aml.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define CAPACITY ((size_t)4 << 20)

static uint8_t buffer[CAPACITY];

#define EXPECT_BYTES(aml, ...)                                              \
	do {                                                                \
		const uint8_t expected_[] = { __VA_ARGS__ };                \
		size_t size_ = 0;                                           \
		cr_assert_eq(aml_finish(aml, &size_), 0);                   \
		cr_assert_eq(size_, sizeof(expected_), "%zu bytes", size_); \
		cr_assert_arr_eq(buffer, expected_, sizeof(expected_));     \
	} while (0)

static struct aml start(void)
{
	struct aml aml;

	aml_init(&aml, buffer, sizeof(buffer));
	return aml;
}

Test(aml, integers_take_their_shortest_form)
{
	struct aml aml = start();

	aml_integer(&aml, 0);
	aml_integer(&aml, 1);
	aml_integer(&aml, 2);
	aml_integer(&aml, 0xff);
	aml_integer(&aml, 0x100);
	aml_integer(&aml, 0xffff);
	aml_integer(&aml, 0x10000);
	aml_integer(&aml, 0xffffffff);
	aml_integer(&aml, 0x100000000);
	EXPECT_BYTES(&aml, 0x00, 0x01, 0x0a, 2, 0x0a, 0xff, 0x0b, 0x00, 0x01, 0x0b, 0xff, 0xff, 0x0c, 0, 0, 1, 0, 0x0c,
		     0xff, 0xff, 0xff, 0xff, 0x0e, 0, 0, 0, 0, 1, 0, 0, 0);
}

Test(aml, strings_and_eisa_ids)
{
	struct aml aml = start();

	aml_string(&aml, "AB");
	aml_eisa_id(&aml, "PNP0501"); /* iasl: 0x0105D041 */
	aml_eisa_id(&aml, "ACP01AF");
	EXPECT_BYTES(&aml, 0x0d, 'A', 'B', 0, 0x0c, 0x41, 0xd0, 0x05, 0x01, 0x0c, 0x04, 0x70, 0x01, 0xaf);
}

Test(aml, paths)
{
	struct aml aml = start();

	aml_name(&aml, "_HID");
	aml_name(&aml, "A");
	aml_name(&aml, "\\_SB");
	aml_name(&aml, "^^B9");
	aml_name(&aml, "\\_SB.PWRB");
	aml_name(&aml, "A.B.C");
	EXPECT_BYTES(&aml, 8, '_', 'H', 'I', 'D', 8, 'A', '_', '_', '_', 8, '\\', '_', 'S', 'B', '_', 8, '^', '^', 'B',
		     '9', '_', '_', 8, '\\', 0x2e, '_', 'S', 'B', '_', 'P', 'W', 'R', 'B', 8, 0x2f, 3, 'A', '_', '_',
		     '_', 'B', '_', '_', '_', 'C', '_', '_', '_');
}

Test(aml, wrong_names_and_strings_are_errors)
{
	static const char *const paths[] = { "",     "\\", "a",   "9A", "TOOLONG",
					     "A..B", "A.", "A B", ".A", "A.B.C.D.E.F.G.H.I" };
	static const char *const ids[] = { "", "PNP050", "PNP05011", "pNP0501", "PNP050G", "PN10501" };
	size_t size;

	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
		struct aml aml = start();

		aml_name(&aml, paths[i]);
		cr_assert_eq(aml_finish(&aml, &size), -EINVAL, "'%s'", paths[i]);
	}
	for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++) {
		struct aml aml = start();

		aml_eisa_id(&aml, ids[i]);
		cr_assert_eq(aml_finish(&aml, &size), -EINVAL, "'%s'", ids[i]);
	}

	struct aml aml = start();
	aml_string(&aml, "caf\xc3\xa9");
	cr_assert_eq(aml_finish(&aml, &size), -EINVAL);
}

Test(aml, lengths_count_themselves)
{
	/* What a scope holds, after its four-byte name, and what its length then is. */
	static const struct {
		size_t content;
		uint8_t length[4];
		size_t length_size;
	} cases[] = {
		{ 0, { 5 }, 1 },
		{ 58, { 0x3f }, 1 },
		{ 59, { 0x41, 0x04 }, 2 },
		{ 4089, { 0x4f, 0xff }, 2 },
		{ 4090, { 0x81, 0x00, 0x01 }, 3 },
		{ 1048568, { 0x8f, 0xff, 0xff }, 3 },
		{ 1048569, { 0xc1, 0x00, 0x00, 0x01 }, 4 },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct aml aml = start();
		size_t size;

		aml_scope_begin(&aml, "ABCD");
		for (size_t byte = 0; byte < cases[i].content; byte++)
			aml_integer(&aml, byte & 1);
		aml_end(&aml);
		cr_assert_eq(aml_finish(&aml, &size), 0);
		cr_assert_eq(size, 1 + cases[i].length_size + 4 + cases[i].content);
		cr_assert_eq(buffer[0], 0x10);
		cr_assert_arr_eq(buffer + 1, cases[i].length, cases[i].length_size, "content %zu", cases[i].content);
		cr_assert_arr_eq(buffer + 1 + cases[i].length_size, "ABCD", 4);
		for (size_t byte = 0; byte < cases[i].content; byte++)
			cr_assert_eq(buffer[1 + cases[i].length_size + 4 + byte], byte & 1);
	}
}

Test(aml, blocks_nest)
{
	struct aml aml = start();

	aml_scope_begin(&aml, "\\_SB");
	aml_device_begin(&aml, "DEVC");
	aml_name(&aml, "ADDR");
	aml_package_begin(&aml, 2);
	aml_integer(&aml, 0);
	aml_integer(&aml, 5);
	aml_end(&aml);
	aml_method_begin(&aml, "_EVT", 1);
	aml_if_argument_is_begin(&aml, 0, 9);
	aml_notify(&aml, "DEVC", 0x80);
	aml_end(&aml);
	aml_end(&aml);
	aml_end(&aml);
	aml_end(&aml);
	EXPECT_BYTES(&aml, 0x10, 0x2c, '\\', '_', 'S', 'B', '_',                   /* Scope */
		     0x5b, 0x82, 0x24, 'D', 'E', 'V', 'C',                         /* Device */
		     0x08, 'A', 'D', 'D', 'R', 0x12, 0x05, 0x02, 0x00, 0x0a, 0x05, /* Name, Package */
		     0x14, 0x13, '_', 'E', 'V', 'T', 0x09,                         /* Method */
		     0xa0, 0x0c, 0x93, 0x68, 0x0a, 0x09,                           /* If */
		     0x86, 'D', 'E', 'V', 'C', 0x0a, 0x80);                        /* Notify */
}

Test(aml, resources)
{
	struct aml aml = start();

	aml_resources_begin(&aml);
	aml_resource_ports(&aml, 0x3f8, 8);
	aml_resource_memory(&aml, 0xd0000000, 0x1000);
	aml_resource_interrupt(&aml, 5);
	aml_end(&aml);
	EXPECT_BYTES(&aml, 0x11, 0x22, 0x0a, 0x1f,                                           /* Buffer */
		     0x47, 0x01, 0xf8, 0x03, 0xf8, 0x03, 0x01, 0x08,                         /* ports */
		     0x86, 0x09, 0x00, 0x01, 0x00, 0x00, 0x00, 0xd0, 0x00, 0x10, 0x00, 0x00, /* memory */
		     0x89, 0x06, 0x00, 0x03, 0x01, 0x05, 0x00, 0x00, 0x00,                   /* interrupt */
		     0x79, 0x00);
}

Test(aml, blocks_that_do_not_match_are_errors)
{
	struct aml aml = start();
	size_t size;

	aml_scope_begin(&aml, "A");
	cr_assert_eq(aml_finish(&aml, &size), -EINVAL);
	aml_end(&aml);
	cr_assert_eq(aml_finish(&aml, &size), 0);
	aml_end(&aml);
	cr_assert_eq(aml_finish(&aml, &size), -EINVAL);

	aml = start();
	for (int i = 0; i <= AML_DEPTH_MAX; i++)
		aml_scope_begin(&aml, "A");
	cr_assert_eq(aml_finish(&aml, &size), -E2BIG);

	aml = start();
	aml_method_begin(&aml, "A", 8);
	cr_assert_eq(aml_finish(&aml, &size), -EINVAL);

	aml = start();
	aml_if_argument_is_begin(&aml, 7, 0);
	cr_assert_eq(aml_finish(&aml, &size), -EINVAL);

	aml = start();
	aml_package_begin(&aml, 256);
	cr_assert_eq(aml_finish(&aml, &size), -EINVAL);
}

static void write_something(struct aml *aml)
{
	aml_scope_begin(aml, "\\_SB");
	aml_device_begin(aml, "A");
	aml_name(aml, "_HID");
	aml_string(aml, "LNRO0005");
	aml_name(aml, "_CRS");
	aml_resources_begin(aml);
	for (uint32_t i = 0; i < 8; i++)
		aml_resource_interrupt(aml, i);
	aml_end(aml);
	aml_end(aml);
	aml_end(aml);
}

Test(aml, a_buffer_too_small_by_any_number_of_bytes_is_an_error)
{
	struct aml aml = start();
	size_t whole, size;

	write_something(&aml);
	cr_assert_eq(aml_finish(&aml, &whole), 0);
	for (size_t capacity = 0; capacity < whole; capacity++) {
		uint8_t *exact = malloc(capacity + 1); /* ASan watches its end */

		exact[capacity] = 0xee;
		aml_init(&aml, exact, capacity);
		write_something(&aml);
		cr_assert_eq(aml_finish(&aml, &size), -ENOSPC, "%zu of %zu", capacity, whole);
		cr_assert_eq(exact[capacity], 0xee);
		free(exact);
	}
}

Test(aml, the_first_error_stays)
{
	struct aml aml;
	uint8_t few[4];
	size_t size;

	aml_init(&aml, few, sizeof(few));
	aml_name(&aml, "wrong");
	aml_string(&aml, "longer than four bytes");
	aml_end(&aml);
	cr_assert_eq(aml_finish(&aml, &size), -EINVAL);
}
