/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The VM generation ID: where it goes, when it is another one, and when the guest is told.
 */
#include "devices/generation_id.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#define MEMORY_SIZE UINT64_C(0x200000)
#define PLACE       UINT64_C(0xff000)

/* As in a snapshot. */
struct state {
	uint64_t address;
	uint8_t id[GENERATION_ID_SIZE];
};

static const uint8_t none[GENERATION_ID_SIZE];
static struct guest_memory memory;
static struct generation_id *generation;
static struct device *device;
static unsigned int rises;
static bool line;

static void set_line(void *opaque, bool level)
{
	cr_assert_eq(opaque, &line);
	rises += level && !line;
	line = level;
}

static void set_up(void)
{
	const struct irq_line changed = { .opaque = &line, .set = set_line };

	cr_assert_eq(guest_memory_reserve(MEMORY_SIZE, &memory), 0);
	cr_assert_eq(guest_memory_lay_anonymous(&memory), 0);
	cr_assert_eq(generation_id_new(&memory, &changed, &generation), 0);
	device = generation_id_device(generation);
}

static void tear_down(void)
{
	device->ops->free(device);
	guest_memory_release(&memory);
}

TestSuite(generation_id, .init = set_up, .fini = tear_down);

static struct state save(void)
{
	struct state state;

	cr_assert_eq(device->ops->state_size, sizeof(state));
	device->ops->save(device, &state);
	return state;
}

/* The guest, the device and a snapshot have the same. */
static void expect_id(uint64_t gpa, uint8_t ret_id[GENERATION_ID_SIZE])
{
	struct state state = save();

	generation_id_get(generation, ret_id);
	cr_assert_arr_eq(ret_id, memory.host + gpa, GENERATION_ID_SIZE);
	cr_assert_arr_eq(ret_id, state.id, GENERATION_ID_SIZE);
	cr_assert_eq(state.address, gpa);
	cr_assert(memcmp(ret_id, none, sizeof(none)) != 0);
}

Test(generation_id, a_guest_without_one_is_left_alone)
{
	static const uint8_t zero[MEMORY_SIZE];
	struct state state = save();
	uint8_t id[GENERATION_ID_SIZE];

	cr_assert_eq(state.address, 0);
	generation_id_get(generation, id);
	cr_assert_arr_eq(id, none, sizeof(none));
	memset(state.id, 0xee, sizeof(state.id));
	cr_assert_eq(device->ops->restore(device, &state, NULL), 0);
	device->ops->resume(device);
	cr_assert_eq(rises, 0);
	cr_assert_arr_eq(memory.host, zero, sizeof(zero));
	generation_id_get(generation, id);
	cr_assert_arr_eq(id, none, sizeof(none));
}

Test(generation_id, a_boot_places_one_without_an_event)
{
	uint8_t first[GENERATION_ID_SIZE], second[GENERATION_ID_SIZE];

	cr_assert_eq(generation_id_place(generation, PLACE, NULL), 0);
	expect_id(PLACE, first);
	device->ops->resume(device);
	cr_assert_eq(rises, 0);
	cr_assert_eq(generation_id_place(generation, PLACE, NULL), 0);
	expect_id(PLACE, second);
	cr_assert_arr_neq(first, second, sizeof(first));
}

Test(generation_id, every_restore_draws_a_fresh_one)
{
	uint8_t ids[16][GENERATION_ID_SIZE];
	struct state state;

	cr_assert_eq(generation_id_place(generation, PLACE, NULL), 0);
	state = save();
	memcpy(ids[0], state.id, sizeof(ids[0]));
	for (size_t i = 1; i < 16; i++) {
		memcpy(memory.host + PLACE, state.id, sizeof(state.id));
		cr_assert_eq(device->ops->restore(device, &state, NULL), 0);
		expect_id(PLACE, ids[i]);
		for (size_t j = 0; j < i; j++)
			cr_assert_arr_neq(ids[i], ids[j], GENERATION_ID_SIZE);
	}
	cr_assert_eq(rises, 0, "told before it runs");
}

Test(generation_id, the_event_comes_once_at_the_first_run)
{
	struct state state;

	cr_assert_eq(generation_id_place(generation, PLACE, NULL), 0);
	state = save();
	cr_assert_eq(device->ops->restore(device, &state, NULL), 0);
	device->ops->resume(device);
	cr_assert_eq(rises, 1);
	cr_assert_not(line);
	device->ops->resume(device);
	cr_assert_eq(rises, 1, "a pause is no restore");
	cr_assert_eq(device->ops->restore(device, &state, NULL), 0);
	device->ops->resume(device);
	cr_assert_eq(rises, 2);
}

Test(generation_id, places_that_cannot_be_are_refused)
{
	static const uint64_t bad[] = { 4,
					PLACE + 1,
					PLACE + 4,
					MEMORY_SIZE - 8,
					MEMORY_SIZE,
					MEMORY_SIZE + 0x1000,
					UINT64_C(0xfffffffffffffff8) };
	struct error_detail detail;
	uint8_t id[GENERATION_ID_SIZE], after[GENERATION_ID_SIZE];

	cr_assert_eq(generation_id_place(generation, 0, NULL), -EINVAL);
	cr_assert_eq(generation_id_place(generation, MEMORY_SIZE - 16, NULL), 0);
	expect_id(MEMORY_SIZE - 16, id);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct state state = { .address = bad[i] };

		detail.text[0] = '\0';
		cr_assert_eq(device->ops->restore(device, &state, &detail), -EINVAL, "0x%lx", (unsigned long)bad[i]);
		cr_assert_not_null(strstr(detail.text, "generation_id.address"), "%s", detail.text);
		cr_assert_eq(generation_id_place(generation, bad[i], NULL), -EINVAL);
	}
	expect_id(MEMORY_SIZE - 16, after);
	cr_assert_arr_eq(after, id, sizeof(id), "a refusal has changed it");
	device->ops->resume(device);
	cr_assert_eq(rises, 0);
}

Test(generation_id, reset_takes_it_away)
{
	struct state state;

	cr_assert_eq(generation_id_place(generation, PLACE, NULL), 0);
	state = save();
	cr_assert_eq(device->ops->restore(device, &state, NULL), 0);
	device->ops->reset(device);
	device->ops->resume(device);
	cr_assert_eq(rises, 0);
	cr_assert_eq(save().address, 0);
}
