/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The firmware configuration device at its ports, under accesses of any size and order, documents, resets, and states
 * that are saved, altered and restored. A model keeps what was selected and how far it was read: each byte that the
 * guest reads is the item's, and zeros follow; what a snapshot keeps is what the model has.
 */
#include "devices/bus.h"
#include "devices/fw_cfg.h"
#include "fuzz.h"

#include <string.h>

#define MEMORY       0x10000
#define ACCESS_MAX   16 /* bytes; more than any access has */
#define ALTERED_MAX  8  /* bytes of a state */
#define SELECTOR     FW_CFG_PORT
#define DATA         (FW_CFG_PORT + 1)
#define SIGNATURE    0x00
#define FEATURES     0x01
#define DIRECTORY    0x19
#define GENERATION   0x20
#define METADATA     0x21
#define ENTRY_BYTES  64
#define NAME_OFFSET  8 /* in a directory's entry */
#define HEADER_BYTES 4 /* of the directory */

enum action {
	SELECT,
	READ_DATA, /* so many bytes */
	READ_ANY,
	WRITE_ANY,
	SET_METADATA,
	PLACE_GENERATION_ID,
	SAVE_AND_RESTORE,
	RESET,
	ACTIONS
};

struct model {
	uint16_t selector;
	uint32_t offset;
	uint32_t metadata_size;
	uint8_t metadata[FW_CFG_METADATA_SIZE];
};

static struct guest_memory memory = { .size = MEMORY };
static struct bus bus;
static struct generation_id *generation;
static struct fw_cfg *fw_cfg;
static struct device *device;
static struct model model;

static void ignore_line(void *opaque, bool level)
{
	(void)opaque;
	(void)level;
}

static void open_device(void)
{
	const struct irq_line changed = { .set = ignore_line };

	memory.host = aligned_alloc(4096, MEMORY);
	FUZZ_CHECK(memory.host);
	memset(memory.host, 0, MEMORY);
	FUZZ_CHECK(generation_id_new(&memory, &changed, &generation) == 0);
	FUZZ_CHECK(fw_cfg_new(generation, &fw_cfg) == 0);
	device = fw_cfg_device(fw_cfg);
	bus_init(&bus);
	FUZZ_CHECK(bus_add_device(&bus, generation_id_device(generation)) == 0);
	FUZZ_CHECK(bus_add_device(&bus, device) == 0);
	FUZZ_CHECK(bus_add_region(&bus, BUS_PORT, FW_CFG_PORT, FW_CFG_PORT_COUNT, 0, device) == 0);
}

/* ---- what the guest has to read ---- */

static void describe_file(uint8_t entry[ENTRY_BYTES], uint16_t key, uint32_t size, const char *name)
{
	entry[2] = (uint8_t)(size >> 8);
	entry[3] = (uint8_t)size;
	entry[5] = (uint8_t)key;
	memcpy(entry + NAME_OFFSET, name, strlen(name));
}

/* Returns the item's size. */
static uint32_t item(uint8_t bytes[FW_CFG_METADATA_SIZE])
{
	memset(bytes, 0, FW_CFG_METADATA_SIZE);
	switch (model.selector) {
	case SIGNATURE:
		memcpy(bytes, "QEMU", 4);
		return 4;
	case FEATURES:
		bytes[0] = 1;
		return 4;
	case DIRECTORY:
		bytes[3] = 2;
		describe_file(bytes + HEADER_BYTES, GENERATION, GENERATION_ID_SIZE, FW_CFG_GENERATION_ID_FILE);
		describe_file(bytes + HEADER_BYTES + ENTRY_BYTES, METADATA, FW_CFG_METADATA_SIZE, FW_CFG_METADATA_FILE);
		return HEADER_BYTES + 2 * ENTRY_BYTES;
	case GENERATION:
		generation_id_get(generation, bytes);
		return GENERATION_ID_SIZE;
	case METADATA:
		memcpy(bytes, model.metadata, FW_CFG_METADATA_SIZE);
		return FW_CFG_METADATA_SIZE;
	default:
		return 0;
	}
}

static void read_data(uint64_t count)
{
	uint8_t expected[FW_CFG_METADATA_SIZE];
	uint32_t size = item(expected);

	for (uint64_t i = 0; i < count; i++) {
		uint8_t byte = 0x5a;

		bus_read(&bus, BUS_PORT, DATA, &byte, sizeof(byte));
		FUZZ_CHECK(byte == (model.offset < size ? expected[model.offset] : 0));
		model.offset += model.offset < size;
	}
}

/* What is no read of a byte of data finds nobody: all ones, and nothing behind them. */
static void read_any(uint64_t port, size_t length)
{
	uint8_t data[ACCESS_MAX + 1];

	if (port == DATA && length == 1) {
		read_data(1);
		return;
	}
	memset(data, 0x5a, sizeof(data));
	bus_read(&bus, BUS_PORT, port, data, length);
	for (size_t i = 0; i < sizeof(data); i++)
		FUZZ_CHECK(data[i] == (i < length ? 0xff : 0x5a));
}

static void write_any(uint64_t port, size_t length, uint64_t value)
{
	uint8_t data[ACCESS_MAX] = { 0 };

	memcpy(data, &value, sizeof(value));
	bus_write(&bus, BUS_PORT, port, data, length);
	/* The selector is as wide as both ports are. */
	if (port == SELECTOR && length == sizeof(model.selector)) {
		model.selector = (uint16_t)value;
		model.offset = 0;
	}
}

