/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The check of a saved state against its table of fields, and the list of all kinds of device.
 *
 * A state comes from a file that anybody may have written, or from a process that a guest may have taken over. The
 * check trusts nothing but the table: members are copied out byte by byte, since a record in a file need not be
 * aligned, and the length of a blob or of rows is checked before anything in them is looked at.
 */
#include "devices/device.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "devices/fw_cfg.h"
#include "devices/generation_id.h"
#include "devices/i8042.h"
#include "devices/panic_port.h"
#include "devices/power.h"
#include "devices/serial.h"
#include "devices/signal_port.h"
#include "devices/virtio/blk/blk.h"
#include "devices/virtio/net/net.h"
#include "devices/virtio/rng.h"
#include "devices/virtio/vsock/vsock.h"

#define PATH_MAX_BYTES 160

static const struct device_ops *const device_kinds[] = {
	&serial_ops, &i8042_ops,      &signal_port_ops, &power_ops,        &panic_port_ops, &generation_id_ops,
	&fw_cfg_ops, &virtio_rng_ops, &virtio_blk_ops,  &virtio_vsock_ops, &virtio_net_ops,
};

const struct device_ops *device_ops_find(const char *name)
{
	for (size_t i = 0; i < sizeof(device_kinds) / sizeof(device_kinds[0]); i++) {
		if (strcmp(device_kinds[i]->name, name) == 0)
			return device_kinds[i];
	}

	return NULL;
}

/* Bytes of one element of an integer type; 0 for types that are no integers. */
static size_t integer_size(enum field_type type)
{
	switch (type) {
	case FIELD_U8:
		return sizeof(uint8_t);
	case FIELD_U16:
		return sizeof(uint16_t);
	case FIELD_U32:
	case FIELD_S32:
	case FIELD_HEX32:
		return sizeof(uint32_t);
	case FIELD_U64:
		return sizeof(uint64_t);
	case FIELD_BYTES:
	case FIELD_BLOB:
	case FIELD_STRUCT:
	case FIELD_ROWS:
	case FIELD_LABEL:
		break;
	}

	return 0;
}

/* Little-endian, as x86-64 is: the bytes of a narrower integer are the low ones. */
static uint64_t integer_at(const uint8_t *bytes, size_t size)
{
	uint64_t value = 0;

	memcpy(&value, bytes, size);
	return value;
}

static int check_integers(const struct state_field *field, const uint8_t *member, const char *path,
			  struct error_detail *detail)
{
	size_t size = integer_size(field->type);

	if (field->max == 0)
		return 0;

	for (uint32_t i = 0; i < field->count; i++) {
		uint64_t value = integer_at(member + i * size, size);

		/* A negative number is less than any greatest value. */
		if (field->type == FIELD_S32 && value > INT32_MAX)
			continue;
		if (value <= field->max)
			continue;

		if (field->count > 1)
			error_detail_set(detail, "%s.%s[%" PRIu32 "]: %" PRIu64 " is more than %" PRIu64, path,
					 field->name, i, value, field->max);
		else
			error_detail_set(detail, "%s.%s: %" PRIu64 " is more than %" PRIu64, path, field->name, value,
					 field->max);
		return -EINVAL;
	}

	return 0;
}

/* How many elements of a blob or of rows are in use. */
static int check_length(const struct state_field *field, const uint8_t *state, const char *path, uint32_t *ret_length,
			struct error_detail *detail)
{
	uint32_t length;

	memcpy(&length, state + field->length_offset, sizeof(length));
	if (length > field->count) {
		error_detail_set(detail, "%s.%s: a length of %" PRIu32 " is more than %" PRIu32, path, field->name,
				 length, field->count);
		return -EINVAL;
	}

	*ret_length = length;
	return 0;
}

static int check_structures(const struct state_field *field, const uint8_t *members, uint32_t count, const char *path,
			    struct error_detail *detail)
{
	char member_path[PATH_MAX_BYTES];
	int r;

	for (uint32_t i = 0; i < count; i++) {
		if (field->type == FIELD_ROWS || field->count > 1)
			(void)snprintf(member_path, sizeof(member_path), "%s.%s[%" PRIu32 "]", path, field->name, i);
		else
			(void)snprintf(member_path, sizeof(member_path), "%s.%s", path, field->name);

		/* As deep as the tables are nested, which are ours. */
		r = state_fields_check(field->fields, members + (size_t)i * field->size, member_path, detail);
		if (r < 0)
			return r;
	}

	return 0;
}

int state_fields_check(const struct state_field *fields, const void *state, const char *path,
		       struct error_detail *detail)
{
	const uint8_t *bytes = state;
	uint32_t length;
	int r = 0;

	for (const struct state_field *field = fields; field->name && r == 0; field++) {
		switch (field->type) {
		case FIELD_U8:
		case FIELD_U16:
		case FIELD_U32:
		case FIELD_U64:
		case FIELD_S32:
		case FIELD_HEX32:
			r = check_integers(field, bytes + field->offset, path, detail);
			break;
		case FIELD_BLOB:
			r = check_length(field, bytes, path, &length, detail);
			break;
		case FIELD_ROWS:
			r = check_length(field, bytes, path, &length, detail);
			if (r == 0)
				r = check_structures(field, bytes + field->offset, length, path, detail);
			break;
		case FIELD_STRUCT:
			r = check_structures(field, bytes + field->offset, field->count, path, detail);
			break;
		case FIELD_BYTES:
		case FIELD_LABEL:
			break;
		}
	}

	return r;
}
