/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who has workers that die: what VMs run (a snapshot, a kernel, an image), and who owns them (a client's uid).
 *
 * Each row has two limits of the same form: a time that every death moves on by a fixed step, and that the clock runs after (the generic cell
 * rate algorithm). While it is further ahead than a burst, the limit is passed. Deaths of the worker's own doing (a crash, a call that its filter
 * forbids, a lie, a hang) refuse further starts: of the same source, or where they are of many sources of one owner, of that owner. A
 * worker that somebody killed may have been anybody's victim: for those, nobody is refused, but others are served first.
 *
 * The table is bounded. A new row takes the place of the one that has been quiet for longest, and what is forgotten has its full burst again.
 */
#include <stdlib.h>
#include <string.h>

#include "pool/supervisor/internal.h"

#define ROWS 256

#define SECOND_NS UINT64_C(1000000000)

#define SOURCE_EVERY_NS (2 * SECOND_NS) /* a death that a source may have for good */
#define SOURCE_BURST_NS (8 * SOURCE_EVERY_NS)
#define OWNER_EVERY_NS  (SECOND_NS / 4) /* of all of an owner's sources: more than one of them may have */
#define OWNER_BURST_NS  (64 * OWNER_EVERY_NS)
#define WAY_BURST_NS    (2 * SOURCE_EVERY_NS) /* after which others are served first */
#define WAIT_MAX_NS     (30 * SECOND_NS)

struct crash_row {
	bool used;
	bool is_owner;
	uid_t owner;
	char source[POOL_SOURCE_SIZE];
	uint64_t faults_ns; /* the limit on deaths of their own doing */
	uint64_t deaths_ns; /* the limit on all */
};

struct crash_table {
	struct crash_row rows[ROWS];
};

struct crash_table *crash_table_new(void)
{
	return calloc(1, sizeof(struct crash_table));
}

struct crash_table *crash_table_free(struct crash_table *table)
{
	free(table);
	return NULL;
}

static const struct crash_row *find(const struct crash_table *table, bool is_owner, const struct pool_blame *blame)
{
	if (is_owner ? !blame->has_owner : blame->source[0] == '\0')
		return NULL;
	for (size_t i = 0; i < ROWS; i++) {
		const struct crash_row *row = &table->rows[i];

		if (row->used && row->is_owner == is_owner &&
		    (is_owner ? row->owner == blame->owner : strcmp(row->source, blame->source) == 0))
			return row;
	}
	return NULL;
}

/* The row of a source or owner, made where it is new; NULL where there is nobody to blame. */
static struct crash_row *find_or_make(struct crash_table *table, bool is_owner, const struct pool_blame *blame)
{
	struct crash_row *row = (struct crash_row *)find(table, is_owner, blame);

	if (row || (is_owner ? !blame->has_owner : blame->source[0] == '\0'))
		return row;
	row = &table->rows[0];
	for (size_t i = 1; i < ROWS && row->used; i++) {
		if (!table->rows[i].used || table->rows[i].deaths_ns < row->deaths_ns)
			row = &table->rows[i];
	}
	*row = (struct crash_row){ .used = true, .is_owner = is_owner, .owner = is_owner ? blame->owner : 0 };
	if (!is_owner)
		memcpy(row->source, blame->source, sizeof(row->source));
	return row;
}

static void advance(uint64_t *limit_ns, uint64_t every_ns, uint64_t most_ns, uint64_t now_ns)
{
	if (*limit_ns < now_ns)
		*limit_ns = now_ns;
	*limit_ns += every_ns;
	if (*limit_ns > now_ns + most_ns)
		*limit_ns = now_ns + most_ns;
}

static void note(struct crash_row *row, bool own_fault, uint64_t now_ns)
{
	uint64_t every_ns, most_ns;

	if (!row)
		return;
	every_ns = row->is_owner ? OWNER_EVERY_NS : SOURCE_EVERY_NS;
	most_ns = WAIT_MAX_NS + (row->is_owner ? OWNER_BURST_NS : SOURCE_BURST_NS);
	advance(&row->deaths_ns, every_ns, most_ns, now_ns);
	if (own_fault)
		advance(&row->faults_ns, every_ns, most_ns, now_ns);
}

void crashes_note(struct crash_table *table, const struct pool_blame *blame, bool own_fault, uint64_t now_ns)
{
	note(find_or_make(table, false, blame), own_fault, now_ns);
	note(find_or_make(table, true, blame), own_fault, now_ns);
}

static uint64_t beyond(uint64_t limit_ns, uint64_t burst_ns, uint64_t now_ns)
{
	return limit_ns > now_ns + burst_ns ? limit_ns - now_ns - burst_ns : 0;
}

uint64_t crashes_wait_ns(const struct crash_table *table, const struct pool_blame *blame, uint64_t now_ns,
			 bool *ret_owner)
{
	const struct crash_row *source = find(table, false, blame);
	const struct crash_row *owner = find(table, true, blame);
	uint64_t source_ns = source ? beyond(source->faults_ns, SOURCE_BURST_NS, now_ns) : 0;
	uint64_t owner_ns = owner ? beyond(owner->faults_ns, OWNER_BURST_NS, now_ns) : 0;

	*ret_owner = owner_ns > source_ns;
	return *ret_owner ? owner_ns : source_ns;
}

bool crashes_give_way(const struct crash_table *table, const struct pool_blame *blame, uint64_t now_ns)
{
	const struct crash_row *row = find(table, false, blame);

	return row && beyond(row->deaths_ns, WAY_BURST_NS, now_ns) > 0;
}
