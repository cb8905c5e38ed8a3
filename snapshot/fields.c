/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one writer and the one reader of state structures.
 *
 * A table says for each member its key, type, place and bounds; the code below knows types, not structures. The reader
 * takes the members in the table's order, which lets a label see the fields before it, and counts them: an object with
 * more members than the table has an unknown one. Members are copied in and out byte by byte: a structure inside a
 * record need not be aligned. Recursion is as deep as the tables nest, which are constants of ours.
 */
#include "snapshot/fields.h"

#include <errno.h>
#include <string.h>

static uint64_t load(const uint8_t *member, size_t size)
{
	uint64_t value = 0;

	memcpy(&value, member, size); /* little-endian: the low bytes */
	return value;
}

static size_t integer_size(enum field_type type)
{
	switch (type) {
	case FIELD_U8:
		return 1;
	case FIELD_U16:
		return 2;
	case FIELD_U64:
		return 8;
	default:
		return 4;
	}
}

static json_t *integer_to_json(enum field_type type, const uint8_t *member)
{
	uint64_t value = load(member, integer_size(type));

	if (type == FIELD_U64)
		return json_new_hex(value, 16);
	if (type == FIELD_HEX32)
		return json_new_hex(value, 8);

	return json_integer(type == FIELD_S32 ? (json_int_t)(int32_t)value : (json_int_t)value);
}

static json_t *integers_to_json(const struct state_field *field, const uint8_t *member)
{
	size_t size = integer_size(field->type);
	json_t *array;

	if (field->count == 1)
		return integer_to_json(field->type, member);

	array = json_array();
	for (uint32_t i = 0; array && i < field->count; i++)
		if (json_array_append_new(array, integer_to_json(field->type, member + i * size)) < 0) {
			json_decref(array);
			return NULL;
		}

	return array;
}

static json_t *byte_rows_to_json(const uint8_t *bytes, uint32_t count)
{
	json_t *array = json_array();

	for (uint32_t done = 0; array && done < count; done += FIELDS_BYTES_ROW) {
		uint32_t row = count - done < FIELDS_BYTES_ROW ? count - done : FIELDS_BYTES_ROW;

		if (json_array_append_new(array, json_new_bytes(bytes + done, row)) < 0) {
			json_decref(array);
			return NULL;
		}
	}

	return array;
}

static json_t *structures_to_json(const struct state_field *field, const uint8_t *member, uint32_t count)
{
	json_t *array = json_array();
	json_t *object;

	for (uint32_t i = 0; array && i < count; i++) {
		if (fields_to_json(field->fields, member + (size_t)i * field->size, &object) < 0 ||
		    json_array_append_new(array, object) < 0) {
			json_decref(array);
			return NULL;
		}
	}

	return array;
}

static json_t *field_to_json(const struct state_field *field, const uint8_t *state)
{
	const uint8_t *member = state + field->offset;
	json_t *object;

	switch (field->type) {
	case FIELD_U8:
	case FIELD_U16:
	case FIELD_U32:
	case FIELD_U64:
	case FIELD_S32:
	case FIELD_HEX32:
		return integers_to_json(field, member);
	case FIELD_BYTES:
		return field->count <= FIELDS_BYTES_ROW ? json_new_bytes(member, field->count)
							: byte_rows_to_json(member, field->count);
	case FIELD_BLOB:
		return byte_rows_to_json(member, (uint32_t)load(state + field->length_offset, 4));
	case FIELD_STRUCT:
		if (field->count > 1)
			return structures_to_json(field, member, field->count);
		return fields_to_json(field->fields, member, &object) < 0 ? NULL : object;
	case FIELD_ROWS:
		return structures_to_json(field, member, (uint32_t)load(state + field->length_offset, 4));
	case FIELD_LABEL:
		return json_string(field->label(state));
	}

	return NULL;
}