/* ---- what the host does ---- */

static void set_metadata(struct input *input)
{
	size_t size = take(input, 2) % (FW_CFG_METADATA_SIZE + 16);
	uint8_t *document = malloc(size > 0 ? size : 1);
	uint64_t pattern = take(input, 8);

	FUZZ_CHECK(document);
	for (size_t i = 0; i < size; i++)
		document[i] = (uint8_t)((pattern >> i % 8 * 8) + i / 8);
	if (size > FW_CFG_METADATA_SIZE) {
		FUZZ_CHECK(fw_cfg_set_metadata(fw_cfg, document, size) < 0);
	} else {
		FUZZ_CHECK(fw_cfg_set_metadata(fw_cfg, document, size) == 0);
		memset(model.metadata, 0, sizeof(model.metadata));
		memcpy(model.metadata, document, size);
		model.metadata_size = (uint32_t)size;
	}
	free(document);
}

static const struct state_field *field(const char *name)
{
	const struct state_field *fields = device->ops->state_fields;

	while (fields->name && strcmp(fields->name, name) != 0)
		fields++;
	FUZZ_CHECK(fields->name);
	return fields;
}

static uint32_t number_at(const uint8_t *state, uint32_t offset)
{
	uint32_t value;

	memcpy(&value, state + offset, sizeof(value));
	return value;
}

/* The state is within its table's bounds. What it has behind a document is not the guest's to read. */
static void take_over(const uint8_t *state)
{
	const struct state_field *metadata = field("metadata");

	memset(&model, 0, sizeof(model));
	model.selector = (uint16_t)number_at(state, field("selector")->offset);
	model.offset = number_at(state, field("offset")->offset);
	model.metadata_size = number_at(state, metadata->length_offset);
	FUZZ_CHECK(model.offset <= FW_CFG_METADATA_SIZE && model.metadata_size <= FW_CFG_METADATA_SIZE);
	FUZZ_CHECK(number_at(state, field("selector")->offset) <= UINT16_MAX);
	memcpy(model.metadata, state + metadata->offset, model.metadata_size);
}

static void save(uint8_t state[DEVICE_STATE_MAX])
{
	memset(state, 0, DEVICE_STATE_MAX);
	device->ops->save(device, state);
	FUZZ_CHECK(state_fields_check(device->ops->state_fields, state, "fw_cfg", NULL) == 0);
}

static void save_and_restore(struct input *input)
{
	static uint8_t state[DEVICE_STATE_MAX];
	struct error_detail detail = { .text = "" };
	uint64_t altered = take(input, 1) % ALTERED_MAX;

	save(state);
	device->ops->reset(device);
	for (uint64_t i = 0; i < altered; i++) {
		uint64_t place = take(input, 2) % device->ops->state_size;

		state[place] = (uint8_t)take(input, 1);
	}
	if (state_fields_check(device->ops->state_fields, state, "fw_cfg", &detail) < 0) {
		FUZZ_CHECK(altered > 0 && detail.text[0] != '\0');
		memset(&model, 0, sizeof(model));
		return;
	}
	FUZZ_CHECK(device->ops->restore(device, state, &detail) == 0 && detail.text[0] == '\0');
	take_over(state);
}

static void check(void)
{
	static uint8_t state[DEVICE_STATE_MAX];
	const struct state_field *metadata = field("metadata");

	save(state);
	FUZZ_CHECK(number_at(state, field("selector")->offset) == model.selector);
	FUZZ_CHECK(number_at(state, field("offset")->offset) == model.offset);
	FUZZ_CHECK(number_at(state, metadata->length_offset) == model.metadata_size);
	FUZZ_CHECK(memcmp(state + metadata->offset, model.metadata, sizeof(model.metadata)) == 0);
	for (size_t i = device->ops->state_size; i < sizeof(state); i++)
		FUZZ_CHECK(state[i] == 0);
}

static void act(struct input *input)
{
	uint64_t port, length;

	switch (take(input, 1) % ACTIONS) {
	case SELECT:
		write_any(SELECTOR, sizeof(model.selector), take(input, 2));
		break;
	case READ_DATA:
		read_data(take(input, 1));
		break;
	case READ_ANY:
		port = SELECTOR - 2 + take(input, 1) % 6;
		read_any(port, take(input, 1) % (ACCESS_MAX + 1));
		break;
	case WRITE_ANY:
		port = SELECTOR - 2 + take(input, 1) % 6;
		length = take(input, 1) % (ACCESS_MAX + 1);
		write_any(port, length, take(input, 8));
		break;
	case SET_METADATA:
		set_metadata(input);
		break;
	case PLACE_GENERATION_ID:
		(void)generation_id_place(generation, take(input, 2), NULL);
		break;
	case SAVE_AND_RESTORE:
		save_and_restore(input);
		break;
	default:
		device->ops->reset(device);
		memset(&model, 0, sizeof(model));
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input input = { .bytes = data, .left = size };

	if (!device)
		open_device();
	device->ops->reset(device);
	generation_id_device(generation)->ops->reset(generation_id_device(generation));
	memset(&model, 0, sizeof(model));
	while (input.left > 0) {
		act(&input);
		check();
	}
	return 0;
}
