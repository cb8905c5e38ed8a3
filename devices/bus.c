/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The buses: sorted tables of regions, searched by halves.
 *
 * The tables are filled while a machine is built, by one thread. vCPU threads start afterwards and only read, so
 * that a look-up takes no lock. An address, a length and an offset that a guest chose reach a device only when
 * the whole access lies in one of its regions and has a size that devices know.
 */
#include "devices/bus.h"

#include <errno.h>
#include <string.h>

#define PORT_LAST UINT64_C(0xffff)

void bus_init(struct bus *bus)
{
	memset(bus, 0, sizeof(*bus));
}

struct device *bus_find(const struct bus *bus, const char *name, uint32_t instance)
{
	for (size_t i = 0; i < bus->device_count; i++) {
		struct device *device = bus->devices[i];

		if (device->instance == instance && strcmp(device->ops->name, name) == 0)
			return device;
	}

	return NULL;
}

int bus_add_device(struct bus *bus, struct device *device)
{
	if (bus_find(bus, device->ops->name, device->instance))
		return -EEXIST;
	if (bus->device_count == BUS_DEVICES_MAX)
		return -ENOSPC;

	bus->devices[bus->device_count++] = device;
	return 0;
}

/*
 * The index of the first region that begins after address: the one that could hold it, if any does, is the one
 * before.
 */
static size_t first_region_after(const struct bus *bus, enum bus_space space, uint64_t address)
{
	const struct bus_region *regions = bus->regions[space];
	size_t low = 0;
	size_t high = bus->region_count[space];

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (regions[middle].base <= address)
			low = middle + 1;
		else
			high = middle;
	}

	return low;
}

static bool bus_has_device(const struct bus *bus, const struct device *device)
{
	for (size_t i = 0; i < bus->device_count; i++) {
		if (bus->devices[i] == device)
			return true;
	}

	return false;
}

int bus_add_region(struct bus *bus, enum bus_space space, uint64_t base, uint64_t length, uint64_t device_offset,
		   struct device *device)
{
	struct bus_region *regions = bus->regions[space];
	size_t count = bus->region_count[space];
	size_t place;
	uint64_t last;

	if (length == 0 || length - 1 > UINT64_MAX - base || length - 1 > UINT64_MAX - device_offset)
		return -EINVAL;
	last = base + (length - 1);
	if (space == BUS_PORT && last > PORT_LAST)
		return -EINVAL;
	if (!bus_has_device(bus, device))
		return -ENODEV;

	place = first_region_after(bus, space, base);
	if (place > 0 && base - regions[place - 1].base < regions[place - 1].length)
		return -EEXIST;
	if (place < count && regions[place].base <= last)
		return -EEXIST;
	if (count == BUS_REGIONS_MAX)
		return -ENOSPC;

	memmove(&regions[place + 1], &regions[place], (count - place) * sizeof(regions[0]));
	regions[place] = (struct bus_region){
		.base = base,
		.length = length,
		.device_offset = device_offset,
		.device = device,
	};
	bus->region_count[space] = count + 1;
	return 0;
}

/* The region that holds the whole access, or NULL. */
static const struct bus_region *region_of_access(const struct bus *bus, enum bus_space space, uint64_t address,
						 size_t length)
{
	const struct bus_region *region;
	uint64_t offset;
	size_t place;

	if (length != 1 && length != 2 && length != 4 && length != 8)
		return NULL;

	place = first_region_after(bus, space, address);
	if (place == 0)
		return NULL;

	region = &bus->regions[space][place - 1];
	offset = address - region->base;
	if (offset >= region->length || length > region->length - offset)
		return NULL;

	return region;
}

void bus_read(const struct bus *bus, enum bus_space space, uint64_t address, uint8_t *ret_data, size_t length)
{
	const struct bus_region *region = region_of_access(bus, space, address, length);

	/* Whatever a device leaves unwritten is all ones too, and never what the buffer held before. */
	memset(ret_data, 0xff, length);
	if (region)
		region->device->ops->read(region->device, region->device_offset + (address - region->base), ret_data,
					  length);
}

void bus_write(const struct bus *bus, enum bus_space space, uint64_t address, const uint8_t *data, size_t length)
{
	const struct bus_region *region = region_of_access(bus, space, address, length);

	if (region)
		region->device->ops->write(region->device, region->device_offset + (address - region->base), data,
					   length);
}

void bus_free(struct bus *bus)
{
	while (bus->device_count > 0) {
		struct device *device = bus->devices[--bus->device_count];

		device->ops->free(device);
	}

	bus_init(bus);
}
