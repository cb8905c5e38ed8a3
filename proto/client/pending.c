/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A hash table with open addressing and linear probing, at most three quarters full. Ids are given out one after the
 * other, so their low bits are hash enough. A removal closes the gap that it leaves (no tombstones), so a connection
 * that lives long stays as fast as a new one.
 */
#include "proto/client/pending.h"

#include <errno.h>
#include <stdlib.h>

static size_t home(const struct pending_table *table, uint64_t id)
{
	return (size_t)id & (table->capacity - 1);
}

static size_t after(const struct pending_table *table, size_t slot)
{
	return (slot + 1) & (table->capacity - 1);
}

/* The slot that holds the id, or the empty one where it would go. The table has an empty slot. */
static size_t find_slot(const struct pending_table *table, uint64_t id)
{
	size_t slot = home(table, id);

	while (table->slots[slot].id != 0 && table->slots[slot].id != id)
		slot = after(table, slot);

	return slot;
}

static int grow(struct pending_table *table)
{
	struct pending_table larger = { .capacity = table->capacity ? table->capacity * 2 : 16, .count = table->count };

	larger.slots = calloc(larger.capacity, sizeof(larger.slots[0]));
	if (!larger.slots)
		return -ENOMEM;

	for (size_t i = 0; i < table->capacity; i++)
		if (table->slots[i].id != 0)
			larger.slots[find_slot(&larger, table->slots[i].id)] = table->slots[i];
	free(table->slots);
	*table = larger;

	return 0;
}

int pending_add(struct pending_table *table, const struct pending *request)
{
	if (table->count >= table->capacity / 4 * 3 && grow(table) < 0)
		return -ENOMEM;

	table->slots[find_slot(table, request->id)] = *request;
	table->count++;

	return 0;
}

bool pending_has(const struct pending_table *table, uint64_t id)
{
	return id != 0 && table->count > 0 && table->slots[find_slot(table, id)].id == id;
}

/* Empty a slot, and move up those behind it that probed past it (Knuth, volume 3, section 6.4, algorithm R). */
static void remove_slot(struct pending_table *table, size_t hole)
{
	size_t mask = table->capacity - 1;

	for (size_t slot = after(table, hole); table->slots[slot].id != 0; slot = after(table, slot)) {
		size_t distance = (slot - home(table, table->slots[slot].id)) & mask;

		if (distance >= ((slot - hole) & mask)) {
			table->slots[hole] = table->slots[slot];
			hole = slot;
		}
	}
	table->slots[hole] = (struct pending){ 0 };
	table->count--;
}

bool pending_take(struct pending_table *table, uint64_t id, struct pending *ret_request)
{
	size_t slot;

	if (!pending_has(table, id))
		return false;

	slot = find_slot(table, id);
	*ret_request = table->slots[slot];
	remove_slot(table, slot);

	return true;
}

bool pending_take_any(struct pending_table *table, struct pending *ret_request)
{
	for (size_t slot = 0; table->count > 0 && slot < table->capacity; slot++)
		if (table->slots[slot].id != 0)
			return pending_take(table, table->slots[slot].id, ret_request);

	return false;
}

void pending_table_release(struct pending_table *table)
{
	free(table->slots);
	*table = (struct pending_table){ 0 };
}
