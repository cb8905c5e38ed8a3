/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The protocol's table and the daemon's implementations name the same methods.
 */
#include <criterion/criterion.h>

#include "server/dispatch.h"
#include "server/http.h"

Test(dispatch, every_method_has_an_implementation_and_the_other_way_round)
{
	struct error_detail detail = { "" };

	cr_expect_eq(dispatch_check(&detail), 0, "%s", detail.text);
}

Test(dispatch, every_code_has_an_http_status_of_an_error)
{
	size_t count, i;
	const struct rpc_code_info *table = rpc_code_table(&count);

	for (i = 0; i < count; i++)
		cr_expect(http_status_for(table[i].code) >= 400 && http_status_for(table[i].code) < 600, "%d",
			  table[i].code);
	cr_expect_eq(http_status_for(RPC_PARSE_ERROR), 400);
	cr_expect_eq(http_status_for(RPC_NOT_FOUND), 404);
	cr_expect_eq(http_status_for(RPC_POOL_EXHAUSTED), 429);
	cr_expect_eq(http_status_for(RPC_WORKER_DIED), 503);
	cr_expect_eq(http_status_for(RPC_SNAPSHOT_IN_USE), 409);
}
