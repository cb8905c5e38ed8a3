/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of those whose workers die, by a clock of the test's own.
 */
#include <criterion/criterion.h>
#include <stdio.h>

#include "pool/supervisor/internal.h"

#define SECOND UINT64_C(1000000000)
#define START  (1000 * SECOND)

static struct crash_table *table;

static void set_up(void)
{
	table = crash_table_new();
	cr_assert_not_null(table);
}

static void tear_down(void)
{
	table = crash_table_free(table);
}

TestSuite(crashes, .init = set_up, .fini = tear_down);

static struct pool_blame of(const char *source, uid_t owner)
{
	struct pool_blame blame = { .has_owner = true, .owner = owner };

	(void)snprintf(blame.source, sizeof(blame.source), "%s", source);
	return blame;
}

static uint64_t wait_of(const struct pool_blame *blame, uint64_t now)
{
	bool owner;

	return crashes_wait_ns(table, blame, now, &owner);
}

static void crash(const struct pool_blame *blame, unsigned count, uint64_t now)
{
	for (unsigned i = 0; i < count; i++)
		crashes_note(table, blame, true, now);
}

Test(crashes, a_source_that_crashes_is_slowed_down_alone_and_comes_back)
{
	struct pool_blame bad = of("snapshot bad", 1), good = of("snapshot good", 1);

	crash(&bad, 8, START);
	cr_expect_eq(wait_of(&bad, START), 0, "a burst is nobody's loss");
	crash(&bad, 1, START);
	cr_expect_gt(wait_of(&bad, START), 0);
	cr_expect_eq(wait_of(&good, START), 0);
	cr_expect_eq(wait_of(&bad, START + wait_of(&bad, START)), 0);
	/* However often it has crashed, it does not wait for ever. */
	crash(&bad, 10000, START);
	cr_expect_leq(wait_of(&bad, START), 30 * SECOND);
}

Test(crashes, an_owner_of_many_sources_that_crash_is_slowed_down_alone)
{
	struct pool_blame fresh = of("snapshot fresh", 1), another = of("snapshot fresh", 2);
	bool owner = false;

	for (unsigned i = 0; i < 65; i++) {
		struct pool_blame blame;
		char name[32];

		(void)snprintf(name, sizeof(name), "snapshot %u", i);
		blame = of(name, 1);
		crash(&blame, 1, START);
	}
	cr_expect_gt(crashes_wait_ns(table, &fresh, START, &owner), 0);
	cr_expect(owner);
	cr_expect_eq(wait_of(&another, START), 0);
}

Test(crashes, who_was_killed_is_not_refused_but_gives_way)
{
	struct pool_blame victim = of("snapshot victim", 1), another = of("snapshot another", 1);

	for (unsigned i = 0; i < 1000; i++)
		crashes_note(table, &victim, false, START);
	cr_expect_eq(wait_of(&victim, START), 0);
	cr_expect(crashes_give_way(table, &victim, START));
	cr_expect_not(crashes_give_way(table, &another, START));
	cr_expect_not(crashes_give_way(table, &victim, START + 60 * SECOND));
}

Test(crashes, nobody_to_blame_is_never_slowed_down)
{
	struct pool_blame nobody = { .source = "" };

	crash(&nobody, 1000, START);
	cr_expect_eq(wait_of(&nobody, START), 0);
	cr_expect_not(crashes_give_way(table, &nobody, START));
}

Test(crashes, the_table_is_bounded_and_keeps_those_that_crash_most)
{
	struct pool_blame bad = of("snapshot bad", 1);

	crash(&bad, 20, START);
	for (unsigned i = 0; i < 10000; i++) {
		struct pool_blame blame = { .source = "" };

		(void)snprintf(blame.source, sizeof(blame.source), "image %u", i);
		crash(&blame, 1, START);
	}
	cr_expect_gt(wait_of(&bad, START), 0);
}
