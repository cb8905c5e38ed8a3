/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The bus: who answers where, what is refused at registration, and what an access finds that nobody answers.
 */
#include "devices/bus.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

/* A device that remembers its last access and answers with the bytes 0xa0, 0xa1, ... */
struct probe {
	struct device device;
	uint64_t offset;
	size_t length;
	uint8_t data[8];
	unsigned int reads;
	unsigned int writes;
	unsigned int *freed;
};

static void probe_read(struct device *device, uint64_t offset, uint8_t *data, size_t length)
{
	struct probe *probe = (struct probe *)device;

	probe->offset = offset;
	probe->length = length;
	probe->reads++;
	for (size_t i = 0; i < length; i++)
		data[i] = (uint8_t)(0xa0 + i);
}

static void probe_write(struct device *device, uint64_t offset, const uint8_t *data, size_t length)
{
	struct probe *probe = (struct probe *)device;

	probe->offset = offset;
	probe->length = length;
	probe->writes++;
	memcpy(probe->data, data, length);
}

/* Writes the order of release: the first freed gets 1. */
static void probe_free(struct device *device)
{
	static unsigned int order;
	struct probe *probe = (struct probe *)device;

	if (probe->freed)
		*probe->freed = ++order;
}

static const struct device_ops probe_ops = {
	.name = "probe",
	.read = probe_read,
	.write = probe_write,
	.free = probe_free,
};

static struct probe first = { .device = { .ops = &probe_ops, .instance = 0 } };
static struct probe second = { .device = { .ops = &probe_ops, .instance = 1 } };
static struct bus bus;

static void set_up(void)
{
	bus_init(&bus);
	cr_assert_eq(bus_add_device(&bus, &first.device), 0);
	cr_assert_eq(bus_add_device(&bus, &second.device), 0);
}

TestSuite(bus, .init = set_up);

static uint64_t read_from(enum bus_space space, uint64_t address, size_t length)
{
	uint64_t value = UINT64_C(0x1122334455667788);

	bus_read(&bus, space, address, (uint8_t *)&value, length);
	return value;
}

Test(bus, access_reaches_the_device_with_its_offset)
{
	static const uint8_t bytes[8] = { 1, 2, 3, 4, 5, 6, 7, 8 };

	cr_assert_eq(bus_add_region(&bus, BUS_PORT, 0x3f8, 8, 0, &first.device), 0);
	cr_assert_eq(bus_add_region(&bus, BUS_PORT, 0x64, 1, 4, &second.device), 0);
	cr_assert_eq(bus_add_region(&bus, BUS_MMIO, 0xd0000000, 0x1000, 0x100, &first.device), 0);

	cr_assert_eq(read_from(BUS_PORT, 0x3fd, 1) & 0xff, 0xa0);
	cr_assert_eq(first.offset, 5);
	cr_assert_eq(read_from(BUS_PORT, 0x64, 1) & 0xff, 0xa0);
	cr_assert_eq(second.offset, 4);
	cr_assert_eq(read_from(BUS_MMIO, 0xd0000ff8, 8), UINT64_C(0xa7a6a5a4a3a2a1a0));
	cr_assert_eq(first.offset, 0x100 + 0xff8);

	bus_write(&bus, BUS_MMIO, 0xd0000010, bytes, 4);
	cr_assert_eq(first.offset, 0x110);
	cr_assert_eq(first.length, 4);
	cr_assert_arr_eq(first.data, bytes, 4);
	cr_assert_eq(second.writes, 0);
}

Test(bus, every_byte_of_every_region_and_none_beside_them)
{
	struct device *owner[0x10000] = { 0 };
	static const struct {
		uint16_t base;
		uint16_t length;
	} regions[] = { { 0x60, 1 }, { 0xfff0, 0x10 }, { 0x64, 1 }, { 0x3f8, 8 },
			{ 0, 4 },    { 0x400, 0x100 }, { 0x5e0, 1 } };

	for (size_t i = 0; i < sizeof(regions) / sizeof(regions[0]); i++) {
		struct device *device = i % 2 ? &first.device : &second.device;

		cr_assert_eq(bus_add_region(&bus, BUS_PORT, regions[i].base, regions[i].length, 0, device), 0);
		for (size_t j = 0; j < regions[i].length; j++)
			owner[regions[i].base + j] = device;
	}

	for (uint32_t port = 0; port < 0x10000; port++) {
		unsigned int first_reads = first.reads, second_reads = second.reads;
		uint64_t value = read_from(BUS_PORT, port, 1) & 0xff;

		cr_assert_eq(value, owner[port] ? 0xa0 : 0xff, "port 0x%x", port);
		cr_assert_eq(first.reads, first_reads + (owner[port] == &first.device), "port 0x%x", port);
		cr_assert_eq(second.reads, second_reads + (owner[port] == &second.device), "port 0x%x", port);
	}
}

