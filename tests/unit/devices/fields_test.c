/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The check of states against their tables of fields: bounds of every type, lengths before contents, and the paths by
 * which errors name a field. And the tables that devices have: they must describe their structures.
 */
#include "devices/device.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

struct member {
	uint32_t number;
	uint8_t small;
};

struct sample {
	uint8_t byte;
	uint16_t word;
	uint32_t index;
	int32_t signed_number;
	uint64_t wide;
	uint16_t array[4];
	uint32_t hexadecimal;
	uint8_t bytes[4];
	uint32_t blob_length;
	uint8_t blob[8];
	uint32_t row_count;
	struct member rows[3];
	struct member one;
	struct member pair[2];
	uint8_t free;
};

static const char *label(const void *structure)
{
	(void)structure;
	return "a label";
}

static const struct state_field member_fields[] = {
	STATE_FIELD_MAX(struct member, number, FIELD_U32, 1000),
	STATE_FIELD_MAX(struct member, small, FIELD_U8, 5),
	STATE_FIELDS_END,
};

static const struct state_field sample_fields[] = {
	STATE_FIELD_MAX(struct sample, byte, FIELD_U8, 0x0f),
	STATE_FIELD_MAX(struct sample, word, FIELD_U16, 300),
	STATE_FIELD_MAX(struct sample, index, FIELD_U32, 70000),
	STATE_FIELD_MAX(struct sample, signed_number, FIELD_S32, 7),
	STATE_FIELD_MAX(struct sample, wide, FIELD_U64, UINT64_C(1) << 40),
	{ .name = "array", .type = FIELD_U16, .offset = offsetof(struct sample, array), .count = 4, .max = 9 },
	STATE_FIELD_MAX(struct sample, hexadecimal, FIELD_HEX32, 0xffff),
	STATE_ARRAY(struct sample, bytes, FIELD_BYTES, 4),
	STATE_BLOB(struct sample, blob, blob_length, 8),
	STATE_ROWS(struct sample, rows, row_count, 3, member_fields, sizeof(struct member)),
	STATE_STRUCTS(struct sample, one, 1, member_fields, sizeof(struct member)),
	STATE_STRUCTS(struct sample, pair, 2, member_fields, sizeof(struct member)),
	STATE_FIELD(struct sample, free, FIELD_U8),
	{ .name = "text", .type = FIELD_LABEL, .label = label },
	STATE_FIELDS_END,
};

/* The greatest values that pass. */
static struct sample greatest(void)
{
	struct sample sample;

	memset(&sample, 0xff, sizeof(sample));
	sample.byte = 0x0f;
	sample.word = 300;
	sample.index = 70000;
	sample.signed_number = 7;
	sample.wide = UINT64_C(1) << 40;
	for (size_t i = 0; i < 4; i++)
		sample.array[i] = 9;
	sample.hexadecimal = 0xffff;
	sample.blob_length = 8;
	sample.row_count = 3;
	for (size_t i = 0; i < 3; i++)
		sample.rows[i] = (struct member){ 1000, 5 };
	sample.one = (struct member){ 1000, 5 };
	sample.pair[0] = sample.pair[1] = sample.one;
	return sample;
}

/* Checks from an address that suits no type: a record in a file need not be aligned. */
static int check(const struct sample *sample, struct error_detail *detail)
{
	static uint8_t bytes[sizeof(*sample) + 1];

	memcpy(bytes + 1, sample, sizeof(*sample));
	return state_fields_check(sample_fields, bytes + 1, "sample", detail);
}

#define assert_refused(sample, expected)                                                                     \
	do {                                                                                                 \
		struct error_detail detail = { 0 };                                                          \
		cr_assert_eq(check(&(sample), &detail), -EINVAL, "%s", expected);                            \
		cr_assert(strncmp(detail.text, expected ":", strlen(expected ":")) == 0, "%s: %s", expected, \
			  detail.text);                                                                      \
		cr_assert_eq(check(&(sample), NULL), -EINVAL);                                               \
	} while (0)

