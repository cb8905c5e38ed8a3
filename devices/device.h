/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a device is: a small table of functions, and a fixed structure of everything that a guest could notice.
 *
 * A device's saved state is a plain structure, described by a table of fields. The table drives the JSON form of
 * a snapshot, its validation, and its tests, so that no device writes a parser.
 */
#ifndef EMBER_DEVICES_DEVICE_H
#define EMBER_DEVICES_DEVICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kvm/error_detail.h"

#define DEVICE_STATE_MAX 4000 /* bytes of one device's saved state */
#define DEVICE_NAME_MAX  24   /* bytes, with the terminating NUL */

enum field_type {
	FIELD_U8,
	FIELD_U16,
	FIELD_U32,
	FIELD_U64,
	FIELD_S32,
	FIELD_HEX32,  /* a uint32_t that people read in hexadecimal (masks, indices): "0x%08x" in JSON */
	FIELD_BYTES,  /* count bytes, a hexadecimal string in JSON */
	FIELD_BLOB,   /* as FIELD_BYTES, but only the first so many of count are in use: see length_offset */
	FIELD_STRUCT, /* count structures of fields, each size bytes */
	FIELD_ROWS,   /* as FIELD_STRUCT, always an array in JSON, of which the first so many of count are in use */
	FIELD_LABEL,  /* nothing in the structure: a text derived from it, for people; what is read must be the same */
};

/* One member of a state structure. Integers with count > 1 are arrays. */
struct state_field {
	const char *name; /* its key in JSON */
	enum field_type type;
	uint32_t offset;
	uint32_t count;                   /* elements; FIELD_BYTES: bytes */
	uint64_t max;                     /* greatest value that is valid, for integers; 0: whatever the type holds */
	const struct state_field *fields; /* FIELD_STRUCT, FIELD_ROWS: the members, ended by a NULL name */
	uint32_t size;                    /* FIELD_STRUCT, FIELD_ROWS: bytes of one element */
	/* FIELD_BLOB, FIELD_ROWS: where the structure holds, as a uint32_t, how many are in use. */
	uint32_t length_offset;
	const char *(*label)(const void *structure); /* FIELD_LABEL: never NULL, static text */
};

#define STATE_FIELD(structure, member, field_type)                                                                 \
	{                                                                                                          \
		.name = #member, .type = (field_type), .offset = (uint32_t)offsetof(structure, member), .count = 1 \
	}
#define STATE_FIELD_MAX(structure, member, field_type, greatest)                                                    \
	{                                                                                                           \
		.name = #member, .type = (field_type), .offset = (uint32_t)offsetof(structure, member), .count = 1, \
		.max = (greatest)                                                                                   \
	}
#define STATE_ARRAY(structure, member, field_type, elements)                                            \
	{                                                                                               \
		.name = #member, .type = (field_type), .offset = (uint32_t)offsetof(structure, member), \
		.count = (elements)                                                                     \
	}
#define STATE_STRUCTS(structure, member, elements, members, bytes)                                      \
	{                                                                                               \
		.name = #member, .type = FIELD_STRUCT, .offset = (uint32_t)offsetof(structure, member), \
		.count = (elements), .fields = (members), .size = (bytes)                               \
	}
#define STATE_BLOB(structure, member, length_member, bytes)                                           \
	{                                                                                             \
		.name = #member, .type = FIELD_BLOB, .offset = (uint32_t)offsetof(structure, member), \
		.count = (bytes), .length_offset = (uint32_t)offsetof(structure, length_member)       \
	}
#define STATE_ROWS(structure, member, length_member, elements, members, bytes)                        \
	{                                                                                             \
		.name = #member, .type = FIELD_ROWS, .offset = (uint32_t)offsetof(structure, member), \
		.count = (elements), .fields = (members), .size = (bytes),                            \
		.length_offset = (uint32_t)offsetof(structure, length_member)                         \
	}
#define STATE_FIELDS_END     \
	{                    \
		.name = NULL \
	}

struct device;

struct device_ops {
	const char *name; /* "serial": the key under which a snapshot keeps the device */
	const struct state_field *state_fields;
	uint32_t state_size; /* at most DEVICE_STATE_MAX */

	/* Snapshots from before this device keep loading: without a record of it, it stays as at power-on. */
	bool may_be_missing;

	/*
	 * A guest's access, on a vCPU's thread; the bus holds no lock. offset counts from the region's device_offset;
	 * length is 1, 2, 4 or 8 and the access stays inside the region. data holds all ones when read() is called.
	 * Both must answer any access: what the device does not define reads as all ones and is ignored when written.
	 * NULL in a device that has no region.
	 */
	void (*read)(struct device *device, uint64_t offset, uint8_t *data, size_t length);
	void (*write)(struct device *device, uint64_t offset, const uint8_t *data, size_t length);

	/*
	 * The machine pauses: begin nothing new from here on, and stop what takes long where it can be put back and be
	 * done again after resume(). Does not wait: all devices of a machine are held before the first is drained.
	 * Other vCPUs may still run, and each access is answered as ever. drain() follows, before any resume(). NULL in
	 * a device that has no drain(), or whose drain() is over at once.
	 */
	void (*hold)(struct device *device);

	/*
	 * The machine has paused: hold(), if that was not done, and wait until nothing is in flight, so that save()
	 * finds nothing half done; guest memory is left alone then until resume(). A device that is drained may be
	 * drained again. May be NULL. Returns 0 or -errno; after a failure nothing is in flight either.
	 */
	int (*drain)(struct device *device);

	/*
	 * The machine is about to run, for the first time or after drain(): go on with what the guest has asked for.
	 * May be NULL.
	 */
	void (*resume)(struct device *device);

	/* Copy the state out; state_size bytes, zero-filled before the call. */
	void (*save)(struct device *device, void *ret_state);

	/*
	 * Take a state whose fields are within their tables' bounds. Checks what a table cannot say.
	 * Returns 0, or -EINVAL with the field in detail and the device unchanged.
	 */
	int (*restore)(struct device *device, const void *state, struct error_detail *detail);

	/* Back to power-on. */
	void (*reset)(struct device *device);

	/* Release what the device holds. */
	void (*free)(struct device *device);
};

/* Every device's structure begins with this. */
struct device {
	const struct device_ops *ops;
	uint32_t instance; /* tells two devices of one kind apart in a snapshot: 0, 1, ... */
};

/* How a device moves its interrupt line. */
struct irq_line {
	void *opaque;
	/*
	 * Called from any thread, when the level changes and at each restore. The device's lock is held, so that
	 * levels arrive in the order in which they came about: must not call back into the device.
	 */
	void (*set)(void *opaque, bool level);
};

/* The kind of device that snapshots call `name`, for who reads a state without a machine; NULL where there is none. */
const struct device_ops *device_ops_find(const char *name);

/*
 * Check every field of a state against its table: integers at most max; lengths of blobs and rows at most their
 * count, before anything in them is looked at.
 *
 * Returns 0, or -EINVAL with the field's path in detail ("serial.fifo_count").
 */
int state_fields_check(const struct state_field *fields, const void *state, const char *path,
		       struct error_detail *detail);

#endif
