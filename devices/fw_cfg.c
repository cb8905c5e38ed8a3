/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A firmware configuration device.
 *
 * The guest writes an item's key to the selector, which sets the offset to 0, and reads the item byte by byte. Past its
 * end, and of an item that there is not, it reads zeros. Three items have fixed keys: a signature, what the device can
 * do, and the directory, which gives each file's name, size and key. Numbers in the directory are big-endian, the one
 * in the feature bits is not.
 *
 * Files do not change their size (see fw_cfg.h). What is read of the generation ID is always the ID of this moment.
 */
#include "devices/fw_cfg.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define OFFSET_SELECTOR 0
#define OFFSET_DATA     1

#define KEY_SIGNATURE     0x0000
#define KEY_FEATURES      0x0001
#define KEY_DIRECTORY     0x0019
#define KEY_GENERATION_ID 0x0020 /* files begin here */
#define KEY_METADATA      0x0021

#define SIGNATURE            "QEMU"
#define FEATURE_TRADITIONAL  0x01 /* selector and data; bit 1 would be DMA */
#define DIRECTORY_FILES      2
#define DIRECTORY_NAME_BYTES 56

struct directory_file {
	uint32_t size; /* big-endian */
	uint16_t key;  /* big-endian */
	uint16_t reserved;
	char name[DIRECTORY_NAME_BYTES];
};
_Static_assert(sizeof(struct directory_file) == 64, "QEMU's struct FWCfgFile");

struct directory {
	uint32_t count; /* big-endian */
	struct directory_file files[DIRECTORY_FILES];
};
_Static_assert(sizeof(struct directory) == 4 + 64 * DIRECTORY_FILES, "QEMU's struct FWCfgFiles");

/* Ordered by name, as QEMU's is. */
static const struct directory directory = {
	.count = __builtin_bswap32(DIRECTORY_FILES),
	.files = {
		{
			.size = __builtin_bswap32(GENERATION_ID_SIZE),
			.key = __builtin_bswap16(KEY_GENERATION_ID),
			.name = FW_CFG_GENERATION_ID_FILE,
		},
		{
			.size = __builtin_bswap32(FW_CFG_METADATA_SIZE),
			.key = __builtin_bswap16(KEY_METADATA),
			.name = FW_CFG_METADATA_FILE,
		},
	},
};

static const uint8_t features[4] = { FEATURE_TRADITIONAL };

struct fw_cfg_state {
	uint32_t selector;      /* 16 bits */
	uint32_t offset;        /* bytes into the selected item, at most its size */
	uint32_t metadata_size; /* bytes that were given; zeros follow */
	uint8_t metadata[FW_CFG_METADATA_SIZE];
};

_Static_assert(sizeof(struct fw_cfg_state) <= DEVICE_STATE_MAX, "a snapshot has no room for more");

static const struct state_field fw_cfg_state_fields[] = {
	STATE_FIELD_MAX(struct fw_cfg_state, selector, FIELD_HEX32, UINT16_MAX),
	STATE_FIELD_MAX(struct fw_cfg_state, offset, FIELD_U32, FW_CFG_METADATA_SIZE),
	STATE_BLOB(struct fw_cfg_state, metadata, metadata_size, FW_CFG_METADATA_SIZE),
	STATE_FIELDS_END,
};

struct fw_cfg {
	struct device device;
	struct generation_id *generation;
	pthread_mutex_t lock; /* guards state */
	struct fw_cfg_state state;
};

static struct fw_cfg *fw_cfg_of(struct device *device)
{
	return (struct fw_cfg *)device;
}

/* The bytes of the selected item; *ret_size is 0 where there is none. id is where those of the generation ID go. */
static const uint8_t *selected_item(struct fw_cfg *fw_cfg, uint8_t id[GENERATION_ID_SIZE], size_t *ret_size)
{
	switch (fw_cfg->state.selector) {
	case KEY_SIGNATURE:
		*ret_size = strlen(SIGNATURE);
		return (const uint8_t *)SIGNATURE;
	case KEY_FEATURES:
		*ret_size = sizeof(features);
		return features;
	case KEY_DIRECTORY:
		*ret_size = sizeof(directory);
		return (const uint8_t *)&directory;
	case KEY_GENERATION_ID:
		generation_id_get(fw_cfg->generation, id);
		*ret_size = GENERATION_ID_SIZE;
		return id;
	case KEY_METADATA:
		*ret_size = FW_CFG_METADATA_SIZE;
		return fw_cfg->state.metadata;
	default:
		*ret_size = 0;
		return NULL;
	}
}