#define assert_one_more_is_refused(member, expected) \
	do {                                         \
		struct sample sample = greatest();   \
		sample.member++;                     \
		assert_refused(sample, expected);    \
	} while (0)

Test(fields, greatest_and_least_values_pass)
{
	struct sample sample = greatest();

	cr_assert_eq(check(&sample, NULL), 0);
	memset(&sample, 0, sizeof(sample));
	cr_assert_eq(check(&sample, NULL), 0);
	sample.signed_number = INT32_MIN;
	cr_assert_eq(check(&sample, NULL), 0);
}

Test(fields, one_more_is_refused_by_name)
{
	assert_one_more_is_refused(byte, "sample.byte");
	assert_one_more_is_refused(word, "sample.word");
	assert_one_more_is_refused(index, "sample.index");
	assert_one_more_is_refused(signed_number, "sample.signed_number");
	assert_one_more_is_refused(wide, "sample.wide");
	assert_one_more_is_refused(array[0], "sample.array[0]");
	assert_one_more_is_refused(array[3], "sample.array[3]");
	assert_one_more_is_refused(hexadecimal, "sample.hexadecimal");
	assert_one_more_is_refused(blob_length, "sample.blob");
	assert_one_more_is_refused(row_count, "sample.rows");
	assert_one_more_is_refused(rows[2].small, "sample.rows[2].small");
	assert_one_more_is_refused(one.number, "sample.one.number");
	assert_one_more_is_refused(pair[1].number, "sample.pair[1].number");
}

Test(fields, rows_that_are_not_in_use_are_not_looked_at)
{
	struct sample sample = greatest();

	memset(&sample.rows[1], 0xff, 2 * sizeof(sample.rows[1]));
	sample.row_count = 1;
	cr_assert_eq(check(&sample, NULL), 0);
	sample.row_count = 2;
	assert_refused(sample, "sample.rows[1].number");
}

/* A length of 2^32 - 1 rows must be refused by its length, not by what lies behind the structure. */
Test(fields, a_wild_length_is_refused_before_its_rows)
{
	struct sample sample = greatest();

	sample.row_count = UINT32_MAX;
	assert_refused(sample, "sample.rows");
	sample = greatest();
	sample.blob_length = UINT32_MAX;
	assert_refused(sample, "sample.blob");
}

static size_t element_size(const struct state_field *field)
{
	switch (field->type) {
	case FIELD_U8:
	case FIELD_BYTES:
	case FIELD_BLOB:
		return 1;
	case FIELD_U16:
		return 2;
	case FIELD_U32:
	case FIELD_S32:
	case FIELD_HEX32:
		return 4;
	case FIELD_U64:
		return 8;
	case FIELD_STRUCT:
	case FIELD_ROWS:
		return field->size;
	case FIELD_LABEL:
		return 0;
	}
	return 0;
}

/* Every field of every kind of device lies in its structure, and no two share a byte. */
Test(fields, tables_of_devices_describe_their_structures)
{
	static const char *const names[] = { "serial", "i8042", "signal_port" };

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		const struct device_ops *ops = device_ops_find(names[i]);
		uint8_t owners[DEVICE_STATE_MAX] = { 0 };

		cr_assert_not_null(ops, "%s", names[i]);
		cr_assert_str_eq(ops->name, names[i]);
		cr_assert_lt(strlen(ops->name), DEVICE_NAME_MAX);
		cr_assert_leq(ops->state_size, DEVICE_STATE_MAX);
		for (const struct state_field *field = ops->state_fields; field->name; field++) {
			size_t size = element_size(field) * field->count;

			cr_assert_leq(field->offset + size, ops->state_size, "%s.%s", names[i], field->name);
			for (size_t j = 0; j < size; j++)
				cr_assert_eq(owners[field->offset + j]++, 0, "%s.%s", names[i], field->name);
		}
	}

	cr_assert_null(device_ops_find("virtio"));
	cr_assert_null(device_ops_find(""));
}
