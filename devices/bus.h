/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The buses: which device answers at which port or guest-physical address.
 *
 * Devices are attached while a machine is built; afterwards the bus does not change, so that vCPU threads look
 * up without a lock.
 */
#ifndef EMBER_DEVICES_BUS_H
#define EMBER_DEVICES_BUS_H

#include <stddef.h>
#include <stdint.h>

#include "devices/device.h"

#define BUS_REGIONS_MAX 64
#define BUS_DEVICES_MAX 32

enum bus_space {
	BUS_PORT, /* 16-bit I/O ports */
	BUS_MMIO, /* guest-physical addresses */
};

struct bus_region {
	uint64_t base;
	uint64_t length;
	uint64_t device_offset; /* offset that the region's first byte has for the device */
	struct device *device;
};

struct bus {
	size_t region_count[2]; /* by space; sorted by base */
	struct bus_region regions[2][BUS_REGIONS_MAX];
	size_t device_count;
	struct device
		*devices[BUS_DEVICES_MAX]; /* each once, in the order of attachment: the order of save and restore */
};

void bus_init(struct bus *bus);

/*
 * Give a device to the bus, which frees it in the end. (name, instance) must be new.
 *
 * Returns 0, -EEXIST, or -ENOSPC; the device is the caller's still on failure.
 */
int bus_add_device(struct bus *bus, struct device *device);

/*
 * Let a device of this bus answer at [base, base + length).
 *
 * device_offset  what offset the device sees at base
 *
 * Returns 0; -EINVAL (empty, wraps, ports past 0xffff); -EEXIST (overlaps a region); -ENOSPC (no room); -ENODEV (not
 * of this bus).
 */
int bus_add_region(struct bus *bus, enum bus_space space, uint64_t base, uint64_t length, uint64_t device_offset,
		   struct device *device);

/*
 * A guest's access: handed to the device of the region that holds all of it, in one piece. Where there is none, or
 * the access leaves its region, a read gives all ones and a write does nothing; an access is never split between
 * regions.
 *
 * length  bytes; 1, 2, 4 or 8 reach a device (a device of bytes splits them itself), any other, as an MMIO access that
 *         crosses a page may have, finds nobody
 */
void bus_read(const struct bus *bus, enum bus_space space, uint64_t address, uint8_t *ret_data, size_t length);
void bus_write(const struct bus *bus, enum bus_space space, uint64_t address, const uint8_t *data, size_t length);

/* The device of that name and instance, or NULL. */
struct device *bus_find(const struct bus *bus, const char *name, uint32_t instance);

/* Free every device and forget all. */
void bus_free(struct bus *bus);

#endif
