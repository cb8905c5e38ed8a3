/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The VM generation ID.
 *
 * The ID stands in guest memory, where the guest reads it without asking us. A restore never gives back the ID that was
 * saved: it draws a fresh one and writes it over the old one while nothing runs yet, so that the guest's first
 * instruction finds it. The event that tells the guest's kernel to look is an edge on an interrupt line, and waits
 * until the machine begins to run: by then the interrupt chips have the state that the snapshot gives them, which would
 * overwrite it. A guest that looks at the ID itself (before each use of what it keeps secret) needs no event.
 *
 * A snapshot keeps the address, and the ID for people to compare.
 */
#include "devices/generation_id.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "devices/entropy.h"

struct generation_id_state {
	uint64_t address; /* guest-physical; 0: the guest has no ID */
	uint8_t id[GENERATION_ID_SIZE];
};

_Static_assert(sizeof(struct generation_id_state) <= DEVICE_STATE_MAX, "a snapshot has no room for more");

static const struct state_field generation_id_state_fields[] = {
	STATE_FIELD(struct generation_id_state, address, FIELD_U64),
	STATE_ARRAY(struct generation_id_state, id, FIELD_BYTES, GENERATION_ID_SIZE),
	STATE_FIELDS_END,
};

struct generation_id {
	struct device device;
	struct guest_memory *memory;
	struct irq_line changed_line;
	pthread_mutex_t lock; /* guards what follows; orders the line's edges */
	struct generation_id_state state;
	bool is_news; /* the guest is to be told when it begins to run */
};

static struct generation_id *generation_id_of(struct device *device)
{
	return (struct generation_id *)device;
}

/* Draw an ID and put it at an address of the guest's. */
static int draw(struct generation_id *generation, uint64_t address, bool is_news, struct error_detail *detail)
{
	struct generation_id_state state = { .address = address };
	int r;

	if (address == 0 || address % GENERATION_ID_ALIGN != 0 ||
	    !guest_memory_contains(generation->memory, address, GENERATION_ID_SIZE)) {
		error_detail_set(detail, "generation_id.address: 0x%" PRIx64 " is not on %d bytes inside memory",
				 address, GENERATION_ID_ALIGN);
		return -EINVAL;
	}

	r = entropy_fill(state.id, sizeof(state.id));
	if (r < 0) {
		error_detail_set(detail, "generation_id: getrandom: %s", strerrordesc_np(-r));
		return r;
	}
	r = guest_memory_write(generation->memory, address, state.id, sizeof(state.id));
	if (r < 0)
		return r;

	pthread_mutex_lock(&generation->lock);
	generation->state = state;
	generation->is_news = is_news;
	pthread_mutex_unlock(&generation->lock);
	return 0;
}

static void generation_id_resume(struct device *device)
{
	struct generation_id *generation = generation_id_of(device);
	const struct irq_line *line = &generation->changed_line;

	pthread_mutex_lock(&generation->lock);
	if (generation->is_news) {
		line->set(line->opaque, true);
		line->set(line->opaque, false);
	}
	generation->is_news = false;
	pthread_mutex_unlock(&generation->lock);
}

static void generation_id_save(struct device *device, void *ret_state)
{
	struct generation_id *generation = generation_id_of(device);

	pthread_mutex_lock(&generation->lock);
	memcpy(ret_state, &generation->state, sizeof(generation->state));
	pthread_mutex_unlock(&generation->lock);
}

static void generation_id_reset(struct device *device)
{
	struct generation_id *generation = generation_id_of(device);

	pthread_mutex_lock(&generation->lock);
	generation->state = (struct generation_id_state){ 0 };
	generation->is_news = false;
	pthread_mutex_unlock(&generation->lock);
}

static int generation_id_restore(struct device *device, const void *saved, struct error_detail *detail)
{
	struct generation_id_state state;

	memcpy(&state, saved, sizeof(state));
	if (state.address == 0) {
		generation_id_reset(device);
		return 0;
	}

	return draw(generation_id_of(device), state.address, true, detail);
}

static void generation_id_free(struct device *device)
{
	struct generation_id *generation = generation_id_of(device);

	pthread_mutex_destroy(&generation->lock);
	free(generation);
}

const struct device_ops generation_id_ops = {
	.name = "generation_id",
	.state_fields = generation_id_state_fields,
	.state_size = sizeof(struct generation_id_state),
	.may_be_missing = true,
	.resume = generation_id_resume,
	.save = generation_id_save,
	.restore = generation_id_restore,
	.reset = generation_id_reset,
	.free = generation_id_free,
};

int generation_id_new(struct guest_memory *memory, const struct irq_line *changed, struct generation_id **ret_device)
{
	struct generation_id *generation = calloc(1, sizeof(*generation));

	if (!generation)
		return -ENOMEM;

	generation->device.ops = &generation_id_ops;
	generation->memory = memory;
	generation->changed_line = *changed;
	pthread_mutex_init(&generation->lock, NULL);

	*ret_device = generation;
	return 0;
}

struct device *generation_id_device(struct generation_id *generation)
{
	return &generation->device;
}

int generation_id_place(struct generation_id *generation, uint64_t gpa, struct error_detail *detail)
{
	return draw(generation, gpa, false, detail);
}

void generation_id_get(struct generation_id *generation, uint8_t ret_id[GENERATION_ID_SIZE])
{
	pthread_mutex_lock(&generation->lock);
	memcpy(ret_id, generation->state.id, GENERATION_ID_SIZE);
	pthread_mutex_unlock(&generation->lock);
}
