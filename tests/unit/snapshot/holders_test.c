/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Holders come and go in any order, each once.
 */
#include "snapshot/holders.h"

#include <criterion/criterion.h>
#include <errno.h>

Test(holders, are_kept_in_the_order_of_their_coming)
{
	struct holders holders = { 0 };

	for (uint64_t i = 1; i <= 20; i++)
		cr_assert_eq(holders_add(&holders, i * 10), 0);
	cr_assert_eq(holders_add(&holders, 100), -EEXIST);
	cr_assert_eq(holders_remove(&holders, 10), 0);
	cr_assert_eq(holders_remove(&holders, 200), 0);
	cr_assert_eq(holders_remove(&holders, 100), 0);
	cr_assert_eq(holders_remove(&holders, 100), -ENOENT);
	cr_assert_eq(holders.count, 17);
	cr_assert_eq(holders.numbers[0], 20);
	cr_assert_eq(holders.numbers[7], 90);
	cr_assert_eq(holders.numbers[8], 110);
	cr_assert_eq(holders.numbers[16], 190);
	holders_free(&holders);
	cr_assert_eq(holders_remove(&holders, 20), -ENOENT);
}