int fields_to_json(const struct state_field *fields, const void *state, json_t **ret_object)
{
	json_t *object = json_object();

	for (const struct state_field *field = fields; object && field->name; field++)
		if (json_object_set_new(object, field->name, field_to_json(field, state)) < 0) {
			json_decref(object);
			return -ENOMEM;
		}

	if (!object)
		return -ENOMEM;
	*ret_object = object;
	return 0;
}

/* What the type holds, or less where the table says so. */
static uint64_t greatest(const struct state_field *field)
{
	if (field->max != 0)
		return field->max;

	switch (field->type) {
	case FIELD_U8:
		return UINT8_MAX;
	case FIELD_U16:
		return UINT16_MAX;
	case FIELD_S32:
		return INT32_MAX;
	case FIELD_U64:
		return UINT64_MAX;
	default:
		return UINT32_MAX;
	}
}

static int integer_from_json(const struct state_field *field, const json_t *value, const struct json_path *path,
			     uint8_t *ret_member, struct error_detail *detail)
{
	uint64_t bits;
	int64_t number = 0;
	int r;

	if (field->type == FIELD_U64 || field->type == FIELD_HEX32) {
		r = json_read_hex(value, greatest(field), path, &bits, detail);
	} else {
		r = json_read_integer(value, field->type == FIELD_S32 ? INT32_MIN : 0, greatest(field), path, &number,
				      detail);
		bits = (uint64_t)number;
	}
	if (r < 0)
		return r;

	memcpy(ret_member, &bits, integer_size(field->type)); /* little-endian */
	return 0;
}

static int check_array(const json_t *value, size_t least, size_t most, const struct json_path *path,
		       struct error_detail *detail)
{
	size_t size = json_array_size(value);
	int r = json_expect_array(value, path, detail);

	if (r < 0)
		return r;
	if (least == most && size != most)
		return json_fail(path, detail, "must have %zu elements, has %zu", most, size);
	if (size < least || size > most)
		return json_fail(path, detail, "must have at most %zu elements, has %zu", most, size);

	return 0;
}

static int integers_from_json(const struct state_field *field, const json_t *value, struct json_path *path,
			      uint8_t *ret_member, struct error_detail *detail)
{
	size_t size = integer_size(field->type);
	int r;

	if (field->count == 1)
		return integer_from_json(field, value, path, ret_member, detail);

	r = check_array(value, field->count, field->count, path, detail);
	for (size_t i = 0; r == 0 && i < field->count; i++) {
		size_t outside = json_path_enter_element(path, i);

		r = integer_from_json(field, json_array_get(value, i), path, ret_member + i * size, detail);
		json_path_leave(path, outside);
	}

	return r;
}

/* Rows of FIELDS_BYTES_ROW bytes, the last one shorter but not empty; least .. most bytes in all. */
static int byte_rows_from_json(const json_t *value, uint32_t least, uint32_t most, struct json_path *path,
			       uint8_t *ret_bytes, uint32_t *ret_count, struct error_detail *detail)
{
	size_t rows = json_array_size(value);
	size_t count = 0;
	int r = check_array(value, (least + FIELDS_BYTES_ROW - 1) / FIELDS_BYTES_ROW,
			    (most + FIELDS_BYTES_ROW - 1) / FIELDS_BYTES_ROW, path, detail);

	for (size_t i = 0; r == 0 && i < rows; i++) {
		size_t outside = json_path_enter_element(path, i);
		const json_t *row = json_array_get(value, i);
		size_t length = FIELDS_BYTES_ROW;

		/* The last row ends where it must, or where it likes. */
		if (i + 1 == rows) {
			size_t said = json_string_length(row) / 2;

			length = least == most ? most - count : said;
			if (length == 0 || length > FIELDS_BYTES_ROW || count + length > most)
				r = json_fail(path, detail, "must have 1 to %zu bytes, has %zu",
					      most - count < FIELDS_BYTES_ROW ? most - count : FIELDS_BYTES_ROW, said);
		}
		if (r == 0)
			r = json_read_bytes(row, length, path, ret_bytes + count, detail);
		count += length;
		json_path_leave(path, outside);
	}
	if (r == 0)
		*ret_count = (uint32_t)count;

	return r;
}

