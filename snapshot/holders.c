/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who uses a thing: an array that is searched from its start. There are as many holders as VMs, at most.
 */
#include "snapshot/holders.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static size_t find(const struct holders *holders, uint64_t holder)
{
	size_t index = 0;

	while (index < holders->count && holders->numbers[index] != holder)
		index++;

	return index;
}

int holders_add(struct holders *holders, uint64_t holder)
{
	if (find(holders, holder) < holders->count)
		return -EEXIST;

	if (holders->count == holders->capacity) {
		size_t capacity = holders->capacity ? 2 * holders->capacity : 8;
		uint64_t *numbers = reallocarray(holders->numbers, capacity, sizeof(uint64_t));

		if (!numbers)
			return -ENOMEM;
		holders->numbers = numbers;
		holders->capacity = capacity;
	}
	holders->numbers[holders->count++] = holder;
	return 0;
}

int holders_remove(struct holders *holders, uint64_t holder)
{
	size_t index = find(holders, holder);

	if (index == holders->count)
		return -ENOENT;
	memmove(&holders->numbers[index], &holders->numbers[index + 1],
		(holders->count - index - 1) * sizeof(uint64_t));
	holders->count--;
	return 0;
}

void holders_free(struct holders *holders)
{
	free(holders->numbers);
	*holders = (struct holders){ 0 };
}