Test(bus, unclaimed_reads_are_all_ones_and_writes_do_nothing)
{
	static const uint8_t bytes[8];

	for (size_t length = 1; length <= 8; length++) {
		uint8_t data[9] = { 0 };

		bus_read(&bus, BUS_MMIO, 0xfee00000, data, length);
		for (size_t i = 0; i < sizeof(data); i++)
			cr_assert_eq(data[i], i < length ? 0xff : 0);
		bus_write(&bus, BUS_MMIO, UINT64_MAX, bytes, length);
		bus_read(&bus, BUS_MMIO, UINT64_MAX, data, length);
	}

	cr_assert_eq(first.reads + second.reads + first.writes + second.writes, 0);
}

Test(bus, an_access_that_leaves_its_region_finds_nobody)
{
	static const uint8_t bytes[8];

	cr_assert_eq(bus_add_region(&bus, BUS_PORT, 0x3f8, 8, 0, &first.device), 0);
	cr_assert_eq(bus_add_region(&bus, BUS_PORT, 0x400, 4, 0, &second.device), 0);

	cr_assert_eq(read_from(BUS_PORT, 0x3ff, 2) & 0xffff, 0xffff, "across two regions");
	cr_assert_eq(read_from(BUS_PORT, 0x3f7, 2) & 0xffff, 0xffff, "from before a region");
	cr_assert_eq(read_from(BUS_PORT, 0x403, 4) & 0xffffffff, 0xffffffff, "past the last region");
	bus_write(&bus, BUS_PORT, 0x3ff, bytes, 2);
	cr_assert_eq(first.reads + second.reads + first.writes + second.writes, 0);

	cr_assert_eq(read_from(BUS_PORT, 0x3fe, 2) & 0xffff, 0xa1a0, "up to the region's end");
}

Test(bus, sizes_that_no_device_knows_find_nobody)
{
	static const size_t odd[] = { 3, 5, 6, 7 };
	static const uint8_t bytes[8];

	cr_assert_eq(bus_add_region(&bus, BUS_MMIO, 0x1000, 0x1000, 0, &first.device), 0);
	for (size_t i = 0; i < sizeof(odd) / sizeof(odd[0]); i++) {
		uint8_t data[8];

		bus_read(&bus, BUS_MMIO, 0x1000, data, odd[i]);
		for (size_t j = 0; j < odd[i]; j++)
			cr_assert_eq(data[j], 0xff);
		bus_write(&bus, BUS_MMIO, 0x1000, bytes, odd[i]);
	}

	cr_assert_eq(first.reads + first.writes, 0);
}

Test(bus, overlaps_are_refused)
{
	cr_assert_eq(bus_add_region(&bus, BUS_PORT, 0x100, 0x10, 0, &first.device), 0);
	cr_assert_eq(bus_add_region(&bus, BUS_PORT, 0x120, 0x10, 0, &first.device), 0);

	cr_assert_eq(bus_add_region(&bus, BUS_PORT, 0x100, 0x10, 0, &second.device), -EEXIST, "the same");
	cr_assert_eq(bus_add_region(&bus, BUS_PORT, 0x104, 4, 0, &second.device), -EEXIST, "inside");
	cr_assert_eq(bus_add_region(&bus, BUS_PORT, 0x10f, 1, 0, &second.device), -EEXIST, "the last port");
	cr_assert_eq(bus_add_region(&bus, BUS_PORT, 0xf8, 9, 0, &second.device), -EEXIST, "into the first port");
	cr_assert_eq(bus_add_region(&bus, BUS_PORT, 0x110, 0x11, 0, &second.device), -EEXIST, "into the next one");
	cr_assert_eq(bus_add_region(&bus, BUS_PORT, 0, 0x10000, 0, &second.device), -EEXIST, "around all");

	cr_assert_eq(bus_add_region(&bus, BUS_PORT, 0x110, 0x10, 0, &second.device), 0, "exactly between");
	cr_assert_eq(bus_add_region(&bus, BUS_MMIO, 0x100, 0x10, 0, &second.device), 0, "in the other space");
	cr_assert_eq(bus.region_count[BUS_PORT], 3);
}

