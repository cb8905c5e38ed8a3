/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The firmware configuration device: items, the directory and its files as a driver reads them, and what a snapshot
 * keeps.
 */
#include "devices/fw_cfg.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#define MEMORY_SIZE UINT64_C(0x100000)
#define SELECTOR    0
#define DATA        1

#define KEY_SIGNATURE 0x00
#define KEY_FEATURES  0x01
#define KEY_DIRECTORY 0x19
#define ENTRY_BYTES   64

static struct guest_memory memory;
static struct generation_id *generation;
static struct fw_cfg *fw_cfg;
static struct device *device;

static void ignore_line(void *opaque, bool level)
{
	(void)opaque;
	(void)level;
}

static void set_up(void)
{
	const struct irq_line changed = { .set = ignore_line };

	cr_assert_eq(guest_memory_reserve(MEMORY_SIZE, &memory), 0);
	cr_assert_eq(guest_memory_lay_anonymous(&memory), 0);
	cr_assert_eq(generation_id_new(&memory, &changed, &generation), 0);
	cr_assert_eq(fw_cfg_new(generation, &fw_cfg), 0);
	device = fw_cfg_device(fw_cfg);
}

static void tear_down(void)
{
	device->ops->free(device);
	generation_id_device(generation)->ops->free(generation_id_device(generation));
	guest_memory_release(&memory);
}

TestSuite(fw_cfg, .init = set_up, .fini = tear_down);

static void choose(uint16_t key)
{
	device->ops->write(device, SELECTOR, (const uint8_t *)&key, sizeof(key));
}

static void read_bytes(uint8_t *ret_bytes, size_t size)
{
	for (size_t i = 0; i < size; i++) {
		ret_bytes[i] = 0xff;
		device->ops->read(device, DATA, &ret_bytes[i], 1);
	}
}

static uint32_t big_endian(const uint8_t *bytes, size_t size)
{
	uint32_t value = 0;

	for (size_t i = 0; i < size; i++)
		value = value << 8 | bytes[i];
	return value;
}

/* As a driver does: by its name in the directory. */
static uint16_t find(const char *name, uint32_t size)
{
	uint8_t entry[ENTRY_BYTES];
	uint8_t count[4];

	choose(KEY_DIRECTORY);
	read_bytes(count, sizeof(count));
	for (uint32_t i = 0; i < big_endian(count, 4); i++) {
		read_bytes(entry, sizeof(entry));
		if (strcmp((const char *)entry + 8, name) == 0) {
			cr_assert_eq(big_endian(entry, 4), size);
			return (uint16_t)big_endian(entry + 4, 2);
		}
	}
	cr_assert_fail("no file %s", name);
	return 0;
}

static void expect_metadata(const void *expected, size_t size)
{
	uint8_t bytes[FW_CFG_METADATA_SIZE + 4], all[FW_CFG_METADATA_SIZE + 4] = { 0 };

	memcpy(all, expected, size);
	choose(find("opt/ember/metadata", 3072));
	read_bytes(bytes, sizeof(bytes));
	cr_assert_arr_eq(bytes, all, sizeof(all));
}

Test(fw_cfg, says_what_it_is)
{
	uint8_t bytes[8];

	choose(KEY_SIGNATURE);
	read_bytes(bytes, sizeof(bytes));
	cr_assert_arr_eq(bytes, "QEMU\0\0\0\0", 8);
	choose(KEY_FEATURES);
	read_bytes(bytes, sizeof(bytes));
	cr_assert_arr_eq(bytes, "\1\0\0\0\0\0\0\0", 8, "the traditional interface, and no DMA");
	choose(KEY_SIGNATURE);
	read_bytes(bytes, 4);
	cr_assert_arr_eq(bytes, "QEMU", 4, "a selection starts at the beginning");
}

Test(fw_cfg, directory_is_well_formed)
{
	uint8_t bytes[4 + 3 * ENTRY_BYTES];
	uint32_t count;

	choose(KEY_DIRECTORY);
	read_bytes(bytes, sizeof(bytes));
	count = big_endian(bytes, 4);
	cr_assert_eq(count, 2);
	for (uint32_t i = 0; i < 3; i++) {
		const uint8_t *entry = bytes + 4 + i * ENTRY_BYTES;

		if (i < count) {
			cr_assert_geq(big_endian(entry + 4, 2), 0x20);
			cr_assert_eq(big_endian(entry + 6, 2), 0);
			cr_assert_not_null(memchr(entry + 8, '\0', ENTRY_BYTES - 8));
		} else {
			cr_assert_eq(big_endian(entry, 4), 0, "past the end");
		}
	}
}

Test(fw_cfg, unknown_items_are_empty)
{
	static const uint16_t unknown[] = { 0x02, 0x05, 0x18, 0x1a, 0x1f, 0x22, 0x4000, 0x4019, 0x8000, 0xffff };
	static const uint8_t zero[16];
	uint8_t bytes[16];

	for (size_t i = 0; i < sizeof(unknown) / sizeof(unknown[0]); i++) {
		choose(unknown[i]);
		read_bytes(bytes, sizeof(bytes));
		cr_assert_arr_eq(bytes, zero, sizeof(zero), "0x%04x", unknown[i]);
	}
}

