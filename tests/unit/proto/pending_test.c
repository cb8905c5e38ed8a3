/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of open requests, against a plain array that says what must be in it.
 */
#include "proto/client/pending.h"

#include <criterion/criterion.h>
#include <stdlib.h>

enum { IDS = 512 };

/* Every id that is there is found with its context, every other one is not. */
static void compare(const struct pending_table *table, const bool *present)
{
	size_t count = 0;

	for (uint64_t id = 1; id < IDS; id++) {
		cr_assert_eq(pending_has(table, id), present[id], "%d", (int)id);
		count += present[id];
	}
	cr_assert_eq(table->count, count);
}

Test(pending, holds_what_was_added_and_not_taken)
{
	struct pending_table table = { 0 };
	bool present[IDS] = { false };
	unsigned int seed = 4711;
	struct pending taken;

	for (int step = 0; step < 20000; step++) {
		/* ids that are equal modulo the capacity make long probe chains */
		uint64_t id = (uint64_t)(rand_r(&seed) % 8 * 64 + rand_r(&seed) % 8);
		struct pending request = { .id = id, .context = &present[id] };

		if (id == 0)
			continue;
		if (present[id]) {
			cr_assert(pending_take(&table, id, &taken));
			cr_assert_eq(taken.id, id);
			cr_assert_eq(taken.context, &present[id]);
		} else {
			cr_assert_not(pending_take(&table, id, &taken));
			cr_assert_eq(pending_add(&table, &request), 0);
		}
		present[id] = !present[id];
		if (step % 100 == 0)
			compare(&table, present);
	}
	compare(&table, present);
	pending_table_release(&table);
}

Test(pending, take_any_empties_it)
{
	struct pending_table table = { 0 };
	bool present[IDS] = { false };
	struct pending taken;

	cr_assert_not(pending_take_any(&table, &taken));
	for (uint64_t id = 1; id < IDS; id++) {
		struct pending request = { .id = id };

		cr_assert_eq(pending_add(&table, &request), 0);
		present[id] = true;
	}
	while (pending_take_any(&table, &taken)) {
		cr_assert(present[taken.id]);
		present[taken.id] = false;
	}
	compare(&table, present);
	cr_assert_not(pending_has(&table, 0));
	pending_table_release(&table);
}