Test(bus, bad_regions_are_refused)
{
	static struct probe stranger = { .device = { .ops = &probe_ops, .instance = 7 } };

	cr_assert_eq(bus_add_region(&bus, BUS_PORT, 0x100, 0, 0, &first.device), -EINVAL, "empty");
	cr_assert_eq(bus_add_region(&bus, BUS_PORT, 0xffff, 2, 0, &first.device), -EINVAL, "past the last port");
	cr_assert_eq(bus_add_region(&bus, BUS_PORT, 0x10000, 1, 0, &first.device), -EINVAL, "past the last port");
	cr_assert_eq(bus_add_region(&bus, BUS_MMIO, UINT64_MAX, 2, 0, &first.device), -EINVAL, "wraps");
	cr_assert_eq(bus_add_region(&bus, BUS_MMIO, 2, UINT64_MAX, 0, &first.device), -EINVAL, "wraps");
	cr_assert_eq(bus_add_region(&bus, BUS_MMIO, 0, 2, UINT64_MAX, &first.device), -EINVAL, "offset wraps");
	cr_assert_eq(bus_add_region(&bus, BUS_PORT, 0x100, 1, 0, &stranger.device), -ENODEV, "not of this bus");

	cr_assert_eq(bus_add_region(&bus, BUS_MMIO, UINT64_MAX, 1, 0, &first.device), 0, "the last byte");
	cr_assert_eq(read_from(BUS_MMIO, UINT64_MAX, 1) & 0xff, 0xa0);
	cr_assert_eq(read_from(BUS_MMIO, UINT64_MAX, 2) & 0xffff, 0xffff);
}

Test(bus, room_is_bounded)
{
	static struct probe many[BUS_DEVICES_MAX];
	uint64_t base;

	for (base = 0; base < BUS_REGIONS_MAX; base++)
		cr_assert_eq(bus_add_region(&bus, BUS_MMIO, base * 2, 1, 0, &first.device), 0);
	cr_assert_eq(bus_add_region(&bus, BUS_MMIO, base * 2, 1, 0, &first.device), -ENOSPC);
	cr_assert_eq(bus_add_region(&bus, BUS_MMIO, 0, 1, 0, &first.device), -EEXIST);

	for (uint32_t i = 2; i < BUS_DEVICES_MAX; i++) {
		many[i].device = (struct device){ .ops = &probe_ops, .instance = i };
		cr_assert_eq(bus_add_device(&bus, &many[i].device), 0);
	}
	many[0].device = (struct device){ .ops = &probe_ops, .instance = 1000 };
	cr_assert_eq(bus_add_device(&bus, &many[0].device), -ENOSPC);
}

Test(bus, devices_are_found_by_name_and_instance_and_freed_last_first)
{
	static struct probe twin = { .device = { .ops = &probe_ops, .instance = 1 } };
	unsigned int first_freed = 0, second_freed = 0, twin_freed = 0;

	first.freed = &first_freed;
	second.freed = &second_freed;
	twin.freed = &twin_freed;

	cr_assert_eq(bus_add_device(&bus, &twin.device), -EEXIST);
	cr_assert_eq(bus_find(&bus, "probe", 0), &first.device);
	cr_assert_eq(bus_find(&bus, "probe", 1), &second.device);
	cr_assert_null(bus_find(&bus, "probe", 2));
	cr_assert_null(bus_find(&bus, "serial", 0));

	cr_assert_eq(bus_add_region(&bus, BUS_PORT, 0x100, 1, 0, &first.device), 0);
	bus_free(&bus);
	cr_assert_eq(second_freed, 1);
	cr_assert_eq(first_freed, 2);
	cr_assert_eq(twin_freed, 0, "a device that was refused stays its maker's");
	cr_assert_null(bus_find(&bus, "probe", 0));
	cr_assert_eq(read_from(BUS_PORT, 0x100, 1) & 0xff, 0xff);
}