static void fw_cfg_read(struct device *device, uint64_t offset, uint8_t *data, size_t length)
{
	struct fw_cfg *fw_cfg = fw_cfg_of(device);
	uint8_t id[GENERATION_ID_SIZE];
	const uint8_t *bytes;
	size_t size;

	if (offset != OFFSET_DATA || length != 1)
		return;

	pthread_mutex_lock(&fw_cfg->lock);
	bytes = selected_item(fw_cfg, id, &size);
	data[0] = fw_cfg->state.offset < size ? bytes[fw_cfg->state.offset++] : 0;
	pthread_mutex_unlock(&fw_cfg->lock);
}

static void fw_cfg_write(struct device *device, uint64_t offset, const uint8_t *data, size_t length)
{
	struct fw_cfg *fw_cfg = fw_cfg_of(device);
	uint16_t key;

	if (offset != OFFSET_SELECTOR || length != sizeof(key))
		return;

	memcpy(&key, data, sizeof(key));
	pthread_mutex_lock(&fw_cfg->lock);
	fw_cfg->state.selector = key;
	fw_cfg->state.offset = 0;
	pthread_mutex_unlock(&fw_cfg->lock);
}

static void fw_cfg_save(struct device *device, void *ret_state)
{
	struct fw_cfg *fw_cfg = fw_cfg_of(device);

	pthread_mutex_lock(&fw_cfg->lock);
	memcpy(ret_state, &fw_cfg->state, sizeof(fw_cfg->state));
	pthread_mutex_unlock(&fw_cfg->lock);
}

/* Nothing is refused: an offset past an item's end reads zeros. */
static int fw_cfg_restore(struct device *device, const void *saved, struct error_detail *detail)
{
	struct fw_cfg *fw_cfg = fw_cfg_of(device);
	struct fw_cfg_state state;

	(void)detail;

	memcpy(&state, saved, sizeof(state));
	/* What follows the bytes in use is zero for the guest, whatever a state has there. */
	memset(state.metadata + state.metadata_size, 0, sizeof(state.metadata) - state.metadata_size);

	pthread_mutex_lock(&fw_cfg->lock);
	fw_cfg->state = state;
	pthread_mutex_unlock(&fw_cfg->lock);
	return 0;
}

static void fw_cfg_reset(struct device *device)
{
	struct fw_cfg *fw_cfg = fw_cfg_of(device);

	pthread_mutex_lock(&fw_cfg->lock);
	fw_cfg->state = (struct fw_cfg_state){ 0 };
	pthread_mutex_unlock(&fw_cfg->lock);
}

static void fw_cfg_free(struct device *device)
{
	struct fw_cfg *fw_cfg = fw_cfg_of(device);

	pthread_mutex_destroy(&fw_cfg->lock);
	free(fw_cfg);
}

const struct device_ops fw_cfg_ops = {
	.name = "fw_cfg",
	.state_fields = fw_cfg_state_fields,
	.state_size = sizeof(struct fw_cfg_state),
	.may_be_missing = true,
	.read = fw_cfg_read,
	.write = fw_cfg_write,
	.save = fw_cfg_save,
	.restore = fw_cfg_restore,
	.reset = fw_cfg_reset,
	.free = fw_cfg_free,
};

int fw_cfg_new(struct generation_id *generation, struct fw_cfg **ret_device)
{
	struct fw_cfg *fw_cfg = calloc(1, sizeof(*fw_cfg));

	if (!fw_cfg)
		return -ENOMEM;

	fw_cfg->device.ops = &fw_cfg_ops;
	fw_cfg->generation = generation;
	pthread_mutex_init(&fw_cfg->lock, NULL);

	*ret_device = fw_cfg;
	return 0;
}

struct device *fw_cfg_device(struct fw_cfg *fw_cfg)
{
	return &fw_cfg->device;
}

int fw_cfg_set_metadata(struct fw_cfg *fw_cfg, const void *bytes, size_t size)
{
	if (size > FW_CFG_METADATA_SIZE)
		return -EFBIG;

	pthread_mutex_lock(&fw_cfg->lock);
	if (size > 0)
		memcpy(fw_cfg->state.metadata, bytes, size);
	memset(fw_cfg->state.metadata + size, 0, FW_CFG_METADATA_SIZE - size);
	fw_cfg->state.metadata_size = (uint32_t)size;
	pthread_mutex_unlock(&fw_cfg->lock);
	return 0;
}