Test(fw_cfg, accesses_of_other_sizes_do_nothing)
{
	uint8_t bytes[8];
	const uint8_t key[4] = { KEY_FEATURES, 0, 0, 0 };

	choose(KEY_SIGNATURE);
	device->ops->write(device, SELECTOR, key, 1);
	device->ops->write(device, SELECTOR, key, 4);
	device->ops->write(device, DATA, key, 1);
	memset(bytes, 0xff, sizeof(bytes));
	device->ops->read(device, SELECTOR, bytes, 1);
	device->ops->read(device, SELECTOR, bytes, 2);
	device->ops->read(device, DATA, bytes, 4);
	cr_assert_arr_eq(bytes, "\xff\xff\xff\xff", 4);
	read_bytes(bytes, 4);
	cr_assert_arr_eq(bytes, "QEMU", 4);
}

Test(fw_cfg, metadata_is_padded_to_its_size)
{
	uint8_t full[FW_CFG_METADATA_SIZE + 1];

	expect_metadata("", 0);
	cr_assert_eq(fw_cfg_set_metadata(fw_cfg, "{\"name\": \"one\"}", 15), 0);
	expect_metadata("{\"name\": \"one\"}", 15);
	memset(full, 'x', sizeof(full));
	cr_assert_eq(fw_cfg_set_metadata(fw_cfg, full, sizeof(full)), -EFBIG);
	expect_metadata("{\"name\": \"one\"}", 15);
	cr_assert_eq(fw_cfg_set_metadata(fw_cfg, full, FW_CFG_METADATA_SIZE), 0);
	expect_metadata(full, FW_CFG_METADATA_SIZE);
	cr_assert_eq(fw_cfg_set_metadata(fw_cfg, "short", 5), 0);
	expect_metadata("short", 5);
	cr_assert_eq(fw_cfg_set_metadata(fw_cfg, NULL, 0), 0);
	expect_metadata("", 0);
}

Test(fw_cfg, generation_id_is_the_one_of_now)
{
	uint8_t bytes[GENERATION_ID_SIZE + 1], id[GENERATION_ID_SIZE];
	uint16_t key = find("opt/ember/generation_id", 16);

	for (int i = 0; i < 3; i++) {
		cr_assert_eq(generation_id_place(generation, 0x1000, NULL), 0);
		generation_id_get(generation, id);
		choose(key);
		read_bytes(bytes, sizeof(bytes));
		cr_assert_arr_eq(bytes, id, sizeof(id));
		cr_assert_eq(bytes[GENERATION_ID_SIZE], 0);
	}
}

Test(fw_cfg, a_reader_goes_on_after_a_restore)
{
	uint8_t state[DEVICE_STATE_MAX + 1] = { 0 };
	uint8_t bytes[8];

	cr_assert_eq(fw_cfg_set_metadata(fw_cfg, "abcdefgh", 8), 0);
	choose(find("opt/ember/metadata", 3072));
	read_bytes(bytes, 3);
	device->ops->save(device, state + 1);
	device->ops->reset(device);
	expect_metadata("", 0);
	cr_assert_eq(fw_cfg_set_metadata(fw_cfg, "another", 7), 0);
	cr_assert_eq(state_fields_check(device->ops->state_fields, state + 1, "fw_cfg", NULL), 0);
	cr_assert_eq(device->ops->restore(device, state + 1, NULL), 0);
	read_bytes(bytes, 8);
	cr_assert_arr_eq(bytes, "defgh\0\0\0", 8);
	expect_metadata("abcdefgh", 8);
	cr_assert_eq(fw_cfg_set_metadata(fw_cfg, "clone", 5), 0);
	expect_metadata("clone", 5);
}

/* A state of anybody's: nothing past the document is the guest's to see, and no selector or offset does harm. */
Test(fw_cfg, a_hostile_state_is_harmless)
{
	uint32_t state[DEVICE_STATE_MAX / sizeof(uint32_t)];
	uint8_t bytes[FW_CFG_METADATA_SIZE + 16];

	memset(state, 0xee, sizeof(state));
	state[0] = 0xffff;
	state[1] = FW_CFG_METADATA_SIZE;
	state[2] = 4;
	cr_assert_eq(state_fields_check(device->ops->state_fields, state, "fw_cfg", NULL), 0);
	for (uint32_t key = 0; key < 0x30; key++) {
		state[0] = key;
		cr_assert_eq(device->ops->restore(device, state, NULL), 0);
		read_bytes(bytes, sizeof(bytes));
		cr_assert_eq(bytes[0], 0);
	}
	expect_metadata("\xee\xee\xee\xee", 4);

	state[1] = FW_CFG_METADATA_SIZE + 1;
	cr_assert_eq(state_fields_check(device->ops->state_fields, state, "fw_cfg", NULL), -EINVAL);
	state[1] = 0;
	state[2] = FW_CFG_METADATA_SIZE + 1;
	cr_assert_eq(state_fields_check(device->ops->state_fields, state, "fw_cfg", NULL), -EINVAL);
	state[2] = 0;
	state[0] = 0x10000;
	cr_assert_eq(state_fields_check(device->ops->state_fields, state, "fw_cfg", NULL), -EINVAL);
}