static int structures_from_json(const struct state_field *field, const json_t *value, size_t least,
				struct json_path *path, uint8_t *ret_member, struct error_detail *detail)
{
	size_t count = json_array_size(value);
	int r = check_array(value, least, field->count, path, detail);

	for (size_t i = 0; r == 0 && i < count; i++) {
		size_t outside = json_path_enter_element(path, i);

		r = fields_from_json(field->fields, json_array_get(value, i), path, ret_member + i * field->size,
				     detail);
		json_path_leave(path, outside);
	}

	return r;
}

static int label_from_json(const struct state_field *field, const json_t *value, const struct json_path *path,
			   const uint8_t *state, struct error_detail *detail)
{
	const char *label = field->label(state);
	char text[64];
	int r = json_read_string(value, sizeof(text), path, text, detail);

	if (r < 0)
		return r;
	if (strcmp(text, label) != 0)
		return json_fail(path, detail, "must be \"%.30s\", is \"%.30s\"", label, text);

	return 0;
}

static int field_from_json(const struct state_field *field, const json_t *value, struct json_path *path,
			   uint8_t *ret_state, struct error_detail *detail)
{
	uint8_t *member = ret_state + field->offset;
	uint32_t count = 0;
	int r;

	switch (field->type) {
	case FIELD_U8:
	case FIELD_U16:
	case FIELD_U32:
	case FIELD_U64:
	case FIELD_S32:
	case FIELD_HEX32:
		return integers_from_json(field, value, path, member, detail);
	case FIELD_BYTES:
		if (field->count <= FIELDS_BYTES_ROW)
			return json_read_bytes(value, field->count, path, member, detail);
		return byte_rows_from_json(value, field->count, field->count, path, member, &count, detail);
	case FIELD_BLOB:
		r = byte_rows_from_json(value, 0, field->count, path, member, &count, detail);
		if (r == 0)
			memcpy(ret_state + field->length_offset, &count, sizeof(count));
		return r;
	case FIELD_STRUCT:
		if (field->count == 1)
			return fields_from_json(field->fields, value, path, member, detail);
		return structures_from_json(field, value, field->count, path, member, detail);
	case FIELD_ROWS:
		r = structures_from_json(field, value, 0, path, member, detail);
		count = (uint32_t)json_array_size(value);
		if (r == 0)
			memcpy(ret_state + field->length_offset, &count, sizeof(count));
		return r;
	case FIELD_LABEL:
		return label_from_json(field, value, path, ret_state, detail);
	}

	return json_fail(path, detail, "has a type that this table cannot have");
}

/* Name a member that the table does not have. Called when there is one. */
static int unknown_member(const struct state_field *fields, const json_t *object, struct json_path *path,
			  struct error_detail *detail)
{
	const char *key;
	json_t *value;

	json_object_foreach((json_t *)object, key, value) {
		const struct state_field *field = fields;

		while (field->name && strcmp(field->name, key) != 0)
			field++;
		if (!field->name)
			return json_fail_unknown(path, key, detail);
	}

	return json_fail(path, detail, "has too many members");
}

int fields_from_json(const struct state_field *fields, const json_t *object, struct json_path *path, void *ret_state,
		     struct error_detail *detail)
{
	const struct state_field *field;
	int r = json_expect_object(object, path, detail);

	for (field = fields; r == 0 && field->name; field++) {
		size_t outside = json_path_enter_member(path, field->name);

		r = field_from_json(field, json_object_get(object, field->name), path, ret_state, detail);
		json_path_leave(path, outside);
	}
	if (r == 0 && json_object_size(object) != (size_t)(field - fields))
		r = unknown_member(fields, object, path, detail);

	return r;
}
